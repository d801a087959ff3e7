"""The order of the stages on data that are known to be noisy, and what comes late where they may be."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from rsrm.bank_stages import bank_candidates
from rsrm.closings import LARGE_BANK, SMALL_BANK, apart, guarded
from rsrm.direct import CHEAP, STAGES
from rsrm.expression import Expression
from rsrm.mixtures import more_mixtures
from rsrm.monomial_search import monomial_trees
from rsrm.noise import EXACT, proportional_weights
from rsrm.periodic import periodic
from rsrm.problem import Problem
from rsrm.separated_search import separated
from rsrm.skeleton_fit import more_skeletons
from rsrm.sources import direct_stages, reductions
from rsrm.turns import in_turns, turn


def noisy_stages(problem: Problem, play: Callable[[list], Iterator], deadline: float, rng: np.random.Generator,
                  loss: Callable[[], float], level: float, smooth: bool,
                  guests: dict[str, Iterator]) -> Iterator[tuple[str, Iterator]]:
    """Yield the stages for data that are known to be noisy.

    Parameters
    ----------
    problem, deadline, rng, loss
        As in :func:`rsrm.cascade.stages`.
    play : callable
        Returns what islands find, given the list that reduced problems are put into.
    level : float
        Noise in units of the standard deviation of y.
    smooth : bool
        Whether what polynomials leave is that noise.
    guests : dict
        More sources by name.
    """
    # Where polynomials fail they fail in proportion to y, and say nothing about the noise.
    weights = proportional_weights(problem, rng) if smooth else None
    equal = replace(problem, noise=level)
    if weights is not None:
        problem = replace(problem, weights=weights)
    told = replace(problem, noise=level)
    yield "direct", direct_stages(told, deadline, rng, 2.0, STAGES[:-1])
    exact = guarded(more_mixtures(problem, deadline, rng), "mixtures")
    yield "mixtures", turn(exact)  # a fast wave looks like noise
    trees = [guarded(monomial_trees(p, deadline, rng), "monomial trees")
             for p in ([told] if weights is None else [told, equal])]
    for source in trees:
        yield "monomial trees", turn(source)
    told = replace(problem, noise=min(loss(), level))
    few = guarded(separated(told, deadline, rng), "separated")
    reduced: list[tuple[float, Problem]] = []
    smaller = reductions(told, deadline, rng, reduced)
    parts = guarded(apart(told, deadline, rng), "separable")
    whole = play(reduced)
    yield "bank", bank_candidates(told, deadline, rng, sizes=SMALL_BANK)
    if weights is not None:  # a model that errs in proportion to y looks like noise that does
        yield "bank", bank_candidates(equal, deadline, rng, sizes=SMALL_BANK)
        yield "direct", direct_stages(equal, deadline, rng, 0.5, STAGES[:-1])
    for name, source in 2 * (("separated", few), ("separable", parts), ("mixtures", exact), ("separable", parts)):
        yield "reductions", turn(smaller)
        yield "islands", turn(whole)
        yield name, turn(source)
        yield "monomial trees", turn(trees[0])
        trees.reverse()
    yield "direct", direct_stages(told, deadline, rng, 4.0, STAGES[-1:])
    yield from in_turns({
        "islands": whole,
        "reductions": smaller,
        "bank": bank_candidates(told, deadline, rng, sizes=LARGE_BANK),
        "skeletons": more_skeletons(told, deadline, rng),
        "separable": parts,
        "mixtures": chain(guarded(more_mixtures(told, deadline, rng), "mixtures"), exact),
        "monomial trees": trees[0],
        "exact trees": guarded(monomial_trees(problem, deadline, rng), "monomial trees"),
        "separated": chain(few, guarded(separated(problem, deadline, rng), "separated")),
        "periodic": guarded(periodic(told, deadline, rng), "periodic"),
        "direct": chain(direct_stages(problem, deadline, rng, 2.0, STAGES[CHEAP:]),
                        reductions(problem, deadline, rng, [])),
    } | guests, deadline)


def noisy(problem: Problem, deadline: float, rng, level: float,
          loss: Callable[[], float]) -> Iterator[Expression | None]:
    """Yield what the stages find when they are told that y has noise: of `level`, or of what the best law leaves."""
    noise = min(level, loss())
    if noise < EXACT:
        return
    weights = proportional_weights(problem, rng)
    problem = replace(problem, noise=noise, weights=problem.weights if weights is None else weights)
    for _, found in in_turns({
        "direct": chain(direct_stages(problem, deadline, rng, 2.0, STAGES[:-1]),
                        direct_stages(problem, deadline, rng, 4.0, STAGES[-1:])),
        "monomial trees": guarded(monomial_trees(problem, deadline, rng), "monomial trees"),
        "reductions": reductions(problem, deadline, rng, []),
        "bank": bank_candidates(problem, deadline, rng, sizes=SMALL_BANK),
    }, deadline):
        yield from found
