"""Trees of functions over monomials: their fitted form against their written one, and laws that only they reach."""

import time
from itertools import product

import numpy as np
import pytest

from rsrm.evaluate import values
from rsrm.expression import Expression, variable
from rsrm.library import Library
from rsrm.monomial_fit import Fits
from rsrm.monomial_reading import ExactReader
from rsrm.monomial_rounding import FREE, PRICES, SIMPLE, rounded
from rsrm.monomial_search import monomial_trees
from rsrm.monomial_trees import FACTORS, FITTED, Factor, allowed, count, extensions, tokens, trees, weight, write
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem

ONE, INVERSE = Factor("1 + u", 1.0), Factor("1 + u", -1.0)
LOGS = np.ascontiguousarray(np.random.default_rng(0).uniform(-0.4, 0.4, (2, 30)))


def fitted(node, constants):
    return values(Expression(tokens(node, Library(2, FITTED)), constants, Library(2, FITTED)), LOGS.T)


@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize("inner", [(), ((INVERSE, ()),), ((ONE, ()), (INVERSE, ()))], ids=len)
def test_what_is_fitted_is_what_is_written(factor, inner):
    library = Library(2, (*DEFAULT_OPERATORS, "pow"))
    node = ((ONE, ()), (factor, inner))
    table = np.random.default_rng(1).integers(-2, 3, (count(node), 3)) / 2.0
    table[:, 0] = np.random.default_rng(2).uniform(-1.5, -0.7, len(table))
    table[0, 0] = 0.0  # the fit scales the whole
    expected, ok = fitted(node, table.ravel()[1:])
    expression = write(node, [float(c) for c in np.exp(table[:, 0])], list(table[:, 1:]),
                       [variable(library, i) for i in range(2)])
    got, fine = values(expression, np.exp(LOGS).T)
    assert ok == fine
    if ok:
        np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_a_monomial_without_variables_is_a_number():
    library = Library(1)
    powers = [np.array([2.0]), np.array([0.0])]
    e = write(((Factor("sin", 2.0), ()),), [3.0, 0.5], powers, [variable(library, 0)])
    np.testing.assert_allclose(values(e, np.array([[2.0]]))[0], 12.0 * np.sin(0.5) ** 2)
    assert write((), [3.0], [np.zeros(1)], [variable(library, 0)]) == 3.0


@pytest.mark.parametrize(("factor", "inside"), [(Factor("1 - u", 0.5), 3.0), (Factor("log", -1.0), 1.0)])
def test_numbers_that_have_no_root_or_no_inverse_are_refused(factor, inside):
    powers = [np.array([1.0]), np.array([0.0])]
    assert write(((factor, ()),), [2.0, inside], powers, [variable(Library(1), 0)]) is None


def test_trees_of_three_monomials_are_all_pairs_of_factors_inside_and_beside_each_other():
    some = FACTORS[:5]
    assert len(trees(some, 2)) == 5 and len(set(trees(some, 3))) == len(trees(some, 3)) == 25 + 15
    assert all(count(node) == 3 and weight(node) > 0.0 for node in trees(some, 3))


def test_an_extension_keeps_the_constants_of_the_others_where_they_were():
    node = ((INVERSE, ((Factor("sin", 1.0), ()),)), (ONE, ()))
    constants = np.random.default_rng(1).normal(size=count(node) * 3 - 1)
    before, _ = fitted(node, constants)
    longer = list(extensions(node, (ONE,)))
    assert len(longer) == 4 and len({tree for tree, _, _ in longer}) == 4
    for tree, place, factor in longer:
        assert factor == ONE
        assert count(tree) == 5
        after, _ = fitted(tree, np.insert(constants, 3 * place - 1, [-40.0, 0.0, 0.0]))  # times 1 + exp(-40)
        np.testing.assert_allclose(after, before, rtol=1e-12)


def test_only_functions_that_the_library_has_are_tried():
    bases = {f.base for f in allowed(Library(2, ("add", "sub", "mul", "div", "sin")))}
    assert bases == {"1 + u", "1 - u", "sin"}
    assert all(f.power % 1.0 == 0.0 for f in allowed(Library(2, ("add", "mul", "div", "exp"))))
    assert set(allowed(Library(2, DEFAULT_OPERATORS))) == set(FACTORS)


def search(law, d, rows=150, seconds=20.0, **library):
    X = np.random.default_rng(0).uniform(1.0, 4.0, (d, rows))
    source = monomial_trees(Problem(X, law(*X), Library(d, **library)), time.perf_counter() + seconds,
                            np.random.default_rng(0))
    return next((e for e in source if e is not None), None)


