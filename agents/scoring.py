"""How a search scores an expression f: what its best outer constants explain of a target.

The outer constants are solved, not searched. With g the target and *w* squared weights that sum to one:

* ``raw``:       ``g = f``
* ``scaled``:    ``g = a + b f``, closed form
* ``terms(K)``:  ``g = a + sum_k b_k f_k`` over up to K top-level additive terms of f, normal equations by Cholesky
* ``powers(K)``: ``log|g| = a + sum_k b_k log|f_k|`` over up to K top-level factors

A mode is one integer: 0 raw, 1 scaled, K > 1 terms, -K powers. Least squares alone deceives (any x + cos + exp
explains a polynomial a little), so searches rotate over modes.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.agents.rng import mix
from rsrm.constants import Workspace, fit_constants, fit_scaled, workspace
from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import subtree_end
from rsrm.primitives import OP_ADD, OP_CONSTANT, OP_DIV, OP_INV, OP_MUL, OP_NEG, OP_SUB

MAX_TERMS = 6
MAX_CONSTANTS = 12
RAW, SCALED = 0, 1


class Data(NamedTuple):
    """Rows to score on; T targets, D variables, R rows."""

    X: np.ndarray  # float64[D, R]
    targets: np.ndarray  # float64[T, R]
    weights: np.ndarray  # float64[T, R], squared, each row sums to one
    roots: np.ndarray  # float64[T, R], square roots of the weights: they multiply residuals in fits of inner constants
    means: np.ndarray  # float64[T], weighted mean of each target
    variances: np.ndarray  # float64[T], weighted variance of each target
    probe: np.ndarray  # float64[R], a random direction that residuals are projected on for the value key


class Scratch(NamedTuple):
    """Work arrays of :func:`score`; K = MAX_TERMS, L longest expression."""

    stack: np.ndarray  # float64[L + 2, BLOCK]
    values: np.ndarray  # float64[K, R]
    residual: np.ndarray  # float64[R]
    gram: np.ndarray  # float64[K, K]
    rhs: np.ndarray  # float64[K]
    coefficients: np.ndarray  # float64[K + 1]; intercept last
    starts: np.ndarray  # int64[K]
    stops: np.ndarray  # int64[K]
    fit: Workspace  # of the fits of inner constants
    fitted: np.ndarray  # float64[MAX_CONSTANTS]


def new_data(X, targets, weights, rng) -> Data:
    """Return :class:`Data`; `weights` multiply residuals (float64[T, R]); `rng` is a numpy Generator."""
    targets = np.ascontiguousarray(targets, np.float64)
    squared = np.ascontiguousarray(weights, np.float64) ** 2
    squared /= squared.sum(axis=1, keepdims=True)
    means = (squared * targets).sum(axis=1)
    variances = (squared * (targets - means[:, None]) ** 2).sum(axis=1)
    probe = rng.standard_normal(targets.shape[1]) / math.sqrt(targets.shape[1])
    return Data(np.ascontiguousarray(X, np.float64), targets, squared, np.sqrt(squared), means,
                variances, probe)


def new_scratch(max_length: int, n_rows: int) -> Scratch:
    """Return work arrays for expressions of up to `max_length` tokens on `n_rows` rows."""
    k = MAX_TERMS
    return Scratch(np.empty((max_length + 2, BLOCK)), np.empty((k, n_rows)), np.empty(n_rows), np.empty((k, k)),
                   np.empty(k), np.zeros(k + 1), np.zeros(k, np.int64), np.zeros(k, np.int64),
                   workspace(max_length, MAX_CONSTANTS, n_rows), np.zeros(MAX_CONSTANTS))


@njit_leaf
def split_terms(tokens, n, tables, limit, product, starts, stops):
    """Find up to `limit` top-level terms (factors if `product`) of ``tokens[:n]``; return their number.

    Signs (inverses) in front of a term are dropped: its coefficient (exponent) makes up for them.
    """
    count = 1
    starts[0], stops[0] = 0, n
    k = 0
    while k < count:
        op = tables.opcode[tokens[starts[k]]]
        if product:
            splits, drops = op == OP_MUL or op == OP_DIV, op == OP_INV or op == OP_NEG
        else:
            splits, drops = op == OP_ADD or op == OP_SUB, op == OP_NEG
        if drops:
            starts[k] += 1
        elif splits and count < limit:
            middle = subtree_end(tokens, starts[k] + 1, tables.arity)
            starts[count], stops[count] = middle, stops[k]
            starts[k] += 1
            stops[k] = middle
            count += 1
        else:
            k += 1
    return count


@njit_leaf
def solve_normal(gram, rhs, count):
    """Solve ``gram x = rhs`` for a positive semidefinite matrix by Cholesky, in place; return the rank.

    A column that depends on earlier ones gets the coefficient zero. `gram` is overwritten with the factor (its upper
    triangle keeps the matrix), `rhs` with the solution.
    """
    rank = 0
    for j in range(count):
        diagonal = gram[j, j]
        pivot = diagonal
        for k in range(j):
            pivot -= gram[j, k] * gram[j, k]
        if pivot > 1e-11 * diagonal and diagonal > 0.0:
            pivot = math.sqrt(pivot)
            rank += 1
        else:
            pivot = 0.0
        gram[j, j] = pivot
        for i in range(j + 1, count):
            s = gram[j, i]
            for k in range(j):
                s -= gram[i, k] * gram[j, k]
            gram[i, j] = s / pivot if pivot > 0.0 else 0.0
    solve_factored(gram, rhs, count)
    return rank


@njit_leaf
def solve_factored(factor, rhs, count):
    """Overwrite `rhs` with the solution, given the lower factor that :func:`solve_normal` left."""
    for j in range(count):
        s = rhs[j]
        for k in range(j):
            s -= factor[j, k] * rhs[k]
        rhs[j] = s / factor[j, j] if factor[j, j] > 0.0 else 0.0
    for j in range(count - 1, -1, -1):
        s = rhs[j]
        for k in range(j + 1, count):
            s -= factor[k, j] * rhs[k]
        rhs[j] = s / factor[j, j] if factor[j, j] > 0.0 else 0.0


@njit_leaf
def score_raw(f, y, w, variance, probe):
    """Return ``(nrmse, projection)`` of ``y - f``."""
    loss = 0.0
    projection = 0.0
    for i in range(f.shape[0]):
        r = y[i] - f[i]
        loss += w[i] * r * r
        projection += probe[i] * r
    return math.sqrt(loss / variance), projection


@njit_leaf
def score_scaled(f, y, w, mean, variance, probe, coefficients):
    """Return ``(nrmse, projection)`` of ``y - a - b f``; write b and a into ``coefficients[:2]``."""
    rows = f.shape[0]
    centre = 0.0
    for i in range(rows):
        centre += w[i] * f[i]
    sff = 0.0
    sfy = 0.0
    pf = 0.0
    py = 0.0
    for i in range(rows):
        df = f[i] - centre
        dy = y[i] - mean
        sff += w[i] * df * df
        sfy += w[i] * df * dy
        pf += probe[i] * df
        py += probe[i] * dy
    if not sff > 1e-24 * centre * centre or not sff < 1e280:
        return math.inf, 0.0
    b = sfy / sff
    loss = variance - b * sfy
    if loss < 1e-5 * variance:
        # The difference has lost its digits: sum the squares themselves.
        loss = 0.0
        for i in range(rows):
            r = (y[i] - mean) - b * (f[i] - centre)
            loss += w[i] * r * r
    coefficients[0] = b
    coefficients[1] = mean - b * centre
    return math.sqrt(loss / variance), py - b * pf


@njit_leaf
def score_terms(count, y, w, mean, variance, probe, scratch):
    """Return ``(nrmse, projection)`` of ``y`` less its fit by ``scratch.values[:count]`` and an intercept.

    ``scratch.values`` is overwritten with centred columns; the slopes go to ``scratch.coefficients``.
    """
    rows = y.shape[0]
    f, gram, rhs, slopes, r = scratch.values, scratch.gram, scratch.rhs, scratch.coefficients, scratch.residual
    for k in range(count):
        centre = 0.0
        for i in range(rows):
            centre += w[i] * f[k, i]
        square = 0.0
        for i in range(rows):
            f[k, i] -= centre
            square += w[i] * f[k, i] * f[k, i]
        if not square < 1e280:
            return math.inf, 0.0
        if not square > 1e-24 * centre * centre:
            for i in range(rows):
                f[k, i] = 0.0
        slopes[k] = 0.0
    for k in range(count):
        for j in range(k, count):
            s = 0.0
            for i in range(rows):
                s += w[i] * f[k, i] * f[j, i]
            gram[k, j] = s
    for i in range(rows):
        r[i] = y[i] - mean
    loss = variance
    for sweep in range(2):
        for k in range(count):
            s = 0.0
            for i in range(rows):
                s += w[i] * f[k, i] * r[i]
            rhs[k] = s
        if sweep == 0:
            if solve_normal(gram, rhs, count) == 0:
                return math.inf, 0.0
        else:
            solve_factored(gram, rhs, count)
        for k in range(count):
            slopes[k] += rhs[k]
            for i in range(rows):
                r[i] -= rhs[k] * f[k, i]
        loss = 0.0
        for i in range(rows):
            loss += w[i] * r[i] * r[i]
        if loss > 1e-6 * variance:
            break
    projection = 0.0
    for i in range(rows):
        projection += probe[i] * r[i]
    return math.sqrt(loss / variance), projection


@njit_leaf
def evaluate_terms(tokens, n, constants, mode, X, tables, scratch):
    """Evaluate the terms of ``tokens[:n]`` under `mode` into ``scratch.values``; return their number, 0 if invalid."""
    limit = 1
    if mode > 1:
        limit = mode
    elif mode < 0:
        limit = -mode
    if limit == 1 and mode >= 0:
        return np.int64(evaluate(tokens, n, constants, X, tables, scratch.stack, scratch.values[0]))
    count = split_terms(tokens, n, tables, limit, mode < 0, scratch.starts, scratch.stops)
    for k in range(count):
        start, stop = scratch.starts[k], scratch.stops[k]
        offset = 0
        for j in range(start):
            if tables.opcode[tokens[j]] == OP_CONSTANT:
                offset += 1
        if not evaluate(tokens[start:], stop - start, constants[offset:], X, tables, scratch.stack, scratch.values[k]):
            return 0
        if mode < 0:
            f = scratch.values[k]
            for i in range(f.shape[0]):
                if f[i] == 0.0:
                    return 0
                f[i] = math.log(abs(f[i]))
    return count


@njit_leaf
def score(tokens, n, constants, mode, target, data, tables, scratch):
    """Return ``(nrmse, key)`` of ``tokens[:n]`` under `mode` on one target.

    Parameters
    ----------
    tokens : int16[>=n]
        Expanded prefix tokens.
    n : int
    constants : float64[>=m]
    mode : int
        See the module docstring.
    target : int
        Row of ``data.targets``.
    data : Data
    tables : rsrm.library.Tables
    scratch : Scratch
        Overwritten.

    Returns
    -------
    nrmse : float
        In the space of the target; infinite where the expression is not defined.
    key : uint64
        Equal for expressions that leave the same residual (to about ten digits); 0 where invalid.
    """
    y, w, probe = data.targets[target], data.weights[target], data.probe
    mean, variance = data.means[target], data.variances[target]
    if mode == RAW or mode == SCALED:
        return score_whole(tokens, n, constants, mode, data.X, y, w, mean, variance, probe, tables, scratch.stack,
                           scratch.values[0], scratch.coefficients)
    count = evaluate_terms(tokens, n, constants, mode, data.X, tables, scratch)
    if count == 0:
        return math.inf, np.uint64(0)
    if count == 1:
        nrmse, projection = score_scaled(scratch.values[0], y, w, mean, variance, probe, scratch.coefficients)
    else:
        nrmse, projection = score_terms(count, y, w, mean, variance, probe, scratch)
    return nrmse, residual_key(projection, nrmse, variance)


@njit_leaf
def score_whole(tokens, n, constants, mode, X, y, w, mean, variance, probe, tables, stack, values, coefficients):
    """Return :func:`score` for the modes raw and scaled; takes bare arrays, which costs less than records."""
    if not evaluate(tokens, n, constants, X, tables, stack, values):
        return math.inf, np.uint64(0)
    if mode == RAW:
        nrmse, projection = score_raw(values, y, w, variance, probe)
    else:
        nrmse, projection = score_scaled(values, y, w, mean, variance, probe, coefficients)
    return nrmse, residual_key(projection, nrmse, variance)


@njit_leaf
def fit_inner(tokens, n, m, constants, mode, target, iterations, data, tables, scratch):
    """Improve ``constants[:m]`` in place by Levenberg-Marquardt; return whether the fit was possible.

    The mode raw fits f itself, all others ``a + b f`` with a and b projected out, which for terms and powers is a
    start only.
    """
    y, w = data.targets[target], data.roots[target]
    if mode == RAW:
        _, sse = fit_constants(tokens, n, constants, data.X, y, w, tables, iterations, scratch.fitted, scratch.fit)
    else:
        _, sse, _, _ = fit_scaled(tokens, n, constants, data.X, y, w, tables, iterations, scratch.fitted, scratch.fit)
    if not sse < math.inf:
        return False
    for i in range(m):
        constants[i] = scratch.fitted[i]
    return True


@njit_leaf
def residual_key(projection, nrmse, variance):
    """Return a hash of a residual's projection and size, each rounded to nine digits; never 0."""
    if not nrmse < 1e100:
        return np.uint64(0)
    limit = 4e18
    a = np.int64(min(max(math.floor(projection * (1e9 / math.sqrt(variance)) + 0.5), -limit), limit))
    b = np.int64(min(math.floor(nrmse * 1e9 + 0.5), limit))
    return mix(mix(np.uint64(a)) + np.uint64(b)) | np.uint64(256)


