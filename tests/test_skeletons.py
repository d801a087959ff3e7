"""Skeletons: every one is a complete expression in normal form; laws with several inner constants are recovered."""

import time

import numpy as np
import pytest

from rsrm.closing import column
from rsrm.constants import workspace
from rsrm.expression import Expression
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.skeleton_fit import batch, fit_batch, more_skeletons, skeletons
from rsrm.skeletons import MAX_CONSTANTS, _sorted, enumerate_skeletons


@pytest.mark.parametrize("n_variables", [1, 2, 3])
@pytest.mark.parametrize("tier", [0, 1])
def test_skeletons_are_complete_expressions_of_all_variables(n_variables, tier):
    library = Library(n_variables, ("add", "sub", "mul", "div", "exp", "log", "sin"))
    found = enumerate_skeletons(library, tier)
    assert len(found) > 50
    assert len({s.tokens for s in found}) == len(found)
    assert [s.cost for s in found] == sorted(s.cost for s in found)
    allowed = {library.token(o) for o in library.operators} | {library.token("1"), library.constant}
    for s in found:
        e = Expression(np.frombuffer(s.tokens, np.uint8), np.ones(len(s.kinds)), library)  # raises if they do not fit
        used = set(e.tokens.tolist())
        assert set(range(n_variables)) <= used <= allowed | set(range(n_variables))
        assert len(s.kinds) <= MAX_CONSTANTS


def test_the_cheapest_are_kept_while_they_are_made():
    every = enumerate_skeletons(Library(1), 1)
    rng = np.random.default_rng(0)
    shuffled = [every[k] for k in rng.permutation(np.repeat(np.arange(len(every)), 3))]
    assert _sorted(shuffled, 1, 20) == list(every[:20])


def test_no_skeletons_without_constants_or_over_many_variables():
    assert enumerate_skeletons(Library(1, constants=False), 0) == ()
    assert enumerate_skeletons(Library(4), 0) == ()


def test_a_batch_finds_the_outer_scale_that_least_squares_finds():
    rng = np.random.default_rng(0)
    library = Library(1, ("add", "mul", "div", "exp"))
    some = [s for s in enumerate_skeletons(library, 0) if len(s.kinds) == 0]
    X = rng.uniform(0.5, 3.0, (1, 30))
    y = rng.standard_normal(30)
    w = rng.uniform(0.5, 2.0, 30)
    packed = batch(some, rng)
    constants, sse = np.zeros(packed.kinds.shape), np.zeros(len(some))
    fit_batch(packed, 0, len(some), X, y, w, library.tables, constants, sse,
              workspace(packed.tokens.shape[1], packed.kinds.shape[1], 30))
    mean = np.average(y, weights=w**2)
    for s, error in zip(some, sse, strict=True):
        f = column(Expression(np.frombuffer(s.tokens, np.uint8), np.empty(0), library), X)
        A = np.column_stack([np.ones(30), f]) * w[:, None]
        r = y * w - A @ np.linalg.lstsq(A, y * w, rcond=None)[0]
        assert error == pytest.approx(r @ r / np.sum(((y - mean) * w) ** 2), rel=1e-8)


LAWS = {
    "logistic": lambda t: 5.3 / (1.0 + 12.0 * np.exp(-0.9 * t)),
    "gompertz": lambda t: 4.0 * np.exp(-3.2 * np.exp(-0.6 * t)),
    "damped oscillation": lambda t: 1.5 + 2.1 * np.exp(-0.3 * t) * np.sin(2.4 * t + 0.7),
    "two decays": lambda t: 3.0 * np.exp(-1.1 * t) + 0.8 * np.exp(-0.2 * t),
    "shifted root": lambda t: np.sqrt(t + 1.7) * np.exp(-0.4 * t),
}


def solved(problem, stage, grid, truth, seconds=20.0):
    """Return the smallest relative error of what a stage yields on a grid that goes beyond the rows."""
    best = np.inf
    for e in stage(problem, time.perf_counter() + seconds, np.random.default_rng(0)):
        if e is not None:
            values = column(e, grid)
            best = min(best, np.inf if values is None else np.max(np.abs(values - truth)) / np.ptp(truth))
    return best


@pytest.mark.parametrize("name", LAWS)
def test_a_law_with_inner_constants_is_recovered(name):
    rng = np.random.default_rng(1)
    t = rng.uniform(0.0, 10.0, 60)
    grid = np.linspace(0.1, 12.0, 50)
    problem = Problem(t[None].copy(), LAWS[name](t), Library(1))
    assert solved(problem, skeletons, grid[None], LAWS[name](grid)) < 1e-7


def test_a_law_of_two_variables_is_recovered_by_the_larger_skeletons():
    rng = np.random.default_rng(1)
    law = lambda X: 2.2 * np.exp(-0.7 * X[0]) / (1.3 + X[1]) - 0.4  # noqa: E731
    X = rng.uniform(0.1, 4.0, (2, 80))
    grid = rng.uniform(0.1, 5.0, (2, 50))
    assert solved(Problem(X, law(X), Library(2)), more_skeletons, grid, law(grid)) < 1e-7


def test_under_noise_the_right_law_is_among_the_candidates():
    rng = np.random.default_rng(2)
    t = rng.uniform(0.0, 10.0, 100)
    y = LAWS["logistic"](t)
    grid = np.linspace(0.0, 10.0, 50)
    noisy = y + 0.02 * np.std(y) * rng.standard_normal(100)
    problem = Problem(t[None].copy(), noisy, Library(1), noise=0.02)
    assert solved(problem, skeletons, grid[None], LAWS["logistic"](grid)) < 0.02
