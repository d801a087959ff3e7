"""Noise of few rows, by the likelihood of a Gaussian process: is it seen, and are exact data left alone."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from rsrm import cascade
from rsrm import noisy_stages as noise_order
from rsrm.kriging import AFFINE, ROWS, Evidence, Likelihood, noise_evidence
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.schedule import learned

LAWS = {
    "inhibition": (lambda s, k, i, v: v * s / (k * (1.0 + i / 2.0) + s), ((0.1, 10), (0.5, 3), (0.1, 10), (1, 8))),
    "Morse": (lambda d, a, r, e: d * (1.0 - np.exp(-a * (r - e))) ** 2, ((1, 8), (0.8, 2), (1.5, 4), (0.7, 1.5))),
    "van der Waals": (lambda t, v, b, a: 8.3 * t / (v - b) - a / v**2, ((250, 500), (1, 9), (0.02, 0.1), (0.1, 2))),
    "one column": (lambda x: np.exp(-x) * np.sin(3.0 * x), ((0.0, 4.0),)),
}


def make(name, rows=200, noise=0.0, seed=0):
    law, ranges = LAWS[name]
    rng = np.random.default_rng(seed)
    X = np.array([rng.uniform(*r, rows) for r in ranges])
    y = law(*X)
    return Problem(X, y + noise * np.std(y) * rng.normal(size=rows), Library(len(ranges)))


def standardized(problem):
    X, y = problem.X, problem.y
    return (X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True), (y - y.mean()) / y.std()


def test_the_likelihood_is_that_of_scikit_learn():
    Z, y = standardized(make("Morse", 60, 0.02))
    lengths, size, noise = np.array([1.5, 0.7, 2.0, 3.0]), 1.3, 0.05
    kernel = (ConstantKernel(size**2) * RBF(lengths) + ConstantKernel(AFFINE) * DotProduct(1.0)
              + WhiteKernel(noise**2))
    theirs = GaussianProcessRegressor(kernel, alpha=1e-12, optimizer=None).fit(Z.T, y).log_marginal_likelihood_value_
    ours, _ = Likelihood(Z, y)(np.log([*lengths, size, noise]))
    assert ours + 0.5 * len(y) * np.log(2.0 * np.pi) == pytest.approx(-theirs, rel=1e-9)


def test_its_gradient_is_that_of_finite_differences():
    likelihood = Likelihood(*standardized(make("inhibition", 50, 0.02)))
    logs = np.log([1.5, 0.7, 2.0, 3.0, 1.3, 0.05])
    numeric = approx_fprime(logs, lambda t: likelihood(t)[0], 1e-7)
    np.testing.assert_allclose(likelihood(logs)[1], numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seed", [0, 1])
def test_noise_is_seen_at_its_level(name, seed):
    found = noise_evidence(make(name, 200, 0.03, seed), np.random.default_rng(0))
    assert found.nats > cascade.SURE or name == "inhibition"
    assert found.nats > 15.0 and 0.015 < found.level < 0.06


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("rows", [20, 200, 1000])
def test_exact_data_are_left_alone(name, rows):
    found = noise_evidence(make(name, rows), np.random.default_rng(0))
    assert not (found.nats > cascade.SURE and found.level > cascade.SMOOTH)


def test_data_that_say_nothing_about_noise():
    rng = np.random.default_rng(0)
    decades = Problem(rng.uniform(0.0, 9.0, (2, 200)), 10.0 ** rng.uniform(0.0, 12.0, 200), Library(2))
    assert noise_evidence(decades, rng).nats == 0.0
    still = Problem(np.ones((2, 50)), rng.normal(size=50), Library(2))
    assert noise_evidence(still, rng).nats == 0.0


@pytest.mark.parametrize(("noise", "told"), [(0.0, False), (0.03, True)])
def test_the_search_takes_the_way_for_noisy_data(monkeypatch, noise, told):
    given = make("Morse", 200, noise)
    seen = []

    def noisy_stages(problem, play, deadline, rng, loss, level, smooth, guests):
        seen.append(level)
        yield "noisy", iter(())

    monkeypatch.setattr(cascade, "noisy_stages", noisy_stages)
    names = []
    for name, source in cascade.stages(given, {}, np.inf, np.random.default_rng(0), lambda n: None, lambda: 1.0, list,
                                       list):
        names.append(name)
        if len(names) == 2:  # the cheap stages come before anybody asks
            break
        for _ in source:
            pass
    assert bool(seen) == told == ("noisy" in names)
    assert not told or 0.015 < seen[0] < 0.06


@pytest.mark.parametrize(("level", "nats", "noisy"), [(0.1, 100.0, True), (0.02, 100.0, False), (0.1, 50.0, False)])
def test_a_hint_of_noise_is_looked_at_again_with_more_rows(monkeypatch, level, nats, noisy):
    given, asked, seen = make("inhibition", 400, 0.03), [], []

    def evidence(problem, rng, rows=ROWS):
        asked.append(rows)
        return Evidence(0.11, 30.0) if rows == ROWS else Evidence(level, nats)

    def noisy_stages(problem, play, deadline, rng, loss, level, smooth, guests):
        seen.append(level)
        yield "for noise", iter(())

    monkeypatch.setattr(cascade, "noise_evidence", evidence)
    monkeypatch.setattr(cascade, "noisy_stages", noisy_stages)
    names = []
    for name, _ in cascade.stages(given, {}, np.inf, np.random.default_rng(0), lambda n: None, lambda: 1.0, list,
                                  list):
        names.append(name)
        if name not in ("direct", "leading terms", "replacements"):
            break
    assert asked == [ROWS, 2 * ROWS]
    assert names[-1] == "for noise" if noisy else names[-1] in learned().names
    assert seen == ([level] if noisy else [])


@pytest.mark.parametrize("smooth", [True, False])
def test_polynomials_say_how_noise_grows_only_where_they_see_it(monkeypatch, smooth):
    given, asked = make("Morse", 100, 0.03), []
    weights = np.linspace(0.5, 1.5, given.n_rows)
    monkeypatch.setattr(noise_order, "proportional_weights", lambda problem, rng: asked.append(1) or weights)
    told = []
    monkeypatch.setattr(noise_order, "direct_stages", lambda problem, *rest: told.append(problem.weights) or iter(()))
    next(noise_order.noisy_stages(given, lambda reduced: iter(()), np.inf, np.random.default_rng(0), lambda: 1.0, 0.03,
                                  smooth, {}))
    assert bool(asked) == smooth
    assert told[0] is (weights if smooth else None)
