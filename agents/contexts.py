"""Contexts: expressions with a hole in place of one sub-tree, closed by value and remembered.

Contexts that leave the same values to the hole, up to scale and shift, are one context: a table of hashes keeps the
search from looking them up twice.
"""

from typing import NamedTuple

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.agents.holes import fill, find_exact, normalise, undo
from rsrm.agents.rng import below, mix
from rsrm.agents.scoring import MAX_CONSTANTS
from rsrm.expression import subtree_end

KEY_BITS = 19
EXACT = 1e-7
"""NRMSE on the rows of the shapes below which a closing counts as exact until it is written out."""
SALT = np.uint64(0x5851F42D4C957F2D)


class Hits(NamedTuple):
    """Contexts that were closed; the reader writes them out. H places, used as a ring."""

    tokens: np.ndarray  # int16[H, L]
    constants: np.ndarray  # float64[H, MAX_CONSTANTS]
    starts: np.ndarray  # int64[H], where the hole begins
    stops: np.ndarray  # int64[H], one past what stood in its place
    lengths: np.ndarray  # int64[H]
    targets: np.ndarray  # int64[H], see :class:`rsrm.agents.holes.Shapes`
    entries: np.ndarray  # int64[H], sub-tree; -2: the hole is a number
    errors: np.ndarray  # float64[H], NRMSE on the rows of the shapes
    count: np.ndarray  # int64[1], written so far
    keys: np.ndarray  # uint32[2**p], see :func:`is_known`
    best: np.ndarray  # float64[L + 1], smallest error by length of the context


def new_hits(max_size: int, places: int = 64) -> Hits:
    """Return an empty list of closed contexts."""
    return Hits(np.zeros((places, max_size), np.int16), np.zeros((places, MAX_CONSTANTS)), np.zeros(places, np.int64),
                np.zeros(places, np.int64), np.zeros(places, np.int64), np.zeros(places, np.int64),
                np.zeros(places, np.int64), np.zeros(places), np.zeros(1, np.int64), np.zeros(1 << KEY_BITS, np.uint32),
                np.full(max_size + 1, np.inf))


@njit_leaf
def is_known(keys, projection, salt):
    """Return whether a hole of this projection (:func:`rsrm.agents.holes.normalise`) was seen before, and note it.

    The table is direct-mapped: a new hole takes the place of an old one, so that memory is bounded.
    """
    key = mix(np.uint64(np.int64(projection * 1e9)) ^ salt)
    place = key & np.uint64(keys.shape[0] - 1)
    mark = np.uint32(key >> np.uint64(32)) | np.uint32(1)
    known = keys[place] == mark
    keys[place] = mark
    return known


@njit_leaf
def note(hits, tokens, at, stop, n, constants, entry, target, error):
    """Note a closing, if it is exact or the best of its length: the reader writes it out."""
    if not error < EXACT:
        for k in range(n - stop + at + 1):
            if not error < hits.best[k]:
                return
        hits.best[n - stop + at] = error
    place = hits.count[0] % hits.lengths.shape[0]
    for k in range(n):
        hits.tokens[place, k] = tokens[k]
    for k in range(constants.shape[0]):
        hits.constants[place, k] = constants[k]
    hits.starts[place] = at
    hits.stops[place] = stop
    hits.lengths[place] = n
    hits.entries[place] = entry
    hits.targets[place] = target
    hits.errors[place] = error
    hits.count[0] += 1


@njit
def complete(rng, tokens, lengths, constants, size, target, tables, shapes, hole_work, hits, draws):
    """Ask for random sub-trees of a population's individuals what should stand in their place; return how many asked.

    Semantic backpropagation (Pawlak, Wieloch & Krawiec, IEEE TEVC 2015): an expression that is right but for one
    sub-tree is completed at once, whatever the sub-tree, as long as it is in the bank.

    Parameters
    ----------
    rng : uint64[1]
    tokens, lengths, constants
        Of the individuals, see :class:`rsrm.agents.genetic.Genetic`.
    size : int
        Individuals in use.
    target : int
        Row of ``shapes.targets`` that they are to explain.
    draws : int
        Pairs of individual and sub-tree tried.
    """
    asked = 0
    y, scale = shapes.targets[target], shapes.scales[target]
    if size == 0:
        return asked
    for _ in range(draws):
        i = below(rng, size)
        n = lengths[i]
        at = below(rng, n)
        levels = undo(tokens[i], at, constants[i], shapes.X, y, tables, hole_work)
        if levels < 0:
            continue
        mean, norm, projection = normalise(hole_work.hole, shapes.probe)
        if is_known(hits.keys, projection, SALT):
            continue
        asked += 1
        entry, a, b = find_exact(hole_work.hole, mean, norm, projection, shapes)
        if entry == -1:
            continue
        error = fill(shapes.values[max(entry, 0)], a, b, levels, y, scale, hole_work)
        if error < EXACT:
            stop = np.int64(subtree_end(tokens[i], at, tables.arity))
            note(hits, tokens[i], at, stop, n, constants[i], entry, target, error)
    return asked
