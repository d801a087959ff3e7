"""Triples of terms of a sum, against least squares, and laws along a curve that neither terms nor pairs tell."""

import time
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from rsrm.benchmarks.catalogue import load_suite
from rsrm.evaluate import values
from rsrm.library import Library
from rsrm.mixture_model import Model
from rsrm.mixture_triples import best_of_kinds, threefold, triples
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem


@pytest.fixture(scope="module")
def given():
    """``-0.22*x0*log(x0 + 1) + 0.5804*x0*exp(-0.223*x1) - 0.432*exp(-1.305*x0) + 0.432`` along its own trajectory."""
    law = next(p for p in load_suite("random_rates") if p.name == "random_rates-55")
    data = law.sample(0)
    X = np.ascontiguousarray(data.X_train[::10].T)
    return Problem(X, data.y_train[::10], Library(2, DEFAULT_OPERATORS))


@pytest.mark.parametrize("lines", [False, True])
def test_the_best_of_every_few_kinds_is_what_trying_all_sets_gives(lines):
    rng = np.random.default_rng(0)
    n, R = 14, 16
    kinds = np.array([0, 0, 0, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4, 4])
    bases = np.array([np.linalg.qr(rng.standard_normal((R, 2)))[0].T for _ in range(n)])
    if lines:
        bases[[1, 4, 9], 1] = 0.0  # functions without a parameter
    r = rng.standard_normal(R)
    r /= np.linalg.norm(r)
    expected = {}
    for chosen in (c for size in (1, 2, 3) for c in combinations(range(n), size)):
        A = np.vstack(bases[list(chosen)]).T
        share = np.sum((r - A @ np.linalg.lstsq(A, r, rcond=1e-12)[0]) ** 2)
        key = *kinds[list(chosen)], *[5] * (3 - len(chosen))
        expected[key] = min(expected.get(key, (2.0, ())), (share, chosen))
    flat = bases.reshape(2 * n, R)
    left, planes = np.ones((6, 6, 6), np.float32), np.zeros((6, 6, 6, 3), np.int16)
    for first, last in ((0, 5), (5, n)):
        best_of_kinds(flat @ flat.T, flat @ r, kinds, first, last, left, planes)
    assert np.count_nonzero(left < 1.0) == len(expected)
    for key, (share, chosen) in expected.items():
        assert tuple(planes[key]) == (*chosen, *[-1] * (3 - len(chosen)))
        assert left[key] == pytest.approx(share, rel=1e-5)


def test_a_rate_of_three_terms_is_found_along_a_curve(given):
    model = Model(given, 1, np.inf)
    found = next(terms for terms in threefold(model, 1e-10, np.inf) if terms is not None)
    parameters = {(model.families[f.family].name, f.argument, model.factors[t.multiplier]): f.theta
                  for t in found for f in t.functions}
    assert parameters.keys() == {("log", 0, ((0, 1.0),)), ("exp", 1, ((0, 1.0),)), ("exp", 0, ())}
    assert parameters["log", 0, ((0, 1.0),)] == pytest.approx(1.0, rel=1e-6)
    assert parameters["exp", 1, ((0, 1.0),)] == pytest.approx(-0.223, rel=1e-6)
    assert parameters["exp", 0, ()] == pytest.approx(-1.305, rel=1e-6)


def test_triples_yield_the_rate(given):
    deadline = time.perf_counter() + 60.0
    found = (e for e in triples(given, deadline, np.random.default_rng(0)) if e is not None)
    x, t = np.array([[0.3, 2.0, 6.0], [1.0, 30.0, 5.0]])  # off the curve
    rate = -0.22 * x * np.log(x + 1.0) + 0.5804 * x * np.exp(-0.223 * t) - 0.432 * np.exp(-1.305 * x) + 0.432
    assert any(np.allclose(values(e, np.column_stack([x, t]))[0], rate, rtol=1e-5) for e in found)


def test_nothing_is_found_after_the_deadline(given):
    model = Model(given, 1, np.inf)
    assert list(threefold(model, 1e-10, time.perf_counter() - 1.0)) == []
    assert list(triples(given, time.perf_counter() - 1.0, np.random.default_rng(0))) == []


def test_noisy_and_scarce_data_are_left_to_others(given):
    for problem in (replace(given, noise=0.01), given.take(np.arange(10))):
        assert list(triples(problem, np.inf, np.random.default_rng(0))) == []
