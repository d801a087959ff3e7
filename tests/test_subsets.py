"""The best subsets of terms: against all subsets by least squares, dependent terms, long sums, noisy laws."""

import time
from itertools import combinations

import numpy as np
import pytest

from rsrm.evaluate import values
from rsrm.library import Library
from rsrm.noisy_rational import noisy_rational
from rsrm.problem import Problem
from rsrm.regression import SPARE_ROWS
from rsrm.subsets import LARGEST, MOST, Columns, best_subsets, extended, fit_subsets
from rsrm.terms import Generator, Terms, monomials, variable_generators

ROWS = 60


def columns_of(A, b, nodes):
    size = np.linalg.norm(A, axis=0)
    return Columns((A / size).T @ (A / size), (A / size).T @ b, float(b @ b), nodes, len(b))


def length_by_least_squares(A, b, nodes, chosen):
    r = b - A[:, chosen] @ np.linalg.lstsq(A[:, chosen], b, rcond=None)[0]
    n = len(chosen)
    return 0.5 * len(b) * np.log(r @ r) + 0.5 * n * np.log(len(b)) + nodes[list(chosen)].sum()


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_every_size_are_those_of_all_subsets_by_least_squares(seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(ROWS, 9))
    A[:, 4] = A[:, 2] + 0.05 * A[:, 4]  # correlated
    b = A[:, [1, 2, 6]] @ [1.0, 2.0, -1.0] + 0.3 * rng.normal(size=ROWS)
    nodes = rng.uniform(0.0, 3.0, 9)
    keep = 5
    found = best_subsets(columns_of(A, b, nodes), keep)
    assert len(found) == LARGEST * keep
    for n in range(1, LARGEST + 1):
        every = sorted((length_by_least_squares(A, b, nodes, c), c) for c in combinations(range(9), n))[:keep]
        mine = [(length, tuple(chosen)) for length, chosen in found if len(chosen) == n]
        assert [c for _, c in mine] == [c for _, c in every]
        np.testing.assert_allclose([v for v, _ in mine], [v for v, _ in every], rtol=1e-9)
    first = [length for length, _ in found[:LARGEST]]  # the best of every size come first, in order
    assert first == sorted(first)


def test_dependent_columns_are_never_in_one_set():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(ROWS, 6))
    A[:, 5] = 3.0 * A[:, 0]
    A[:, 4] = A[:, 1] - A[:, 2]
    b = A @ rng.normal(size=6) + 0.1 * rng.normal(size=ROWS)
    found = best_subsets(columns_of(A, b, np.zeros(6)), 20)
    assert any(len(chosen) == 4 for _, chosen in found)
    for _, chosen in found:
        assert np.linalg.matrix_rank(A[:, chosen], tol=1e-6) == len(chosen)


@pytest.mark.parametrize("rows", [1, SPARE_ROWS, SPARE_ROWS + 1, SPARE_ROWS + 2])
def test_few_rows_allow_few_terms(rows):
    rng = np.random.default_rng(0)
    generators = variable_generators(Problem(rng.normal(size=(2, max(rows, 2))), np.arange(max(rows, 2)), Library(2)))
    terms = monomials(generators, 2)
    terms = Terms(terms.values[:rows], terms.factors, terms.generators)
    fits = fit_subsets(terms, rng.normal(size=rows), np.ones(rows), 2)
    assert all(len(fit.support) <= rows - SPARE_ROWS for fit in fits)
    assert bool(fits) == (rows > SPARE_ROWS)


@pytest.mark.parametrize("n_terms", [5, 7])
def test_longer_sums_are_extended_term_by_term(n_terms):
    rng = np.random.default_rng(1)
    A = rng.normal(size=(200, 30))
    truth = rng.permutation(30)[:n_terms]
    b = A[:, truth] @ rng.uniform(1.0, 3.0, n_terms) + 0.05 * rng.normal(size=200)
    columns = columns_of(A, b, np.ones(30))
    length, four = next(item for item in best_subsets(columns, 1) if len(item[1]) == 4)
    assert sorted(extended(columns, length, four)) == sorted(truth)


def test_extension_ends_at_its_limit():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(400, 30))
    columns = columns_of(A, A @ np.ones(30), np.zeros(30))
    length, four = next(item for item in best_subsets(columns, 1) if len(item[1]) == 4)
    assert len(extended(columns, length, four)) == MOST


