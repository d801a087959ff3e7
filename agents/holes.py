"""Closing the last hole by value: what must stand in the one open slot, and which sub-tree is that?

A prefix with one open slot is a context ``y = c(hole)``. Prefix order puts the hole last, so every ancestor of it has
its other argument written already, and the context can be undone from the root down: ``a + hole = t`` gives
``hole = t - a``, ``exp(hole) = t`` gives ``hole = log t``. The values h that the hole must take are then looked up
among sub-trees g, modulo ``h = a + b g``. One look-up stands for as many random completions as there are sub-trees.

What is no exact match is still worth a reward: the error that the best of a few simple sub-trees leaves, carried back
to y to first order (residuals of h are multiplied by dy/dh).
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.evaluate import evaluate
from rsrm.expression import subtree_end
from rsrm.primitives import (
    OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_CONSTANT, OP_COS, OP_CUBE, OP_DIV, OP_EXP, OP_INV, OP_LOG, OP_MUL,
    OP_NEG, OP_SIN, OP_SINH, OP_SQRT, OP_SQUARE, OP_SUB, OP_TAN, OP_TANH,
)

TOLERANCE = 1e-9
"""Relative error below which values match exactly."""


class Shapes(NamedTuple):
    """Sub-trees to look holes up in, on S rows; E sub-trees, the first F of them simple enough to be tried always."""

    X: np.ndarray  # float64[D, S]
    y: np.ndarray  # float64[S]
    values: np.ndarray  # float64[E, S], by rising complexity
    sorted_keys: np.ndarray  # float64[E], absolute projections of the normalised values
    order: np.ndarray  # int64[E], entry of each sorted key
    probe: np.ndarray  # float64[S]
    scale: float  # standard deviation of y


class HoleWork(NamedTuple):
    """Scratch of :func:`undo` and :func:`look_up`; L longest expression."""

    stack: np.ndarray  # float64[L + 2, BLOCK]
    hole: np.ndarray  # float64[S], values that the hole must take
    slope: np.ndarray  # float64[S], dy/dh
    side: np.ndarray  # float64[S], values of the argument beside the hole
    no_constants: np.ndarray  # float64[0]


@njit_leaf
def undo_unary(op, h, slope):
    """Replace h by the argument of the unary primitive `op` that gives h, and the slope by the chain rule, in place.

    Principal branches only. Values outside the range become NaN; an operator without an inverse returns False.
    """
    for i in range(h.shape[0]):
        t = h[i]
        if op == OP_NEG:
            u, d = -t, -1.0
        elif op == OP_INV:
            u = 1.0 / t
            d = -t * t
        elif op == OP_SQUARE:
            u = math.sqrt(t)
            d = 2.0 * u
        elif op == OP_CUBE:
            u = math.copysign(abs(t) ** (1.0 / 3.0), t)
            d = 3.0 * u * u
        elif op == OP_SQRT:
            u = t * t if t >= 0.0 else math.nan
            d = 0.5 / t
        elif op == OP_EXP:
            u = math.log(t)
            d = t
        elif op == OP_LOG:
            u = math.exp(t)
            d = 1.0 / u
        elif op == OP_SIN:
            u = math.asin(t)
            d = math.cos(u)
        elif op == OP_COS:
            u = math.acos(t)
            d = -math.sin(u)
        elif op == OP_TAN:
            u = math.atan(t)
            d = 1.0 + t * t
        elif op == OP_ASIN:
            u = math.sin(t)
            d = 1.0 / math.cos(t)
        elif op == OP_ACOS:
            u = math.cos(t)
            d = -1.0 / math.sin(t)
        elif op == OP_ATAN:
            u = math.tan(t)
            d = 1.0 / (1.0 + u * u)
        elif op == OP_SINH:
            u = math.asinh(t)
            d = math.sqrt(1.0 + t * t)
        elif op == OP_TANH:
            u = math.atanh(t)
            d = 1.0 - t * t
        else:
            return False
        h[i] = u
        slope[i] *= d
    return True


@njit_leaf
def undo_binary(op, a, h, slope):
    """Replace h by the second argument of `op` that gives h beside the first argument `a`; chain rule on the slope."""
    for i in range(h.shape[0]):
        t = h[i]
        if op == OP_ADD:
            h[i] = t - a[i]
        elif op == OP_SUB:
            h[i] = a[i] - t
            slope[i] = -slope[i]
        elif op == OP_MUL:
            h[i] = t / a[i]
            slope[i] *= a[i]
        elif op == OP_DIV:
            h[i] = a[i] / t
            slope[i] *= -t * t / a[i]
        else:
            return False
    return True


@njit_leaf
def undo(tokens, n, X, y, tables, work):
    """Fill ``work.hole`` and ``work.slope`` for the context ``tokens[:n]``, whose one open slot comes last.

    Returns
    -------
    ok : bool
        False where the context holds a constant or an operator that cannot be undone, or a value is not finite.
    """
    hole, slope, side = work.hole, work.slope, work.side
    for i in range(y.shape[0]):
        hole[i] = y[i]
        slope[i] = 1.0
    k = 0
    while k < n:
        op = tables.opcode[tokens[k]]
        if tables.arity[tokens[k]] == 1:
            if not undo_unary(op, hole, slope):
                return False
            k += 1
            continue
        stop = subtree_end(tokens, k + 1, tables.arity)
        for j in range(k + 1, stop):
            if tables.opcode[tokens[j]] == OP_CONSTANT:
                return False
        if not evaluate(tokens[k + 1:], stop - k - 1, work.no_constants, X, tables, work.stack, side):
            return False
        if not undo_binary(op, side, hole, slope):
            return False
        k = stop
    total = 0.0
    for i in range(y.shape[0]):
        total += hole[i] * 0.0 + slope[i] * 0.0
    return total == 0.0


@njit_leaf
def find_exact(h, shapes):
    """Return ``(entry, a, b)`` with ``h = a + b values[entry]``, or entry -1; -2 says that h is the constant a."""
    rows = h.shape[0]
    mean = 0.0
    for i in range(rows):
        mean += h[i]
    mean /= rows
    square = 0.0
    projection = 0.0
    largest = 0.0
    for i in range(rows):
        d = h[i] - mean
        square += d * d
        projection += shapes.probe[i] * d
        largest = max(largest, abs(h[i]))
    if square <= (TOLERANCE * largest) ** 2 * rows:
        return -2, mean, 0.0
    norm = math.sqrt(square)
    key = abs(projection) / norm
    margin = 1e-9 + 1e-13 * largest / norm
    keys = shapes.sorted_keys
    lo, hi = 0, keys.shape[0]
    while lo < hi:
        middle = (lo + hi) >> 1
        if keys[middle] < key - margin:
            lo = middle + 1
        else:
            hi = middle
    best = -1
    while lo < keys.shape[0] and keys[lo] <= key + margin:
        entry = shapes.order[lo]
        lo += 1
        if best >= 0 and entry > best:
            continue
        g = shapes.values[entry]
        centre = 0.0
        for i in range(rows):
            centre += g[i]
        centre /= rows
        sgg = 0.0
        sgh = 0.0
        for i in range(rows):
            sgg += (g[i] - centre) ** 2
            sgh += (g[i] - centre) * (h[i] - mean)
        b = sgh / sgg
        loss = 0.0
        for i in range(rows):
            loss += (h[i] - mean - b * (g[i] - centre)) ** 2
        if loss < (10.0 * TOLERANCE) ** 2 * square:
            best = entry
            slope, intercept = b, mean - b * centre
    if best < 0:
        return -1, 0.0, 0.0
    return best, intercept, slope


@njit_leaf
def nearest_shape(h, slope, shapes, n_simple):
    """Return ``(entry, nrmse)``: the simple sub-tree whose ``a + b g`` is nearest to h in the space of y."""
    rows = h.shape[0]
    total = 0.0
    mean = 0.0
    for i in range(rows):
        w = slope[i] * slope[i]
        total += w
        mean += w * h[i]
    if not (total > 0.0 and total < 1e200):
        return -1, math.inf
    mean /= total
    square = 0.0
    for i in range(rows):
        square += slope[i] * slope[i] * (h[i] - mean) ** 2
    best = 0.0
    entry = -1
    for k in range(n_simple):
        sw_g = 0.0
        sw_gg = 0.0
        sw_gh = 0.0
        for i in range(rows):
            w = slope[i] * slope[i]
            wg = w * shapes.values[k, i]
            sw_g += wg
            sw_gg += wg * shapes.values[k, i]
            sw_gh += wg * (h[i] - mean)
        gain = sw_gh * sw_gh / max(sw_gg - sw_g * sw_g / total, 1e-300)
        # A sub-tree that is nearly constant under these weights explains nothing; the quotient above is then noise.
        if gain > best and sw_gg - sw_g * sw_g / total > 1e-10 * sw_gg:
            best = gain
            entry = k
    return entry, math.sqrt(max(square - best, 0.0) / rows) / shapes.scale


def new_shapes(X: np.ndarray, y: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> Shapes:
    """Return :class:`Shapes` over sub-trees with `values` (float64[E, S], by rising complexity), on S rows."""
    probe = rng.standard_normal(len(y))
    with np.errstate(all="ignore"):
        centred = values - values.mean(axis=1, keepdims=True)
        keys = np.abs(centred @ probe) / np.linalg.norm(centred, axis=1)
    keys[~np.isfinite(keys)] = np.inf
    order = np.argsort(keys, kind="stable")
    return Shapes(np.ascontiguousarray(X), np.ascontiguousarray(y), np.ascontiguousarray(values), keys[order], order,
                  probe, float(np.std(y)) or 1.0)
