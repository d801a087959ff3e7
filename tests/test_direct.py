"""The direct stages against laws whose form is known beforehand."""

import time

import numpy as np
import pytest
import sympy as sp

from rsrm.direct import STAGES, elementary, power_law
from rsrm.evaluate import values
from rsrm.export import to_sympy
from rsrm.library import Library
from rsrm.polynomial import generalized_rational, rational
from rsrm.problem import Problem


def problem(function, low=0.5, high=3.0, n_variables=1, rows=100, seed=0, noise=0.0, **library):
    rng = np.random.default_rng(seed)
    X = rng.uniform(low, high, (n_variables, rows))
    y = function(*X) * np.ones(rows)
    y = y + noise * np.std(y) * rng.normal(size=rows)
    return Problem(X, y, Library(n_variables, **library), noise=noise)


def first(stage, given, seconds=5.0):
    """Return the first candidate that is exact on all rows, or None."""
    for f in stage(given, time.perf_counter() + seconds, np.random.default_rng(1)):
        v, ok = values(f, given.X.T)
        if ok and np.max(np.abs(v - given.y)) <= 1e-9 * np.max(np.abs(given.y)):
            return f
    return None


def same(expression, text) -> bool:
    found = sp.nsimplify(to_sympy(expression), rational=True, tolerance=1e-9)
    symbols = {f"x{i}": sp.Symbol(f"x{i}", real=True) for i in range(9)}
    wanted = sp.nsimplify(sp.sympify(text, locals=symbols), rational=True, tolerance=1e-9)
    return sp.simplify(found - wanted) == 0


@pytest.mark.parametrize(("text", "function"), [
    ("2.5", lambda a, b: 2.5),
    ("x1", lambda a, b: b),
    ("3*x0 - 2*x1 + 7", lambda a, b: 3 * a - 2 * b + 7),
])
def test_elementary(text, function):
    assert same(first(elementary, problem(function, n_variables=2)), text)


@pytest.mark.parametrize(("text", "function"), [
    ("4*x0**2/x1**3", lambda a, b: 4 * a**2 / b**3),
    ("sqrt(x0/x1)/3", lambda a, b: np.sqrt(a / b) / 3),
    ("-x0*x1", lambda a, b: -a * b),
])
def test_power_law(text, function):
    assert same(first(power_law, problem(function, n_variables=2)), text)


def test_power_law_spans_the_range_of_floating_point():
    rng = np.random.default_rng(0)
    X = 10.0 ** rng.uniform([[-34], [20]], [[-30], [24]], (2, 50))
    f = first(power_law, Problem(X, 6.6e-34 * X[0] * X[1] ** 2, Library(2)))
    assert f is not None and f.complexity <= 7


def test_power_law_takes_signs_by_parity():
    f = first(power_law, problem(lambda a, b: a**3 * b**2, low=-2.0, n_variables=2))
    assert same(f, "x0**3*x1**2")


def test_power_law_real_exponent():
    f = first(power_law, problem(lambda a: 1.7 * a**0.426))
    assert f is not None and any(abs(c - 0.426) < 1e-9 for c in f.constants)


def test_power_law_recovers_exponents_under_noise():
    given = problem(lambda a, b: a * np.sqrt(b), n_variables=2, rows=500, noise=0.03)
    f = next(power_law(given, time.perf_counter() + 5, np.random.default_rng(1)))
    clean = problem(lambda a, b: a * np.sqrt(b), n_variables=2, rows=500)
    # The noise moves the coefficient by about noise/sqrt(rows), the exponents not at all.
    assert np.max(np.abs(values(f, given.X.T)[0] / clean.y - 1.0)) < 0.01


@pytest.mark.parametrize(("text", "function", "n"), [
    ("x0**6 + x0**5 + x0**4 + x0**3 + x0**2 + x0", lambda a: sum(a**k for k in range(1, 7)), 1),
    ("(x0 + 1)**3/(x0**2 - x0 + 1)", lambda a: (a + 1) ** 3 / (a**2 - a + 1), 1),
    ("x0*x1/(x2 + x1)", lambda a, b, c: a * b / (c + b), 3),
    ("sqrt(x0**2 + 3*x1)", lambda a, b: np.sqrt(a**2 + 3 * b), 2),
    ("log(x0**2 + x0*x1)", lambda a, b: np.log(a**2 + a * b), 2),
    ("exp(x0/x1)", lambda a, b: np.exp(a / b), 2),
    ("(x2 - x3*cos(x0 - x1))/(1 + sin(x0 - x1)**2)",
     lambda a, b, c, d: (c - d * np.cos(a - b)) / (1 + np.sin(a - b) ** 2), 4),
    ("5*x0 - 8*x1/3 + x0*sin(x1)", lambda a, b: 5 * a - 8 * b / 3 + a * np.sin(b), 2),
])
def test_rational(text, function, n):
    given = problem(function, n_variables=n, rows=200)
    f = first(rational, given) or first(generalized_rational, given)
    assert f is not None and same(f, text)


def test_factorized_form_is_found():
    given = problem(lambda a: (a + 1) ** 3 / (a**2 - a + 1), rows=20)
    lengths = [f.complexity for f in rational(given, time.perf_counter() + 5, np.random.default_rng(1))]
    assert min(lengths[:2]) <= 19


def test_weak_term_is_kept():
    f = first(rational, problem(lambda a, b: a * b + 1e-5 * a**3, n_variables=2))
    assert f is not None and same(f, "x0*x1 + x0**3/100000")


@pytest.mark.parametrize("stage", STAGES)
def test_without_constants_no_number_is_fitted(stage):
    given = problem(lambda a: 0.377 * a**1.19 + 2.2, rows=40, constants=False)
    assert list(stage(given, time.perf_counter() + 2.0, np.random.default_rng(1))) == []


@pytest.mark.parametrize("stage", STAGES)
def test_random_targets_give_nothing(stage):
    rng = np.random.default_rng(3)
    given = Problem(rng.uniform(1, 2, (3, 20)), rng.normal(size=20), Library(3))
    assert first(stage, given, 2.0) is None


@pytest.mark.parametrize("stage", STAGES)
def test_only_allowed_operators(stage):
    library = {"operators": ("add", "mul", "square")}
    given = problem(lambda a, b: a * a * b + a + 2 * b, n_variables=2, **library)
    allowed = given.library.tables.allowed
    for f in stage(given, time.perf_counter() + 2.0, np.random.default_rng(1)):
        assert allowed[f.tokens].all()


@pytest.mark.parametrize("stage", STAGES)
def test_deadline(stage, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # whatever else the machine has to do
    rng = np.random.default_rng(3)
    X = rng.uniform(1, 2, (9, 2000))
    given = Problem(X, np.sin(X.sum(axis=0) ** 2), Library(9))
    start = time.perf_counter()
    list(stage(given, start + 0.3, np.random.default_rng(1)))
    assert time.perf_counter() - start < 1.3
