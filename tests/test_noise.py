"""Noise: is it seen, is its level right, is exact data left alone, is the law found in spite of it."""

import numpy as np
import pytest

from rsrm import RSRM
from rsrm.closing import column
from rsrm.explore import children
from rsrm.export import parse
from rsrm.library import Library
from rsrm.noise import noise_level, proportional_weights
from rsrm.noisy_surrogate import fit_noisy_surrogate
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.refine import Refiner
from rsrm.selection import Pool

LAWS = {
    "product": lambda x: x[0] * x[1] / (x[0] + x[1]),
    "exponential": lambda x: np.exp(-x[0]) * np.sin(x[1]),
    "polynomial": lambda x: x[0] ** 3 - 2.0 * x[0] * x[1],
}


def problem(law, rows, noise, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(1.0, 3.0, (2, rows))
    y = LAWS[law](X)
    return Problem(X, y + noise * np.std(y) * rng.normal(size=rows), Library(2, ("add", "mul", "exp"), True))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("noise", [1e-3, 1e-2, 1e-1])
def test_the_level_of_added_noise_is_found(law, noise):
    found = noise_level(problem(law, 1000, noise), np.random.default_rng(0))
    assert found.certain
    assert noise * 0.8 < found.level * np.hypot(1.0, noise) < noise * 1.3


@pytest.mark.parametrize("law", LAWS)
def test_exact_data_are_not_called_noisy(law):
    assert not noise_level(problem(law, 1000, 0.0), np.random.default_rng(0)).certain


def test_a_law_over_decades_is_not_called_noisy_for_a_few_large_rows():
    X = 10.0 ** np.random.default_rng(0).uniform(0.0, 2.0, (3, 3000))
    X[2] /= 20.0
    r = X[0] / X[1]
    y = r**2 * (r - np.sin(X[2]) ** 2 + 1.0 / r)
    assert not noise_level(Problem(X, y, Library(3)), np.random.default_rng(0)).certain


def test_exact_data_along_a_curve_are_not_called_noisy():
    t = np.sort(np.random.default_rng(0).uniform(0.0, 30.0, 1000))
    a = (0.06 * t + 0.4) ** 2  # the columns tell nearly the same: models of both lose digits
    y = 0.12 * np.sqrt(a) + 0.15 * a * np.exp(-a / 0.6)
    found = noise_level(Problem(np.stack([t, a]), y, Library(2)), np.random.default_rng(0))
    assert not found.certain and found.level < 1e-4


def test_data_without_any_signal_give_an_upper_bound_only():
    rng = np.random.default_rng(0)
    p = Problem(rng.normal(size=(2, 500)), rng.normal(size=500), Library(2, ("add",), True))
    found = noise_level(p, rng)
    assert not found.certain and found.level == pytest.approx(1.0, abs=0.1)


def test_a_constant_column_leaves_the_level_open():
    p = Problem(np.ones((1, 200)), np.arange(200.0), Library(1, ("add",), True))
    assert noise_level(p, np.random.default_rng(0)) == (1.0, False)


def test_reductions_that_are_right_keep_the_noise_and_wrong_ones_do_not():
    rng = np.random.default_rng(3)
    X = rng.uniform(1.0, 3.0, (3, 3000))
    y = X[0] * np.exp(-X[1] * X[2])
    sigma = 0.02 * np.std(y)
    p = Problem(X, y + sigma * rng.normal(size=3000), Library(3, ("add", "sub", "mul", "div", "exp"), True), noise=0.02)
    model = fit_noisy_surrogate(p, 0.02)
    assert model.error == pytest.approx(0.02, rel=0.1)
    confirmed = {c[0].text: c for c in children(p, model, rng, 0.02) if c is not None}
    factor, merge = confirmed["factor log(x0)**1"], confirmed["merge log(x1) +1 log(x2)"]
    assert not any(t.startswith(("merge id(x0)", "merge log(x0) -", "drop")) for t in confirmed)
    # A divided target has another noise on every row; the weights bring it back to the user's.
    for reduction, child, child_model in (factor, merge):
        assert child_model.error == pytest.approx(0.02, rel=0.1), reduction.text
        shape = y / X[0] if reduction is factor[0] else y
        residual = (child.y - shape) * (1.0 if child.weights is None else child.weights)
        assert np.std(residual) / np.std(child.y) == pytest.approx(child.noise, rel=0.05)


@pytest.mark.parametrize("noise", [1e-3, 1e-1])
def test_a_law_is_recovered_from_noisy_rows(noise):
    p = problem("product", 2000, noise)
    model = RSRM(max_time=8, random_state=0).fit(p.X.T, p.y)
    X = np.random.default_rng(1).uniform(1.0, 3.0, (100, 2))
    truth = LAWS["product"](X.T)
    assert np.abs(model.predict(X) - truth).max() < 0.02 * noise * np.std(truth)


def test_constants_that_lean_on_each_other_are_recognized_together():
    rng = np.random.default_rng(5)
    x = rng.uniform(1.0, 2.0, (1, 4000))
    y = (1.0 + 2.0 * x[0] / 3.0) / (1.0 - x[0] / 3.0)
    p = Problem(x, y + 0.01 * np.std(y) * rng.normal(size=4000), Library(1, ("add", "sub", "mul", "div"), True))
    pool = Pool(p.n_rows)
    found = Refiner(Objective(p), pool, rng).consider(parse("(0.672*x0 + 1.0)/(1.0 - 0.331*x0)", p.library))
    assert np.allclose(column(found.expression, p.X), y, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("proportional", [True, False])
def test_the_kind_of_noise_is_recognized(proportional):
    rng = np.random.default_rng(3)
    X = rng.uniform(1.0, 5.0, (3, 600))
    y = X[0] ** 3 * X[1] / X[2]
    noise = 0.1 * (y if proportional else np.std(y)) * rng.standard_normal(600)
    weights = proportional_weights(Problem(X, y + noise, Library(3)), np.random.default_rng(0))
    assert (weights is not None) == proportional
    if proportional:
        assert weights.mean() == pytest.approx(1.0)
        assert np.corrcoef(np.log(weights), np.log(y))[0, 1] < -0.98


def test_a_law_under_proportional_noise_is_recovered():
    rng = np.random.default_rng(4)
    X = 10.0 ** rng.uniform(0.0, 3.0, (3, 300))
    truth = 2.5 * np.sqrt(X[0] ** 3 / (X[1] + X[2]))
    model = RSRM(max_time=8, random_state=0).fit(X.T, truth * (1.0 + 0.1 * rng.standard_normal(300)))
    assert np.median(np.abs(model.predict(X.T) / truth - 1.0)) < 0.02
