"""The order in which the stages of a search run.

Cheap exact stages on the user's problem come first, trees over monomials, the bank and, where there are three columns
or more, the first reductions next: they find most per second. Sums over fewer columns where columns tell the same,
sums with inner constants, the remainders of what is found so far, the laws that it is the limit of and more reductions
follow, then the dearer exact stages and the same under the assumption of noise. Then several sources share the time
until it is up: the tree search over reductions with the same stages as closings, trees over monomials, sines over
several periods, a large bank, and islands of agents that search whole expressions, on the user's problem and on the
reduced problems that looked best. Data that are known to be noisy go another way, on which the islands come early.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
from joblib import Parallel, delayed

from rsrm.agents.island import Island
from rsrm.agents.reduction import ReductionSearch
from rsrm.bank_stages import bank_candidates
from rsrm.closings import LARGE_BANK, SMALL_BANK, apart, guarded
from rsrm.direct import STAGES
from rsrm.expression import Expression
from rsrm.kriging import noise_evidence
from rsrm.leading import Leading
from rsrm.mixtures import mixtures, more_mixtures
from rsrm.monomial_search import monomial_trees
from rsrm.noise import EXACT, Noise, noise_level, proportional_weights
from rsrm.periodic import periodic
from rsrm.problem import Problem
from rsrm.redundant import fewer_columns, thin
from rsrm.remainders import PAUSE, Remainders
from rsrm.separable import splits
from rsrm.separated_search import separated
from rsrm.skeleton_fit import more_skeletons
from rsrm.terms import subset

TURN = 0.5
"""Seconds that a source runs before the next one gets its turn."""
SHARE = {"islands": 3.0, "reductions": 2.0, "noisy": 2.0, "bank": 1.0, "direct": 1.0, "skeletons": 2.0,
         "separable": 1.0, "mixtures": 3.0, "fewer columns": 3.0, "periodic": 1.0, "monomial trees": 2.0,
         "separated": 1.0, "remainders": 2.0, "leading terms": 1.0, "agent": 2.0}
"""Shares of the time that the sources get."""
LEAST_TURN = 0.05
"""Seconds that a turn counts at least: a source that pauses is not asked again at once."""
SMOOTH = 1e-3
"""Noise that a smooth model of exact data hardly ever seems to see."""
SURE, WILD = 60.0, 0.3
"""Nats of evidence from which on a target counts as noisy, unless there is more noise than that: then it is wild."""
SPLIT_ROWS = 1000
CHEAP, QUICK = 6, 11
"""Direct stages that exact data pass before anybody asks for noise, and those that come before the bank."""
ISLAND_ROWS = 400
SUMS_OF_RATES = 6
"""Turns for sums where columns depend on each other: such rows come from rate equations, and no factor of a variable
can be told from others there."""
FEW_VARIABLES = 3
"""With more variables laws are products of parts more often than sums, a scan of all products takes long, and the
islands and the large bank are further from a whole law."""
ROUND = 8_000
"""Expressions scored in one round of an island."""
ARMS = 5
"""Problems that islands play on besides the user's own."""


def direct_stages(problem: Problem, deadline: float, rng, each: float, chosen=STAGES) -> Iterator[Expression | None]:
    """Yield from the closed-form solvers, cheap ones first, `each` for so many seconds at most."""
    for stage in chosen:
        yield from guarded(stage(problem, min(deadline, time.perf_counter() + each), rng), stage.__name__)
        yield None


