"""Folds and powers as factors: seen where they hold, on data that span decades, and undone without a trace."""

import numpy as np
import pytest
import sympy as sp

from rsrm import RSRM
from rsrm.benchmarks.scoring import score
from rsrm.evaluate import values
from rsrm.export import parse, to_sympy
from rsrm.folding import best_parities, folds, straddling, unfolded
from rsrm.library import Library
from rsrm.power_factors import power_factors
from rsrm.problem import Problem
from rsrm.surrogate import fit_surrogate

SYMBOLS = sp.symbols("x0:4")
OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos", "abs")


def decades(text, n=3, rows=2000, both=(), seed=0):
    """Return the problem of a law whose columns span two decades, with both signs in `both`."""
    rng = np.random.default_rng(seed)
    X = 10.0 ** rng.uniform(-1, 1, (n, rows))
    for i in both:
        X[i] *= rng.choice([-1.0, 1.0], rows)
    y = sp.lambdify(SYMBOLS[:n], sp.sympify(text), "numpy")(*X)
    return Problem(X, y, Library(n, OPERATORS, True))


LAWS = (
    ("x0*sqrt(x1**2 + x2**2)", (0, 1), (1, 0)),
    ("x0/(1 + x1**2 + x2)", (0, 1), (1, 0)),
    ("x0*x1/sqrt(x0**2 + x2)", (0, 1), (1, 1)),
)


@pytest.mark.parametrize(("law", "both", "odd"), LAWS)
def test_parities_are_seen_where_columns_of_both_signs_span_decades(law, both, odd):
    problem = decades(law, both=both)
    columns = straddling(problem.X)
    assert columns == list(both)
    assert best_parities(problem.X, problem.y, columns)[1] == odd
    found = list(folds(problem, fit_surrogate(problem.X, problem.y)))
    assert len(found) == 1
    kinds = {0: "even", 1: "odd"}
    assert set(found[0].text[6:].split(", ")) <= {f"{kinds[p]} in x{i}" for i, p in zip(both, odd, strict=True)}
    child = found[0].make()
    assert (child.X[list(found[0].columns)] > 0).all()
    # The smaller problem is the law on the positive half, and a law of it comes back as the law.
    np.testing.assert_allclose(child.y, sp.lambdify(SYMBOLS[:3], sp.sympify(law), "numpy")(*child.X), rtol=1e-12)
    up = child.lift(parse(law, problem.library))
    np.testing.assert_allclose(values(up, problem.X.T)[0], problem.y, rtol=1e-12)
    assert to_sympy(up) == to_sympy(parse(law, problem.library))


def test_no_fold_without_symmetry_or_need():
    skew = decades("x0*x1 + x1**2*x2", both=(1,))
    assert straddling(skew.X) == [1]
    assert not list(folds(skew, fit_surrogate(skew.X, skew.y)))  # polynomials of low degree need none
    positive = decades("x0*sqrt(x1**2 + x2**2)")
    assert not straddling(positive.X)
    assert straddling(np.array([[0.0, -1.0, 1.0, 2.0]])) == []  # a zero has no sign


@pytest.mark.parametrize(("text", "odd"), [
    ("sqrt(x0)*x1", []), ("sqrt(x0)*x1", [0]), ("log(x0) + x1", []), ("x0*x1", [0]), ("x0**3*x1", [0]),
    ("x0**2*x1", []),
])
def test_any_law_is_unfolded(text, odd):
    library = Library(2, OPERATORS, True)
    rng = np.random.default_rng(1)
    X = rng.uniform(0.3, 3.0, (2, 300))
    X[0] *= rng.choice([-1.0, 1.0], 300)
    half = np.abs(X[0]), X[1]
    inner = parse(text, library)
    want = values(inner, np.stack(half).T)[0] * (np.sign(X[0]) if odd else 1.0)
    law = unfolded(inner, np.stack(half), [0], odd)
    np.testing.assert_allclose(values(law, X.T)[0], want, rtol=1e-12)
    assert law.complexity == inner.complexity or "abs" in str(to_sympy(law)).lower()


def test_a_law_that_cannot_be_written_is_none():
    library = Library(1, ("add", "mul", "log"), True)
    assert unfolded(parse("log(x0)", library), np.full((1, 5), 2.0), [0], []) is None


@pytest.mark.parametrize(("law", "powers", "small"), [
    ("x0**2/(x1*abs(x2 - x3))", {"x0**2", "x1**-1"}, "1/abs(x0 - x1)"),
    ("sqrt(x0)*(1 + x1*abs(sin(x2*x3)))", {"x0**0.5"}, "1 + x0*abs(sin(x1*x2))"),
])
def test_powers_are_factors_of_laws_that_no_polynomial_fits(law, powers, small):
    problem = decades(law, 4, 3000)
    model = fit_surrogate(problem.X, problem.y)
    assert model.error > 1e-2
    found, = power_factors(problem, model)
    assert set(found.text.split()[1:]) == powers
    child = found.make()
    n = child.n_variables
    np.testing.assert_allclose(child.y, sp.lambdify(SYMBOLS[:n], sp.sympify(small), "numpy")(*child.X), rtol=1e-10)
    up = child.lift(parse(small, child.library))
    np.testing.assert_allclose(values(up, problem.X.T)[0], problem.y, rtol=1e-10)


def test_columns_act_through_their_ratio():
    problem = decades("x0**2*abs(sin(x0/x1)) + x0**2*x2", rows=3000)
    found = {r.text: r for r in power_factors(problem, fit_surrogate(problem.X, problem.y))}
    child = found["scale log: p=2, x0 -1 x1"].make()
    assert child.n_variables == 2
    ratio = problem.X[0] / problem.X[1]
    assert any(np.allclose(c, ratio) or np.allclose(c, 1 / ratio) for c in child.X)
    np.testing.assert_allclose(child.y, problem.y / problem.X[0] ** 2, rtol=1e-10)


def test_no_power_is_taken_from_a_sum():
    problem = decades("x0*abs(sin(3*x1)) + x1*abs(cos(2*x2)) + x2*x0", rows=3000)
    found = power_factors(problem, fit_surrogate(problem.X, problem.y))
    assert all(r.kind != "factor" for r in found)


def test_the_search_finds_a_law_of_columns_of_both_signs():
    problem = decades("3*x0*x1*sqrt(x2**2 + x3**2)/x2**4", 4, 1000, both=(0, 1, 2, 3))
    model = RSRM(max_time=20, random_state=0).fit(problem.X.T, problem.y)
    truth = sp.sympify("3*x0*x1*sqrt(x2**2 + x3**2)/x2**4")
    assert score(truth, model.sympy(), problem.X.T, seed=0).recovered
