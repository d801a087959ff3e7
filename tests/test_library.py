"""The alphabet: bands of token ids, promoted slots, and what is refused."""

import pickle

import numpy as np
import pytest

from rsrm.library import MAX_BODY, PAD, PARAM0, PARAM1, Library
from rsrm.primitives import (
    BY_NAME, BY_OPCODE, LITERALS, OP_CONSTANT, OP_LITERAL, OP_PROMOTED, OP_VARIABLE, PRIMITIVES, check_operators,
)

pytestmark = pytest.mark.nojit


@pytest.mark.parametrize("n_variables", [1, 3, 40])
def test_token_bands_follow_each_other(n_variables):
    lib = Library(n_variables)
    opcode = lib.tables.opcode
    assert (opcode[:n_variables] == OP_VARIABLE).all()
    assert lib.constant == n_variables and opcode[n_variables] == OP_CONSTANT
    assert (opcode[n_variables + 1:n_variables + 4] == OP_LITERAL).all()
    np.testing.assert_array_equal(lib.tables.literal[n_variables + 1:n_variables + 4], LITERALS)
    assert [BY_OPCODE[int(o)].name for o in opcode[n_variables + 4:lib.first_promoted]] == [p.name for p in PRIMITIVES]
    assert (opcode[lib.first_promoted:] == OP_PROMOTED).all()
    assert len(lib) == lib.first_promoted + lib.capacity == len(lib.tables.arity)


def test_only_what_was_asked_for_is_allowed():
    lib = Library(2, ("add", "sin"), constants=False, literals=False)
    allowed = {lib.name(t) for t in np.flatnonzero(lib.tables.allowed)}
    assert allowed == {"x0", "x1", "add", "sin"}
    lib = Library(1, ("mul",))
    assert {lib.name(t) for t in np.flatnonzero(lib.tables.allowed)} == {"x0", "C", "1", "2", "pi", "mul"}


def test_arity_is_that_of_the_primitive():
    lib = Library(2)
    for p in PRIMITIVES:
        assert lib.tables.arity[lib.token(p.name)] == p.arity == BY_NAME[p.name].arity
    assert not lib.tables.arity[:lib.token(PRIMITIVES[0].name)].any()


def test_names():
    lib = Library(2, variable_names=("mass", "speed"))
    assert [lib.name(t) for t in range(3)] == ["mass", "speed", "C"]
    assert [lib.name(t) for t in (PAD, PARAM0, PARAM1)] == ["<pad>", "#0", "#1"]
    assert all(lib.name(lib.token(n)) == n for n in ("1", "2", "pi", "add", "tanh"))
    assert lib.name(lib.first_promoted) == "<slot 0>"
    assert Library(3).variable_names == ("x0", "x1", "x2")


def test_promote_fills_a_slot_and_leaves_the_old_library_alone():
    old = Library(1)
    body = [old.token("mul"), PARAM0, PARAM0]
    new = old.promote("sq", 1, body)
    slot = new.first_promoted
    assert not old.tables.allowed[slot] and new.tables.allowed[slot]
    assert new.name(slot) == "sq" and new.tables.arity[slot] == 1
    start, length = new.tables.body_start[slot], new.tables.body_length[slot]
    assert new.tables.bodies[start:start + length].tolist() == body
    assert len(old) == len(new) and old != new


def test_demote_empties_a_slot_that_is_filled_next():
    lib = Library(1).promote("a", 0, [0]).promote("b", 1, [PARAM0]).promote("c", 0, [0])
    second = lib.first_promoted + 1
    less = lib.demote(second)
    assert not less.tables.allowed[second] and less.tables.body_length[second] == 0
    assert [less.name(lib.first_promoted + i) for i in range(3)] == ["a", "<slot 1>", "c"]
    again = less.promote("d", 2, [lib.token("add"), PARAM0, PARAM1])
    assert [again.name(lib.first_promoted + i) for i in range(3)] == ["a", "d", "c"]


@pytest.mark.parametrize("arity, body, message", [
    (1, lambda t: [t("add"), PARAM0], "complete"),
    (1, lambda t: [PARAM0, PARAM0], "complete"),
    (0, lambda t: [], "complete"),
    (0, lambda t: [t("sin"), PARAM0], "parameters"),
    (1, lambda t: [t("add"), PARAM0, PARAM1], "parameters"),
    (2, lambda t: [t("sin"), PARAM1], "parameters"),
    (1, lambda t: [t("sin")] * MAX_BODY + [PARAM0], "at most"),
    (1, lambda t: [10_000], "promoted"),
])
def test_wrong_bodies_are_refused(arity, body, message):
    lib = Library(1)
    with pytest.raises(ValueError, match=message):
        lib.promote("wrong", arity, body(lib.token))


def test_a_body_may_not_hold_a_promoted_token():
    lib = Library(1).promote("a", 0, [0])
    with pytest.raises(ValueError, match="expand"):
        lib.promote("b", 1, [lib.token("add"), lib.first_promoted, PARAM0])


def test_slots_are_limited():
    lib = Library(1, capacity=1).promote("a", 0, [0])
    with pytest.raises(ValueError, match="slot"):
        lib.promote("b", 0, [0])
    with pytest.raises(ValueError, match="slots"):
        Library(1, capacity=0, promoted=lib.promoted)
    with pytest.raises(ValueError, match="not a promoted"):
        lib.demote(0)


@pytest.mark.parametrize("options, message", [
    ({"n_variables": 0}, "n_variables"),
    ({"n_variables": 1, "operators": ("add", "plus")}, "plus"),
    ({"n_variables": 1, "operators": ()}, "operators"),
    ({"n_variables": 1, "operators": ("add", "add")}, "twice"),
    ({"n_variables": 2, "variable_names": ("a",)}, "variable_names"),
])
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Library(**options)


def test_one_operator_may_be_a_plain_string():
    assert check_operators("add") == ("add",)


def test_pickle_round_trip():
    lib = Library(2, ("add", "sin"), variable_names=("a", "b")).promote("sq", 1, [PARAM0])
    again = pickle.loads(pickle.dumps(lib))
    assert again == lib and again.token("sin") == lib.token("sin")
    for a, b in zip(again.tables, lib.tables, strict=True):
        np.testing.assert_array_equal(a, b)
