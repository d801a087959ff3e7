"""Sparse sums, projections on a dictionary and products of factors, against laws whose form is known beforehand."""

import time
from itertools import combinations

import numpy as np
import pytest
import sympy as sp

from rsrm.evaluate import values
from rsrm.exponential import exponentials
from rsrm.export import to_sympy
from rsrm.factors import factors, more_factors
from rsrm.library import Library
from rsrm.noisy_rational import noisy_rational
from rsrm.problem import Problem
from rsrm.regression import HEIGHT, best_pairs, eliminate, exact_fit
from rsrm.sparse import noisy_sums, projected, small_sums
from rsrm.targets import relative_weights
from rsrm.terms import Terms, compose_sum, monomials, presentable, subset, variable_generators


def problem(function, low=0.5, high=3.0, n_variables=1, rows=100, seed=0, noise=0.0, **library):
    rng = np.random.default_rng(seed)
    X = rng.uniform(low, high, (n_variables, rows))
    y = function(*X) * np.ones(rows)
    return Problem(X, y + noise * np.std(y) * rng.normal(size=rows), Library(n_variables, **library), noise=noise)


def first(stage, given, seconds=10.0):
    for f in stage(given, time.perf_counter() + seconds, np.random.default_rng(1)):
        v, ok = values(f, given.X.T)
        if ok and np.max(np.abs(v - given.y)) <= 1e-9 * np.max(np.abs(given.y)):
            return f
    return None


def same(expression, text) -> bool:
    symbols = {f"x{i}": sp.Symbol(f"x{i}", real=True) for i in range(9)}
    found = sp.nsimplify(to_sympy(expression), rational=True, tolerance=1e-9)
    wanted = sp.nsimplify(sp.sympify(text, locals=symbols), rational=True, tolerance=1e-9)
    return sp.simplify(found - wanted) == 0


@pytest.mark.parametrize(("text", "function", "n"), [
    ("3*x0/sqrt(1 - x1**2/(4*x2**2))", lambda a, b, c: 3 * a / np.sqrt(1 - b**2 / (4 * c**2)), 3),
    ("x0*exp(-x1/x2)", lambda a, b, c: a * np.exp(-b / c), 3),
    ("x0/(exp(x1/x2) - 1)", lambda a, b, c: a / (np.exp(b / c) - 1), 3),
    ("x0*sin(x1*x2)**2", lambda a, b, c: a * np.sin(b * c) ** 2, 3),
    ("x2*(x0 + x1)/(x0 + 2*x2)", lambda a, b, c: c * (a + b) / (a + 2 * c), 3),
    ("x1/(1 + 3*x0/7)", lambda a, b: b / (1 + 3 * a / 7), 2),
])
def test_factors(text, function, n):
    low = 0.5 if "sqrt" not in text else 1.7
    given = problem(function, n_variables=n, low=low, rows=200)
    f = first(factors, given) or first(more_factors, given)
    assert f is not None and same(f, text)


def test_factors_find_an_inner_constant():
    f = first(more_factors, problem(lambda a, b: a * np.sin(1.234 * b) ** 2, n_variables=2, high=2.0, rows=200))
    assert f is not None
    assert any(abs(c - 1.234) < 1e-7 for c in f.constants)


def test_factors_keep_no_term_lost_in_rounding():
    rng = np.random.default_rng(0)
    X = np.vstack([10.0 ** rng.uniform(-24, -22, 200), rng.uniform(0.5, 1.2, 200)])
    f = first(factors, Problem(X, X[0] * np.cos(X[1]), Library(2)))
    assert f is not None and f.complexity <= 4


@pytest.mark.parametrize(("stage", "text", "function", "n"), [
    (projected, "sin(x0 - x1)/2 - sin(x0)", lambda a, b: np.sin(a - b) / 2 - np.sin(a), 2),
    (small_sums, "sin(x0 - x1)/2 - sin(x0)", lambda a, b: np.sin(a - b) / 2 - np.sin(a), 2),
    (small_sums, "x0 + sin(x0**2) + 1/3", lambda a: a + np.sin(a**2) + 1 / 3, 1),
])
def test_sums(stage, text, function, n):
    f = first(stage, problem(function, n_variables=n, rows=400))
    assert f is not None and same(f, text)


def test_small_sums_on_few_rows_without_constants():
    given = problem(lambda a: a**3 + a**2 + a + np.sin(a) + np.sin(a**2), rows=20, constants=False)
    f = first(small_sums, given)
    assert f is not None and same(f, "x0**3 + x0**2 + x0 + sin(x0) + sin(x0**2)")


def test_projected_finds_the_multiplier():
    def function(a, b, c):
        return (a**2 + 3 * b * np.cos(c)) / (a * b**2)

    f = first(projected, problem(function, n_variables=3, rows=300))
    assert f is not None and same(f, "(x0**2 + 3*x1*cos(x2))/(x0*x1**2)")


def test_exponentials_find_a_gaussian():
    def function(s, t, u):
        return np.exp(-(((t - u) / s) ** 2) / 2) / (np.sqrt(2 * np.pi) * s)

    given = problem(function, n_variables=3, low=1.0, rows=600)
    f = next(exponentials(given, time.perf_counter() + 10, np.random.default_rng(1)))
    clean = function(*given.X)
    assert np.std(values(f, given.X.T)[0] - clean) < 1e-12 * np.std(clean)


@pytest.mark.parametrize(("text", "function"), [
    ("(x0*x1 + x2)/(x0 + x2)", lambda a, b, c: (a * b + c) / (a + c)),
    ("x0*x1 + x1*x2 + x0*x2", lambda a, b, c: a * b + b * c + a * c),
])
def test_noisy_rational_is_exact_in_form(text, function):
    given = problem(function, n_variables=3, rows=800, noise=0.01)
    found = list(noisy_rational(given, time.perf_counter() + 20, np.random.default_rng(1)))
    assert any(same(f, text) for f in found)


