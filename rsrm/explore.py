"""The transitions of reduction: which smaller problems a reduced problem leads to.

A state is a problem with its surrogate; the gradient of the surrogate supports some reductions
(:func:`supported`), and each that is tried is confirmed by a surrogate of its own (:func:`confirmed`). The search of
the estimator (:mod:`rsrm.agents.reduction`) and the environment ``rsrm/Reduction-v0`` move by these functions alone.
"""

import re
from collections.abc import Iterator

import numpy as np

from rsrm.folding import folds
from rsrm.forms import Reduction
from rsrm.guesses import guesses
from rsrm.noisy_surrogate import back_transformed, fit_noisy_surrogate
from rsrm.power_factors import power_factors
from rsrm.problem import Problem
from rsrm.proposals import propose
from rsrm.surrogate import SMOOTH, Surrogate, fit_surrogate, undone

TEST_ROWS = 300
WORSE, WORSE_NOISY, WORSE_POOR = 5.0, 1.3, 1.02
"""A reduction is confirmed if the held-out error grows by less than this factor, or stays tiny. A large error is noise,
which a right reduction does not add to, or the model's own, which it lowers."""
POOR = 1e-2
"""Above this error gradients say little: more proposals pass the tests, and the refit decides."""
LOOSE, LOOSE_POOR = 0.3, 0.9
TINY = 1e-9
CHILDREN = 5
TRIED, TRIED_POOR = 12, 20
FORCED, SURE = ("drop", "factor"), 0.05
"""Kinds of reductions after which no alternative is looked at, if the test and the refit leave no doubt."""

Child = tuple[Reduction, Problem, Surrogate | None]


def surrogate_of(problem: Problem, noise: float, like: Surrogate | None = None) -> Surrogate | None:
    """Return the model of a problem that was reduced from one with that noise; see :func:`fit_surrogate`."""
    return fit_noisy_surrogate(problem, noise) if problem.noise > 0 else fit_surrogate(problem.X, problem.y, like)


def supported(problem: Problem, surrogate: Surrogate, rng, noise: float = 0.0,
              deadline: float = np.inf) -> list[Reduction]:
    """Return the reductions that the surrogate supports by itself or by its gradient, or else guesses, best first."""
    found = [*folds(problem, surrogate), *power_factors(problem, surrogate)]
    u, _ = surrogate.columns.map(problem.X)
    within = (problem.y >= surrogate.lowest) & (problem.y <= surrogate.highest)
    inner = np.flatnonzero((np.abs(u) < 0.9).all(0) & within)  # a polynomial's derivatives are worst at the edge
    if len(inner) < 40:
        inner = np.flatnonzero(within)
    rows = np.sort(rng.choice(inner, min(TEST_ROWS, len(inner)), replace=False))
    values, gradient = surrogate.gradient(problem.X[:, rows])
    y = problem.y[rows] if noise == 0 else back_transformed(values, problem.y[rows], surrogate.transform)
    gradient = undone(gradient, y, surrogate.transform)
    loose = LOOSE if surrogate.error < POOR else LOOSE_POOR
    found += propose(problem, rows, y, gradient, loose, surrogate.error)
    if noise == 0 and surrogate.error > SMOOTH:
        found += guesses(problem, deadline)
    once: dict[str, Reduction] = {}
    for reduction in sorted(found, key=lambda r: r.cost):  # what is supported in two ways is tried once
        once.setdefault(_plain(reduction.text), reduction)
    return list(once.values())


def _plain(text: str) -> str:
    """Return the text of a reduction without the logarithm by which some tests name a factor."""
    return re.sub(r"factor log\((x\d+)\)", r"factor \1", text)


def most_tried(surrogate: Surrogate, noise: float) -> int:
    """Return how many of the reductions of a problem are tried at most."""
    return TRIED if surrogate.error < POOR or noise > 0 else TRIED_POOR


def confirmed(proposal: Reduction, child: Problem, surrogate: Surrogate, noise: float) -> Child | None:
    """Return the reduction with its problem and surrogate, or None if the surrogate refuses it.

    Parameters
    ----------
    proposal : Reduction
    child : Problem
        What it makes.
    surrogate : Surrogate
        Of the problem that is reduced.
    noise : float
        That of the user's problem, 0 for exact data.
    """
    # A folded or guessed problem is so much smoother that the choices made for the other do not fit.
    fresh = proposal.kind == "fold" or proposal.guessed
    model = surrogate_of(child, noise, None if fresh else surrogate)
    if model is None:
        constant = np.std(child.y) <= 1e-9 * np.abs(np.mean(child.y))
        return (proposal, child, None) if constant else None
    if proposal.guessed:  # by a refit: that is its test
        return proposal, child, model
    if noise > 0:
        worse = WORSE_POOR
    else:
        worse = WORSE if surrogate.error < SMOOTH else WORSE_NOISY if surrogate.error < POOR else WORSE_POOR
    return (proposal, child, model) if model.error <= max(worse * surrogate.error, TINY) else None


def certain(child: Child, surrogate: Surrogate) -> bool:
    """Whether nothing is lost by a reduction, so that no alternative need be kept."""
    proposal, _, model = child
    return (proposal.kind in FORCED and not proposal.guessed and proposal.spread < SURE
            and model is not None and model.error <= surrogate.error)


def children(problem: Problem, surrogate: Surrogate, rng, noise: float = 0.0) -> Iterator[Child | None]:
    """Yield confirmed reductions of `problem`, most convincing first, each with its problem and surrogate.

    `noise` is that of the user's problem, 0 for exact data. None is yielded for each reduction that was refused.
    """
    found = tried = 0
    most = most_tried(surrogate, noise)
    for proposal in supported(problem, surrogate, rng, noise):
        if found >= CHILDREN or tried >= most:
            return
        child = proposal.make()
        if child is None:
            continue
        tried += 1
        result = confirmed(proposal, child, surrogate, noise)
        found += result is not None
        yield result
        if result is not None and certain(result, surrogate):
            return