@pytest.mark.parametrize("broken", [0.0, np.nan, np.inf])
def test_columns_that_say_nothing_are_left_out(broken):
    rng = np.random.default_rng(0)
    library = Library(3)
    given = Problem(rng.uniform(1.0, 2.0, (3, ROWS)), rng.normal(size=ROWS), library)
    generators = [Generator(x, g.expression) for x, g in zip(given.X, variable_generators(given), strict=True)]
    values = np.column_stack([given.X[0], np.full(ROWS, broken), given.X[2]])
    terms = Terms(values, [((i, 1.0),) for i in range(3)], generators)
    y = 2.0 * given.X[0] - given.X[2] + 0.01 * rng.normal(size=ROWS)
    fit = fit_subsets(terms, y, np.ones(ROWS))[0]
    assert fit.support.tolist() == [0, 2]
    np.testing.assert_allclose(fit.coefficients, [2.0, -1.0], rtol=0.05)
    assert fit_subsets(terms, np.zeros(ROWS), np.ones(ROWS)) == []
    assert fit_subsets(terms, np.full(ROWS, np.nan), np.ones(ROWS)) == []


def test_weights_decide_which_rows_count():
    rng = np.random.default_rng(0)
    given = Problem(rng.uniform(1.0, 2.0, (2, 200)), np.zeros(200), Library(2))
    y = 3.0 * given.X[0] + 0.01 * rng.normal(size=200)
    y[:50] += 10.0 * rng.normal(size=50)
    weights = np.ones(200)
    weights[:50] = 1e-3
    fit = fit_subsets(monomials(variable_generators(given), 2), y, weights)[0]
    assert fit.support.tolist() == [1]
    assert fit.coefficients[0] == pytest.approx(3.0, abs=0.02)


def test_a_law_with_numbers_above_and_below_is_found_far_beyond_its_rows():
    rng = np.random.default_rng(0)
    X = np.array([rng.uniform(100.0, 1000.0, 200), rng.uniform(-30.0, 30.0, 200), rng.uniform(-30.0, 30.0, 200)])
    y = X[0] * (X[1] + 343.0) / (343.0 - X[2])  # both sources of a sound move
    noisy = y + 0.01 * np.std(y) * rng.normal(size=200)
    given = Problem(X, noisy, Library(3), noise=0.01)
    found = list(noisy_rational(given, time.perf_counter() + 20.0, rng))
    assert len(found) == len(set(found))
    far = np.array([rng.uniform(10.0, 1e4, 100), rng.uniform(-200.0, 200.0, 100), rng.uniform(-200.0, 200.0, 100)])
    law = far[0] * (far[1] + 343.0) / (343.0 - far[2])
    assert min(np.abs(values(e, far.T)[0] / law - 1.0).max() for e in found) < 0.05


def test_a_denominator_may_hold_no_term_of_low_degree():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 5.0, (4, 200))
    y = X[0] * X[1] * X[3] / (X[1] * X[3] + X[2] * X[2])
    given = Problem(X, y + 0.01 * np.std(y) * rng.normal(size=200), Library(4), noise=0.01)
    found = [e for e in noisy_rational(given, time.perf_counter() + 20.0, rng) if e.complexity <= 15]
    far = rng.uniform(0.1, 50.0, (4, 100))
    law = far[0] * far[1] * far[3] / (far[1] * far[3] + far[2] * far[2])
    assert min(np.abs(values(e, far.T)[0] / law - 1.0).max() for e in found) < 0.02


def test_a_variable_may_stand_within_a_wave():
    rng = np.random.default_rng(0)

    def orbit(a, e, angle):
        return a * (1.0 - e * e) / (1.0 + e * np.cos(angle))

    X = np.array([rng.uniform(1.0, 5.0, 200), rng.uniform(0.05, 0.7, 200), rng.uniform(0.0, 6.28, 200)])
    y = orbit(*X)
    given = Problem(X, y + 0.01 * np.std(y) * rng.normal(size=200), Library(3), noise=0.01)
    found = [e for e in noisy_rational(given, time.perf_counter() + 20.0, rng) if e.complexity <= 20]
    far = np.array([rng.uniform(10.0, 50.0, 100), rng.uniform(0.7, 0.9, 100), rng.uniform(10.0, 20.0, 100)])
    assert min(np.abs(values(e, far.T)[0] / orbit(*far) - 1.0).max() for e in found) < 0.05


def test_a_quotient_may_stand_within_an_exponential():
    rng = np.random.default_rng(0)

    def saturation(t):  # Tetens
        return 0.61078 * np.exp(17.27 * t / (t + 237.3))

    t = rng.uniform(0.0, 50.0, 100)
    y = saturation(t)
    given = Problem(t[None], y + 0.003 * np.std(y) * rng.normal(size=100), Library(1), noise=0.003)
    found = [e for e in noisy_rational(given, time.perf_counter() + 20.0, rng) if e.complexity <= 12]
    far = rng.uniform(-10.0, 80.0, 100)
    assert min(np.abs(values(e, far[:, None])[0] / saturation(far) - 1.0).max() for e in found) < 0.1
