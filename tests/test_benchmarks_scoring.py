"""Scores of the benchmarks on cases whose answer is known."""

import time

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from rsrm.benchmarks.catalogue import load_problem, load_suite
from rsrm.benchmarks.edit_distance import Node, normalized_edit_distance, size, to_tree, tree_edit_distance
from rsrm.benchmarks.equivalence import Verdict, compare, skeleton, witness
from rsrm.benchmarks.formula import feature_symbols
from rsrm.benchmarks.limits import limited
from rsrm.benchmarks.scoring import r2_score, round_floats, score, srbench_rule, tree_size

x, y, z = feature_symbols(["x0", "x1", "x2"])
F = sp.Float


def box(low, high, columns=1, rows=200):
    return np.random.default_rng(7).uniform(low, high, (rows, columns))


def judge(law, found, X, noise=0.0):
    return compare(law, found, X, np.random.default_rng(0), noise)


SAME = [
    (sp.sin(x) ** 2 + sp.cos(y), 1 - sp.cos(x) ** 2 + sp.sin(sp.pi / 2 - y), box(-1, 1, 2)),
    (sp.cosh(x), (sp.exp(x) + sp.exp(-x)) / 2, box(-1, 1)),
    (x**3 + x**2 + x, x * (x * (x + 1) + 1), box(-1, 1)),
    (sp.log(x * y), sp.log(x) + sp.log(y), box(1, 3, 2)),
    (sp.sqrt(x), x ** F(0.5), box(0, 4)),
    (2.5 * x**4 - 1.3 * x, F(2.5 + 1e-9) * x**4 - F(1.3) * x, box(-3, 3)),
    (x - y, sp.sqrt(x**2 - 2 * x * y + y**2), box([3, 1], [4, 2], 2)),
    ((x**3 - 1) / (x - 1), x**2 + x + 1, box(-1, 0.9)),
    (sp.sin(F(1e10) * x * y) ** 2, F(0.5) - sp.cos(F(2e10) * x * y) / 2, box(1e-6, 1e-5, 2)),
]


@pytest.mark.parametrize("law, found, X", SAME)
def test_the_law_in_another_form_is_the_law(law, found, X):
    assert judge(law, found, X) == Verdict(True, True)
    assert score(law, found, X).recovered


def _chebyshev(law, degree):
    nodes = np.cos(np.pi * (np.arange(40) + 0.5) / 40)
    fitted = np.polynomial.chebyshev.chebfit(nodes, sp.lambdify(x, law)(nodes), degree)
    coefficients = np.polynomial.chebyshev.cheb2poly(fitted)
    return sum(F(float(c)) * x**k for k, c in enumerate(coefficients))


@pytest.mark.parametrize("law", [sp.exp(x), sp.cosh(x), sp.exp(-(x**2) / 2), sp.sin(x)])
def test_a_polynomial_as_good_as_double_precision_on_the_box_is_not_the_law(law):
    X = box(-1, 1)
    found = _chebyshev(law, 16)
    difference = sp.lambdify(x, law)(X[:, 0]) - sp.lambdify(x, found)(X[:, 0])
    assert np.abs(difference).max() < 1e-11
    assert judge(law, found, X) == Verdict(False, False)
    assert not score(law, found, X).recovered


def test_more_constants_than_the_law_has_are_judged_by_their_nearest_fit():
    X = np.random.default_rng(0).uniform([1.0, 0.001, 3.0], [3.0, 0.1, 9.0], (200, 3))
    law = F(-0.509) * x**2 * sp.sqrt(y) / (F(0.328) * sp.sqrt(y) * z + 1)
    found = F(-1.5708) * x**2 / (z * (1 + F(3.0971) / (sp.sqrt(y) * z)))
    assert judge(law, found, X, noise=0.01) == Verdict(True, True)
    assert judge(law, found.subs(F(3.0971), F(4.0)), X, noise=0.01) == Verdict(True, False)


def test_a_degenerate_disguise_is_not_the_law():
    X = box(1, 3, 2)
    assert not witness(x * y, F(1e6) * sp.tanh(F(1e-6) * x * y), X, np.random.default_rng(0))
    assert not witness(x * y, F(1e7) * sp.log(1 + F(1e-7) * x * y), X, np.random.default_rng(0))


def test_dropping_any_term_of_any_sum_is_noticed_even_where_it_contributes_nothing():
    checked = 0
    for problem in load_suite("srsd_hard"):
        X = problem.sample(0).X_test
        for total in problem.truth.atoms(sp.Add):
            for term in total.args:
                found = problem.truth.xreplace({total: total - term})
                assert not judge(problem.truth, found, X).same_form, (problem.name, term)
                checked += 1
    assert checked > 120


