"""Closing the last hole by value: what must stand in the one open slot, and which sub-tree is that?

A prefix with one open slot is a context ``y = c(hole)``. Prefix order puts the hole last, so every ancestor of it has
its other argument written already, and the context can be undone from the root down: ``a + hole = t`` gives
``hole = t - a``, ``exp(hole) = t`` gives ``hole = log t``. The values h that the hole must take are then looked up
among sub-trees g, modulo ``h = a + b g``. One look-up stands for as many random completions as there are sub-trees.

What is no exact match is still worth a reward: of a few simple sub-trees the one whose residual of h, multiplied by
dy/dh, is least is put into the hole, and the error of the whole in y is computed anew. To first order alone the error
is a lie wherever the context bends: a logarithm of something huge promised an error of zero and drew all episodes.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.elementwise import apply_binary, apply_unary
from rsrm.evaluate import evaluate
from rsrm.expression import subtree_end
from rsrm.primitives import (
    OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_CONSTANT, OP_COS, OP_CUBE, OP_DIV, OP_EXP, OP_INV, OP_LOG, OP_MUL,
    OP_NEG, OP_POW, OP_SIN, OP_SINH, OP_SQRT, OP_SQUARE, OP_SUB, OP_TAN, OP_TANH,
)

FIRST = 1000
TOLERANCE = 1e-9
"""Relative error below which values match exactly."""


class Shapes(NamedTuple):
    """Sub-trees to look holes up in, on S rows; E sub-trees, the first F of them simple enough to be tried always."""

    X: np.ndarray  # float64[D, S]
    targets: np.ndarray  # float64[T, S], y and its inversions
    values: np.ndarray  # float64[E, S], by rising complexity
    sorted_keys: np.ndarray  # float64[E], absolute projections of the normalised values
    order: np.ndarray  # int64[E], entry of each sorted key
    probe: np.ndarray  # float64[S]
    scales: np.ndarray  # float64[T], standard deviations of the targets
    starts: np.ndarray  # int32[B], first of the sorted keys in each bucket; the last one holds all that are larger
    bucket: np.ndarray  # float64[1], buckets per unit of a key


class HoleWork(NamedTuple):
    """Scratch of :func:`undo` and :func:`look_up`; L longest expression."""

    stack: np.ndarray  # float64[L + 2, BLOCK]
    hole: np.ndarray  # float64[S], values that the hole must take
    slope: np.ndarray  # float64[S], dy/dh
    sides: np.ndarray  # float64[L, S], values of the arguments beside the hole, by level
    spine: np.ndarray  # int64[L], operators above the hole, the root first; plus FIRST where it is the first argument
    filled: np.ndarray  # float64[S], values of the whole with something in the hole
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
def undo_binary(op, first, a, h, slope):
    """Replace h by the argument of `op` that gives h beside the other argument `a`; chain rule on the slope.

    `first` says that the hole is the first argument.
    """
    for i in range(h.shape[0]):
        t = h[i]
        if op == OP_ADD:
            h[i] = t - a[i]
        elif op == OP_MUL:
            h[i] = t / a[i]
            slope[i] *= a[i]
        elif op == OP_SUB:
            h[i] = t + a[i] if first else a[i] - t
            slope[i] *= 1.0 if first else -1.0
        elif op == OP_DIV:
            h[i] = t * a[i] if first else a[i] / t
            slope[i] *= 1.0 / a[i] if first else -t * t / a[i]
        else:
            return False
    return True


@njit_leaf
def undo(tokens, at, constants, X, y, tables, work):
    """Fill ``work.hole`` and ``work.slope`` for the expression `tokens` with a hole in place of the sub-tree at `at`.

    Nothing of that sub-tree is read, so that for a prefix with one open slot `at` is its length.

    Parameters
    ----------
    tokens : int16[>=at]
        Expanded prefix tokens.
    at : int
    constants : float64[>=m]
        Left-to-right values of the constant tokens.
    X : float64[D, S]
    y : float64[S]
        What the whole has to be.
    tables : rsrm.library.Tables
    work : HoleWork

    Returns
    -------
    levels : int
        Operators above the hole, noted in ``work.spine`` and ``work.sides``; -1 where the context holds an operator
        that cannot be undone, or a value is not finite.
    """
    hole, slope = work.hole, work.slope
    levels = 0
    for i in range(y.shape[0]):
        hole[i] = y[i]
        slope[i] = 1.0
    k = 0
    while k < at:
        op = tables.opcode[tokens[k]]
        if tables.arity[tokens[k]] == 1:
            if not undo_unary(op, hole, slope):
                return -1
            work.spine[levels] = op
            levels += 1
            k += 1
            continue
        begin, stop = k + 1, subtree_end(tokens, k + 1, tables.arity)
        first = at < stop
        if first:
            begin, stop = stop, subtree_end(tokens, stop, tables.arity)
        skipped = 0
        for j in range(begin):
            if tables.opcode[tokens[j]] == OP_CONSTANT:
                skipped += 1
        side = work.sides[levels]
        if not evaluate(tokens[begin:], stop - begin, constants[skipped:], X, tables, work.stack, side):
            return -1
        if not undo_binary(op, first, side, hole, slope):
            return -1
        work.spine[levels] = op + (FIRST if first else 0)
        levels += 1
        k = k + 1 if first else stop
    total = 0.0
    for i in range(y.shape[0]):
        total += hole[i] * 0.0 + slope[i] * 0.0
    return levels if total == 0.0 else -1


@njit
def fill(values, a, b, levels, y, scale, work):
    """Put ``a + b values`` into the hole of the context last undone; return the NRMSE of the whole, inf if undefined.

    `levels` is what :func:`undo` returned, `scale` the standard deviation of y.
    """
    whole, rows = work.filled, y.shape[0]
    for i in range(rows):
        whole[i] = a + b * values[i]
    for k in range(levels - 1, -1, -1):
        op = work.spine[k]
        if op >= FIRST:
            apply_binary(op - FIRST, whole, work.sides[k], rows, whole)
        elif op <= OP_POW:
            apply_binary(op, work.sides[k], whole, rows, whole)
        else:
            apply_unary(op, whole, rows)
    total = 0.0
    for i in range(rows):
        total += (y[i] - whole[i]) ** 2
    error = math.sqrt(total / rows) / scale
    return error if error < math.inf else math.inf


@njit_leaf
def normalise(h, probe):
    """Return ``(mean, norm, projection)``: of h, of what is left without its mean, and of that, scaled, on the probe.

    The projection is the same for h and ``a + b h``; the norm is 0 where h is a constant.
    """
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
        projection += probe[i] * d
        largest = max(largest, abs(h[i]))
    if square <= (TOLERANCE * largest) ** 2 * rows:
        return mean, 0.0, 0.0
    norm = math.sqrt(square)
    return mean, norm, abs(projection) / norm


@njit_leaf
def find_exact(h, mean, norm, key, shapes):
    """Return ``(entry, a, b)`` with ``h = a + b values[entry]``, or entry -1; -2 says that h is the constant a.

    `mean`, `norm` and `key` are what :func:`normalise` returns for h.
    """
    if norm == 0.0:
        return -2, mean, 0.0
    if not key < math.inf:  # squares of huge values
        return -1, 0.0, 0.0
    rows = h.shape[0]
    square = norm * norm
    margin = 1e-9 + 1e-13 * abs(mean) / norm
    keys, starts = shapes.sorted_keys, shapes.starts
    least = key - margin
    lo = np.int64(starts[min(np.int64(max(least, 0.0) * shapes.bucket[0]), starts.shape[0] - 1)])
    while lo < keys.shape[0] and keys[lo] < least:
        lo += 1
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
    """Return ``(entry, a, b)``: the simple sub-tree whose ``a + b g`` is nearest to h, residuals weighted by slope."""
    rows = h.shape[0]
    total = 0.0
    mean = 0.0
    for i in range(rows):
        w = slope[i] * slope[i]
        total += w
        mean += w * h[i]
    if not (total > 0.0 and total < 1e200):
        return -1, 0.0, 0.0
    mean /= total
    best = 0.0
    entry, intercept, scale = -1, 0.0, 0.0
    for k in range(min(n_simple, shapes.values.shape[0])):
        sw_g = 0.0
        sw_gg = 0.0
        sw_gh = 0.0
        for i in range(rows):
            w = slope[i] * slope[i]
            wg = w * shapes.values[k, i]
            sw_g += wg
            sw_gg += wg * shapes.values[k, i]
            sw_gh += wg * (h[i] - mean)
        spread = sw_gg - sw_g * sw_g / total
        gain = sw_gh * sw_gh / max(spread, 1e-300)
        # A sub-tree that is nearly constant under these weights explains nothing; the quotient above is then noise.
        if gain > best and spread > 1e-10 * sw_gg:
            best = gain
            entry = k
            scale = sw_gh / spread
            intercept = mean - scale * sw_g / total
    return entry, intercept, scale


def new_shapes(X: np.ndarray, targets: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> Shapes:
    """Return :class:`Shapes` over sub-trees with `values` (float64[E, S], by rising complexity), on S rows."""
    targets = np.ascontiguousarray(targets)
    probe = rng.standard_normal(targets.shape[1])
    with np.errstate(all="ignore"):
        centred = values - values.mean(axis=1, keepdims=True)
        keys = np.abs(centred @ probe) / np.linalg.norm(centred, axis=1)
    keys[~np.isfinite(keys)] = np.inf
    order = np.argsort(keys, kind="stable")
    scales = targets.std(axis=1)
    scales[scales == 0.0] = 1.0
    keys = keys[order]
    per_unit = max(1, len(keys)) / np.linalg.norm(probe)  # keys are at most the norm of the probe
    starts = np.searchsorted(keys, np.arange(max(1, len(keys))) / per_unit).astype(np.int32)
    return Shapes(np.ascontiguousarray(X), targets, np.ascontiguousarray(values), keys, order, probe, scales, starts,
                  np.array([per_unit]))
