"""The order in which the stages of a search run.

Cheap exact stages on the user's problem come first, trees over monomials, the bank and, where there are three columns
or more, the first reductions next: they find most per second; along a curve sums of three plain terms find more. Sums
over fewer columns where columns tell the same, sums with inner constants, the remainders of what is found so far, the
laws that it is the limit of and more reductions follow, then the dearer exact stages and the same under the assumption
of noise. Then several sources share the time until it is up: the tree search over reductions with the same stages as
closings, trees over monomials, sines over several periods, a large bank, and islands of agents that search whole
expressions, on the user's problem and on the reduced problems that looked best. Data that are known to be noisy go
another way, on which the islands come early.
After every stage the shortest formula, if it is new, is asked which of its sub-trees another one should replace.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

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
from rsrm.separable import splits
from rsrm.separated_search import separated
from rsrm.skeleton_fit import more_skeletons
from rsrm.sources import alone, direct_stages, over_fewer_columns, reductions
from rsrm.terms import subset
from rsrm.turns import in_turns, turn

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
SUMS_OF_RATES, TRIPLES = 6, 2
"""Turns for sums where columns depend on each other: such rows come from rate equations, and no factor of a variable
can be told from others there. For sums of three plain terms of few columns, early ones and as many between these."""
FEW_VARIABLES = 3
"""With more variables laws are products of parts more often than sums, a scan of all products takes long, and the
islands and the large bank are further from a whole law."""


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
    few = guarded(separated(problem, deadline, rng), "separated")
    curve = thin(problem)
    for _ in range(1 if problem.n_variables > 2 else 0 if curve else 2):  # two columns tell most, on a curve nothing
        yield "separated", turn(few)
    three = guarded(triples(problem, deadline, rng), "triples")
    early = TRIPLES if curve and problem.n_variables <= FEW_VARIABLES else 0
    for _ in range(early):
        yield "triples", turn(three)
    trees = guarded(monomial_trees(problem, deadline, rng), "monomial trees")
    yield "monomial trees", turn(trees)
    yield "bank", bank_candidates(problem, deadline, rng, sizes=SMALL_BANK)
    yield "leading terms", turn(leading)
    if noise.level > SMOOTH and not curve:
        told = replace(problem, noise=min(noise.level, loss(), MODEST))
        yield "noisy", direct_stages(told, deadline, rng, 1.0, NOISY_SETS)
    reduced: list[tuple[float, Problem]] = []
    smaller = reductions(problem, deadline, rng, reduced)
    for _ in range(2 if problem.n_variables > 2 and not curve else 0):
        yield "reductions", turn(smaller)
    if _sure(seen, HINT) and problem.n_rows >= 2 * ROWS:
        # With more rows noise is as large and easier to see, and what is only too wild becomes less so.
        again = noise_evidence(problem, rng, 2 * ROWS)
        if _sure(again) and abs(np.log(again.level / seen.level)) < AS_LARGE:
            smooth = noise.level < CLEAR * again.level
            yield from noisy_stages(problem, play, deadline, rng, loss, again.level, smooth, guests)
            return
    fewer = guarded(over_fewer_columns(problem, deadline, rng), "fewer columns")
    sums = guarded(more_mixtures(problem, deadline, rng), "mixtures")  # goes on where its last turn ended
    rest = guarded(iter(() if curve else Remainders(problem, best, partial(alone, deadline, rng), deadline, rng)),
                   "remainders")
    for k in range(SUMS_OF_RATES if curve else 0):
        if k < early:
            yield "triples", turn(three)
        yield "mixtures", turn(sums)
    for _ in range(3):
        yield "fewer columns", turn(fewer)
    for _ in range(2):
        yield "mixtures", turn(sums)
        yield "remainders", turn(rest)
    for _ in range(2):
        yield "leading terms", turn(leading)
        yield "reductions", turn(smaller)
        yield "remainders", turn(rest)
    yield "direct", direct_stages(problem, deadline, rng, 1.0, STAGES[QUICK:-1])
    perhaps = noisy(problem, deadline, rng, noise.level, loss)
    whole = play(reduced)
    if noise.level > SMOOTH:  # a law that is neither simple nor smooth, or noise
        for _ in range(2):
            yield "noisy", turn(perhaps)
            yield "islands", turn(whole)
    parts = guarded(apart(problem, deadline, rng), "separable")
    waves = guarded(periodic(problem, deadline, rng), "periodic")
    for _ in range(2 if problem.n_variables <= FEW_VARIABLES else 4):
        yield "fewer columns", turn(fewer)
        yield "remainders", turn(rest)
        yield "reductions", turn(smaller)
        yield "separated", turn(few)
        yield "monomial trees", turn(trees)
        yield "periodic", turn(waves)
        yield "noisy", turn(perhaps)
        yield "leading terms", turn(leading)
        yield "separable", turn(parts)
        for _ in range(2 if problem.n_variables <= FEW_VARIABLES else 1):
            yield "mixtures", turn(sums)
            yield "remainders", turn(rest)
    sources = {
        "islands": whole,
        "reductions": smaller,
        "fewer columns": fewer,
        "noisy": perhaps,
        "bank": bank_candidates(problem, deadline, rng, sizes=LARGE_BANK),
        "skeletons": more_skeletons(problem, deadline, rng),
        "separable": parts,
        "mixtures": sums,
        "triples": three,
        "monomial trees": trees,
        "separated": few,
        "periodic": waves,
        "remainders": rest,
        "leading terms": leading,
    } | guests
    yield from in_turns(sources, deadline)


def _sure(seen: Evidence, nats: float = SURE) -> bool:
    return seen.nats > nats and SMOOTH < seen.level < WILD


def _splits_better(problem: Problem, level: float, deadline: float, rng) -> bool:
    """Return whether what looks like noise to a polynomial is a sum of functions of single variables after all."""
    if problem.n_variables < 2:
        return False
    return any(found.error < 0.5 * level for found in splits(subset(problem, SPLIT_ROWS, rng), deadline))
