"""Compiled enumeration of sub-trees, bottom up, deduplicated by value (:mod:`rsrm.bank_store`)."""

import numpy as np

from rsrm._jit import njit_leaf
from rsrm._simd import LANES, any_lane, load, pointer, splat, total
from rsrm._simd import store as write
from rsrm.bank_store import enter, key_of
from rsrm.elementwise import STEP, operate_external
from rsrm.primitives import (
    OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_COS, OP_COSH, OP_DIV, OP_EXP, OP_LOG, OP_MUL, OP_POW, OP_SIN, OP_SINH,
    OP_SQRT, OP_SUB, OP_TAN, OP_TANH,
)

HAS_TRIG, HAS_EXP, HAS_LOG, IS_NUMBER = 1, 2, 4, 8
"""Flags of an entry; a function is not applied to what already holds one of its own family."""
SMALL_ARGUMENT = 1e-2
"""exp, sin, tanh and the like of arguments below this are polynomials in disguise and are left out."""


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


@njit_leaf
def _more(sums, v, p, q):
    """Add a vector of values to the sums that make a key."""
    return sums[0] + v, sums[1] + v * v, sums[2] + v * p, sums[3] + v * q


@njit_leaf
def _totals(sums):
    return total(sums[0]), total(sums[1]), total(sums[2]), total(sums[3])


@njit_leaf
def _sums_of(row, probes, size):
    """Return what makes the key of a row in memory."""
    sums = (splat(0.0), splat(0.0), splat(0.0), splat(0.0))
    for at in range(0, size, STEP):
        sums = _more(sums, load(row + at), load(probes + at), load(probes + size + at))
    return _totals(sums)


@njit_leaf
def _enter_next(store, op, left, right, factor, complexity, flags):
    """Append the entry whose values stand in the next free row already, if they are new."""
    store.count[1] += 1
    rows = store.values.shape[1]
    row = pointer(store.values) + 8 * rows * store.count[0]
    key, ok = key_of(_sums_of(row, pointer(store.probes), 8 * rows), rows)
    if ok:
        enter(store, key, op, left, right, factor, complexity, flags)


