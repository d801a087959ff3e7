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
from rsrm._simd import LANES, load, load_some, pointer, splat, store, total
from rsrm.derivatives import adjoint_first, adjoint_second
from rsrm.elementwise import operate_external
from rsrm.expression import Expression
from rsrm.primitives import OP_ADD, OP_CONSTANT, OP_LITERAL, OP_POW, OP_VARIABLE

CONVERGED, MAX_ITER, STALLED, SINGULAR, NOT_FINITE = 0, 1, 2, 3, 4
STATUS_TEXT = {
    CONVERGED: "converged",
    MAX_ITER: "the iteration limit was reached; more iterations or another start may help",
    STALLED: "no step lowers the error any more; this is a minimum up to rounding, or a kink",
    SINGULAR: "no constant influences the values at this point; try another start",
    NOT_FINITE: "the expression is not finite on all rows at the start; try another start",
}

SPAN = 256
"""Rows evaluated at a time: the tape of a long expression then stays in the level-2 cache."""
_STEP = 8 * LANES
_RELATIVE_DECREASE = 1e-10
_EXACT = 1e-31
_COSINE = 1e-13
_FIRST_DAMPING, _LAST_DAMPING = 1e-3, 1e12


class Workspace(NamedTuple):
    """Scratch of the fits; L longest expression, C most constants, P rows rounded up to vectors."""

    tape: np.ndarray  # float64[2 L, min(P, SPAN)]: values of nodes, then adjoints of nodes
    program: np.ndarray  # int64[L, 5]: opcode, first argument, second argument, depends on constants, index of constant
    order: np.ndarray  # int64[L]: inner nodes that depend on constants, parents first
    jacobian: np.ndarray  # float64[C, P]
    rows: np.ndarray  # float64[4, P]: target, weights, values, weighted residuals
    normal: np.ndarray  # float64[2, C, C]: scaled normal matrix, its factor
    small: np.ndarray  # float64[5, C]: constants, trial, gradient, scale, step


