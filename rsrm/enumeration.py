"""Compiled enumeration of sub-trees, bottom up, deduplicated by value.

An entry of the bank is one sub-tree: its values on S rows and the way it was made (operator, arguments). A candidate is
kept if no earlier entry has the same values up to sign and scale. The comparison is by a 64-bit key: two fixed random
projections of the normalised values, rounded to 2**-30, so that rounding errors of 1e-15 do not tell values apart.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.evaluate import apply_binary, apply_unary
from rsrm.primitives import (
    OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_COS, OP_COSH, OP_DIV, OP_EXP, OP_LOG, OP_MUL, OP_POW, OP_SIN, OP_SINH,
    OP_SQRT, OP_SUB, OP_TAN, OP_TANH,
)

LEAF = -1
"""Opcode of an entry that is an expression given from outside; ``left`` is its number."""
HAS_TRIG, HAS_EXP, HAS_LOG, IS_NUMBER = 1, 2, 4, 8
"""Flags of an entry; a function is not applied to what already holds one of its own family."""
GRID = 2.0**30
"""Keys round projections of unit vectors to 1/GRID."""
LARGEST, SMALLEST = 1e100, 1e-100
"""Entries whose sum of squares leaves this range are refused."""
FLATTEST = 1e-12
"""Entries whose variance is below this fraction of their mean square count as constant."""

SMALL_ARGUMENT = 1e-2
"""exp, sin, tanh and the like of arguments below this are polynomials in disguise and are left out."""


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
    """Return an empty store for `capacity` entries on `n_rows` rows (below 300 bytes an entry at 32 rows)."""
    slots = 1 << max(4, int(np.ceil(np.log2(max(1.5 * capacity, 2)))))
    # The projections are part of the definition of a key, hence a fixed seed and not the caller's generator.
    probes = np.random.default_rng(20240507).standard_normal((2, n_rows))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    return Store(np.empty((capacity, n_rows)), np.empty(capacity, np.int64), np.empty(capacity, np.int16),
                 np.empty(capacity, np.int32), np.empty(capacity, np.int32), np.empty(capacity, np.float32),
                 np.empty(capacity, np.int16), np.empty(capacity, np.int8), np.zeros(slots, np.int32), probes,
                 np.zeros(2, np.int64))


@njit_leaf
def value_key(v, probes):
    """Return (key, ok) of ``v``; ok is False for values that are not finite, constant, or out of range."""
    total = 0.0
    square = 0.0
    p = 0.0
    q = 0.0
    for s in range(v.shape[0]):
        a = v[s]
        total += a
        square += a * a
        p += a * probes[0, s]
        q += a * probes[1, s]
    if not (square < LARGEST and square > SMALLEST):
        return np.int64(0), False
    if square - total * total / v.shape[0] <= FLATTEST * square:
        return np.int64(0), False
    scale = GRID / math.sqrt(square)
    if p < 0.0:
        scale = -scale
    high = np.int64(math.floor(p * scale + 0.5))
    low = np.int64(math.floor(q * scale + 0.5)) + np.int64(1073741824)
    return (high << np.int64(32)) | low, True


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
def insert(store, v, op, left, right, factor, complexity, flags):
    """Append the entry with values `v` unless it is degenerate or known or nothing fits in; return its number or -1."""
    store.count[1] += 1
    key, ok = value_key(v, store.probes)
    if not ok:
        return -1
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
    for s in range(v.shape[0]):
        store.values[n, s] = v[s]
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
def family(op):
    """Return the flag of the operator's family, 0 if it has none."""
    if op == OP_SIN or op == OP_COS or op == OP_TAN or op == OP_ASIN or op == OP_ACOS or op == OP_ATAN:
        return HAS_TRIG
    if op == OP_EXP or op == OP_SINH or op == OP_COSH or op == OP_TANH:
        return HAS_EXP
    if op == OP_LOG:
        return HAS_LOG
    return 0


