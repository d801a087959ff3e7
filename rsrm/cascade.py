"""The order in which the stages of a search run.

Cheap exact stages on the user's problem come first. Then several sources share the time until it is up: a bank of
sub-expressions, separated representations, trees over monomials, the tree search over reductions with the same stages
as closings, sums over fewer columns where columns tell the same, sums with inner constants, one by one and in triples,
the remainders of what is found so far and the laws that it is the limit of, the dearer exact stages, the same under the
assumption of noise, sines over several periods, skeletons, and islands of agents that search whole expressions, on the
user's problem and on the reduced problems that looked best. Whose turn it is double Q-learning has learned from random
laws (:mod:`rsrm.agents.scheduling`). Data that are known to be noisy go another way, on which the islands come early.
After every stage the shortest formula, if it is new, is asked which of its sub-trees another one should replace.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from rsrm.agents.scheduling import Situation
from rsrm.bank_stages import bank_candidates
from rsrm.closings import LARGE_BANK, SMALL_BANK, apart, exact_glance, guarded
from rsrm.direct import AT_ONCE, CHEAP, NOISY_SETS, QUICK, STAGES
from rsrm.expression import Expression
from rsrm.islands import islands
from rsrm.kriging import ROWS, Evidence, noise_evidence
from rsrm.leading import Leading
from rsrm.mixture_triples import triples
from rsrm.mixtures import more_mixtures
from rsrm.monomial_search import monomial_trees
from rsrm.noise import Noise, noise_level
from rsrm.noisy_stages import noisy, noisy_stages
from rsrm.periodic import periodic
from rsrm.problem import Problem
from rsrm.redundant import thin
from rsrm.remainders import Remainders
from rsrm.replacements import Replacements
from rsrm.schedule import learned_turns
from rsrm.separable import splits
from rsrm.separated_search import separated
from rsrm.skeleton_fit import more_skeletons
from rsrm.sources import alone, direct_stages, over_fewer_columns, reductions
from rsrm.terms import subset
from rsrm.turns import turn

SMOOTH = 1e-3
"""Noise that a smooth model of exact data hardly ever seems to see."""
SURE, HINT, WILD = 60.0, 10.0, 0.3
"""Nats of evidence from which on a target counts as noisy and from which on more rows are asked, and the level of noise
beyond which it is wild."""
CLEAR = 1.5
"""Noise that polynomials seem to see, in units of what there is, beyond which it is mostly their own failure."""
MODEST = 0.01
"""Noise that is supposed where there is some or none: numbers are rounded by no more."""
AS_LARGE = 0.5
"""Greatest difference between logarithms of levels of noise that are the same."""
QUIET = ("agent", "direct", "leading terms")
"""Stages after which nothing is replaced: they are short, or end the search."""
SPLIT_ROWS = 1000


def stages(problem: Problem, limits: dict, deadline: float, rng: np.random.Generator,
           count: Callable[[int], None], loss: Callable[[], float],
           best: Callable[[], list[tuple[Expression, float]]], shortest: Callable[[], list[Expression]], agent=None,
           n_islands: int = 1, n_jobs: int | None = None) -> Iterator[tuple[str, Iterator]]:
    """Yield (name, iterator of expressions or None) in the order in which they run.

    Parameters
    ----------
    problem : Problem
    limits : dict
        Keyword arguments of :meth:`rsrm.agents.island.Island.create`.
    deadline : float
        ``time.perf_counter()`` value at which the search ends.
    rng : numpy.random.Generator
    count : callable
        Told the number of expressions that compiled rounds have scored.
    loss : callable
        Returns the least NRMSE found so far: an upper bound on the noise.
    best : callable
        Returns the best expressions found so far, over the problem's library, and their NRMSE.
    shortest : callable
        Returns those of shortest description.
    agent : Agent or type, optional
        One more source: see :func:`rsrm.guest.guest`.
    n_islands, n_jobs : int
        See :func:`islands`.
    """
    places = guarded(iter(Replacements(problem, shortest, deadline, rng)), "replacements")
    for name, source in _in_order(problem, limits, deadline, rng, count, loss, best, agent, n_islands, n_jobs):
        yield name, source
        if name not in QUIET:
            yield "replacements", turn(places)


def _in_order(problem, limits, deadline, rng, count, loss, best, agent, n_islands,
              n_jobs) -> Iterator[tuple[str, Iterator]]:
    """Yield the stages; parameters as in :func:`stages`."""
    play = partial(islands, problem, limits=limits, deadline=deadline, rng=rng, count=count, n_islands=n_islands,
                   n_jobs=n_jobs)
    guests: dict[str, Iterator] = {}
    if agent is not None:
        from rsrm.guest import guest  # loads gymnasium

        guests["agent"] = guest(problem, agent, limits, deadline, rng, count)
    for name, source in guests.items():  # whoever brings an agent wants to see it play, however short the search
        yield name, turn(source)
    first = (*STAGES[:AT_ONCE], exact_glance, *STAGES[AT_ONCE:CHEAP])
    yield "direct", direct_stages(problem, deadline, rng, 1.0, first)
    noise = noise_level(problem, rng)
    seen, smooth = Evidence(1.0, 0.0), True
    if not noise.certain and noise.level > SMOOTH:
        seen = noise_evidence(problem, rng)  # of rows too few for a polynomial
        if _sure(seen):
            smooth, noise = noise.level < CLEAR * seen.level, Noise(seen.level, True)
    if noise.certain and not _splits_better(problem, noise.level, deadline, rng):
        # Exact solvers find nothing there; they come late, in case that the law is only too wild for a polynomial.
        yield from noisy_stages(problem, play, deadline, rng, loss, noise.level, smooth, guests)
        return
    yield "direct", direct_stages(problem, deadline, rng, 1.0, STAGES[CHEAP:QUICK])
    leading = guarded(iter(Leading(problem, best, deadline)), "leading terms")
    yield "leading terms", turn(leading)
    if _sure(seen, HINT) and problem.n_rows >= 2 * ROWS:
        # With more rows noise is as large and easier to see, and what is only too wild becomes less so.
        again = noise_evidence(problem, rng, 2 * ROWS)
        if _sure(again) and abs(np.log(again.level / seen.level)) < AS_LARGE:
            smooth = noise.level < CLEAR * again.level
            yield from noisy_stages(problem, play, deadline, rng, loss, again.level, smooth, guests)
            return
    curve = thin(problem)
    reduced: list[tuple[float, Problem]] = []
    sources = {
        "bank": bank_candidates(problem, deadline, rng, sizes=SMALL_BANK + LARGE_BANK),
        "separated": guarded(separated(problem, deadline, rng), "separated"),
        "monomial trees": guarded(monomial_trees(problem, deadline, rng), "monomial trees"),
        "islands": play(reduced),
        "reductions": reductions(problem, deadline, rng, reduced),
        "fewer columns": guarded(over_fewer_columns(problem, deadline, rng), "fewer columns"),
        "mixtures": guarded(more_mixtures(problem, deadline, rng), "mixtures"),
        "triples": guarded(triples(problem, deadline, rng), "triples"),
        "direct": direct_stages(problem, deadline, rng, 1.0, STAGES[QUICK:-1]),
        "noisy": _perhaps_noisy(problem, deadline, rng, noise.level, loss, curve),
        "separable": guarded(apart(problem, deadline, rng), "separable"),
        "periodic": guarded(periodic(problem, deadline, rng), "periodic"),
        "skeletons": more_skeletons(problem, deadline, rng),
    } | guests
    rest = guarded(iter(() if curve else Remainders(problem, best, partial(alone, deadline, rng), deadline, rng)),
                   "remainders")
    for name, source in learned_turns(sources, Situation(problem.n_variables, curve, noise.level > SMOOTH), deadline):
        before = loss()
        yield name, source
        if loss() < before:  # these two live on what others find
            yield "leading terms", turn(leading)
            yield "remainders", turn(rest)


def _perhaps_noisy(problem: Problem, deadline: float, rng, level: float, loss, curve: bool) -> Iterator:
    """Yield sums and quotients under noise, where a polynomial sees some, then what other stages find that are told."""
    if level > SMOOTH and not curve:
        told = replace(problem, noise=min(level, loss(), MODEST))
        yield from direct_stages(told, deadline, rng, 1.0, NOISY_SETS)
    yield from noisy(problem, deadline, rng, level, loss)


def _sure(seen: Evidence, nats: float = SURE) -> bool:
    return seen.nats > nats and SMOOTH < seen.level < WILD


def _splits_better(problem: Problem, level: float, deadline: float, rng) -> bool:
    """Return whether what looks like noise to a polynomial is a sum of functions of single variables after all."""
    if problem.n_variables < 2:
        return False
    return any(found.error < 0.5 * level for found in splits(subset(problem, SPLIT_ROWS, rng), deadline))
