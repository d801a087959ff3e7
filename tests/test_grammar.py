"""The grammar against a naive checker: masks let through exactly the expressions that obey the rules."""

import numpy as np
import pytest

from rsrm import grammar
from rsrm.expression import Expression
from rsrm.library import PARAM0, PARAM1, Library
from tests import naive_grammar


def promoted_library(operators=("add", "sqrt", "sin", "exp", "log"), n_variables=1, **options):
    """A library with promoted operators that meet every rule at their seams."""
    lib = Library(n_variables, operators, **options)
    t = lib.token
    lib = lib.promote("twice", 1, [t("mul"), PARAM0, PARAM0])
    lib = lib.promote("wave", 1, [t("sin"), t("add"), PARAM0, 0])
    lib = lib.promote("under", 1, [t("exp"), t("add"), t("sin"), 0, PARAM0])
    lib = lib.promote("shift", 2, [t("add"), t("exp"), PARAM1, t("square"), PARAM0])
    lib = lib.promote("constant", 0, [lib.constant])
    lib = lib.promote("leaf", 0, [t("mul"), lib.constant, 0])
    lib = lib.promote("identity", 1, [PARAM0])
    lib = lib.promote("broken", 1, [t("exp"), t("log"), PARAM0])
    return lib.promote("split", 1, [t("add"), t("sin"), PARAM0, PARAM0])


CASES = {
    "plain": (Library(2, ("add", "mul", "inv", "neg"), literals=False), 5, {"max_size": 5}),
    "depth": (Library(1, ("add", "sin", "exp", "log"), literals=False), 6, {"max_size": 6, "max_depth": 3}),
    "constants": (Library(1, ("add", "square", "sqrt"), constants=True), 5, {"max_size": 5, "max_constants": 1}),
    "trigonometry": (Library(1, ("sin", "cos", "tanh", "add"), constants=False, literals=False), 6, {"max_size": 6}),
    "nested": (Library(1, ("sin", "cos", "exp", "sub"), constants=False, literals=False), 6,
               {"max_size": 6, "nested_trigonometry": True,
                "nested_constraints": {"sin": {"sin": 1, "exp": 0}, "exp": {"exp": 0, "cos": 1}}}),
    "free": (Library(1, ("neg", "exp", "log", "add"), literals=False), 5,
             {"max_size": 5, "inverse_pairs": True, "constant_operators": True, "nested_trigonometry": True}),
    "promoted": (promoted_library(literals=False), 4, {"max_size": 9, "max_depth": 5, "max_constants": 2}),
    "promoted free": (promoted_library(("sin", "mul"), literals=False), 4,
                      {"max_size": 11, "constant_operators": True, "max_constants": 3,
                       "nested_constraints": {"exp": {"sin": 1, "square": 0}}}),
}


def reachable(limits, max_length):
    """Return every complete token tuple of at most `max_length` tokens that the masks lead to."""
    found, k = set(), limits.cells.shape[1]
    state = np.zeros(grammar.state_size(limits), np.int32)
    grammar.reset(state, limits)
    stack = [(state, ())]
    while stack:
        state, prefix = stack.pop()
        mask = np.empty(k, np.int8)
        assert grammar.legal_actions(state, limits, mask) == mask.sum() > 0
        for token in range(-1, k + 1):
            assert grammar.is_legal(state, token, limits) == (0 <= token < k and mask[token] == 1)
        for token in np.flatnonzero(mask):
            after, tokens = state.copy(), np.zeros(limits.max_size, np.int16)
            if grammar.append(after, tokens, token, limits):
                found.add((*prefix, int(token)))
                assert grammar.legal_actions(after, limits, mask) == 0 and not mask.any()
            elif len(prefix) + 1 + after[grammar.OPEN] <= max_length:
                stack.append((after, (*prefix, int(token))))
    return found


@pytest.mark.parametrize("name", CASES)
def test_reachable_expressions_are_exactly_those_that_obey(name):
    library, length, options = CASES[name]
    limits = grammar.make_limits(library, **options)
    # A promoted identity is refused although it breaks no rule: with it an episode need not end.
    skip = {t for t in range(library.first_promoted, len(library)) if library.name(t) == "identity"}
    wanted = {tuple(e) for e in naive_grammar.expressions(library, length)
              if not skip.intersection(e) and naive_grammar.obeys(library, e, **options)}
    assert len(wanted) > 10
    assert reachable(limits, length) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_random_episodes_end_within_the_limits(seed):
    options = {"max_size": 12 + 9 * seed, "max_depth": 6, "max_constants": seed,
               "nested_constraints": {"exp": {"exp": 0}, "sin": {"sqrt": 1}}}
    library = promoted_library(("add", "mul", "div", "pow", "neg", "sqrt", "square", "exp", "log", "sin", "cos"), 2)
    limits = grammar.make_limits(library, **options)
    rng = np.random.default_rng(seed)
    state, tokens = np.zeros(grammar.state_size(limits), np.int32), np.zeros(limits.max_size, np.int16)
    mask = np.zeros(len(library), np.int8)
    sizes = set()
    for _ in range(300):
        grammar.reset(state, limits)
        done = False
        while not done:
            assert grammar.legal_actions(state, limits, mask) > 0
            assert mask[:library.n_variables].all()
            done = grammar.append(state, tokens, rng.choice(np.flatnonzero(mask)), limits)
        written = tokens[:state[grammar.LENGTH]].tolist()
        assert naive_grammar.obeys(library, written, **options)
        expanded = naive_grammar.parse(library, written)
        sizes.add(len(list(naive_grammar.nodes(expanded))))
        assert state[grammar.SIZE] == len(list(naive_grammar.nodes(expanded)))
        assert state[grammar.CONSTANTS] == sum(n[0] == "C" for n in naive_grammar.nodes(expanded))
        m = int(state[grammar.CONSTANTS])
        assert Expression(np.array(written), np.zeros(m), library).complexity == state[grammar.SIZE]
    assert max(sizes) > options["max_size"] // 2


def test_context_names_parent_and_sibling():
    library = Library(2)
    limits = grammar.make_limits(library)
    add, sin = library.token("add"), library.token("sin")
    state, tokens = np.zeros(grammar.state_size(limits), np.int32), np.zeros(limits.max_size, np.int16)
    grammar.reset(state, limits)
    empty = grammar.EMPTY
    seen = [grammar.context(state, limits)]
    for token in (add, sin, 0, add, 1, 0):
        done = grammar.append(state, tokens, token, limits)
        seen.append(grammar.context(state, limits))
    assert seen == [(empty, empty, 1, 1), (add, empty, 2, 2), (sin, empty, 3, 2), (add, sin, 2, 1), (add, empty, 3, 2),
                    (add, 1, 3, 1), (empty, empty, 0, 0)]
    assert done and tokens[:6].tolist() == [add, sin, 0, add, 1, 0]


@pytest.mark.parametrize(("options", "word"), [
    ({"max_size": 0}, "max_size"), ({"max_size": 2.5}, "max_size"), ({"max_depth": 0}, "max_depth"),
    ({"max_constants": -1}, "max_constants"), ({"max_constants": None}, "max_constants"),
    ({"nested_constraints": {"sine": {"cos": 0}}}, "sine"), ({"nested_constraints": {"sin": {"foo": 0}}}, "foo"),
    ({"nested_constraints": {"sin": {"cos": -1}}}, "nested_constraints"),
    ({"nested_constraints": {"sin": 0}}, "nested_constraints"),
])
def test_bad_limits_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        grammar.make_limits(Library(1), **options)
