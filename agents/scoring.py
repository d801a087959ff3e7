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
from rsrm._simd import pointer
from rsrm.agents.least_squares import (
    CENTRED, CENTRES, COUNT, HEAD, MAX_TERMS, N_ROWS, PROBE, PROJECTION, RAW, SCALED, SLOPES, TARGET, WEIGHT, padded,
    record_size, score_external, work_size,
)
from rsrm.agents.rng import mix
from rsrm.constants import Workspace, fit_constants, fit_scaled, workspace
from rsrm.evaluate import BLOCK

__all__ = ["MAX_CONSTANTS", "MAX_TERMS", "RAW", "SCALED", "Data", "Scratch", "fit_inner", "nearest_simple", "new_data",
           "new_scratch", "score", "score_snapped"]

MAX_CONSTANTS = 12


class Data(NamedTuple):
    """Rows to score on; T targets, D variables, R rows."""

    X: np.ndarray  # float64[D, R]
    targets: np.ndarray  # float64[T, R]
    roots: np.ndarray  # float64[T, R], weights of residuals, their squares sum to one
    records: np.ndarray  # float64[T, record_size(R)], what rsrm.agents.least_squares reads


class Scratch(NamedTuple):
    """Work arrays of :func:`score`; L longest expression."""

    stack: np.ndarray  # float64[L + 2, BLOCK]
    work: np.ndarray  # float64[work_size(R)]
    fit: Workspace  # of the fits of inner constants
    fitted: np.ndarray  # float64[MAX_CONSTANTS]


def new_data(X, targets, weights, rng) -> Data:
    """Return :class:`Data`; `weights` multiply residuals (float64[T, R]); `rng` is a numpy Generator.

    `rng` draws the direction that residuals are projected on for their key.
    """
    targets = np.ascontiguousarray(targets, np.float64)
    with np.errstate(all="ignore"):  # of huge values or weights: such a target is never reached
        squared = np.ascontiguousarray(weights, np.float64) ** 2
        squared /= squared.sum(axis=1, keepdims=True)
        means = (squared * targets).sum(axis=1)
        spreads = (squared * (targets - means[:, None]) ** 2).sum(axis=1)
    rows = targets.shape[1]
    probe = rng.standard_normal(rows) / math.sqrt(rows)
    size = padded(rows)
    records = np.zeros((len(targets), record_size(rows)))
    for record, y, w, mean, spread in zip(records, targets, squared, means, spreads, strict=True):
        for row, values in ((TARGET, y), (CENTRED, y - mean), (WEIGHT, w), (PROBE, probe)):
            record[row * size:row * size + rows] = values
        with np.errstate(all="ignore"):
            record[N_ROWS * size:] = mean, spread, probe @ (y - mean)
    return Data(np.ascontiguousarray(X, np.float64), targets, np.sqrt(squared), records)


def new_scratch(max_length: int, n_rows: int) -> Scratch:
    """Return work arrays for expressions of up to `max_length` tokens on `n_rows` rows."""
    return Scratch(np.empty((max_length + 2, BLOCK)), np.zeros(work_size(n_rows)),
                   workspace(max_length, MAX_CONSTANTS, n_rows), np.zeros(MAX_CONSTANTS))


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
        Equal for expressions that leave the same residual (to about nine digits); 0 where invalid.
    """
    rows, size = data.X.shape[1], data.records.shape[1]
    nrmse = score_external(pointer(tokens), n, pointer(constants), tables.n_variables, mode, pointer(data.X), 8 * rows,
                           rows, pointer(data.records) + 8 * size * target, pointer(tables.opcode),
                           pointer(tables.literal), pointer(tables.arity), tables.opcode.shape[0],
                           pointer(scratch.stack), pointer(scratch.work))
    return nrmse, residual_key(scratch.work[PROJECTION], nrmse, data.records[target, size - 2])


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
def score_snapped(target, data, scratch):
    """Return the nrmse of what :func:`score` scored last, with slopes and intercept rounded to simple numbers.

    Not for the mode raw, which has none.
    """
    work, record = scratch.work, data.records[target]
    rows = data.X.shape[1]
    size = (record.shape[0] - 3) // N_ROWS
    count = np.int64(work[COUNT])
    intercept = record[N_ROWS * size]
    for k in range(count):
        intercept -= nearest_simple(work[SLOPES + k]) * work[CENTRES + k]
    shift = intercept - nearest_simple(intercept)
    loss = 0.0
    for i in range(rows):
        r = record[CENTRED * size + i] + shift
        for k in range(count):
            r -= nearest_simple(work[SLOPES + k]) * work[HEAD + (k + 1) * size + i]
        loss += record[WEIGHT * size + i] * r * r
    return math.sqrt(loss / record[N_ROWS * size + 1])
