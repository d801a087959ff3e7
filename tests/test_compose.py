"""Composed expressions against NumPy: right values, only allowed operators, None where nothing can be written."""

import numpy as np
import pytest

from rsrm import compose
from rsrm.evaluate import values
from rsrm.expression import apply, variable
from rsrm.export import infix
from rsrm.library import Library
from rsrm.primitives import BY_OPCODE, PRIMITIVES

SETS = (
    ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos"),
    ("add", "mul"),
    ("add", "sub", "mul", "div"),
    ("add", "sub", "mul", "div", "square", "cube", "sqrt", "neg", "inv"),
    ("add", "sub", "mul", "div", "pow"),
    ("sub", "div", "exp", "log"),
)


def uses(expression):
    codes = expression.library.tables.opcode[expression.expanded]
    return {BY_OPCODE[int(c)].name for c in codes if int(c) in BY_OPCODE}


def check(expression, wanted, X):
    found, ok = values(expression, X)
    assert ok, infix(expression)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11, err_msg=infix(expression))
    assert uses(expression) <= set(expression.library.operators), infix(expression)


@pytest.fixture
def X():
    return np.random.default_rng(0).uniform(0.5, 2.0, (30, 3))


@pytest.mark.parametrize("operators", SETS)
def test_products_and_powers_have_the_right_values_with_allowed_operators_only(operators, X):
    rng = np.random.default_rng(1)
    lib = Library(3, operators)
    written = 0
    for _ in range(150):
        powers = rng.choice([-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 1 / 3, 0.25], 3)
        c = rng.choice([1.0, -1.0, 2.0, 0.25, 1 / (4 * np.pi), -0.7, 3.0])
        e = compose.product(lib, [(variable(lib, i), p) for i, p in enumerate(powers)], c)
        if e is not None:
            written += 1
            check(e, c * np.prod(X**powers, axis=1), X)
    if "div" in operators and ("pow" in operators or "exp" in operators):
        assert written == 150
    for p in (-2.0, -0.5, 0.0, 0.75, 1.0, 2.0, 3.0, 5.0, 7.0, 12.0, 1.2345):
        e = compose.power(variable(lib, 0), p)
        if e is not None:
            check(e, X[:, 0]**p, X)
    assert (compose.power(variable(lib, 0), -1.0) is None) == (operators == ("add", "mul"))


@pytest.mark.parametrize("operators", SETS)
@pytest.mark.parametrize("constants", (True, False))
def test_linear_combinations(operators, constants, X):
    rng = np.random.default_rng(2)
    lib = Library(3, operators, constants=constants)
    for _ in range(100):
        a = rng.choice([0.0, 1.0, -1.0, 2.0, -2.0, 1 / 3, -0.25], 3)
        c = rng.choice([0.0, 1.0, -1.0, 2.0, -0.5])
        e = compose.linear(lib, list(zip(a, (variable(lib, i) for i in range(3)), strict=True)), c)
        if e is not None:
            check(e, X @ a + c, X)
        else:
            assert "add" not in operators or "mul" not in operators or "div" not in operators


@pytest.mark.parametrize("operators", SETS)
def test_outer_functions(operators, X):
    lib = Library(3, operators)
    small = X * 0.4
    for p in PRIMITIVES:
        if p.arity == 1 and p.name not in ("acos",):
            e = compose.outer(p.name, variable(lib, 1))
            if e is not None:
                check(e, p.function(small[:, 1]), small)
    assert compose.outer("sin", variable(lib, 0)) is None or "sin" in operators
    with pytest.raises(ValueError, match="name"):
        compose.outer("add", variable(lib, 0))


def test_short_forms():
    lib = Library(3)
    x, y, z = (variable(lib, i) for i in range(3))
    text = infix(compose.product(lib, [(x, 1), (y, 1), (z, -1)], 1 / (4 * np.pi)), 6)
    assert text == "x0*x1/(12.5664*x2)"
    assert infix(compose.product(lib, [(x, 0.5), (y, -0.5)])) == "sqrt(x0/x1)"
    assert infix(compose.linear(lib, [(-1.0, x)], 2.0)) == "2 - x0"
    assert infix(compose.linear(lib, [(-3.0, x), (3.0, y)])) == "3*(x1 - x0)"
    assert infix(compose.linear(lib, [(2.5, apply(lib, "mul", x, y)), (1.0, z)])) == "2.5*x0*x1 + x2"
    assert infix(compose.linear(lib, [(2.0, compose.product(lib, [(x, 1)], 3.0))])) == "6*x0"
    assert compose.power(variable(Library(1, ("mul", "square")), 0), 4.0).length == 3


def test_snap_agrees_with_a_search_one_by_one():
    def naive(value, tol):
        for unit in (1.0, np.pi, 1.0 / np.pi, np.pi**2, 1.0 / np.pi**2):
            for q in range(1, 13):
                p = round(value / unit * q)
                if (p and abs(value / unit) * 12 * tol <= 1.0 and abs(value / unit * q - p) <= tol * abs(p)
                        and 20.0 * tol * abs(p) * q < 1.0):
                    return p / q * unit
        return value

    rng = np.random.default_rng(0)
    for _ in range(3000):
        unit = rng.choice([1.0, np.pi, 1.0 / np.pi, np.pi**2, 1.0 / np.pi**2, 1.2345])
        off = 1.0 + rng.choice([0.0, 1e-9, 1e-6, 1e-3]) * rng.normal()
        value = float(rng.choice([-1.0, 1.0]) * rng.integers(1, 60) / rng.integers(1, 14) * unit * off)
        tol = 10.0 ** -int(rng.integers(1, 11))
        assert compose.snap(value, tol) == pytest.approx(naive(value, tol), rel=1e-15)


def test_snap_finds_simple_numbers_and_leaves_others_alone():
    assert compose.snap(2.0000000001, 1e-9) == 2.0
    assert compose.snap(1 / 3 + 1e-12, 1e-9) == 1 / 3
    assert compose.snap(4.0 * np.pi * (1 + 1e-11), 1e-9) == pytest.approx(4 * np.pi, rel=1e-15)
    assert compose.snap(0.1234567, 1e-9) == 0.1234567
    assert compose.snap(0.0, 1e-9) == 0.0
    # With a loose tolerance large numerators would match anything: they must not.
    assert compose.snap(813.271, 1e-3) == 813.271
    assert compose.fraction(0.75) == (3, 4)
    assert compose.fraction(np.sqrt(2)) is None


@pytest.mark.parametrize("c", [np.inf, -np.inf, np.nan, 1e-310])
def test_a_coefficient_that_cannot_be_written_is_refused(c):
    assert compose.product(Library(1), [(variable(Library(1), 0), 1.0)], c) is None
