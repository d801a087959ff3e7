"""The order in which the stages of a search run.

Cheap exact stages on the user's problem, the bank, reductions with the same stages as closings, then what is left of
the time alternates between islands of the token-level agents and deeper banks and reductions.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.bank_stages import bank_candidates
from rsrm.direct import elementary, power_law, rational
from rsrm.explore import explore
from rsrm.expression import Expression
from rsrm.problem import Problem

SMALL_BANK = ((4_000, 400),)
LARGE_BANK = ((200_000, 2_000),)


def direct_stages(problem: Problem, deadline: float, rng) -> Iterator[Expression | None]:
    """Yield from the closed-form solvers, cheap ones first."""
    for stage in (elementary, power_law, rational):
        yield from stage(problem, deadline, rng)
        yield None


def close(problem: Problem, deadline: float, rng, deep: bool = False) -> Iterator[Expression | None]:
    """Yield expressions that close a reduced problem."""
    if not deep:
        yield from direct_stages(problem, min(deadline, time.perf_counter() + 0.5), rng)
    yield from bank_candidates(problem, min(deadline, time.perf_counter() + (3.0 if deep else 1.0)), rng,
                               sizes=LARGE_BANK if deep else SMALL_BANK)


def stages(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[tuple[str, Iterator]]:
    """Yield (name, iterator of expressions or None) in the order in which they run."""
    yield "direct", direct_stages(problem, min(deadline, time.perf_counter() + 2.0), rng)
    yield "bank", bank_candidates(problem, deadline, rng, sizes=SMALL_BANK)
    yield "reductions", explore(problem, lambda p, deep: close(p, deadline, rng, deep), deadline, rng)
    yield "bank", bank_candidates(problem, deadline, rng, sizes=LARGE_BANK)