@pytest.mark.parametrize(("law", "d"), [
    (lambda a, b, c, d, e, f: a * b**2 / c * (d * e / f - 1.7 * b), 6),
    (lambda a, b, c, d: a * b / (c * np.log(a * b / (6.3 * d) + 1.0)), 4),
    (lambda a, b, c, d, e: a * d * (b**2 * e - 1.0 / (1.0 / b + 1.0 / c)), 5),
    (lambda a, b, c: 0.3 * a * np.sqrt(b**2 + c / a) + 5.0, 3),
    (lambda a, b, c: a**1.5 * np.sin(0.4 * b / c), 3),
])
def test_laws_of_several_variables_are_found(law, d):
    e = search(law, d)
    far = np.random.default_rng(1).uniform(4.0, 8.0, (d, 50))
    assert e is not None
    np.testing.assert_allclose(values(e, far.T)[0], law(*far), rtol=1e-6)


def test_variables_of_both_signs_and_constant_ones_are_left_out():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.uniform(1.0, 4.0, (2, 150)), rng.uniform(-1.0, 1.0, 150), np.full(150, 2.0)])
    problem = Problem(X, X[0] / (X[0] + 3.0 * X[1]), Library(4))
    source = monomial_trees(problem, time.perf_counter() + 20.0, np.random.default_rng(0))
    found = next(e for e in source if e is not None)
    np.testing.assert_allclose(values(found, X.T)[0], problem.y, rtol=1e-7)


def test_random_values_are_no_tree():
    X = np.random.default_rng(0).uniform(1.0, 4.0, (3, 100))
    y = np.random.default_rng(1).uniform(1.0, 2.0, 100)
    start = time.perf_counter()
    source = monomial_trees(Problem(X, y, Library(3)), start + 1.0, np.random.default_rng(0))
    assert [e for e in source if e is not None] == []
    assert time.perf_counter() - start < 6.0


def test_too_few_rows_for_two_monomials_are_no_problem():
    X = np.random.default_rng(0).uniform(1.0, 4.0, (5, 12))
    source = monomial_trees(Problem(X, X[0] * X[1], Library(5)), time.perf_counter() + 5.0, np.random.default_rng(0))
    assert list(source) == []


def test_exponents_that_are_not_simple_are_refused():
    X = np.random.default_rng(0).uniform(1.0, 4.0, (2, 100))
    reader = ExactReader(Fits(Problem(X, X[0] * X[1], Library(2)), [0, 1], np.random.default_rng(0)))
    node = ((ONE, ()),)
    assert reader.write(node, np.array([1.0, 0.0, 0.1, 1.0, -1.0]), 0.0, 2.0) is not None
    assert reader.write(node, np.array([1.0, 0.0, 0.1, 1.01, -1.0]), 0.0, 2.0) is None
    assert reader.write(node, np.array([1.0, 0.0, 0.1, 9.0, -1.0]), 0.0, 2.0) is None


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_the_best_of_all_ways(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice(SIMPLE[:9], 4)
    design = rng.normal(size=(60, 4)) + rng.normal(size=(60, 1))  # columns that lean on each other
    covariance = np.linalg.inv(design.T @ design) * 0.3
    mean = rng.multivariate_normal(truth, covariance)
    exponents = np.array([True, True, True, False])

    def cost(ks):  # None leaves an exponent as it is
        at = [i for i, k in enumerate(ks) if k is not None]
        values = SIMPLE[[ks[i] for i in at]]
        precision = np.linalg.inv(covariance[np.ix_(at, at)])
        off = values - mean[at]
        moved = mean + covariance[:, at] @ precision @ off
        return 0.5 * off @ precision @ off + PRICES[[ks[i] for i in at]].sum() + FREE * (3 - len(at)), moved

    near = [[None, *np.argsort(np.abs(SIMPLE - m))[:12]] for m in mean[:3]]
    best = min((cost(ks) for ks in product(*near)), key=lambda way: way[0])
    np.testing.assert_allclose(rounded(mean, covariance, exponents)[0], best[1], atol=1e-9)


def test_exponents_that_the_data_do_not_tell_are_zero():
    way = rounded(np.array([3.2, 1.02]), np.diag([100.0, 1e-4]), np.ones(2, bool))[0]
    np.testing.assert_array_equal(way, [0.0, 1.0])


@pytest.mark.parametrize(("law", "d", "noise"), [
    (lambda a, b, c: 9.1 * b**2 / a**2 / (1.0 - b**2 / (6.0 * c) ** 2), 3, 0.02),
    (lambda a, b, c, d, e, f: a * b / (c * d) + a * e / (c * f**2), 6, 0.05),
    (lambda a, b, c, d, e: a * (np.exp(b * c / (d * e)) - 1.0), 5, 0.02),
    (lambda a, b, c: 2.5 * a * np.tanh(0.4 * b / c) + 3.0, 3, 0.02),
])
def test_laws_are_found_under_noise(law, d, noise):
    rng = np.random.default_rng(1)
    X = rng.uniform(1.0, 4.0, (d, 300))
    y = law(*X)
    y = y + rng.normal(0.0, noise * np.std(y), 300)
    far = rng.uniform(4.0, 6.0, (d, 200))
    for e in monomial_trees(Problem(X, y, Library(d), noise=noise), time.perf_counter() + 90.0, rng):
        if e is not None:
            v, ok = values(e, far.T)
            if ok and np.abs(v / law(*far) - 1.0).max() < 5.0 * noise:
                return
    pytest.fail("not found")
