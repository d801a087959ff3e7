"""The entries of a bank: their values, the way they were made, and the key that tells whether values are known.

An entry is one sub-tree: its values on S rows and the way it was made (operator, arguments). A candidate is kept if no
earlier entry has the same values up to sign and scale. The comparison is by a 64-bit key: two fixed random projections
of the normalised values, rounded to 2**-30, so that rounding errors of 1e-15 do not tell values apart.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm._simd import LANES

LEAF = -1
"""Opcode of an entry that is an expression given from outside; ``left`` is its number."""
GRID = 2.0**30
"""Keys round projections of unit vectors to 1/GRID."""
LARGEST, SMALLEST = 1e100, 1e-100
"""Entries whose sum of squares leaves this range are refused."""
FLATTEST = 1e-12
"""Entries whose variance is below this fraction of their mean square count as constant."""


class Store(NamedTuple):
    """Arrays of a bank with room for N entries on S rows; ``count[0]`` is the number in use."""

    values: np.ndarray  # float64[N, S]
    key: np.ndarray  # int64[N]
    op: np.ndarray  # int16[N]
    left: np.ndarray  # int32[N]
    right: np.ndarray  # int32[N], -1 for unary operators and leaves
    factor: np.ndarray  # float32[N], multiplies the argument of a unary operator
    complexity: np.ndarray  # int16[N]
    flags: np.ndarray  # int8[N]
    table: np.ndarray  # int32[2**k], entry + 1 or 0, open addressing by key
    probes: np.ndarray  # float64[2, S], the two random projections
    count: np.ndarray  # int64[2]: entries, candidates looked at


def new_store(capacity: int, n_rows: int) -> Store:
    """Return an empty store for `capacity` entries on `n_rows` rows (below 300 bytes an entry at 32 rows).

    Raises
    ------
    ValueError
        If `n_rows` is not a multiple of the lanes of a vector: kernels write whole vectors.
    """
    if n_rows < 1 or n_rows % LANES:
        raise ValueError(f"n_rows: expected a multiple of {LANES}, got {n_rows}")
    slots = 1 << max(4, int(np.ceil(np.log2(max(1.5 * capacity, 2)))))
    # The projections are part of the definition of a key, hence a fixed seed and not the caller's generator.
    probes = np.random.default_rng(20240507).standard_normal((2, n_rows))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    return Store(np.empty((capacity, n_rows)), np.empty(capacity, np.int64), np.empty(capacity, np.int16),
                 np.empty(capacity, np.int32), np.empty(capacity, np.int32), np.empty(capacity, np.float32),
                 np.empty(capacity, np.int16), np.empty(capacity, np.int8), np.zeros(slots, np.int32), probes,
                 np.zeros(2, np.int64))


@njit_leaf
def key_of(sums, rows):
    """Return (key, ok) of a row of which the sums of values, squares, and products with the probes are known."""
    total, square, p, q = sums
    if not (square < LARGEST and square > SMALLEST):
        return np.int64(0), False
    if square - total * total / rows <= FLATTEST * square:
        return np.int64(0), False
    scale = GRID / math.sqrt(square)
    if p < 0.0:
        scale = -scale
    high = np.int64(math.floor(p * scale + 0.5))
    low = np.int64(math.floor(q * scale + 0.5)) + np.int64(1073741824)
    return (high << np.int64(32)) | low, True


@njit_leaf
def value_key(v, probes):
    """Return (key, ok) of ``v``; ok is False for values that are not finite, constant, or out of range."""
    value = 0.0
    square = 0.0
    p = 0.0
    q = 0.0
    for s in range(v.shape[0]):
        a = v[s]
        value += a
        square += a * a
        p += a * probes[0, s]
        q += a * probes[1, s]
    return key_of((value, square, p, q), v.shape[0])


@njit_leaf
def slot_of(key, size):
    """Return the first slot to look at for `key` in a table of `size` (a power of two) slots."""
    mixed = key * np.int64(-7046029254386353131)
    return ((mixed >> np.int64(29)) ^ (mixed >> np.int64(45))) & np.int64(size - 1)


@njit_leaf
def find_key(key, keys, table):
    """Return the entry with `key`, or -1."""
    size = table.shape[0]
    slot = slot_of(key, size)
    while table[slot] != 0:
        e = table[slot] - 1
        if keys[e] == key:
            return np.int64(e)
        slot = (slot + 1) & (size - 1)
    return np.int64(-1)


@njit_leaf
def enter(store, key, op, left, right, factor, complexity, flags):
    """Append an entry whose values are yet to be written unless its key is known or nothing fits in.

    Returns its number or -1.
    """
    size = store.table.shape[0]
    slot = slot_of(key, size)
    while store.table[slot] != 0:
        if store.key[store.table[slot] - 1] == key:
            return -1
        slot = (slot + 1) & (size - 1)
    n = store.count[0]
    if n >= store.values.shape[0]:
        return -1
    store.table[slot] = n + 1
    store.key[n] = key
    store.op[n] = op
    store.left[n] = left
    store.right[n] = right
    store.factor[n] = factor
    store.complexity[n] = complexity
    store.flags[n] = flags
    store.count[0] = n + 1
    return n


@njit_leaf
def insert(store, v, op, left, right, factor, complexity, flags):
    """Append the entry with values `v` unless it is degenerate or known or nothing fits in; return its number or -1."""
    store.count[1] += 1
    key, ok = value_key(v, store.probes)
    if not ok:
        return -1
    n = enter(store, key, op, left, right, factor, complexity, flags)
    if n >= 0:
        for s in range(v.shape[0]):
            store.values[n, s] = v[s]
    return n