def stages(problem: Problem, limits: dict, deadline: float, rng: np.random.Generator,
           count: Callable[[int], None], loss: Callable[[], float],
           best: Callable[[], list[tuple[Expression, float]]], agent=None, n_islands: int = 1,
           n_jobs: int | None = None) -> Iterator[tuple[str, Iterator]]:
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
    agent : Agent or type, optional
        One more source: see :func:`rsrm.guest.guest`.
    n_islands, n_jobs : int
        See :func:`islands`.
    """
    play = partial(islands, problem, limits=limits, deadline=deadline, rng=rng, count=count, n_islands=n_islands,
                   n_jobs=n_jobs)
    guests: dict[str, Iterator] = {}
    if agent is not None:
        from rsrm.guest import guest  # loads gymnasium

        guests["agent"] = guest(problem, agent, limits, deadline, rng, count)
    for name, source in guests.items():  # whoever brings an agent wants to see it play, however short the search
        yield name, _turn(source)
    yield "direct", direct_stages(problem, deadline, rng, 1.0, STAGES[:CHEAP])
    noise = noise_level(problem, rng)
    if not noise.certain and noise.level > SMOOTH:
        seen = noise_evidence(problem, rng)  # of rows too few for a polynomial
        if seen.nats > SURE and SMOOTH < seen.level < WILD:
            noise = Noise(seen.level, True)
    if noise.certain and not _splits_better(problem, noise.level, deadline, rng):
        # Exact solvers find nothing there; they come late, in case that the law is only too wild for a polynomial.
        yield from _noisy_stages(problem, play, deadline, rng, loss, noise.level, guests)
        return
    yield "direct", direct_stages(problem, deadline, rng, 1.0, STAGES[CHEAP:QUICK])
    leading = guarded(iter(Leading(problem, best, deadline)), "leading terms")
    yield "leading terms", _turn(leading)
    few = guarded(separated(problem, deadline, rng), "separated")
    curve = thin(problem)
    for _ in range(1 if problem.n_variables > 2 else 0 if curve else 2):  # two columns tell most, on a curve nothing
        yield "separated", _turn(few)
    trees = guarded(monomial_trees(problem, deadline, rng), "monomial trees")
    yield "monomial trees", _turn(trees)
    yield "bank", bank_candidates(problem, deadline, rng, sizes=SMALL_BANK)
    yield "leading terms", _turn(leading)
    reduced: list[tuple[float, Problem]] = []
    reductions = _reductions(problem, deadline, rng, reduced)
    for _ in range(2 if problem.n_variables > 2 and not curve else 0):
        yield "reductions", _turn(reductions)
    fewer = guarded(_over_fewer_columns(problem, deadline, rng), "fewer columns")
    sums = guarded(more_mixtures(problem, deadline, rng), "mixtures")  # goes on where its last turn ended
    rest = guarded(iter(() if curve else Remainders(problem, best, partial(_alone, deadline, rng), deadline, rng)),
                   "remainders")
    for _ in range(SUMS_OF_RATES if curve else 0):
        yield "mixtures", _turn(sums)
    for _ in range(3):
        yield "fewer columns", _turn(fewer)
    for _ in range(2):
        yield "mixtures", _turn(sums)
        yield "remainders", _turn(rest)
    for _ in range(2):
        yield "leading terms", _turn(leading)
        yield "reductions", _turn(reductions)
        yield "remainders", _turn(rest)
    yield "direct", direct_stages(problem, deadline, rng, 1.0, STAGES[QUICK:-1])
    perhaps = noisy(problem, deadline, rng, noise.level, loss)
    whole = play(reduced)
    if noise.level > SMOOTH:  # a law that is neither simple nor smooth, or noise
        for _ in range(2):
            yield "noisy", _turn(perhaps)
            yield "islands", _turn(whole)
    parts = guarded(apart(problem, deadline, rng), "separable")
    waves = guarded(periodic(problem, deadline, rng), "periodic")
    for _ in range(2 if problem.n_variables <= FEW_VARIABLES else 4):
        yield "fewer columns", _turn(fewer)
        yield "remainders", _turn(rest)
        yield "reductions", _turn(reductions)
        yield "separated", _turn(few)
        yield "monomial trees", _turn(trees)
        yield "periodic", _turn(waves)
        yield "noisy", _turn(perhaps)
        yield "leading terms", _turn(leading)
        yield "separable", _turn(parts)
        for _ in range(2 if problem.n_variables <= FEW_VARIABLES else 1):
            yield "mixtures", _turn(sums)
            yield "remainders", _turn(rest)
    sources = {
        "islands": whole,
        "reductions": reductions,
        "fewer columns": fewer,
        "noisy": perhaps,
        "bank": bank_candidates(problem, deadline, rng, sizes=LARGE_BANK),
        "skeletons": more_skeletons(problem, deadline, rng),
        "separable": parts,
        "mixtures": sums,
        "monomial trees": trees,
        "separated": few,
        "periodic": waves,
        "remainders": rest,
        "leading terms": leading,
    } | guests
    yield from _in_turns(sources, deadline)


def _noisy_stages(problem: Problem, play: Callable[[list], Iterator], deadline: float, rng: np.random.Generator,
                  loss: Callable[[], float], level: float,
                  guests: dict[str, Iterator]) -> Iterator[tuple[str, Iterator]]:
    """Yield the stages for data that are known to be noisy."""
    weights = proportional_weights(problem, rng)
    equal = replace(problem, noise=level)
    if weights is not None:
        problem = replace(problem, weights=weights)
    told = replace(problem, noise=level)
    yield "direct", direct_stages(told, deadline, rng, 2.0, STAGES[:-1])
    exact = guarded(more_mixtures(problem, deadline, rng), "mixtures")
    yield "mixtures", _turn(exact)  # a fast wave looks like noise
    told = replace(problem, noise=min(loss(), level))
    few = guarded(separated(told, deadline, rng), "separated")
    reduced: list[tuple[float, Problem]] = []
    reductions = _reductions(told, deadline, rng, reduced)
    parts = guarded(apart(told, deadline, rng), "separable")
    whole = play(reduced)
    yield "bank", bank_candidates(told, deadline, rng, sizes=SMALL_BANK)
    if weights is not None:  # a model that errs in proportion to y looks like noise that does
        yield "bank", bank_candidates(equal, deadline, rng, sizes=SMALL_BANK)
        yield "direct", direct_stages(equal, deadline, rng, 0.5, STAGES[:-1])
    for name, source in 2 * (("separated", few), ("separable", parts), ("mixtures", exact), ("separable", parts)):
        yield "reductions", _turn(reductions)
        yield "islands", _turn(whole)
        yield name, _turn(source)
    yield "direct", direct_stages(told, deadline, rng, 4.0, STAGES[-1:])
    yield from _in_turns({
        "islands": whole,
        "reductions": reductions,
        "bank": bank_candidates(told, deadline, rng, sizes=LARGE_BANK),
        "skeletons": more_skeletons(told, deadline, rng),
        "separable": parts,
        "mixtures": chain(guarded(more_mixtures(told, deadline, rng), "mixtures"), exact),
        "monomial trees": guarded(monomial_trees(problem, deadline, rng), "monomial trees"),
        "separated": chain(few, guarded(separated(problem, deadline, rng), "separated")),
        "periodic": guarded(periodic(told, deadline, rng), "periodic"),
        "direct": chain(direct_stages(problem, deadline, rng, 2.0, STAGES[CHEAP:]),
                        _reductions(problem, deadline, rng, [])),
    } | guests, deadline)


def _in_turns(sources: dict[str, Iterator], deadline: float) -> Iterator[tuple[str, Iterator]]:
    """Yield turns of the sources by their shares until all have ended."""
    used = {name: 0.0 for name in sources}
    while sources and time.perf_counter() < deadline:
        # Steps differ in length, so that shares are kept by the clock and not by counting turns.
        name = min(sources, key=lambda n: used[n] / SHARE[n])
        ended: list[bool] = []
        began = time.perf_counter()
        yield name, _turn(sources[name], ended)
        used[name] += max(time.perf_counter() - began, LEAST_TURN)
        if ended:
            del sources[name]


def _reductions(problem: Problem, deadline: float, rng, reduced: list) -> Iterator[Expression | None]:
    def search():  # the first surrogate is fitted when the source gets its turn
        yield from ReductionSearch(problem, deadline, rng, reduced)

    return guarded(search(), "reductions")


def _over_fewer_columns(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield what the stages for sums find over sets of columns that explain the target alone, in turns."""
    closed_forms = tuple(stage for stage in STAGES if stage is not mixtures)

    def solved(part: Problem) -> Iterator[Expression | None]:
        for _, found in _in_turns({
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
        for expression in _turn(source[3], ended):
            yield None if expression is None else source[2].lift(expression)
        source[0] += time.perf_counter() - began
        if ended:
            sources.remove(source)


def _alone(deadline: float, rng: np.random.Generator, part: Problem) -> Iterator[Expression | None]:
    """Yield what quick stages find for a part of a law."""
    yield from direct_stages(part, deadline, rng, 0.5)
    yield from guarded(periodic(part, min(deadline, time.perf_counter() + 0.5), rng), "periodic")


def _splits_better(problem: Problem, level: float, deadline: float, rng) -> bool:
    """Return whether what looks like noise to a polynomial is a sum of functions of single variables after all."""
    if problem.n_variables < 2:
        return False
    return any(found.error < 0.5 * level for found in splits(subset(problem, SPLIT_ROWS, rng), deadline))


def noisy(problem: Problem, deadline: float, rng, level: float,
          loss: Callable[[], float]) -> Iterator[Expression | None]:
    """Yield what the stages find when they are told that y has noise: of `level`, or of what the best law leaves."""
    noise = min(level, loss())
    if noise < EXACT:
        return
    weights = proportional_weights(problem, rng)
    problem = replace(problem, noise=noise, weights=problem.weights if weights is None else weights)
    for _, found in _in_turns({
        "direct": direct_stages(problem, deadline, rng, 2.0, STAGES[:-1]),
        "reductions": _reductions(problem, deadline, rng, []),
        "bank": bank_candidates(problem, deadline, rng, sizes=SMALL_BANK),
    }, deadline):
        yield from found
    yield from direct_stages(problem, deadline, rng, 4.0, STAGES[-1:])


def _turn(source: Iterator, ended: list | None = None) -> Iterator[Expression | None]:
    """Yield from `source` for one turn; append to `ended` if it is exhausted."""
    stop = time.perf_counter() + TURN
    while time.perf_counter() < stop:
        try:
            expression = next(source)
        except StopIteration:
            if ended is not None:
                ended.append(True)
            return
        if expression is PAUSE:
            return
        yield expression


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
            done = parallel(delayed(_round)(island) for island in group)
            group[:] = [island for island, _ in done]
            count(sum(island.n_evaluations for island in group) - scored)
            after = _loss(group)
            plays[k] += 1
            gains[k] += min(1.0, np.log(before / max(after, 1e-15))) if np.isfinite(before) and after < before else 0.0
            for expression, _ in sorted((e for _, improved in done for e in improved), key=lambda e: e[1]):
                yield p.lift(expression)
            yield None


def _round(island: Island) -> tuple[Island, list]:
    """Return the island after a round, which may have run in another process, and what it improved."""
    improved = island.round(evaluations=ROUND)
    return island, improved


def _loss(group: list[Island]) -> float:
    return min(float(island.hall.errors.min()) for island in group)