def test_a_weak_term_counts_by_form():
    problem = load_problem("feynman-ii.11.28")  # y = x0*x1/(1 - x0*x1/3) + 1, where x0*x1 is about 1e-8
    a, b = feature_symbols(["x0", "x1"])
    X = problem.sample(0).X_test
    assert np.ptp(problem.target(X)) < 1e-3
    assert judge(problem.truth, a * b / (1 - F(0.33333) * a * b) + 1, X).same_law
    assert not judge(problem.truth, a * b + 1, X).same_form
    # All but a constant of 1: a solution by SRBench's rule, and not the law.
    shifted = score(problem.truth, a * b / (1 - a * b / 3), X)
    assert shifted.recovered_srbench and not shifted.recovered


def test_nothing_may_be_added_except_rounding_residue():
    X = box(1, 3, 2)
    assert not judge(x * y, x * y + F(1e-8) * sp.exp(x), X).same_law
    assert judge(x * y, x * y + F(1e-17) * sp.exp(x), X).same_law


def test_constants_decide_between_form_and_law():
    X = box(0.5, 2, 2)
    law = F(1.5) * sp.exp(-x) + F(0.3) * y**2
    wrong = F(1.56) * sp.exp(-x) + F(0.3) * y**2
    assert judge(law, wrong, X) == Verdict(True, False)
    assert judge(law, wrong, X, noise=0.01) == Verdict(True, True)
    assert judge(law, F(1.5) * sp.exp(-x) + F(0.3) * y**3, X, noise=0.1) == Verdict(False, False)


def test_under_noise_a_spurious_term_is_not_the_form_but_a_shift_passes_by_the_rule():
    X = box(0.5, 2, 2)
    law = x * y
    assert judge(law, F(1.001) * x * y + F(0.002) * x**2, X, noise=0.01) == Verdict(False, False)
    shifted = x * y + F(0.05)
    assert judge(law, shifted, X, noise=0.01) == Verdict(False, False)
    assert score(law, shifted, X, noise=0.01).recovered_srbench
    # A small intercept, and a coefficient that is right only within the noise.
    small = F(1.003) * x * y + F(0.003)
    assert judge(law, small, X, noise=0.01) == Verdict(False, False)
    assert score(law, small, X, noise=0.01).recovered and not score(law, small, X).recovered


def test_rule_of_srbench():
    X, rng = box(0.5, 2, 2), np.random.default_rng(0)
    law = 3 * x * sp.sin(y) + F(0.5)
    assert srbench_rule(law, F(3.0002) * x * sp.sin(y) + F(0.49996), X, rng)
    assert srbench_rule(law, 3 * x * sp.sin(y) + 7, X, rng)
    assert srbench_rule(law, 6 * x * sp.sin(y) + 1, X, rng)
    assert srbench_rule(law, law + F(0.00003) * x**2, X, rng)
    assert not srbench_rule(law, F(3.02) * x * sp.sin(y) + F(0.5), X, rng)
    assert not srbench_rule(law, sp.Integer(0), X, rng)
    assert not srbench_rule(F(4.0), F(5.0), X, rng)
    assert not srbench_rule(F(1.38e-23) * x, F(1.38e-23) * y, X, rng)
    assert round_floats(F(2.00004) * x + F(0.00009) * y) == 2 * x


def test_the_sign_counts_on_the_box():
    assert not judge(x - y, sp.sqrt(x**2 - 2 * x * y + y**2), box(1, 4, 2)).same_form
    assert not judge(x * y, -x * y, box(1, 4, 2)).same_law


def test_constant_law():
    X = box(-1, 1)
    assert judge(F(-0.35), F(-0.35), X).same_law
    assert not score(F(-0.35), F(0.35), X).recovered
    assert not score(F(-0.35), F(-0.35) + F(1e-3) * x, X).recovered


def test_equations_without_a_value_are_missed_and_not_an_error():
    X = box(-1, 1, 2)
    for found in (sp.nan, sp.zoo * x, sp.I * x, sp.Symbol("x9"), sp.gamma(x), sp.log(-1 - x**2)):
        assert not score(x + y, found, X).recovered
    assert not score(sp.sqrt(x), sp.log(x), box(-1, 1)).recovered


def test_symbols_are_matched_by_name_whatever_their_assumptions():
    X = box(1, 2, 2)
    assert score(x * y, sp.Symbol("x0", positive=True) * sp.Symbol("x1"), X).recovered


def test_signs_that_the_rows_have_are_known_to_the_edit_distance():
    law, found = x * y / sp.sqrt(1 - x**2 / z**2), sp.sqrt(1 / (z**2 - x**2)) * sp.Abs(x) * sp.Abs(y) * sp.Abs(z)
    X = np.column_stack([box(1, 2, 2), box(3, 10)])
    assert score(law, found, X).recovered and score(law, found, X).ned < 0.2 < normalized_edit_distance(law, found)
    assert not score(law, found, X * [1, -1, 1]).recovered


