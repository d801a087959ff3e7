"""Sines over several periods, where no inverse helps."""

import time

import numpy as np
import pytest
import sympy as sp

from rsrm.closing import column
from rsrm.library import Library
from rsrm.periodic import _unexplained, _Waves, periodic
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos")


def given(text, rows=200, noise=0.0, operators=OPERATORS, constants=True):
    X = np.random.default_rng(3).uniform(0.5, 4.0, (2, rows))
    y = sp.lambdify(sp.symbols("x0:2"), sp.sympify(text), "numpy")(*X)
    y = y + noise * np.std(y) * np.random.default_rng(4).normal(size=rows)
    return Problem(X, y, Library(2, operators, constants), noise=noise)


def best(problem, seconds=10.0):
    """Return the least residual of what is found, relative to the spread of y; ends once one is exact."""
    least = np.inf
    for law in periodic(problem, time.perf_counter() + seconds, np.random.default_rng(0)):
        values = None if law is None else column(law, problem.X)
        if values is not None:
            least = min(least, float(np.std(values - problem.y) / np.std(problem.y)))
        if least < 1e-9:
            break
    return least


@pytest.mark.parametrize("law", [
    "sin(x0*x1 + sqrt(x1))", "2*cos(x0**2 - 3*x1) + 1", "3.5*sin(x0*x1 + x1**2 + 0.7) - 0.4",
    "x0*sin(x0*x1 + sqrt(x1))", "cos(x1**2 + exp(x0))/x1", "exp(sin(x0**2 + x1**2))", "sin(2.37*x0*x1)",
    "4*sin(1.7*x1**3 + 2) + 5", "0.72*sin(x0*x1 + 0.48*sin(2*x1)) + 2", "sqrt(3 + sin(3.3*x0*x1 - 1))",
])
def test_arguments_over_several_periods_are_found(law):
    assert best(given(law)) < 1e-9


def test_constants_are_none_or_simple_without_constants():
    assert best(given("2*sin(x0*x1 + sqrt(x1))", constants=False)) < 1e-9
    assert best(given("2.345*sin(x0*x1 + sqrt(x1))", constants=False)) > 0.1


def test_noise_leaves_the_argument():
    assert best(given("sin(x0*x1 + sqrt(x1))", noise=0.05)) < 0.06


def test_nothing_is_found_in_noise_or_without_sines():
    rng = np.random.default_rng(0)
    noise = Problem(rng.uniform(0.5, 4.0, (2, 200)), rng.normal(size=200), Library(2, OPERATORS, True))
    assert best(noise) > 0.1
    assert not list(periodic(given("sin(x0*x1)", operators=("add", "mul")), np.inf, rng))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_products_of_matrices_are_least_squares(sign):
    rng = np.random.default_rng(1)
    values, y = rng.uniform(-4, 4, (5, 40)), rng.normal(size=40)
    y = (y - y.mean()) / np.std(y)
    rest = _Waves(values).part(1, 3).pairs(_Waves(values), sign, y)
    for i in (1, 2):
        for j in range(5):
            angle = values[i] + sign * values[j]
            design = np.stack([np.ones(40), np.sin(angle), np.cos(angle)], 1)
            r = y - design @ np.linalg.lstsq(design, y)[0]
            if np.ptp(angle) > 0:
                assert rest[i - 1, j] == pytest.approx(r @ r / 40, abs=1e-9)
            else:
                assert rest[i - 1, j] == np.inf


def test_an_argument_that_hardly_moves_is_no_wave():
    still = np.full((1, 30), 1.0) + 1e-6 * np.arange(30)
    waves = np.sin(still), np.cos(still)
    y = np.linspace(-1, 1, 30)
    means = [w.mean(1) for w in (*waves, waves[0] * y, waves[1] * y, np.sin(2 * still), np.cos(2 * still))]
    assert _unexplained(*means)[0] == np.inf
