"""Leading terms: the law behind an approximation is told by the digits that it leaves."""

import numpy as np
import pytest

from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.leading import LIMITS, Leading, laws
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.turns import PAUSE

ROWS = 400


def make(law: str, ranges, f: str, seed=0):
    """Return a problem whose columns are uniform in their logarithms, an approximation, and the law."""
    rng = np.random.default_rng(seed)
    X = np.array([10.0 ** rng.uniform(*np.log10(r), ROWS) for r in ranges])
    library = Library(len(ranges))
    law = parse(law, library)
    return Problem(X, values(law, X.T)[0], library), parse(f, library), law


@pytest.mark.parametrize(("law", "ranges", "f"), [
    ("1/(exp(x0/x1) - 1)", ((1e-4, 1e-2), (1.0, 100.0)), "x1/x0"),
    ("2*x2/(1 + exp(x0*x1))", ((1e-3, 1e-1), (1e-3, 1e-1), (1.0, 9.0)), "x2"),
    ("sqrt(x0*x0*x1 + 2.5)", ((1e2, 1e4), (1.0, 3.0)), "x0*sqrt(x1)"),
    ("x0*x1/(1 - x0*x1/3)", ((1e-3, 1e-1), (1e-3, 1e-1)), "x0*x1"),
    ("x0/((1 + x1)*(1 + x1))", ((1.0, 9.0), (1e-5, 1e-2)), "x0"),
    ("x2*cos(x0/x1)", ((1e-4, 1e-1), (1.0, 9.0), (1.0, 9.0)), "x2"),
    ("x2/(exp(x0*x1) + exp(-x0*x1))", ((1e-3, 1e-1), (1e-3, 1e-1), (1.0, 9.0)), "x2/2"),
    ("x2*sin(x0*x1)", ((1e-3, 1e-1), (1e-3, 1e-1), (1.0, 9.0)), "x0*x1*x2"),
    ("x1*tanh(x0/x1)", ((1e-4, 1e-1), (1.0, 9.0)), "x0"),
    ("x1*log(1 + x0/x1)", ((1e-4, 1e-1), (1.0, 9.0)), "x0"),
    ("x0*(1/sqrt(1 - x1*x1) - 1)", ((1.0, 9.0), (1e-3, 1e-1)), "x0*x1*x1/2"),
    ("x0*exp(-x1/x2)", ((1.0, 9.0), (1e-4, 1e-1), (1.0, 9.0)), "x0"),
    ("(x0 - x1)*(x0 - x1)*x2 + x3/x2", ((10.0, 90.0), (0.1, 0.9), (1.0, 9.0), (1e-5, 1e-2)), "(x0 - x1)*(x0 - x1)*x2"),
    ("x0/(1 + x1*cos(x2))", ((1.0, 9.0), (1e-5, 1e-2), (0.1, 1.4)), "x0"),
])
@pytest.mark.parametrize("factor", [1.0, 1.0003])
def test_the_law_is_told_by_its_leading_term(law, ranges, f, factor):
    problem, approximation, truth = make(law, ranges, f)
    with np.errstate(all="ignore"):
        off = np.abs(values(approximation, problem.X.T)[0] / problem.y - 1.0)
    assert np.median(off) < 0.05, "the approximation is one"
    found = laws(problem, parse(f"{factor}*({f})", problem.library))
    # Where m is of order one every h is another function.
    far = np.array([np.full(5, r[1]) for r in ranges]) * np.linspace(0.9, 2.5, 5)
    with np.errstate(all="ignore"):
        misses = [np.abs(values(e, far.T)[0] / values(truth, far.T)[0] - 1.0).max() for e in found]
    assert min(misses) < 1e-6
    assert len(found) <= 6, "the others are left out"


def test_every_limit_is_one_at_zero():
    for limit in LIMITS:
        for sign in (1.0, -1.0):
            with np.errstate(invalid="ignore"):
                near = limit.value(sign * np.array([1e-6, 1e-9]))
            assert np.isnan(near).all() or np.abs(near - 1.0).max() < 1e-5
        assert np.isfinite(limit.value(np.array([1e-3]))).all()


def test_noise_and_other_functions_are_left_alone():
    problem, f, _ = make("x0*x1", ((1.0, 9.0), (1.0, 9.0)), "x0*x1")
    assert laws(problem, f) == []  # nothing is left
    rng = np.random.default_rng(1)
    noisy = Problem(problem.X, problem.y * (1.0 + 0.01 * rng.normal(size=ROWS)), problem.library)
    assert laws(noisy, f) == []
    sum_of_two = Problem(problem.X, problem.y * (1.0 + 1e-3 * problem.X[0] + 1e-3 * problem.X[1]), problem.library)
    assert laws(sum_of_two, f) == []


def test_rows_of_zeros_and_values_that_are_not_finite_do_no_harm():
    problem, f, law = make("sqrt(x0*x0*x1 + 2.5)", ((1e2, 1e4), (1.0, 3.0)), "x0*sqrt(x1)")
    X = problem.X.copy()
    X[0, :3] = 0.0
    y = values(law, X.T)[0]
    found = laws(Problem(X, y, problem.library), f)
    assert any(np.allclose(values(e, X.T)[0], y, rtol=1e-12) for e in found)
    assert laws(problem, parse("log(x0 - x0)", problem.library)) == []


def test_each_approximation_is_looked_at_once():
    problem, f, law = make("x1*tanh(x0/x1)", ((1e-4, 1e-1), (1.0, 9.0)), "x0")
    steps = iter(Leading(problem, lambda: [(f, 1e-3)], np.inf))
    first = []
    while (e := next(steps)) is not PAUSE:
        first.append(e)
    assert any(e is not None and np.allclose(values(e, problem.X.T)[0], problem.y, rtol=1e-12) for e in first)
    assert next(steps) is PAUSE
    without = Problem(problem.X, problem.y, Library(2, constants=False))
    assert list(Leading(without, lambda: [(f, 1e-3)], np.inf)) == []
