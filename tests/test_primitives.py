"""The table of operators: every primitive stands in every table that kernels and printers use."""

import numpy as np
import pytest
import sympy

from rsrm import primitives
from rsrm.elementwise import apply_binary
from rsrm.export import to_sympy
from rsrm.expression import apply, variable
from rsrm.library import Library
from rsrm.primitives import BY_NAME, BY_OPCODE, DEFAULT_OPERATORS, PRIMITIVES, check_operators

LIB = Library(2)
DATA = np.random.default_rng(0).uniform(0.2, 0.9, (2, 11))


def test_names_and_opcodes_are_unique_and_complete():
    named = {value for name, value in vars(primitives).items() if name.startswith("OP_")}
    leaves = {primitives.OP_VARIABLE, primitives.OP_CONSTANT, primitives.OP_LITERAL, primitives.OP_PROMOTED}
    assert named == leaves | set(BY_OPCODE) and not leaves & set(BY_OPCODE)
    assert len(BY_NAME) == len(BY_OPCODE) == len(PRIMITIVES)
    assert {p.arity for p in PRIMITIVES if p.opcode <= primitives.OP_POW} == {2}
    assert {p.arity for p in PRIMITIVES if p.opcode > primitives.OP_POW} == {1}


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.name)
def test_kernel_numpy_and_sympy_say_the_same(primitive):
    arguments = DATA[:primitive.arity]
    want = primitive.function(*arguments)
    got = np.empty(11)
    apply_binary(primitive.opcode, DATA[0].copy(), DATA[1].copy(), 11, got)
    np.testing.assert_allclose(got, want, rtol=1e-14)
    expression = apply(LIB, primitive.name, *[variable(LIB, i) for i in range(primitive.arity)])
    symbolic = to_sympy(expression)
    point = {sympy.Symbol(s.name): v for s in symbolic.free_symbols for v in [DATA[int(s.name[1:]), 3]]}
    at = [float(symbolic.subs({s: point[sympy.Symbol(s.name)] for s in symbolic.free_symbols}))]
    np.testing.assert_allclose(at[0], want[3], rtol=1e-13)


@pytest.mark.parametrize("primitive", [p for p in PRIMITIVES if p.arity == 2], ids=lambda p: p.name)
def test_commutative_means_exchangeable(primitive):
    same = np.allclose(primitive.function(DATA[0], DATA[1]), primitive.function(DATA[1], DATA[0]))
    assert same == primitive.commutative


def test_operators_are_checked():
    assert check_operators("sin") == ("sin",)
    assert check_operators(DEFAULT_OPERATORS) == DEFAULT_OPERATORS
    for wrong in (("add", "foo"), ("add", "add"), ()):
        with pytest.raises(ValueError, match="operators"):
            check_operators(wrong)
