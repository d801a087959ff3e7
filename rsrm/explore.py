"""Best-first search over reductions.

A node is a reduced problem; its children are the reductions that its surrogate supports and whose own surrogate
confirms. Every node is offered to the closings (direct solvers, bank); alternatives stay in the queue, because the
greedy choice merges too much.
"""

import heapq
import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np

from rsrm.expression import Expression
from rsrm.forms import Reduction
from rsrm.noisy_surrogate import back_transformed, fit_noisy_surrogate
from rsrm.problem import Problem
from rsrm.proposals import propose
from rsrm.surrogate import SMOOTH, Surrogate, fit_surrogate, undone

TEST_ROWS = 300
FIT_ROWS = 4000
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
HOPELESS, HOPELESS_FEW, MANY_ROWS = 0.9, 0.1, 200
DEEP = 2.5


def _model(problem: Problem, noise: float, like: Surrogate | None = None) -> Surrogate | None:
    return fit_noisy_surrogate(problem, noise) if problem.noise > 0 else fit_surrogate(problem.X, problem.y, like)


def children(problem: Problem, surrogate: Surrogate, rng,
             noise: float = 0.0) -> Iterator[tuple[Reduction, Problem, Surrogate | None] | None]:
    """Yield confirmed reductions of `problem`, most convincing first, each with its problem and surrogate.

    `noise` is that of the user's problem, 0 for exact data. None is yielded for each reduction that was refused.
    """
    good = surrogate.error < POOR
    u, _ = surrogate.columns.map(problem.X)
    known = (problem.y >= surrogate.lowest) & (problem.y <= surrogate.highest)
    inner = np.flatnonzero((np.abs(u) < 0.9).all(0) & known)  # a polynomial's derivatives are worst at the edge
    if len(inner) < 40:
        inner = np.flatnonzero(known)
    rows = np.sort(rng.choice(inner, min(TEST_ROWS, len(inner)), replace=False))
    values, gradient = surrogate.gradient(problem.X[:, rows])
    y = problem.y[rows] if noise == 0 else back_transformed(values, problem.y[rows], surrogate.transform)
    gradient = undone(gradient, y, surrogate.transform)
    proposals = sorted(propose(problem, rows, y, gradient, LOOSE if good else LOOSE_POOR), key=lambda r: r.cost)
    found = tried = 0
    for proposal in proposals:
        if found >= CHILDREN or tried >= (TRIED if good or noise > 0 else TRIED_POOR):
            return
        child = proposal.make()
        if child is None:
            continue
        tried += 1
        model = _model(child, noise, surrogate)
        if model is None:
            if np.std(child.y) <= 1e-9 * np.abs(np.mean(child.y)):
                found += 1
                yield proposal, child, None
            continue
        if noise > 0:
            worse = WORSE_POOR
        else:
            worse = WORSE if surrogate.error < SMOOTH else WORSE_NOISY if good else WORSE_POOR
        if model.error <= max(worse * surrogate.error, TINY):
            found += 1
            yield proposal, child, model
            if proposal.kind in FORCED and proposal.spread < SURE and model.error <= surrogate.error:
                return  # nothing is lost by it, so that the alternatives need not be kept
        else:
            yield None


def _percent(ratio: float) -> float:
    """Return a rise of the error in units of five percent."""
    return 20.0 * (ratio - 1.0)


def explore(problem: Problem, close: Callable[[Problem, bool], Iterator[Expression | None]], deadline: float, rng,
            reduced: list[tuple[float, Problem]], max_nodes: int = 60) -> Iterator[Expression | None]:
    """Yield expressions for the user's problem found by closing reduced problems.

    Parameters
    ----------
    problem : Problem
    close : callable
        ``close(problem, deep)`` yields expressions over the reduced problem's library (or None: a heartbeat); each
        problem is closed with deep False first and, when nothing better waits, with deep True.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    rng : numpy.random.Generator
    reduced : list of (float, Problem)
        Filled with the reduced problems that were closed and their cost: others may search them further.
    max_nodes : int
        Bound on the number of reduced problems.
    """
    noise = problem.noise
    if problem.n_rows > FIT_ROWS:
        problem = problem.take(np.sort(rng.choice(problem.n_rows, FIT_ROWS, replace=False)))
    root = _model(problem, noise)
    if root is None or root.error > (HOPELESS if problem.n_rows >= MANY_ROWS else HOPELESS_FEW):
        return
    order = count()
    seen: set[bytes] = set()
    # Tasks are expanded before they are closed as long as that leads to fewer variables: the greedy path is walked to
    # its end first, then closed from there upwards, then the alternatives follow.
    queue = [(0.0, next(order), "expand", 0, 0.0, problem, root)]
    nodes = 0
    while queue and nodes < max_nodes and time.perf_counter() < deadline:
        _, _, task, depth, cost, node, model = heapq.heappop(queue)
        if task != "expand":
            nodes += 1
            for expression in close(node, task == "deep"):
                yield None if expression is None else node.lift(expression)
            if task == "close":
                reduced.append((cost, node))
                heapq.heappush(queue, (cost + DEEP, next(order), "deep", depth, cost, node, model))
            continue
        if model is None:
            continue
        for confirmed in children(node, model, rng, noise):
            if confirmed is None:
                yield None
                continue
            proposal, child, child_model = confirmed
            key = np.round(np.concatenate([np.sort(child.X[:, 0]), child.y[:2]]), 10).tobytes()
            yield None
            if key in seen:
                continue
            seen.add(key)
            error = root.error if child_model is None else child_model.error
            # Under noise a rise by a percent means much, in exact data a tenfold one little.
            worse = max(-1.0, (np.log10 if noise == 0 else _percent)(max(error, 1e-12) / max(root.error, 1e-12)))
            cost = child.n_variables + worse + proposal.cost
            heapq.heappush(queue, (cost, next(order), "close", depth + 1, cost, child, child_model))
            priority = cost + 0.5 * depth - 1.0
            heapq.heappush(queue, (priority, next(order), "expand", depth + 1, cost, child, child_model))