@njit_leaf
def unary_level(store, lo, hi, ops, factors, nodes):
    """Apply every operator of `ops` to ``factor * entry`` for entries lo..hi-1 and insert what is new.

    Factor -1 is for sqrt and log of negative entries only; other factors than 1 are for periodic functions and tanh,
    where a scale cannot be moved outside. `nodes` is what operator and factor add to the complexity.
    """
    rows = store.values.shape[1]
    base, size = pointer(store.values), 8 * rows
    for e in range(lo, hi):
        flags = store.flags[e]
        if flags & IS_NUMBER:
            continue
        row = base + e * size
        squares, negative, positive = splat(0.0), False, False
        for at in range(0, size, STEP):
            v = load(row + at)
            squares = squares + v * v
            negative |= any_lane(v < 0.0)
            positive |= any_lane(v > 0.0)
        square = total(squares)
        for k in range(ops.shape[0]):
            op = ops[k]
            mine = family(op)
            if flags & mine:
                continue
            rooted = op == OP_SQRT or op == OP_LOG
            for m in range(factors.shape[0]):
                factor = factors[m]
                if rooted and (positive if factor < 0.0 else negative):
                    continue
                if factor == -1.0 and not rooted:
                    continue
                if factor != 1.0 and factor != -1.0 and mine != HAS_TRIG and op != OP_TANH:
                    continue
                if mine != 0 and not rooted and factor * factor * square < SMALL_ARGUMENT**2 * rows:
                    continue
                if store.count[0] >= store.values.shape[0]:
                    return
                target = base + store.count[0] * size
                source = row
                if factor != 1.0:
                    source = target
                    for at in range(0, size, STEP):
                        write(target + at, factor * load(row + at))
                operate_external(op, source, source, target, rows // LANES)
                _enter_next(store, op, e, -1, factor, store.complexity[e] + nodes, flags | mine)


@njit_leaf
def _sums_of_three(a, c, probes, size):
    """Return what makes the keys of sum, difference and product of two rows, which are never written."""
    none = (splat(0.0), splat(0.0), splat(0.0), splat(0.0))
    added, less, times = none, none, none
    for at in range(0, size, STEP):
        x, y, p, q = load(a + at), load(c + at), load(probes + at), load(probes + size + at)
        added = _more(added, x + y, p, q)
        less = _more(less, x - y, p, q)
        times = _more(times, x * y, p, q)
    return _totals(added), _totals(less), _totals(times)


@njit_leaf
def _sums_of_quotients(a, c, probes, size):
    """The same of both quotients."""
    none = (splat(0.0), splat(0.0), splat(0.0), splat(0.0))
    over, under = none, none
    for at in range(0, size, STEP):
        x, y, p, q = load(a + at), load(c + at), load(probes + at), load(probes + size + at)
        over = _more(over, x / y, p, q)
        under = _more(under, y / x, p, q)
    return _totals(over), _totals(under)


@njit_leaf
def _combine(store, sums, op, i, j, complexity, flags):
    """Append entry i combined with entry j, if the key that `sums` makes is new."""
    store.count[1] += 1
    rows = store.values.shape[1]
    key, ok = key_of(sums, rows)
    if not ok:
        return
    n = enter(store, key, op, i, j, 1.0, complexity, flags)
    if n >= 0:
        base, size = pointer(store.values), 8 * rows
        operate_external(op, base + i * size, base + j * size, base + n * size, rows // LANES)


@njit_leaf
def _power(store, i, j, complexity, flags):
    """Append entry i to the power of entry j, if it is new."""
    if store.count[0] < store.values.shape[0]:
        rows = store.values.shape[1]
        base, size = pointer(store.values), 8 * rows
        operate_external(OP_POW, base + i * size, base + j * size, base + store.count[0] * size, rows // LANES)
        _enter_next(store, OP_POW, i, j, 1.0, complexity, flags)


@njit_leaf
def _among(op, ops):
    for k in range(ops.shape[0]):
        if ops[k] == op:
            return True
    return False


@njit_leaf
def binary_level(store, lo, hi, first, last, ops, stride, seed):
    """Combine entries i in lo..hi-1 with entries j in first..last-1, j >= i, by every operator of `ops`.

    With `stride` above 1 only about one pair in `stride` is looked at, at random: a level that does not fit is
    sampled evenly. Differences are oriented to have a non-negative mean, so that roots and logs of them exist.
    Four candidates in five are known: keys are made of sums in registers, and only what is new is written.
    """
    state = np.uint64(seed) | np.uint64(1)
    full = store.values.shape[0]
    base, probes, size = pointer(store.values), pointer(store.probes), 8 * store.values.shape[1]
    adds, subtracts, multiplies = _among(OP_ADD, ops), _among(OP_SUB, ops), _among(OP_MUL, ops)
    divides, raises = _among(OP_DIV, ops), _among(OP_POW, ops)
    for i in range(lo, hi):
        j = max(i, first)
        while True:
            if stride > 1:
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                j += np.int64((state >> np.uint64(33)) % np.uint64(2 * stride - 1))
            if j >= last:
                break
            fi = store.flags[i]
            fj = store.flags[j]
            complexity = store.complexity[i] + store.complexity[j] + 1
            both = (fi | fj) & ~IS_NUMBER
            if (fi & fj) & IS_NUMBER:
                j += 1
                continue
            a, c = base + i * size, base + j * size
            if adds or subtracts or multiplies:
                added, less, times = _sums_of_three(a, c, probes, size)
                if adds and i != j:
                    _combine(store, added, OP_ADD, i, j, complexity, both)
                if subtracts and i != j:
                    if less[0] < 0.0:
                        _combine(store, less, OP_SUB, j, i, complexity, both)
                    else:
                        _combine(store, less, OP_SUB, i, j, complexity, both)
                if multiplies and ((fi | fj) & IS_NUMBER) == 0:
                    _combine(store, times, OP_MUL, i, j, complexity, both)
            if divides and i != j:
                over, under = _sums_of_quotients(a, c, probes, size)
                if not fj & IS_NUMBER:
                    _combine(store, over, OP_DIV, i, j, complexity, both)
                if not fi & IS_NUMBER:
                    _combine(store, under, OP_DIV, j, i, complexity, both)
            if raises and i != j:
                if not fj & IS_NUMBER:
                    _power(store, i, j, complexity, both)
                if not fi & IS_NUMBER:
                    _power(store, j, i, complexity, both)
            if store.count[0] >= full:
                return
            j += 1
