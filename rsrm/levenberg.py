"""The kernel of the fits: Levenberg-Marquardt over one tape, compiled once and called by symbol.

Arrays cross the border as addresses (:func:`rsrm._jit.external`); inside they are arrays again, all carved from one
piece of memory. See :mod:`rsrm.constants` for the method and the public face.
"""

import math

import numpy as np
from numba import carray
from numba.types import int64

from rsrm._jit import external, njit
from rsrm._simd import LANES, as_pointer, load, pointer, splat, store, store_one, total
from rsrm.elementwise import STEP
from rsrm.tape import carve, compile_program, fill_jacobian, fill_values

CONVERGED, MAX_ITER, STALLED, SINGULAR, NOT_FINITE = 0, 1, 2, 3, 4
EXACT = 1e-31
"""Sum of squares, relative to the target's, that counts as zero."""
_RELATIVE_DECREASE = 1e-10
_COSINE = 1e-13
_FIRST_DAMPING, _LAST_DAMPING = 1e-3, 1e12


@njit
def _dot(a, b, vectors):
    """Return the inner product of two padded rows at addresses `a` and `b`."""
    acc = splat(0.0)
    for i in range(vectors):
        acc = acc + load(a + i * STEP) * load(b + i * STEP)
    return total(acc)


@njit
def _residuals(ws, vectors, a, b):
    """Fill the weighted residuals ``w (a + b f - y)``; return their sum of squares."""
    y = pointer(ws.rows)
    stride = 8 * ws.rows.shape[1]
    w, f, r = y + stride, y + 2 * stride, y + 3 * stride
    acc = splat(0.0)
    for i in range(0, vectors * STEP, STEP):
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
    for i in range(0, vectors * STEP, STEP):
        w2 = load(w + i) * load(w + i)
        sw, sf, sy = sw + w2, sf + w2 * load(f + i), sy + w2 * load(y + i)
    weight = total(sw)
    mean_f, mean_y = total(sf) / weight, total(sy) / weight
    ff, fy = splat(0.0), splat(0.0)
    for i in range(0, vectors * STEP, STEP):
        d = load(w + i) * (load(f + i) - mean_f)
        ff, fy = ff + d * d, fy + d * (load(w + i) * (load(y + i) - mean_y))
    spread = total(ff)
    if spread <= 1e-24 * weight * mean_f * mean_f or spread == 0.0:
        return mean_y, 0.0
    b = total(fy) / spread
    return mean_y - b * mean_f, b


@njit
def _project_out(ws, m, vectors):
    """Make the Jacobian's columns orthogonal to the weighted columns 1 and f, which are solved in closed form."""
    stride = 8 * ws.rows.shape[1]
    w = pointer(ws.rows) + stride
    f = w + stride
    jacobian = pointer(ws.jacobian)
    ww = _dot(w, w, vectors)
    acc = splat(0.0)
    for i in range(0, vectors * STEP, STEP):
        acc = acc + load(w + i) * load(w + i) * load(f + i)
    mean = total(acc) / ww
    acc = splat(0.0)
    for i in range(0, vectors * STEP, STEP):
        d = load(w + i) * (load(f + i) - mean)
        acc = acc + d * d
    ff = total(acc)
    for j in range(m):
        column = jacobian + j * stride
        c0 = _dot(column, w, vectors) / ww
        acc = splat(0.0)
        for i in range(0, vectors * STEP, STEP):
            d = load(column + i) - c0 * load(w + i)
            store(column + i, d)
            acc = acc + d * (load(w + i) * (load(f + i) - mean))
        c1 = total(acc) / ff if ff > 0.0 else 0.0
        for i in range(0, vectors * STEP, STEP):
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
def _prepare(tokens, n, y, weights, opcodes, ws):
    """Load target and weights, padded with weight zero; return constants, inner nodes, sum of squares of the target."""
    m, count = compile_program(tokens, n, opcodes, ws.program, ws.order, ws.order)
    rows = y.shape[0]
    square = 0.0
    for i in range(ws.rows.shape[1]):
        inside = i < rows
        ws.rows[0, i] = y[i] if inside else 0.0
        ws.rows[1, i] = (weights[i] if weights.shape[0] > 0 else 1.0) if inside else 0.0
        square += (ws.rows[0, i] * ws.rows[1, i]) ** 2
    return m, count, square


