"""What to undo next around a hole: double Q-learning over tiles.

A state of the tree search over contexts (:mod:`rsrm.agents.peeling`) is a hole, an action the operator that is undone
next, with the side that stands beside the hole. What matters of them is described by *tiles* (Sutton & Barto, 2nd ed.,
9.5), so that what is learned at one hole serves at all like it: the operator and how many stand above it; the operator
and the one above; the operator and the size of its side. The value of an action is the chance that something one
operator below the context it leads to closes exactly, ``Q = logistic(START + sum of tiles)``. Two tables are kept (van
Hasselt, NeurIPS 2010); one of them, drawn at random, moves toward ::

    1                                            if something did,
    GAMMA * Q_B(s', argmax_a' Q_A(s', a'))       otherwise,

where s' is the hole that the action left. A search ends with its first success, so that what is learned before is
where there is none.
"""

import math

import numpy as np

from rsrm._jit import njit_leaf

GAMMA = 0.3
"""Discount per operator."""
LEVELS = 5
"""Operators above the hole at most."""
SIZES = 6
NUMBER, PROMOTED, CLASSES = 0, SIZES + 1, SIZES + 2
"""Classes of sides: numbers, others by their tokens (the largest together), promoted ones."""
START = -4.0
"""Sum of the tiles of an action that nothing is known of."""


def new_advice(n_kinds: int) -> np.ndarray:
    """Return two tables of zeros, float64[2, N], for so many operators that can be undone."""
    return np.zeros((2, n_kinds * (LEVELS + n_kinds + 1 + CLASSES)))


@njit_leaf
def tiles(kind, above, level, side_class, n_kinds):
    """Return the three tiles of an action; `above` is -1 at the root."""
    return (kind * LEVELS + level, n_kinds * LEVELS + (above + 1) * n_kinds + kind,
            n_kinds * (LEVELS + n_kinds + 1) + kind * CLASSES + side_class)


@njit_leaf
def advised(q, table, kind, above, level, side_class, n_kinds):
    """Return the sum of the tiles of an action in one table."""
    a, b, c = tiles(kind, above, level, side_class, n_kinds)
    return q[table, a] + q[table, b] + q[table, c]


@njit_leaf
def chance(tile_sum):
    """Return the value of an action: the chance that its tiles stand for."""
    return 1.0 / (1.0 + math.exp(-START - tile_sum))


@njit_leaf
def learn(q, table, kind, above, level, side_class, n_kinds, goal, alpha):
    """Move the value of one action in one table toward `goal`, in place: a step down the gradient of the log loss."""
    a, b, c = tiles(kind, above, level, side_class, n_kinds)
    step = alpha * (goal - chance(q[table, a] + q[table, b] + q[table, c]))
    q[table, a] += step
    q[table, b] += step
    q[table, c] += step