@njit_leaf
def nearest_simple(value):
    """Return the integer or fraction with denominator 2, 3 or 4 at `value`, or the nearest integer if none is."""
    for denominator in range(1, 5):
        scaled = value * denominator
        nearest = math.floor(scaled + 0.5)
        if abs(scaled - nearest) < 1e-6 * max(1.0, abs(scaled)) and abs(nearest) < 1e6:
            return nearest / denominator
    return math.floor(value + 0.5)


@njit_leaf
def score_snapped(tokens, n, constants, mode, target, data, tables, scratch):
    """Return the nrmse with slopes and intercept of :func:`score` rounded to simple numbers.

    Call it after :func:`score` on the same expression: ``scratch.coefficients`` must hold the slopes.
    """
    slopes = scratch.coefficients
    count = evaluate_terms(tokens, n, constants, mode, data.X, tables, scratch)
    if count == 0:
        return math.inf
    y, w, r = data.targets[target], data.weights[target], scratch.residual
    mean = 0.0
    for i in range(y.shape[0]):
        r[i] = y[i]
    for k in range(count):
        b = nearest_simple(slopes[k])
        for i in range(y.shape[0]):
            r[i] -= b * scratch.values[k, i]
    for i in range(y.shape[0]):
        mean += w[i] * r[i]
    mean = nearest_simple(mean)
    loss = 0.0
    for i in range(y.shape[0]):
        loss += w[i] * (r[i] - mean) ** 2
    return math.sqrt(loss / data.variances[target])
