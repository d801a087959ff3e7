"""Islands of agents on the user's problem and on the reduced problems that look best."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from joblib import Parallel, delayed

from rsrm.agents.island import Island
from rsrm.expression import Expression
from rsrm.problem import Problem

ISLAND_ROWS = 400
ROUND = 8_000
"""Expressions scored in one round of an island that is alone on a problem."""
SHARED_ROUND = 4_000_000
"""The same times rows, of one of several islands: they wait for each other at the end of a round, and joblib looks only
every ten milliseconds whether a worker has ended. Of two islands on two cores 8,000 expressions on 20 rows each take
as long as on one (by a script)."""
ARMS = 2
"""Problems that islands play on besides the user's own; each takes some 18 MB. Of 237 laws of the random suites and
textbook that searches of ten seconds recovered, islands found seven on the user's problem, one on a reduced one: the
first of five (by a script, at ce3d991)."""


def islands(problem: Problem, reduced: list[tuple[float, Problem]], limits: dict, deadline: float,
            rng: np.random.Generator, count: Callable[[int], None], n_islands: int,
            n_jobs: int | None) -> Iterator[Expression | None]:
    """Yield what islands find on the user's problem and on the best reduced ones, one round at a time.

    Problems are chosen as in a bandit with upper confidence bounds: by how far a round lowered the log of the loss.
    Every problem has ``n_islands`` islands, whose rounds run at the same time on ``n_jobs`` threads, or on whatever
    backend ``joblib.parallel_config`` names. What they find depends on the seed and their number only.
    """
    seeds = np.random.SeedSequence(int(rng.integers(2**32)))
    arms: list[tuple[Problem, list[Island]]] = []
    known: set[int] = set()
    gains, plays = [], []
    with Parallel(n_jobs=n_jobs, prefer="threads") as parallel:
        while time.perf_counter() < deadline:
            fresh = [problem] if not arms else [p for _, p in sorted(reduced, key=lambda r: r[0])[:ARMS]]
            for p in fresh:
                if len(arms) <= ARMS and id(p) not in known:
                    known.add(id(p))
                    few = p.sample(ISLAND_ROWS, rng)
                    arms.append((p, [Island.create(few, seed=s, **limits) for s in seeds.spawn(n_islands)]))
                    gains.append(0.0)
                    plays.append(0)
            bound = [np.inf if n == 0 else g / n + np.sqrt(2.0 * np.log(sum(plays)) / n)
                     for g, n in zip(gains, plays, strict=True)]
            k = int(np.argmax(bound))
            p, group = arms[k]
            before, scored = _loss(group), sum(island.n_evaluations for island in group)
            evaluations = ROUND if n_islands == 1 else max(ROUND, SHARED_ROUND // max(group[0].problem.n_rows, 20))
            done = parallel(delayed(_round)(island, evaluations) for island in group)
            group[:] = [island for island, _ in done]
            count(sum(island.n_evaluations for island in group) - scored)
            after = _loss(group)
            plays[k] += 1
            gains[k] += min(1.0, np.log(before / max(after, 1e-15))) if np.isfinite(before) and after < before else 0.0
            for expression, _ in sorted((e for _, improved in done for e in improved), key=lambda e: e[1]):
                yield p.lift(expression)
            yield None


def _round(island: Island, evaluations: int) -> tuple[Island, list]:
    """Return the island after a round, which may have run in another process, and what it improved."""
    improved = island.round(evaluations=evaluations)
    return island, improved


def _loss(group: list[Island]) -> float:
    return min(float(island.hall.errors.min()) for island in group)
