"""Sources of expressions that the cascade puts in order: solvers, reductions, parts of laws over fewer columns."""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.agents.reduction import ReductionSearch
from rsrm.bank_stages import bank_candidates
from rsrm.closings import SMALL_BANK, guarded
from rsrm.direct import STAGES
from rsrm.expression import Expression
from rsrm.mixtures import mixtures, more_mixtures
from rsrm.periodic import periodic
from rsrm.problem import Problem
from rsrm.redundant import fewer_columns
from rsrm.skeleton_fit import more_skeletons
from rsrm.turns import in_turns, turn


def direct_stages(problem: Problem, deadline: float, rng, each: float, chosen=STAGES) -> Iterator[Expression | None]:
    """Yield from the closed-form solvers, cheap ones first, `each` for so many seconds at most."""
    for stage in chosen:
        yield from guarded(stage(problem, min(deadline, time.perf_counter() + each), rng), stage.__name__)
        yield None


def reductions(problem: Problem, deadline: float, rng, reduced: list) -> Iterator[Expression | None]:
    """Yield from the tree search over reductions; `reduced` is filled with (cost, problem)."""
    def search():  # the first surrogate is fitted when the source gets its turn
        yield from ReductionSearch(problem, deadline, rng, reduced)

    return guarded(search(), "reductions")


def over_fewer_columns(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield what the stages for sums find over sets of columns that explain the target alone, in turns."""
    closed_forms = tuple(stage for stage in STAGES if stage is not mixtures)

    def solved(part: Problem) -> Iterator[Expression | None]:
        for _, found in in_turns({
            "mixtures": guarded(more_mixtures(part, deadline, rng), "mixtures"),
            "direct": direct_stages(part, deadline, rng, 0.5, closed_forms),
            "bank": bank_candidates(part, deadline, rng, sizes=SMALL_BANK),
            "skeletons": more_skeletons(part, deadline, rng),
        }, deadline):
            yield from found

    sources = [[0.0, rank, part, solved(part)] for rank, part in enumerate(fewer_columns(problem), 1)]
    while sources:
        source = min(sources, key=lambda s: s[0] * s[1])  # the best set of columns gets the longest time
        began, ended = time.perf_counter(), []
        for expression in turn(source[3], ended):
            yield None if expression is None else source[2].lift(expression)
        source[0] += time.perf_counter() - began
        if ended:
            sources.remove(source)


def alone(deadline: float, rng: np.random.Generator, part: Problem) -> Iterator[Expression | None]:
    """Yield what quick stages find for a part of a law."""
    yield from direct_stages(part, deadline, rng, 0.5)
    yield from guarded(periodic(part, min(deadline, time.perf_counter() + 0.5), rng), "periodic")
