"""The search over trees of monomials: fits from many starts, small trees first, the best of them extended.

From starts near zero a fit of all exponents finds the law's own for one start in ten or so, at a third of a millisecond
each, in any number of variables.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.expression import Expression
from rsrm.monomial_fit import MAX_LEAVES, Fits
from rsrm.monomial_reading import ExactReader, NoisyReader
from rsrm.monomial_trees import Node, allowed, extensions, trees, weight
from rsrm.problem import Problem

FIRST_STARTS = 12
"""Starts of each of the smallest trees."""
DRAWN = 1000
"""Trees of three monomials that are tried in a round."""
PARENTS = {3: 4, 4: 2}
"""Trees of so many monomials that are extended in a round."""
CHUNK = 16
"""Fits between two looks at the clock."""


def monomial_trees(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield trees of functions over monomials that fit exactly, or as well as noise lets them; None between fits.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows and starts.
    """
    columns = [i for i, x in enumerate(problem.X) if x.min() > 0.0 and np.ptp(x) > 0.0]
    if not columns or np.ptp(problem.y) == 0:
        return
    factors = allowed(problem.library)
    fits = Fits(problem, columns, rng)
    reader = NoisyReader(fits) if problem.noise > 0 else ExactReader(fits)
    done = 0

    def tried(waiting: Iterator[tuple[Node, np.ndarray]], best: dict) -> Iterator[Expression | None]:
        nonlocal done
        for node, start in waiting:
            if time.perf_counter() > deadline:
                return
            error, constants, a, b = fits.fit(node, start)
            explained = yield from reader.read(node, error, constants, a, b)
            if not explained and error < best.get(node, (np.inf,))[0]:
                best[node] = (error, constants)
            done += 1
            if done % CHUNK == 0:
                yield None

    def from_zero(some) -> Iterator[tuple[Node, np.ndarray]]:
        return ((node, fits.start(node)) for node in some)

    def extended(best: dict, most: int) -> Iterator[tuple[Node, np.ndarray]]:
        for node in sorted(best, key=lambda k: best[k][0])[:most]:
            _, constants = best.pop(node)
            for longer, place, factor in extensions(node, factors):
                at = place * (len(columns) + 1) - 1
                yield longer, np.insert(constants, at, fits.monomial(factor))

    levels: dict[int, dict] = {n: {} for n in range(2, MAX_LEAVES + 1)}
    if fits.fits(2):
        for _ in range(FIRST_STARTS):
            yield from tried(from_zero(trees(factors, 2)), levels[2])
    every = trees(factors, 3)
    chances = np.array([weight(node) for node in every])
    chances /= chances.sum()
    while fits.fits(3) and time.perf_counter() < deadline:
        yield from tried(from_zero(every[k] for k in rng.choice(len(every), DRAWN, p=chances)), levels[3])
        for n, most in PARENTS.items():
            if fits.fits(n + 1):
                yield from tried(extended(levels[n], most), levels[n + 1])
