"""Estimators with one part of the search switched off, for the ablation; the library itself has no such knob.

A part is some names that the cascade looks up when it runs, in any of `MODULES`; for the length of a fit they stand
for something else.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

from rsrm import RSRM, cascade, explore, islands, noisy_stages, sources
from rsrm.agents import Island, reduction
from rsrm.agents.reduction import ReductionSearch
from rsrm.closings import CLOSINGS
from rsrm.direct import STAGES
from rsrm.turns import in_turns


def _nothing(*args: Any, **kwargs: Any) -> Iterator[None]:
    """Stand for a stage that finds nothing and ends at once."""
    return iter(())


def _by_shares(sources: dict, situation: Any, deadline: float) -> Iterator:
    """Stand for the learned order of turns: by the shares of the sources."""
    return in_turns(sources, deadline)


def _island(**variant: bool) -> SimpleNamespace:
    """Stand for :class:`rsrm.agents.Island` with a module switched off."""
    return SimpleNamespace(create=partial(Island.create, **variant))


def _closed_by(*kinds: str) -> partial:
    """Stand for the search over reductions, with these kinds of closings left out."""
    return partial(ReductionSearch, closings={name: c for name, c in CLOSINGS.items() if name not in kinds})


@contextmanager
def _smooth_only() -> Iterator[None]:
    with patch.multiple(explore, folds=_nothing, power_factors=_nothing), patch.object(reduction, "folds", _nothing):
        yield


class _Unfolded(ReductionSearch):
    """The search over reductions without folds and powers."""

    def __init__(self, *args: Any, **kwargs: Any):
        with _smooth_only():
            super().__init__(*args, **kwargs)

    def _reach(self, node: Any) -> None:
        with _smooth_only():
            super()._reach(node)


MODULES = (cascade, noisy_stages, sources, islands)
BANKS = ("bank", "small bank")


class Without(RSRM):
    """A search without what :attr:`part` names; see the subclasses."""

    part: ClassVar[dict[str, Any]]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Without":
        """Fit as :meth:`rsrm.RSRM.fit` does, without the part."""
        with ExitStack() as stack:
            for module in MODULES:
                for name, value in self.part.items():
                    if hasattr(module, name):
                        stack.enter_context(patch.object(module, name, value))
            return super().fit(X, y, sample_weight)


class WithoutDirect(Without):
    """No closed-form solvers, neither on the data nor on what reductions leave."""

    part = {"direct_stages": _nothing, "more_mixtures": _nothing, "triples": _nothing,
            "ReductionSearch": _closed_by(*(k for k in CLOSINGS if k not in BANKS))}


class WithoutBank(Without):
    """No bank of sub-trees, neither on the data nor on what reductions leave; islands keep theirs."""

    part = {"bank_candidates": _nothing, "exact_glance": _nothing, "ReductionSearch": _closed_by(*BANKS)}


class WithoutSkeletons(Without):
    """No skeletons with several inner constants, but for the parts of sums and products that split."""

    part = {"more_skeletons": _nothing, "STAGES": tuple(s for s in STAGES if s.__name__ != "skeletons"),
            "ReductionSearch": _closed_by("skeletons", "more skeletons")}


class WithoutMonomials(Without):
    """No trees over monomials."""

    part = {"monomial_trees": _nothing}


class WithoutSeparated(Without):
    """No separated representations."""

    part = {"separated": _nothing}


class WithoutMixtures(Without):
    """No sums whose functions hold inner constants, but for the parts of sums and products that split."""

    part = {"more_mixtures": _nothing, "triples": _nothing,
            "STAGES": tuple(s for s in STAGES if s.__name__ != "mixtures"),
            "ReductionSearch": _closed_by("mixtures")}


class WithoutTriples(Without):
    """No triples of plain terms."""

    part = {"triples": _nothing}


class WithoutPeriodic(Without):
    """No sines over several periods."""

    part = {"periodic": _nothing, "ReductionSearch": _closed_by("periodic")}


class WithoutLeading(Without):
    """No laws that good approximations are the leading terms of."""

    part = {"Leading": _nothing}


class WithoutReplacements(Without):
    """No replacements of sub-trees of the shortest formulas."""

    part = {"Replacements": _nothing}


class WithoutFolds(Without):
    """No folds of odd and even columns, and no powers as factors of rough laws."""

    part = {"ReductionSearch": _Unfolded}


class WithoutSplits(Without):
    """No sums and products of functions of different variables."""

    part = {"apart": _nothing, "ReductionSearch": _closed_by("apart")}


class WithoutReductions(Without):
    """No reductions to smaller problems."""

    part = {"reductions": _nothing}


class WithoutNoisy(Without):
    """No second pass of the stages under the assumption of noise."""

    part = {"noisy": _nothing}


class WithoutIslands(Without):
    """No token-level agents."""

    part = {"islands": _nothing}


class WithoutQLearning(Without):
    """No double Q-learning: turns by the shares of the sources, and islands without it."""

    part = {"Island": _island(use_q=False), "learned_turns": _by_shares}


class WithoutSchedule(Without):
    """Turns of the sources by their shares of the time."""

    part = {"learned_turns": _by_shares}


class WithoutSubtrees(Without):
    """Islands without sub-tree discovery."""

    part = {"Island": _island(use_subtrees=False)}


class WithoutGenetic(Without):
    """Islands without genetic refinement."""

    part = {"Island": _island(use_genetic=False)}


class WithoutTreeSearch(Without):
    """Islands without Monte Carlo tree search."""

    part = {"Island": _island(use_mcts=False)}


SWITCHES: dict[str, type[Without]] = {
    "no direct solvers": WithoutDirect,
    "no bank": WithoutBank,
    "no skeletons": WithoutSkeletons,
    "no monomial trees": WithoutMonomials,
    "no separated": WithoutSeparated,
    "no mixtures": WithoutMixtures,
    "no triples": WithoutTriples,
    "no sines": WithoutPeriodic,
    "no leading terms": WithoutLeading,
    "no replacements": WithoutReplacements,
    "no folds": WithoutFolds,
    "no splits": WithoutSplits,
    "no reductions": WithoutReductions,
    "no noisy pass": WithoutNoisy,
    "no islands": WithoutIslands,
    "no Q-learning": WithoutQLearning,
    "no learned order": WithoutSchedule,
    "no sub-tree discovery": WithoutSubtrees,
    "no genetic refinement": WithoutGenetic,
    "no tree search": WithoutTreeSearch,
}
"""What the ablation of the whole search switches off, in this order."""
