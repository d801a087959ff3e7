"""Fitting of the constants of one expression: Levenberg-Marquardt with analytic derivatives, bounded, with a status.

Minimizes ``sum((w * (f(X; c) - y))**2)`` over c, or with the outer scale projected out ``sum((w * (a + b f - y))**2)``
over a, b and c, where a and b are solved in closed form at every step (variable projection; Golub & Pereyra 1973, with
Kaufman's 1975 approximation of the derivative). The damped normal equations are scaled to a unit diagonal (Marquardt
1963), so that constants of any magnitude move alike.

Measured at 20 rows on one core: see ``python -m rsrm.benchmarks speed``.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit
from rsrm._simd import pointer
from rsrm.expression import Expression
from rsrm.levenberg import (
    CONVERGED, EXACT, MAX_ITER, NOT_FINITE, SINGULAR, STALLED, fit_external,
)
from rsrm.tape import memory_size

STATUS_TEXT = {
    CONVERGED: "converged",
    MAX_ITER: "the iteration limit was reached; more iterations or another start may help",
    STALLED: "no step lowers the error any more; this is a minimum up to rounding, or a kink",
    SINGULAR: "no constant influences the values at this point; try another start",
    NOT_FINITE: "the expression is not finite on all rows at the start; try another start",
}


class Workspace(NamedTuple):
    """Scratch of the fits, opaque."""

    memory: np.ndarray  # float64[M]; the last three doubles return numbers
    length: int
    constants: int
    rows: int


def workspace(max_length: int, max_constants: int, n_rows: int) -> Workspace:
    """Return scratch for expressions of up to `max_length` nodes and `max_constants` constants on `n_rows` rows."""
    constants = max(max_constants, 1)
    return Workspace(np.zeros(memory_size(max_length, constants, n_rows) + 3), max_length, constants, n_rows)


@njit
def _call(tokens, n, start, X, y, weights, tables, max_iter, result, ws, scaled):
    """Call the kernel; the sum of squares, a and b stand in the last three doubles of the workspace."""
    m = 0
    for k in range(n):
        m += tokens[k] == tables.n_variables
    if n > ws.length or m > ws.constants or y.shape[0] > ws.rows:
        raise ValueError("ws: too small for this expression or number of rows")  # the kernel writes without looking
    out = pointer(ws.memory) + 8 * (ws.memory.shape[0] - 3)
    return fit_external(pointer(tokens), n, pointer(start), pointer(X), X.shape[0], X.shape[1], pointer(y), y.shape[0],
                        pointer(weights), weights.shape[0], pointer(tables.opcode), pointer(tables.literal),
                        tables.opcode.shape[0], max_iter, pointer(result), pointer(ws.memory), ws.length, ws.constants,
                        scaled, out)


@njit
def fit_constants(tokens, n, start, X, y, weights, tables, max_iter, result, ws):
    """Fit the constants of ``tokens[:n]`` to y, from one start.

    Parameters
    ----------
    tokens : int16[>=n]
        Expanded prefix tokens with m constants.
    n : int
    start : float64[>=m]
    X : float64[D, R]
        C-contiguous.
    y : float64[R]
    weights : float64[R] or float64[0]
        Multiply residuals; empty means all one.
    tables : Tables
    max_iter : int
        Most evaluations after the first.
    result : float64[>=m]
        Overwritten with the best constants; equal to `start` if nothing better was found.
    ws : Workspace
        Made for at least n, m and R.

    Returns
    -------
    status : int
        CONVERGED, MAX_ITER, STALLED, SINGULAR or NOT_FINITE.
    sse : float
        ``sum((w * (f - y))**2)`` at `result`; infinite for NOT_FINITE.

    Raises
    ------
    ValueError
        If `ws` is too small.
    """
    status = _call(tokens, n, start, X, y, weights, tables, max_iter, result, ws, 0)
    return status, ws.memory[-3]


@njit
def fit_scaled(tokens, n, start, X, y, weights, tables, max_iter, result, ws):
    """Fit ``a + b f(X; c)`` to y; parameters as in :func:`fit_constants`.

    Returns
    -------
    status : int
    sse : float
        ``sum((w * (a + b f - y))**2)``; infinite for NOT_FINITE.
    a, b : float
        The outer constants; b is 0 where f is constant on the rows.
    """
    status = _call(tokens, n, start, X, y, weights, tables, max_iter, result, ws, 1)
    return status, ws.memory[-3], ws.memory[-2], ws.memory[-1]


@njit
def fit_constants_starts(tokens, n, starts, X, y, weights, tables, max_iter, result, ws):
    """Fit from every row of `starts`; keep the best; stop at the first exact fit.

    Parameters
    ----------
    starts : float64[S, >=m]
        See :func:`start_points`.
    tokens, n, X, y, weights, tables, max_iter, result, ws
        As in :func:`fit_constants`; `max_iter` holds for each start.

    Returns
    -------
    status : int
        Of the best start.
    sse : float
        Infinite if no start is finite; `result` then is the first start.
    """
    best = math.inf
    best_status = NOT_FINITE
    square = 0.0
    for i in range(y.shape[0]):
        w = weights[i] if weights.shape[0] > 0 else 1.0
        square += (w * y[i]) ** 2
    trial = np.empty(starts.shape[1])
    for i in range(trial.shape[0]):
        result[i] = starts[0, i]
    for s in range(starts.shape[0]):
        status, sse = fit_constants(tokens, n, starts[s], X, y, weights, tables, max_iter, trial, ws)
        if sse < best:
            best, best_status = sse, status
            for i in range(trial.shape[0]):
                result[i] = trial[i]
        if best <= EXACT * square:
            break
    return best_status, best


def start_points(n_constants: int, n_starts: int, rng: np.random.Generator, decades: float = 1.0) -> np.ndarray:
    """Return start values for constants, float64[n_starts, n_constants].

    The first start is all ones, the second minus ones; then signs at random on log-normal magnitudes, every other start
    spread evenly over 10**-decades .. 10**decades.
    """
    starts = np.ones((n_starts, n_constants))
    if n_starts > 1:
        starts[1] = -1.0
    for s in range(2, n_starts):
        if s % 2:
            exponent = rng.uniform(-decades, decades, n_constants)
        else:
            exponent = 0.5 * rng.standard_normal(n_constants)
        starts[s] = rng.choice((-1.0, 1.0), n_constants) * 10.0**exponent
    return starts


def _decades(X, y) -> float:
    """Return how many decades from 1 the data reach, at least 1: products of constants have to bridge them."""
    sizes = np.abs(np.concatenate([X.ravel(), y]))
    sizes = sizes[(sizes > 0.0) & np.isfinite(sizes)]
    if sizes.size == 0:
        return 1.0
    return float(max(1.0, np.abs(np.log10(np.quantile(sizes, (0.05, 0.95)))).max()))


def fit(expression: Expression, X, y, weights=None, rng=None, n_starts: int = 4, max_iter: int = 50):
    """Return `expression` with its constants fitted to y.

    Parameters
    ----------
    expression : Expression
        Its constants are the first start.
    X : float64[D, R]
        One row per variable.
    y : float64[R]
    weights : float64[R], optional
        Multiply residuals.
    rng : numpy.random.Generator, optional
        For the random starts; the same each time by default.
    n_starts : int, optional
        Starts besides the expression's own constants.
    max_iter : int, optional
        Most evaluations per start.

    Returns
    -------
    fitted : Expression
        The same tokens, promoted operators written out.
    status : int
        A key of :data:`STATUS_TEXT`.

    Raises
    ------
    ValueError
        If shapes do not fit, or `n_starts` or `max_iter` is negative.
    """
    X = np.ascontiguousarray(X, np.float64)
    y = np.ascontiguousarray(y, np.float64)
    if X.ndim != 2 or X.shape[0] != expression.library.n_variables:
        raise ValueError(f"X: expected shape ({expression.library.n_variables}, rows), got {X.shape}")
    if y.shape != (X.shape[1],):
        raise ValueError(f"y: expected shape ({X.shape[1]},), got {y.shape}")
    weights = np.empty(0) if weights is None else np.ascontiguousarray(weights, np.float64)
    if weights.size and weights.shape != y.shape:
        raise ValueError(f"weights: expected shape {y.shape}, got {weights.shape}")
    if n_starts < 0:
        raise ValueError(f"n_starts must not be negative, got {n_starts}")
    if max_iter < 0:
        raise ValueError(f"max_iter must not be negative, got {max_iter}")
    tokens, m = expression.expanded, len(expression.constants)
    rng = np.random.default_rng(0) if rng is None else rng
    starts = np.vstack([expression.constants[None], start_points(m, n_starts, rng, _decades(X, y))])
    result = np.empty(m)
    status, _ = fit_constants_starts(tokens, len(tokens), starts, X, y, weights, expression.library.tables, max_iter,
                                     result, workspace(len(tokens), m, len(y)))
    return Expression(tokens, result, expression.library), int(status)
