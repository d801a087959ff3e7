"""Closings: ways to look for the law of a reduced problem, from the cheapest to the most thorough.

The search over reductions and the environment ``rsrm/Reduction-v0`` close problems by :func:`closing` and value what it
finds by :func:`decades`; the environment offers the kinds named in :data:`CHEAP` and lets them end by their own bounds.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from rsrm.bank import Bank
from rsrm.bank_stages import bank_candidates, pairs, power_matches, singles
from rsrm.direct import STAGES, elementary, power_law
from rsrm.exponential import exponentials
from rsrm.expression import Expression
from rsrm.factors import factors, more_factors
from rsrm.implicit import quadratics
from rsrm.noisy_rational import noisy_rational
from rsrm.objective import Objective
from rsrm.periodic import periodic
from rsrm.polynomial import generalized_rational, rational
from rsrm.problem import Problem
from rsrm.question import Question
from rsrm.separable import separable
from rsrm.skeleton_fit import more_skeletons, skeletons
from rsrm.sparse import noisy_sums, projected, small_sums
from rsrm.mixtures import mixtures

SMALL_BANK = ((4_000, 400),)
LARGE_BANK = ((200_000, 2_000),)
GLANCE = 2_000
"""Entries of the bank that every reduced problem is asked of at once."""
EXACT = 1e-10
"""NRMSE at which a law explains all that rounding leaves."""


class Closing(NamedTuple):
    """A kind of closing.

    Attributes
    ----------
    stages : tuple of callable
        ``stage(problem, deadline, rng)``.
    seconds : float
        What each stage gets at most.
    effort : float
        What the closing takes on a problem of four variables, nominally, in seconds.
    cost : float
        Those of smaller cost are tried first; comparable to the cost of a reduction.
    """

    stages: tuple[Callable, ...]
    seconds: float
    effort: float
    cost: float


def glance(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield one or two sub-expressions of a very small bank, also inside an outer function."""
    bank = Bank.enumerate(problem.X, problem.library, max_entries=GLANCE, rng=rng, deadline=deadline)
    question = Question(problem, bank, deadline, 200)
    return (match.expression for match in chain(singles(question), pairs(question),
                                                power_matches(problem, deadline, rng, GLANCE)))


def exact_glance(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield what one or two sub-expressions of a very small bank explain exactly: a hundredth of a second."""
    bank = Bank.enumerate(problem.X, problem.library, max_entries=GLANCE, rng=rng, deadline=deadline)
    question = Question(problem, bank, deadline, 200, n_loose=0)
    return (match.expression for match in chain(singles(question), pairs(question)))


def small_bank(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield what a small bank finds."""
    return bank_candidates(problem, deadline, rng, sizes=SMALL_BANK)


def apart(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield sums and products of functions of different variables, each solved by the direct stages."""

    def solve(part: Problem) -> Iterator[Expression | None]:
        for stage in (*STAGES, periodic):
            yield from guarded(stage(part, min(deadline, time.perf_counter() + 0.5), rng), stage.__name__)
            yield None

    return separable(problem, solve, deadline, rng)


CLOSINGS = {
    "power law": Closing((elementary, power_law), 0.5, 0.01, 0.15),
    "rational": Closing((rational,), 0.5, 0.1, 0.2),
    "sums": Closing((projected, exponentials, noisy_sums), 0.5, 0.1, 0.2),
    "bank": Closing((glance,), 0.5, 0.1, 0.2),
    "outer rational": Closing((generalized_rational, noisy_rational), 0.5, 0.5, 0.3),
    "skeletons": Closing((quadratics, skeletons), 0.5, 0.4, 0.3),
    "factors": Closing((factors, more_factors), 0.5, 0.7, 0.35),
    "small bank": Closing((small_bank,), 2.0, 1.0, 0.4),
    "small sums": Closing((small_sums,), 0.5, 0.5, 0.4),
    "mixtures": Closing((mixtures,), 0.5, 0.5, 0.45),
    "periodic": Closing((periodic,), 0.7, 0.7, 0.5),
    "apart": Closing((apart,), 3.0, 2.0, 0.5),
    "more skeletons": Closing((more_skeletons,), 2.0, 2.0, 0.6),
}
CHEAP = ("power law", "rational", "sums", "bank")
"""Those that take a fraction of a second whatever the problem."""


def closing(problem: Problem, kind: Closing, deadline: float,
            rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield expressions by which a kind of closing explains a problem, simplest first; None between its stages.

    With an infinite deadline the stages end by their own bounds and not by the clock.
    """
    for stage in kind.stages:
        end = min(deadline, time.perf_counter() + kind.seconds) if np.isfinite(deadline) else deadline
        yield from guarded(stage(problem, end, rng), stage.__name__)
        yield None


def guarded(source: Iterator, name: str) -> Iterator[Expression | None]:
    """Yield from `source`; if its numerics give up on odd data, say so and let the other stages go on."""
    try:
        yield from source
    except (ArithmeticError, ValueError) as error:  # LinAlgError is a ValueError
        warnings.warn(f"stage {name} gave up on these data: {error}", RuntimeWarning, stacklevel=2)


def lifted(problem: Problem, expressions: Iterator[Expression | None],
           objective: Objective) -> Iterator[tuple[Expression | None, float]]:
    """Yield expressions of a reduced problem in the user's variables, each with its NRMSE; (None, inf) for none.

    Parameters
    ----------
    problem : Problem
    expressions : iterator of Expression or None
        Over its library.
    objective : Objective
        Of the user's problem.
    """
    for expression in expressions:
        up = None if expression is None else problem.lift(expression)
        yield up, np.inf if up is None else objective.score(up)[0]


def decades(nrmse: float, floor: float = EXACT) -> float:
    """Return ``log(nrmse) / log(floor)`` within [0, 1]: 0 says nothing is explained, 1 that only the floor is left."""
    return float(np.clip(np.log(max(nrmse, floor)) / np.log(floor), 0.0, 1.0)) if floor < 1.0 else 0.0