def workspace(max_length: int, max_constants: int, n_rows: int) -> Workspace:
    """Return scratch for expressions of up to `max_length` nodes and `max_constants` constants on `n_rows` rows."""
    padded = -(-n_rows // LANES) * LANES
    c = max(max_constants, 1)
    return Workspace(np.zeros((2 * max_length, min(padded, SPAN))), np.zeros((max_length, 5), np.int64),
                     np.zeros(max_length, np.int64), np.zeros((c, padded)), np.zeros((4, padded)),
                     np.zeros((2, c, c)), np.zeros((5, c)))


@njit
def _compile(tokens, n, tables, program, order, stack):
    """Fill `program` and `order`; return the numbers of constants and of inner nodes that depend on them."""
    top = 0
    m = 0
    for k in range(n - 1, -1, -1):
        t = tokens[k]
        op = tables.opcode[t]
        program[k, 0] = op
        program[k, 3] = 0
        if op == OP_CONSTANT:
            program[k, 3] = 1
            program[k, 4] = m  # counted from the right; put right below
            m += 1
        elif op == OP_LITERAL:
            program[k, 4] = t
        elif op == OP_VARIABLE:
            program[k, 4] = t
        else:
            top -= 1
            first = stack[top]
            program[k, 1] = program[k, 2] = first
            program[k, 3] = program[first, 3]
            if op <= OP_POW:
                top -= 1
                program[k, 2] = stack[top]
                program[k, 3] |= program[stack[top], 3]
        stack[top] = k
        top += 1
    count = 0
    for k in range(n):
        if program[k, 0] == OP_CONSTANT:
            program[k, 4] = m - 1 - program[k, 4]
        elif program[k, 3] == 1:
            order[count] = k
            count += 1
    return m, count


@njit
def _forward(n, constants, X, tables, ws, count, lo, b, everything):
    """Evaluate rows lo..lo+b-1 onto the tape; without `everything`, only what depends on constants."""
    base = pointer(ws.tape)
    stride = 8 * ws.tape.shape[1]
    whole = b // LANES
    rest = b - whole * LANES
    vectors = whole + (rest > 0)
    program = ws.program
    if everything:
        for k in range(n - 1, -1, -1):
            op = program[k, 0]
            row = base + k * stride
            if op == OP_VARIABLE:
                source = pointer(X) + 8 * (program[k, 4] * X.shape[1] + lo)
                for i in range(whole):
                    store(row + i * _STEP, load(source + i * _STEP))
                if rest > 0:
                    store(row + whole * _STEP, load_some(source + whole * _STEP, rest))
            elif op < OP_ADD:
                v = splat(constants[program[k, 4]] if op == OP_CONSTANT else tables.literal[program[k, 4]])
                for i in range(vectors):
                    store(row + i * _STEP, v)
            else:
                operate_external(op, base + program[k, 1] * stride, base + program[k, 2] * stride, row, vectors)
    else:
        for k in range(n):
            if program[k, 0] == OP_CONSTANT:
                v = splat(constants[program[k, 4]])
                row = base + k * stride
                for i in range(vectors):
                    store(row + i * _STEP, v)
        for j in range(count - 1, -1, -1):
            k = ws.order[j]
            operate_external(program[k, 0], base + program[k, 1] * stride, base + program[k, 2] * stride,
                             base + k * stride, vectors)


@njit
def _target(k, program, adjoints, stride, jacobian, jstride, lo):
    """Return where the adjoint of node k goes: a constant's column of the Jacobian, or the node's own row."""
    if program[k, 0] == OP_CONSTANT:
        return jacobian + program[k, 4] * jstride + 8 * lo
    return adjoints + k * stride


@njit
def _reverse(n, ws, count, lo, vectors, factor):
    """Fill columns lo.. of the Jacobian from the tape; every entry is multiplied by weight and `factor`."""
    base = pointer(ws.tape)
    stride = 8 * ws.tape.shape[1]
    adjoints = base + (ws.tape.shape[0] // 2) * stride
    jacobian = pointer(ws.jacobian)
    jstride = 8 * ws.jacobian.shape[1]
    program = ws.program
    seed = pointer(ws.rows) + jstride + 8 * lo
    root = _target(0, program, adjoints, stride, jacobian, jstride, lo)
    for i in range(vectors):
        store(root + i * _STEP, factor * load(seed + i * _STEP))
    for j in range(count):
        k = ws.order[j]
        op, first, second = program[k, 0], program[k, 1], program[k, 2]
        u, v, y = base + first * stride, base + second * stride, base + k * stride
        g = adjoints + k * stride
        if program[first, 3] == 1:
            adjoint_first(op, u, v, y, g, _target(first, program, adjoints, stride, jacobian, jstride, lo), vectors)
        if op <= OP_POW and program[second, 3] == 1:
            adjoint_second(op, u, v, y, g, _target(second, program, adjoints, stride, jacobian, jstride, lo), vectors)


@njit
def _dot(a, b, vectors):
    """Return the inner product of two padded rows at addresses `a` and `b`."""
    acc = splat(0.0)
    for i in range(vectors):
        acc = acc + load(a + i * _STEP) * load(b + i * _STEP)
    return total(acc)


@njit
def _residuals(ws, vectors, a, b):
    """Fill the weighted residuals ``w (a + b f - y)``; return their sum of squares."""
    y = pointer(ws.rows)
    stride = 8 * ws.rows.shape[1]
    w, f, r = y + stride, y + 2 * stride, y + 3 * stride
    acc = splat(0.0)
    for i in range(0, vectors * _STEP, _STEP):
        d = load(w + i) * ((a + b * load(f + i)) - load(y + i))
        store(r + i, d)
        acc = acc + d * d
    return total(acc)


@njit
def _scale(ws, vectors):
    """Return the a, b that minimize the sum of squares of ``w (a + b f - y)``; b is 0 if f is constant."""
    y = pointer(ws.rows)
    stride = 8 * ws.rows.shape[1]
    w, f = y + stride, y + 2 * stride
    sw, sf, sy = splat(0.0), splat(0.0), splat(0.0)
    for i in range(0, vectors * _STEP, _STEP):
        w2 = load(w + i) * load(w + i)
        sw, sf, sy = sw + w2, sf + w2 * load(f + i), sy + w2 * load(y + i)
    weight = total(sw)
    mean_f, mean_y = total(sf) / weight, total(sy) / weight
    ff, fy = splat(0.0), splat(0.0)
    for i in range(0, vectors * _STEP, _STEP):
        d = load(w + i) * (load(f + i) - mean_f)
        ff, fy = ff + d * d, fy + d * (load(w + i) * (load(y + i) - mean_y))
    spread = total(ff)
    if spread <= 1e-24 * weight * mean_f * mean_f or spread == 0.0:
        return mean_y, 0.0
    b = total(fy) / spread
    return mean_y - b * mean_f, b


@njit
def _values(n, constants, X, tables, ws, count, rows, first_time):
    """Evaluate all rows; the values go to row 2 of ``ws.rows``. With one block the tape stays valid."""
    span = ws.tape.shape[1]
    everything = first_time or rows > span
    for lo in range(0, rows, span):
        b = min(span, rows - lo)
        _forward(n, constants, X, tables, ws, count, lo, b, everything)
        source = pointer(ws.tape)
        target = pointer(ws.rows) + 8 * (2 * ws.rows.shape[1] + lo)
        for i in range((b + LANES - 1) // LANES):
            store(target + i * _STEP, load(source + i * _STEP))


@njit
def _jacobian(n, constants, X, tables, ws, count, rows, factor):
    """Fill the Jacobian for the constants that :func:`_values` was last called with."""
    span = ws.tape.shape[1]
    for lo in range(0, rows, span):
        b = min(span, rows - lo)
        if rows > span:
            _forward(n, constants, X, tables, ws, count, lo, b, True)
        _reverse(n, ws, count, lo, (b + LANES - 1) // LANES, factor)


@njit
def _project_out(ws, m, vectors):
    """Make the Jacobian's columns orthogonal to the weighted columns 1 and f, which are solved in closed form."""
    stride = 8 * ws.rows.shape[1]
    w = pointer(ws.rows) + stride
    f = w + stride
    jacobian = pointer(ws.jacobian)
    ww = _dot(w, w, vectors)
    acc = splat(0.0)
    for i in range(0, vectors * _STEP, _STEP):
        acc = acc + load(w + i) * load(w + i) * load(f + i)
    mean = total(acc) / ww
    acc = splat(0.0)
    for i in range(0, vectors * _STEP, _STEP):
        d = load(w + i) * (load(f + i) - mean)
        acc = acc + d * d
    ff = total(acc)
    for j in range(m):
        column = jacobian + j * stride
        c0 = _dot(column, w, vectors) / ww
        acc = splat(0.0)
        for i in range(0, vectors * _STEP, _STEP):
            d = load(column + i) - c0 * load(w + i)
            store(column + i, d)
            acc = acc + d * (load(w + i) * (load(f + i) - mean))
        c1 = total(acc) / ff if ff > 0.0 else 0.0
        for i in range(0, vectors * _STEP, _STEP):
            store(column + i, load(column + i) - c1 * (load(w + i) * (load(f + i) - mean)))


@njit
def _normal_equations(ws, m, vectors, sse):
    """Fill the scaled normal matrix and gradient; return the largest cosine between residual and a column."""
    jacobian = pointer(ws.jacobian)
    stride = 8 * ws.jacobian.shape[1]
    residual = pointer(ws.rows) + 3 * stride
    matrix, gradient, scale = ws.normal[0], ws.small[2], ws.small[3]
    largest = -1.0
    for i in range(m):
        for j in range(i + 1):
            matrix[i, j] = _dot(jacobian + i * stride, jacobian + j * stride, vectors)
        d = matrix[i, i]
        if not (d < math.inf):
            return math.nan
        scale[i] = 1.0 / math.sqrt(d) if d > 1e-300 else 0.0
    for i in range(m):
        for j in range(i + 1):
            matrix[i, j] *= scale[i] * scale[j]
        matrix[i, i] = 1.0
        gradient[i] = _dot(jacobian + i * stride, residual, vectors) * scale[i]
        if scale[i] > 0.0:
            largest = max(largest, abs(gradient[i]))
    if largest < 0.0:
        return largest
    return largest / math.sqrt(sse)


@njit
def _solve(ws, m, damping):
    """Solve the damped scaled normal equations by Cholesky; the step goes to row 4 of ``ws.small``."""
    matrix, factor = ws.normal[0], ws.normal[1]
    gradient, scale, step = ws.small[2], ws.small[3], ws.small[4]
    for i in range(m):
        for j in range(i + 1):
            s = matrix[i, j] + (damping if i == j else 0.0)
            for k in range(j):
                s -= factor[i, k] * factor[j, k]
            if i == j:
                if not s > 1e-15:
                    return False
                factor[i, i] = math.sqrt(s)
            else:
                factor[i, j] = s / factor[j, j]
        s = -gradient[i]
        for k in range(i):
            s -= factor[i, k] * step[k]
        step[i] = s / factor[i, i]
    for i in range(m - 1, -1, -1):
        s = step[i]
        for k in range(i + 1, m):
            s -= factor[k, i] * step[k]
        step[i] = s / factor[i, i]
    for i in range(m):
        step[i] *= scale[i]
    return True


@njit
def _prepare(tokens, n, X, y, weights, tables, ws):
    """Load target and weights, padded with weight zero; return constants, inner nodes, sum of squares of the target."""
    m, count = _compile(tokens, n, tables, ws.program, ws.order, ws.order)
    rows = y.shape[0]
    square = 0.0
    for i in range(ws.rows.shape[1]):
        inside = i < rows
        ws.rows[0, i] = y[i] if inside else 0.0
        ws.rows[1, i] = (weights[i] if weights.shape[0] > 0 else 1.0) if inside else 0.0
        square += (ws.rows[0, i] * ws.rows[1, i]) ** 2
    return m, count, square


@njit
def _error(constants, n, X, tables, ws, count, rows, vectors, scaled, first_time):
    """Return the sum of squares at `constants`, and the outer a and b."""
    _values(n, constants, X, tables, ws, count, rows, first_time)
    a, b = 0.0, 1.0
    if scaled:
        a, b = _scale(ws, vectors)
    return _residuals(ws, vectors, a, b), a, b


@njit
def _fit(tokens, n, start, X, y, weights, tables, max_iter, result, ws, scaled):
    """Levenberg-Marquardt; return (status, sum of squares, a, b)."""
    rows = y.shape[0]
    vectors = (rows + LANES - 1) // LANES
    m, count, square = _prepare(tokens, n, X, y, weights, tables, ws)
    current, trial, step = ws.small[0], ws.small[1], ws.small[4]
    for i in range(m):
        current[i] = result[i] = start[i]
    sse, a, b = _error(current, n, X, tables, ws, count, rows, vectors, scaled, True)
    if not math.isfinite(sse):
        return NOT_FINITE, math.inf, a, b
    if m == 0 or sse <= _EXACT * square:
        return CONVERGED, sse, a, b
    status = MAX_ITER
    damping = _FIRST_DAMPING
    evaluations = 0
    while evaluations < max_iter and status == MAX_ITER:
        _jacobian(n, current, X, tables, ws, count, rows, b)
        if scaled:
            _project_out(ws, m, vectors)
        cosine = _normal_equations(ws, m, vectors, sse)
        if not cosine > _COSINE:
            # NaN: a derivative overflowed; negative: all columns vanish; else the residual is orthogonal to all columns.
            status = CONVERGED if cosine >= 0.0 else SINGULAR
            break
        while evaluations < max_iter:
            lower = False
            if _solve(ws, m, damping):
                evaluations += 1
                for i in range(m):
                    trial[i] = current[i] + step[i]
                new, new_a, new_b = _error(trial, n, X, tables, ws, count, rows, vectors, scaled, False)
                lower = new < sse  # False for NaN
            if lower:
                if new <= _EXACT * square or sse - new <= _RELATIVE_DECREASE * sse:
                    status = CONVERGED
                sse, a, b = new, new_a, new_b
                for i in range(m):
                    current[i] = trial[i]
                damping = max(damping * 0.1, 1e-15)
                break
            damping *= 8.0
            if damping > _LAST_DAMPING:
                status = STALLED
                break
    for i in range(m):
        result[i] = current[i]
    return status, sse, a, b


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
        Made for at least n, m and exactly R.

    Returns
    -------
    status : int
        CONVERGED, MAX_ITER, STALLED, SINGULAR or NOT_FINITE.
    sse : float
        ``sum((w * (f - y))**2)`` at `result`; infinite for NOT_FINITE.
    """
    status, sse, _, _ = _fit(tokens, n, start, X, y, weights, tables, max_iter, result, ws, False)
    return status, sse


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
    return _fit(tokens, n, start, X, y, weights, tables, max_iter, result, ws, True)


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
    result[:starts.shape[1]] = starts[0]
    for s in range(starts.shape[0]):
        status, sse = fit_constants(tokens, n, starts[s], X, y, weights, tables, max_iter, trial, ws)
        if sse < best:
            best, best_status = sse, status
            result[:starts.shape[1]] = trial
        if best <= _EXACT * square:
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