def test_noisy_sums_choose_the_true_terms():
    given = problem(lambda a, b: 2.0 * a - 0.5 * a * b + b**3, low=-2.0, n_variables=2, rows=400, noise=0.02)
    found = [f for f in noisy_sums(given, time.perf_counter() + 10, np.random.default_rng(1))]
    clean = problem(lambda a, b: 2.0 * a - 0.5 * a * b + b**3, low=-2.0, n_variables=2, rows=400).y
    errors = [np.std(values(f, given.X.T)[0] - clean) / np.std(clean) for f in found if f.complexity <= 17]
    assert min(errors) < 0.005


def test_exact_fit_is_sparse_on_collinear_columns():
    t = np.linspace(0.0, 1.0, 300)
    X = np.vstack([10 + np.cos(7 * t), 20 + np.sin(5 * t) + t])
    given = Problem(X, 0.2 * X[0] - 5.7 * X[1] ** 2 + 8 / 3 * X[0] * X[1] ** 2, Library(2))
    terms = monomials(variable_generators(given), 4)
    fit = exact_fit(terms, given.y, np.ones(300))
    assert [terms.factors[t] for t in fit.support] == [((0, 1.0),), ((1, 2.0),), ((0, 1.0), (1, 2.0))]
    np.testing.assert_allclose(fit.coefficients, [0.2, -5.7, 8 / 3], rtol=1e-6)


def test_exact_fit_survives_a_fixed_point_where_only_rounding_is_left():
    x = 1.5 + np.concatenate([np.linspace(-1.0, 1.0, 30), 1e-9 * np.linspace(-1.0, 1.0, 270)])
    given = Problem(x[None], 2.0 * x**3 - 3.0 * x**2, Library(1))  # zero at 1.5
    assert np.median(np.abs(given.y)) < 1e-8
    terms = monomials(variable_generators(given), 4)
    fit = exact_fit(terms, given.y, relative_weights(given.y))
    assert [terms.factors[k] for k in fit.support] == [((0, 2.0),), ((0, 3.0),)]
    np.testing.assert_allclose(fit.coefficients, [-3.0, 2.0], rtol=1e-9)


def test_exact_fit_refuses_noise():
    rng = np.random.default_rng(0)
    given = Problem(rng.normal(size=(2, 50)), rng.normal(size=50), Library(2))
    assert exact_fit(monomials(variable_generators(given), 3), given.y, np.ones(50)) is None


@pytest.mark.parametrize("n", [2, 12, HEIGHT, 2 * HEIGHT + 5])
def test_best_pairs_agrees_with_least_squares(n):
    rng = np.random.default_rng(0)
    P = rng.normal(size=(30, n))
    P /= np.linalg.norm(P, axis=0)
    target = rng.normal(size=30)
    target /= np.linalg.norm(target)
    pairs, gains = best_pairs(P, target, 3)
    Q, _ = np.linalg.qr(np.array([P[:, [i, j]] for i in range(n) for j in range(i + 1, n)]))
    shares = ((np.swapaxes(Q, 1, 2) @ target) ** 2).sum(axis=1)
    every = dict(zip(combinations(range(n), 2), shares, strict=True))
    wanted = sorted(every, key=every.get, reverse=True)[:3]
    assert pairs == wanted
    np.testing.assert_allclose(gains, [every[p] for p in wanted], rtol=1e-10)


def test_eliminate_orders_by_description_length():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 500))
    given = Problem(X, X[0] - 2 * X[1] ** 2 + 0.1 * rng.normal(size=500), Library(2))
    terms = monomials(variable_generators(given), 3)
    fit = eliminate(terms, given.y, np.ones(500))[0]
    assert [terms.factors[t] for t in fit.support] == [((0, 1.0),), ((1, 2.0),)]


def test_compose_sum_prefers_the_shorter_form():
    given = problem(lambda a, b: a, n_variables=2)
    terms = monomials(variable_generators(given), 3)
    c = np.zeros(len(terms.factors))
    for factors_, v in {((0, 1.0),): 2.0, ((0, 2.0),): 1.0, ((0, 3.0),): -1.0, (): 4.0}.items():
        c[terms.factors.index(factors_)] = v
    f = compose_sum(terms, np.flatnonzero(c), c[c != 0])
    assert f.complexity <= 13
    np.testing.assert_allclose(values(f, given.X.T)[0], terms.values @ c, rtol=1e-12)


def test_presentable_writes_fractions_without_constants():
    library = Library(1, constants=False)
    given = problem(lambda a: a, constants=False)
    terms = Terms(np.empty((1, 2)), [(), ((0, 1.0),)], variable_generators(given))
    f = presentable(compose_sum(terms, [0, 1], [1 / 3, 1.0]))
    assert f is not None and all(c == round(c) for c in f.constants)
    np.testing.assert_allclose(values(f, [[1.0]])[0], 4 / 3)
    assert presentable(compose_sum(terms, [0, 1], [0.3777, 1.0])) is None
    assert library == f.library


def test_a_subset_holds_even_steps_of_every_column_and_as_many_rows_as_asked_for():
    t = np.linspace(0.0, 1000.0, 4000)
    X = np.array([np.exp(-t), t])  # hardly any row is not at the end of the first column
    given = Problem(X, np.cos(0.01 * t), Library(2))
    part = subset(given, 300, np.random.default_rng(0))
    assert part.n_rows == 300 and len(np.unique(part.X[1])) == 300
    assert np.isin(X[0][X[0] > 0.2], part.X[0]).all()  # where neighbours are further apart than the steps
    assert subset(given, 4000, np.random.default_rng(0)) is given
