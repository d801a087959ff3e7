"""The search: cheap exact stages first, then rounds of islands with the remaining time.

:func:`search` is a generator of :class:`State`; whoever drives it (the estimator, a progress bar, a notebook) may stop
at any state and keeps the best found so far. Stages are generators of expressions, simplest first; every expression
they yield passes the same :class:`rsrm.refine.Refiner`.
"""

import enum
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rsrm.cascade import stages
from rsrm.closings import guarded
from rsrm.columns import narrowed
from rsrm.compose import linear
from rsrm.expression import Expression, apply, number, variable
from rsrm.objective import FLOOR, Objective
from rsrm.problem import Problem
from rsrm.refine import Refiner
from rsrm.selection import Candidate, Pool


WORK_ROWS = 5000
"""Stages see at most this many rows; every candidate is confirmed on all of them."""
FRONT = 8
"""Candidates at the accurate end of the front that stages are shown."""
SHORT = 3
"""Candidates of shortest description that stages are shown."""
EXACT_DIGITS = np.log(1e-8)
SURE_COST = 30.0
"""An exact formula this short (in nats) cannot be chance: the search ends at once."""
PATIENCE, MOST_DIGITS = 0.2, 10.0
"""Seconds of further search for a nat beyond that or of missing accuracy, and at most for accuracy."""


class StopReason(enum.Enum):
    """Why a search ended; the value is the advice for the user."""

    EXACT = "an exact and simple law was found"
    MAX_TIME = "max_time is used up: more time may find a better law"
    MAX_EVALS = "max_evals is used up: more evaluations may find a better law"
    INTERRUPTED = "interrupted by the user: the best law found so far is kept"
    EXHAUSTED = "every stage has ended"


@dataclass(frozen=True)
class Options:
    """Limits of a search; immutable, and no result is ever stored here."""

    max_time: float = 60.0
    max_evals: int | None = None
    target_nrmse: float = 1e-8
    max_size: int = 40
    max_depth: int = 12
    max_constants: int = 10
    nested_constraints: dict | None = None
    n_islands: int = 1
    n_jobs: int | None = None
    seed: int | None = None
    agent: object = None


@dataclass
class State:
    """What a search knows between two of its steps."""

    pool: Pool
    objective: Objective
    started: float
    stage: str = ""
    n_search_evaluations: int = 0
    stop_reason: StopReason | None = None
    history: list[tuple[float, float, int]] = field(default_factory=list)

    @property
    def elapsed(self) -> float:
        """Seconds since the search began."""
        return time.perf_counter() - self.started

    @property
    def n_evaluations(self) -> int:
        """Expressions scored so far, by the stages' kernels and in full."""
        return self.n_search_evaluations + self.objective.n_evaluations

    def count(self, n: int) -> None:
        """Add `n` expressions that compiled rounds have scored."""
        self.n_search_evaluations += n

    @property
    def best(self) -> Candidate | None:
        """The candidate that would be chosen now."""
        return self.pool.best()


def search(problem: Problem, options: Options, state: State | None = None) -> Iterator[State]:
    """Search for the law behind `problem`; yield the state after every step until a limit or an exact law is met.

    Parameters
    ----------
    problem : Problem
        The user's data; every row of it may be used, and nothing else is seen.
    options : Options
    state : State, optional
        Go on from here (warm start): what is in its pool stays.

    Yields
    ------
    State
        The same object each time; ``stop_reason`` is set on the last one.
    """
    rng = np.random.default_rng(options.seed)
    state = begin(problem) if state is None else state
    deadline = state.started + options.max_time
    refiner = Refiner(state.objective, state.pool, rng)
    work, back = narrowed(problem.sample(WORK_ROWS, rng), rng)
    limits = dict(max_size=options.max_size, max_depth=options.max_depth, max_constants=options.max_constants,
                  nested_constraints=options.nested_constraints)
    for expression in _baseline(problem):  # whatever happens next, there is an answer
        refiner.consider(expression, "baseline", state.elapsed)

    def best() -> list[tuple[Expression, float]]:  # over the columns that the stages see
        front = state.pool.front()[:-FRONT - 1:-1] if work.n_variables == problem.n_variables else []
        return [(candidate.expression, candidate.nrmse) for candidate in front]

    def shortest() -> list[Expression]:
        if work.n_variables != problem.n_variables:
            return []
        return [c.expression for c in sorted(state.pool, key=state.pool.description_length)[:SHORT]]

    for name, expressions in stages(work, limits, deadline, rng, state.count, state.pool.best_loss, best, shortest,
                                    options.agent, options.n_islands, options.n_jobs):
        state.stage = name
        for expression in guarded(expressions, name):
            expression = back(expression)
            if expression is not None and refiner.consider(expression, name, state.elapsed) is not None:
                best = state.best
                if not state.history or best.nrmse < state.history[-1][1]:
                    state.history.append((state.elapsed, best.nrmse, best.complexity))
            state.stop_reason = _reason(state, options)
            yield state
            if state.stop_reason is not None:
                return
    state.stop_reason = _reason(state, options) or StopReason.EXHAUSTED
    yield state


def begin(problem: Problem, expressions=()) -> State:
    """Return a fresh state whose pool holds `expressions`, scored on the data of `problem`."""
    state = State(Pool(problem.n_rows), Objective(problem), time.perf_counter())
    for expression in expressions:
        state.pool.add(Candidate(expression, *state.objective.score(expression), 0.0, "warm start"))
    return state


def _baseline(problem: Problem) -> list[Expression]:
    """Return the mean of y, the variables and the affine fit (without constants: the literal 1 and the variables)."""
    library = problem.library
    columns = [variable(library, i) for i in range(library.n_variables)]
    if not library.constants:
        return [apply(library, "1"), *columns]
    w = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    found = [number(library, float(np.average(problem.y, weights=w**2))), *columns]
    design = np.vstack([problem.X, np.ones(problem.n_rows)]) * w
    sizes = np.maximum(np.linalg.norm(design, axis=1), 1e-300)
    coefficients = np.linalg.lstsq((design / sizes[:, None]).T, problem.y * w)[0] / sizes
    affine = linear(library, list(zip(coefficients[:-1], columns, strict=True)), float(coefficients[-1]))
    return found if affine is None else [*found, affine]


def _reason(state: State, options: Options) -> StopReason | None:
    """Return why to stop now, or None."""
    if state.elapsed >= options.max_time:
        return StopReason.MAX_TIME
    if options.max_evals is not None and state.n_evaluations >= options.max_evals:
        return StopReason.MAX_EVALS
    best = state.best
    if best is None or best.nrmse > options.target_nrmse or best.digits > EXACT_DIGITS:
        return None
    # A long exact formula may be a short law in disguise (a high-order polynomial for a cosh): the longer it is, the
    # more time the stages after it get to find a shorter one.
    # The same where digits are missing, be it on a few rows: an approximation may be better than any tolerance.
    missing = state.pool.n_rows * (best.digits - np.log(FLOOR))
    cost = best.cost(float(np.exp(best.digits)), state.pool.n_rows)
    patience = PATIENCE * max(0.0, cost - SURE_COST)
    patience += min(PATIENCE * missing, MOST_DIGITS)
    return StopReason.EXACT if state.elapsed >= best.found_at + patience else None
