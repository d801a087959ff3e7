"""Whose turn it is: double Q-learning over the turns of the sources of a search.

The sources of expressions in a search (mixtures, the bank, reductions, islands, ...) share the time in turns. A state
is what is known of the data (the number of columns, whether the rows lie along a curve, whether a polynomial sees
noise) with the number of turns that each source has had; an action is the source that gets the next turn. A law that is
found after t seconds is worth ``GAMMA**t``, so that the value of an action is what may still be gained from there on::

    Q_A(s, a) += alpha * (G - Q_A(s, a)),     G = GAMMA**d                                        if the law was found,
                                              G = GAMMA**d * Q_B(s', argmax_a' Q_A(s', a'))       otherwise,

where d is what the turn took, and one of two tables, drawn at random, moves toward the other's value (van Hasselt,
NeurIPS 2010). Values are sums of tiles (Sutton & Barto, 2nd ed., 9.5): what is learned of a source's third turn on two
columns tells something of its third turn on four.

One search holds one success at most, so that nothing can be learned within it: the tables are learned beforehand
(:mod:`rsrm.benchmarks.schedule`), on random laws that are in no suite.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

GAMMA = 0.9
"""Discount per second."""
TURNS, MORE = 4, {"mixtures": 7, "reductions": 7, "islands": 6, "noisy": 6, "fewer columns": 5}
"""Turns of a source that are learned, and of those that are worth more."""
LEVELS = 8
"""Turns of a source that are told apart."""
STEPS, STEP = 24, 4
"""Turns of all sources together that are learned, and told apart in groups of so many."""
KINDS = 4
"""Kinds of data: one, two, more columns; rows along a curve."""


def most_turns(name: str) -> int:
    """Return how many turns of a source are learned."""
    return MORE.get(name, TURNS)


class Situation(NamedTuple):
    """What is known of the data.

    Attributes
    ----------
    n_variables : int
    curve : bool
        Whether the rows fill fewer dimensions than there are columns.
    rough : bool
        Whether a polynomial sees noise, be it there or not.
    """

    n_variables: int
    curve: bool
    rough: bool

    @property
    def kind(self) -> int:
        """Return the kind of data, 0 to ``KINDS - 1``."""
        return KINDS - 1 if self.curve else min(self.n_variables, KINDS - 1) - 1


class Schedule:
    """Values of turns.

    Parameters
    ----------
    names : sequence of str
        The S sources.
    q : float64[2, S * TILES], optional
        Two tables; zeros by default.
    """

    TILES = LEVELS + STEPS // STEP + KINDS * (LEVELS + STEPS // STEP) + 2 * LEVELS
    """Tiles of a source."""

    def __init__(self, names: Sequence[str], q: np.ndarray | None = None):
        self.names = tuple(names)
        self.q = np.zeros((2, len(self.names) * self.TILES)) if q is None else np.asarray(q, np.float64)
        self._first = np.arange(len(self.names)) * self.TILES

    def tiles(self, situation: Situation, turns: np.ndarray) -> np.ndarray:
        """Return the tiles of every action, int64[5, S]; `turns`, int64[S], are those that the sources have had."""
        k, group = np.minimum(turns, LEVELS - 1), min(int(turns.sum()), STEPS - 1) // STEP
        groups, kind = STEPS // STEP, situation.kind
        offset = LEVELS + groups
        return self._first + np.array([
            k,
            np.full_like(k, LEVELS + group),
            offset + kind * LEVELS + k,
            np.full_like(k, offset + KINDS * LEVELS + kind * groups + group),
            offset + KINDS * (LEVELS + groups) + int(situation.rough) * LEVELS + k])

    def values(self, tiles: np.ndarray, table: int | None = None) -> np.ndarray:
        """Return the values of all actions in one table, float64[S], or their mean over both."""
        return self.q.mean(axis=0)[tiles].sum(axis=0) if table is None else self.q[table][tiles].sum(axis=0)

    def choose(self, situation: Situation, turns: Mapping[str, int], live: Iterable[str]) -> str:
        """Return which of the sources `live` is worth most; `turns` tells how many each source has had, if any."""
        value = self.values(self.tiles(situation, np.array([turns.get(name, 0) for name in self.names])))
        return max(live, key=lambda name: value[self.names.index(name)])

    def learn(self, table: int, tiles: np.ndarray, action: int, goal: float, alpha: float) -> None:
        """Move the value of an action in one table toward `goal`."""
        chosen = tiles[:, action]
        self.q[table, chosen] += alpha / len(chosen) * (goal - self.q[table, chosen].sum())