@njit
def unary_level(store, lo, hi, ops, factors, nodes):
    """Apply every operator of `ops` to ``factor * entry`` for entries lo..hi-1 and insert what is new.

    Factor -1 is for sqrt and log of negative entries only; other factors than 1 are for periodic functions and tanh,
    where a scale cannot be moved outside. `nodes` is what operator and factor add to the complexity.
    """
    buffer = np.empty(store.values.shape[1])
    for e in range(lo, hi):
        flags = store.flags[e]
        if flags & IS_NUMBER:
            continue
        for k in range(ops.shape[0]):
            op = ops[k]
            mine = family(op)
            if flags & mine:
                continue
            for m in range(factors.shape[0]):
                factor = factors[m]
                rooted = op == OP_SQRT or op == OP_LOG
                if factor == -1.0 and not (rooted and store.values[e, 0] < 0.0):
                    continue
                if factor != 1.0 and factor != -1.0 and mine != HAS_TRIG and op != OP_TANH:
                    continue
                size = 0.0
                for s in range(buffer.shape[0]):
                    buffer[s] = factor * store.values[e, s]
                    size += buffer[s] * buffer[s]
                if mine != 0 and not rooted and size < SMALL_ARGUMENT**2 * buffer.shape[0]:
                    continue
                apply_unary(op, buffer, buffer.shape[0])
                insert(store, buffer, op, e, -1, factor, store.complexity[e] + nodes, flags | mine)


@njit
def binary_level(store, lo, hi, first, last, ops, stride, seed):
    """Combine entries i in lo..hi-1 with entries j in first..last-1, j >= i, by every operator of `ops`.

    With `stride` above 1 only about one pair in `stride` is looked at, at random: a level that does not fit is
    sampled evenly. Differences are oriented to have a non-negative mean, so that roots and logs of them exist.
    """
    buffer = np.empty(store.values.shape[1])
    state = np.uint64(seed) | np.uint64(1)
    rows = buffer.shape[0]
    full = store.values.shape[0]
    for i in range(lo, hi):
        a = store.values[i]
        j = max(i, first)
        while True:
            if stride > 1:
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                j += np.int64((state >> np.uint64(33)) % np.uint64(2 * stride - 1))
            if j >= last:
                break
            c = store.values[j]
            fi = store.flags[i]
            fj = store.flags[j]
            complexity = store.complexity[i] + store.complexity[j] + 1
            both = (fi | fj) & ~IS_NUMBER
            if (fi & fj) & IS_NUMBER:
                j += 1
                continue
            number = ((fi | fj) & IS_NUMBER) != 0
            for k in range(ops.shape[0]):
                op = ops[k]
                if op == OP_ADD:
                    if i != j:
                        apply_binary(op, a, c, rows, buffer)
                        insert(store, buffer, op, i, j, 1.0, complexity, both)
                elif op == OP_SUB:
                    if i != j:
                        total = 0.0
                        for s in range(rows):
                            buffer[s] = a[s] - c[s]
                            total += buffer[s]
                        if total < 0.0:
                            for s in range(rows):
                                buffer[s] = -buffer[s]
                            insert(store, buffer, op, j, i, 1.0, complexity, both)
                        else:
                            insert(store, buffer, op, i, j, 1.0, complexity, both)
                elif op == OP_MUL:
                    if not number:
                        apply_binary(op, a, c, rows, buffer)
                        insert(store, buffer, op, i, j, 1.0, complexity, both)
                elif op == OP_DIV or op == OP_POW:
                    if i != j:
                        if not (fj & IS_NUMBER):
                            apply_binary(op, a, c, rows, buffer)
                            insert(store, buffer, op, i, j, 1.0, complexity, both)
                        if not (fi & IS_NUMBER):
                            apply_binary(op, c, a, rows, buffer)
                            insert(store, buffer, op, j, i, 1.0, complexity, both)
            if store.count[0] >= full:
                return
            j += 1