def test_skeleton_replaces_constants_and_keeps_exponents():
    form, parameters, values = skeleton(F(2.5) * x**2 * sp.sin(3 * y + 1) - y ** sp.Rational(1, 2) + z ** F(1.7))
    assert sorted(values) == [1.0, 1.7, 2.5, 3.0] and len(parameters) == 4
    assert form.subs(dict(zip(parameters, values, strict=True))).evalf(subs={x: 2, y: 3, z: 1}) == pytest.approx(
        2.5 * 4 * np.sin(10) - np.sqrt(3) + 1
    )
    assert skeleton(x**2 - sp.sqrt(y))[1] == []


def test_r2():
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    assert r2_score(truth, truth) == 1.0
    assert r2_score(truth, np.full(4, 2.5)) == 0.0
    assert r2_score(truth, truth + [0.1, -0.1, 0.1, -0.1]) == pytest.approx(1 - 0.04 / 5)
    assert r2_score(truth * 1e-200, truth * 1e-200) == 1.0
    assert r2_score(np.ones(4), np.ones(4)) == 1.0
    for bad in (np.array([1, 2, np.nan, 4]), np.array([1.0]), np.full(4, 1e300)):
        assert r2_score(truth, bad) == -1e6
    assert r2_score(np.ones(4), np.ones(4) + 0.1) == -1e6


def test_complexity_counts_nodes():
    assert tree_size(x + y) == 3
    assert tree_size(2 * sp.sin(x) + 1) == 6


def _tree(text):
    """``a(b,c(d))`` as a Node."""
    stack, label = [[]], ""
    for character in text + ",":
        if character in "(),":
            if label:
                stack[-1].append([label, []])
                label = ""
            if character == "(":
                stack.append(stack[-1][-1][1])
            elif character == ")":
                stack.pop()
        else:
            label += character

    def build(item):
        return Node(item[0], tuple(build(child) for child in item[1]))

    return build(stack[0][0])


def test_edit_distance_of_zhang_and_shashas_own_example():
    assert tree_edit_distance(_tree("f(d(a,c(b)),e)"), _tree("f(c(d(a,b)),e)")) == 2


def _naive_distance(first, second):
    """Distance of forests by the recursion itself, without memory."""
    if not first or not second:
        return sum(map(size, first)) + sum(map(size, second))
    *rest1, last1 = first
    *rest2, last2 = second
    return min(
        _naive_distance((*rest1, *last1.children), second) + 1,
        _naive_distance(first, (*rest2, *last2.children)) + 1,
        _naive_distance(tuple(rest1), tuple(rest2))
        + _naive_distance(last1.children, last2.children)
        + (last1.label != last2.label),
    )


leaves = st.sampled_from("abc").map(Node)
trees = st.recursive(
    leaves,
    lambda t: st.builds(lambda label, c: Node(label, tuple(c)), st.sampled_from("abc"), st.lists(t, max_size=2)),
    max_leaves=4,
).filter(lambda tree: size(tree) <= 6)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(trees, trees)
def test_edit_distance_against_the_plain_recursion(first, second):
    assert tree_edit_distance(first, second) == _naive_distance((first,), (second,))
    assert tree_edit_distance(first, first) == 0


def test_normalized_edit_distance():
    assert normalized_edit_distance(2 * x + y, F(3.1) * x + y) == 0.0
    assert normalized_edit_distance(x * (x + 1), x**2 + x) == 0.0
    assert normalized_edit_distance(x**y, sp.exp(y * sp.log(x))) == 0.0
    assert normalized_edit_distance(sp.log(x + 1) + sp.log(x**2 + 1), sp.log(x**3 + x**2 + x + 1)) == 0.0
    assert size(to_tree(x + y)) == 3
    assert normalized_edit_distance(x + y, x + z) == pytest.approx(1 / 3)
    assert normalized_edit_distance(x * y, sp.sin(z) + sp.exp(x) * sp.log(y + 2)) == 1.0


def test_time_limit():
    def forever():
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # a limit that were an ordinary exception would be lost here
                pass

    start = time.perf_counter()
    assert limited(0.1, forever, default="late") == "late"
    assert time.perf_counter() - start < 2
    assert limited(5, lambda a: a + 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        limited(5, lambda: 1 / 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_time_limit_rings_again_when_a_destructor_swallows_it():
    class Deaf:
        def __del__(self):
            time.sleep(0.3)

    def forever():
        Deaf()
        while True:
            time.sleep(0.01)

    start = time.perf_counter()
    assert limited(0.1, forever, default="late") == "late"
    assert time.perf_counter() - start < 5


def test_scoring_a_hopeless_monster_is_quick():
    rng = np.random.default_rng(0)
    problem = load_problem("test_20")
    symbols = feature_symbols([f"x{i}" for i in range(7)])
    monster = sum(
        F(float(rng.normal())) * sp.sin(F(float(rng.normal())) * symbols[rng.integers(7)] * symbols[rng.integers(7)])
        * sp.exp(-symbols[rng.integers(7)] / (symbols[rng.integers(7)] + 2))
        for _ in range(15)
    )  # fmt: skip
    start = time.perf_counter()
    assert not score(problem.truth, monster, problem.sample(0).X_test).recovered
    assert time.perf_counter() - start < 6