@njit
def _error(constants, n, X, literals, ws, count, rows, vectors, scaled, first_time):
    """Return the sum of squares at `constants`, and the outer a and b."""
    fill_values(n, constants, X, literals, ws, count, rows, first_time)
    a, b = 0.0, 1.0
    if scaled:
        a, b = _scale(ws, vectors)
    return _residuals(ws, vectors, a, b), a, b


@njit
def _fit(tokens, n, start, X, y, weights, opcodes, literals, max_iter, result, ws, scaled):
    """Levenberg-Marquardt; return (status, sum of squares, a, b); parameters as arrays."""
    rows = y.shape[0]
    vectors = (rows + LANES - 1) // LANES
    m, count, square = _prepare(tokens, n, y, weights, opcodes, ws)
    current, trial, step = ws.small[0], ws.small[1], ws.small[4]
    for i in range(m):
        current[i] = result[i] = start[i]
    sse, a, b = _error(current, n, X, literals, ws, count, rows, vectors, scaled, True)
    if not math.isfinite(sse):
        return NOT_FINITE, math.inf, a, b
    if m == 0 or sse <= EXACT * square:
        return CONVERGED, sse, a, b
    status = MAX_ITER
    damping = _FIRST_DAMPING
    evaluations = 0
    while evaluations < max_iter and status == MAX_ITER:
        fill_jacobian(n, current, X, literals, ws, count, rows, b)
        if scaled:
            _project_out(ws, m, vectors)
        cosine = _normal_equations(ws, m, vectors, sse)
        if not cosine > _COSINE:
            # NaN: a derivative overflowed; negative: all columns vanish; else the residual is orthogonal to them.
            status = CONVERGED if cosine >= 0.0 else SINGULAR
            break
        while evaluations < max_iter:
            lower = False
            if _solve(ws, m, damping):
                evaluations += 1
                for i in range(m):
                    trial[i] = current[i] + step[i]
                new, new_a, new_b = _error(trial, n, X, literals, ws, count, rows, vectors, scaled, False)
                lower = new < sse  # False for NaN
            if lower:
                if new <= EXACT * square or sse - new <= _RELATIVE_DECREASE * sse:
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


@external(int64(*(int64,) * 20))
def fit_external(tokens, n, start, X, n_variables, columns, y, rows, weights, n_weights, opcodes, literals, n_tokens,
                 max_iter, result, memory, length, constants, scaled, out):
    """:func:`_fit` on addresses; a and b and before them the sum of squares go to the three doubles at `out`.

    Parameters
    ----------
    tokens, start, X, y, weights, opcodes, literals, result, memory, out : int
        Addresses; the arrays are those of :func:`rsrm.constants.fit_constants`.
    n, n_variables, columns, rows, n_weights, n_tokens, max_iter : int
        Length of the expression, shape of X, length of y, of weights and of the library's tables, most evaluations.
    length, constants : int
        What `memory` was made for.
    scaled : int
        1 to solve an outer a and b.
    """
    status, sse, a, b = _fit(
        carray(as_pointer(tokens), (n,), np.int16), n, carray(as_pointer(start), (constants,), np.float64),
        carray(as_pointer(X), (n_variables, columns), np.float64), carray(as_pointer(y), (rows,), np.float64),
        carray(as_pointer(weights), (n_weights,), np.float64), carray(as_pointer(opcodes), (n_tokens,), np.int16),
        carray(as_pointer(literals), (n_tokens,), np.float64), max_iter,
        carray(as_pointer(result), (constants,), np.float64), carve(memory, length, constants, rows), scaled)
    store_one(out, sse)
    store_one(out + 8, a)
    store_one(out + 16, b)
    return status
