"""Prefix algebra against nested tuples: sub-trees are slices, expansion, depth, complexity, substitution."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsrm.expression import (
    Expression, apply, expand, expanded_length, number, substitute, subtree_end, subtree_ends, variable,
)
from rsrm.library import PARAM0, PARAM1, Library
from tests import naive_expression as naive

pytestmark = pytest.mark.nojit
LIB = naive.with_promoted(2)
PLAIN = Library(2, naive.NAMES)


@given(naive.expressions(LIB))
def test_open_slots_reach_zero_at_the_end_and_never_earlier(e):
    need = 1 + np.cumsum(LIB.tables.arity[e.tokens].astype(int) - 1)
    assert need[-1] == 0 and (need[:-1] > 0).all()
    for k in range(1, len(e.tokens)):
        with pytest.raises(ValueError, match="complete"):
            Expression(e.tokens[:k], np.empty(0), LIB)


@given(naive.expressions(LIB))
def test_a_subtree_is_a_slice(e):
    arity = LIB.tables.arity
    ends = np.empty(len(e.tokens), np.int64)
    subtree_ends(e.tokens, len(e.tokens), arity, ends)
    wanted = []

    def visit(node, start):
        wanted.append((start, start + naive.size(node)))
        child_start = start + 1
        for child in node[1:]:
            visit(child, child_start)
            child_start += naive.size(child)

    visit(naive.tree(e.tokens, LIB), 0)
    assert list(enumerate(ends.tolist())) == wanted
    assert [subtree_end(e.tokens, k, arity) for k in range(len(e.tokens))] == ends.tolist()


@given(naive.expressions(LIB))
def test_expansion_depth_and_complexity(e):
    wanted = naive.expand(naive.tree(e.tokens, LIB), LIB)
    assert e.expanded.tolist() == naive.flatten(wanted)
    assert e.complexity == naive.size(wanted) and e.length == len(e.tokens)
    assert e.depth == naive.depth(wanted)
    assert int((e.expanded == LIB.constant).sum()) == len(e.constants)


def test_expansion_doubles_the_constants_of_a_repeated_argument():
    t = LIB.token
    double = LIB.first_promoted + 1
    e = Expression(np.array([double, t("mul"), LIB.constant, 0]), np.array([2.0, 3.0]), LIB)
    assert [LIB.name(int(k)) for k in e.expanded] == ["add", "mul", "C", "x0", "mul", "C", "x0"]
    np.testing.assert_allclose(naive.numpy_values(e, [[10.0, 0.0]]), [50.0])


def test_deeply_nested_promotion():
    swap = LIB.first_promoted + 2
    tokens = np.array([swap] * 6 + [0] * 7, np.int16)
    wanted = naive.flatten(naive.expand(naive.tree(tokens, LIB), LIB))
    assert expanded_length(tokens, len(tokens), LIB.tables) == len(wanted)
    out = np.empty(len(wanted), np.int16)
    assert expand(tokens, len(tokens), LIB.tables, out) == len(wanted)
    assert out.tolist() == wanted


def test_expand_says_when_the_output_is_too_short():
    e = Expression(np.array([LIB.first_promoted + 2, 0, 1]), np.empty(0), LIB)
    for room in range(e.complexity):
        assert expand(e.tokens, len(e.tokens), LIB.tables, np.empty(room, np.int16)) == -1


@given(naive.expressions(PLAIN, max_leaves=6), st.tuples(naive.expressions(LIB, 4), naive.expressions(LIB, 4)))
def test_substitution(outer, inner):
    e = substitute(outer, list(inner))
    trees = [naive.tree(r.expanded, LIB) for r in inner]

    def replace(node):
        return trees[node[0]] if node[0] < 2 else (node[0], *(replace(c) for c in node[1:]))

    assert e.expanded.tolist() == naive.flatten(replace(naive.tree(outer.expanded, PLAIN)))
    values, constants = iter(outer.constants), []
    for token in outer.expanded:
        constants += list(inner[token].constants) if token < 2 else [next(values)] if token == PLAIN.constant else []
    assert e.constants.tolist() == constants


def test_substitution_into_a_library_with_more_variables():
    small, large = Library(1), Library(3, variable_names=("a", "b", "c"))
    e = apply(small, "add", variable(small, 0), number(small, 2.5))
    lifted = substitute(e, [apply(large, "mul", variable(large, 1), variable(large, 2))])
    assert [large.name(int(t)) for t in lifted.tokens] == ["add", "mul", "b", "c", "C"]
    with pytest.raises(ValueError, match="replacements"):
        substitute(e, [variable(large, 0), variable(large, 1)])


def test_apply_checks_the_number_of_arguments():
    with pytest.raises(ValueError, match="add"):
        apply(PLAIN, "add", variable(PLAIN, 0))
    assert apply(PLAIN, "pi").tokens.tolist() == [PLAIN.token("pi")]


@pytest.mark.parametrize("tokens, constants, message", [
    ([], [], "tokens"), ([-1], [], "tokens"), ([10_000], [], "tokens"), ([0, 0], [], "complete"),
    ([2], [], "constants"), ([0], [1.0], "constants"),
])
def test_wrong_expressions_are_refused(tokens, constants, message):
    with pytest.raises(ValueError, match=message):
        Expression(np.array(tokens), np.array(constants, float), PLAIN)


def test_an_empty_promoted_slot_is_refused():
    with pytest.raises(ValueError, match="slot"):
        Expression(np.array([len(LIB) - 1]), np.empty(0), LIB)


@given(naive.expressions(LIB, 5), naive.expressions(LIB, 5))
def test_equality_and_hash(a, b):
    same = a.tokens.tolist() == b.tokens.tolist() and a.constants.tolist() == b.constants.tolist()
    assert (a == b) == same
    again = pickle.loads(pickle.dumps(a))
    assert again == a and hash(again) == hash(a)


def test_zero_has_no_sign_in_a_hash():
    plus, minus = number(PLAIN, 0.0), number(PLAIN, -0.0)
    assert plus == minus and hash(plus) == hash(minus)


def test_a_body_over_both_parameters_keeps_their_order():
    lib = Library(2).promote("r", 2, [Library(2).token("div"), PARAM1, PARAM0])
    e = Expression(np.array([lib.first_promoted, 0, 1]), np.empty(0), lib)
    np.testing.assert_allclose(naive.numpy_values(e, [[2.0, 6.0]]), [3.0])
