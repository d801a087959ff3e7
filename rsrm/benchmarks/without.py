"""Estimators with one part of the search switched off, for the ablation; the library itself has no such knob.

A part is a name that :mod:`rsrm.cascade` looks up when it runs; for the length of a fit it stands for something else.
"""

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

from rsrm import RSRM, cascade
from rsrm.agents import Island


def _nothing(*args: Any, **kwargs: Any) -> Iterator[None]:
    """Stand for a stage that finds nothing and ends at once."""
    return iter(())


def _island(**variant: bool) -> SimpleNamespace:
    """Stand for :class:`rsrm.agents.Island` with a module switched off."""
    return SimpleNamespace(create=partial(Island.create, **variant))


class Without(RSRM):
    """A search without the part that :attr:`part` names; see the subclasses."""

    part: ClassVar[tuple[str, Any]]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "Without":
        """Fit as :meth:`rsrm.RSRM.fit` does, without the part."""
        with patch.object(cascade, *self.part):
            return super().fit(X, y, sample_weight)


class WithoutDirect(Without):
    """No closed-form solvers, neither on the data nor on what reductions leave."""

    part = ("direct_stages", _nothing)


class WithoutBank(Without):
    """No bank of sub-trees, neither on the data nor on what reductions leave; islands keep theirs."""

    part = ("bank_candidates", _nothing)


class WithoutReductions(Without):
    """No reductions to smaller problems."""

    part = ("_reductions", _nothing)


class WithoutNoisy(Without):
    """No second pass of the stages under the assumption of noise."""

    part = ("noisy", _nothing)


class WithoutIslands(Without):
    """No token-level agents."""

    part = ("islands", _nothing)


class WithoutQLearning(Without):
    """Islands without double Q-learning."""

    part = ("Island", _island(use_q=False))


class WithoutSubtrees(Without):
    """Islands without sub-tree discovery."""

    part = ("Island", _island(use_subtrees=False))


class WithoutGenetic(Without):
    """Islands without genetic refinement."""

    part = ("Island", _island(use_genetic=False))


class WithoutTreeSearch(Without):
    """Islands without Monte Carlo tree search."""

    part = ("Island", _island(use_mcts=False))


SWITCHES: dict[str, type[Without]] = {
    "no direct solvers": WithoutDirect,
    "no bank": WithoutBank,
    "no reductions": WithoutReductions,
    "no noisy pass": WithoutNoisy,
    "no islands": WithoutIslands,
    "no Q-learning": WithoutQLearning,
    "no sub-tree discovery": WithoutSubtrees,
    "no genetic refinement": WithoutGenetic,
    "no tree search": WithoutTreeSearch,
}
"""What the ablation of the whole search switches off, in this order."""
