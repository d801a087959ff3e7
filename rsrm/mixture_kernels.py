"""The kernel that refines sums with inner constants: Gauss-Newton on what variable projection leaves, compiled.

The functions of :mod:`rsrm.families` once more, with their derivatives by the parameter; NumPy's are the table, these
are what the refinement calls thousands of times.
"""

import math

import numpy as np

from rsrm._jit import njit, njit_leaf

CODES = {name: k for k, name in enumerate((
    "wave", "exp", "arrhenius", "gauss", "logistic", "tanh", "pole1", "pole2", "pole4", "power", "line", "monomial",
    "log2", "log", "-log", "sqrt2", "sqrt", "-sqrt2", "-sqrt", "abs", "sinh", "cosh"))}
"""Families by number, as the kernels know them."""
(WAVE, EXP, ARRHENIUS, GAUSS, LOGISTIC, TANH, POLE1, POLE2, POLE4, POWER, LINE, MONOMIAL, LOG2, LOG, MINUS_LOG, SQRT2,
 SQRT, MINUS_SQRT2, MINUS_SQRT, ABS, SINH, COSH) = range(len(CODES))
DEPENDENT = 1e-12
"""Share of a column's size that has to be left beside the columns before it."""
TINY, ROUNDED = 1e-15, 1e-8
"""Errors at which a fit ends, and below which it goes on however little a step gains."""
HALVINGS = 5


@njit_leaf
def is_double(code):
    """Return whether a family has two columns."""
    return code == WAVE or code == LINE


@njit_leaf
def fill_function(code, u, theta, values, slopes):
    """Fill the columns of a function and their derivatives by theta, float64[2, R] each, the first row or both.

    What theta must not change, the point at which a function that could overflow is one, follows theta's sign.
    """
    R = u.shape[0]
    g, d = values[0], slopes[0]
    low, high = u[0], u[0]
    if code == EXP or code == ARRHENIUS or code == GAUSS:
        for i in range(R):
            v = u[i] if code == EXP else 1.0 / u[i] if code == ARRHENIUS else u[i] * u[i]
            d[i] = v
            low = min(low, v) if i else v
            high = max(high, v) if i else v
        start = high if theta > 0.0 else low
        for i in range(R):
            g[i] = math.exp(theta * (d[i] - start))
            d[i] = (d[i] - start) * g[i]
    elif code == WAVE:
        for i in range(R):
            g[i], values[1, i] = math.sin(theta * u[i]), math.cos(theta * u[i])
            d[i], slopes[1, i] = u[i] * values[1, i], -u[i] * g[i]
    elif code == LOGISTIC:
        for i in range(R):
            e = math.exp(-u[i])
            g[i] = 1.0 / (1.0 + theta * e)
            d[i] = -e * g[i] * g[i]
    elif code == TANH:
        for i in range(R):
            g[i] = math.tanh(theta * u[i])
            d[i] = u[i] * (1.0 - g[i] * g[i])
    elif code == POLE1 or code == POLE2 or code == POLE4:
        for i in range(R):
            v = u[i] if code == POLE1 else u[i] * u[i] if code == POLE2 else (u[i] * u[i]) * (u[i] * u[i])
            g[i] = 1.0 / (v + theta)
            d[i] = -g[i] * g[i]
    elif code == POWER:
        for i in range(R):
            v = math.log(u[i] / u[0])
            g[i] = math.exp(theta * v)
            d[i] = v * g[i]
    elif code == LINE:
        for i in range(R):
            g[i], values[1, i] = u[i], 1.0
    elif code == MONOMIAL:
        for i in range(R):
            g[i] = u[i] ** theta
    elif code == LOG or code == LOG2 or code == MINUS_LOG:
        for i in range(R):
            v = u[i] * u[i] if code == LOG2 else u[i]
            v = -v - theta if code == MINUS_LOG else v + theta
            g[i] = math.log(v)
            d[i] = -1.0 / v if code == MINUS_LOG else 1.0 / v
    elif code == SQRT or code == SQRT2 or code == MINUS_SQRT or code == MINUS_SQRT2:
        falling = code == MINUS_SQRT or code == MINUS_SQRT2
        for i in range(R):
            v = u[i] * u[i] if code == SQRT2 or code == MINUS_SQRT2 else u[i]
            g[i] = math.sqrt(-v - theta if falling else v + theta)
            d[i] = -0.5 / g[i] if falling else 0.5 / g[i]
    elif code == SINH or code == COSH:
        for i in range(R):
            up, down = 0.5 * math.exp(theta * u[i]), 0.5 * math.exp(-theta * u[i])
            g[i] = up - down if code == SINH else up + down
            d[i] = u[i] * (up + down if code == SINH else up - down)
    else:
        for i in range(R):
            g[i] = abs(u[i] + theta)
            d[i] = 1.0 if u[i] + theta > 0.0 else -1.0


@njit_leaf
def _room(u, shift, theta, least):
    """Return how far theta may be moved by one step, see ``rsrm.families.Family.room``."""
    room = abs(theta)
    if shift > 0.0:
        nearest = math.inf
        for i in range(u.shape[0]):
            v = u[i] if shift == 1.0 else u[i] * u[i] if shift == 2.0 else (u[i] * u[i]) * (u[i] * u[i])
            nearest = min(nearest, abs(v + theta))
        room = max(room, nearest)
    return max(0.5 * room, least)


@njit_leaf
def _dot(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit_leaf
def _deduct(c, b, a):
    """Take ``c`` times b from a, in place."""
    for i in range(a.shape[0]):
        a[i] -= c * b[i]


@njit_leaf
def _without(Q, a):
    """Take what the orthonormal rows of Q explain from a, in place; return the norm of what is left."""
    for k in range(Q.shape[0]):
        _deduct(_dot(Q[k], a), Q[k], a)
    return math.sqrt(_dot(a, a))


@njit_leaf
def _orthonormalize(A, k, factor):
    """Make row k of A orthonormal to the rows before it, twice; how it was made of them goes to column k of `factor`.

    A row that depends on those before it becomes zero, and so does its diagonal element.
    """
    size = math.sqrt(_dot(A[k], A[k]))
    for j in range(k):
        factor[j, k] = 0.0
    for _ in range(2):
        for j in range(k):
            c = _dot(A[j], A[k])
            factor[j, k] += c
            _deduct(c, A[j], A[k])
    left = math.sqrt(_dot(A[k], A[k]))
    factor[k, k] = left if left > DEPENDENT * size else 0.0
    inverse = 1.0 / left if left > DEPENDENT * size else 0.0
    for i in range(A.shape[1]):
        A[k, i] *= inverse


@njit_leaf
def _solve(factor, first, last, right, out):
    """Back substitution with rows and columns `first` to `last` of the upper triangle."""
    for k in range(last - 1, first - 1, -1):
        s = right[k]
        for j in range(k + 1, last):
            s -= factor[k, j] * out[j]
        out[k] = s / factor[k, k] if factor[k, k] > 0.0 else 0.0


@njit_leaf
def _next_row(Q, A, k, sizes, factor):
    """Project row k of A, note its size, and make it orthonormal; return whether it is finite and not zero.

    What Q explains but for rounding becomes zero.
    """
    before = math.sqrt(_dot(A[k], A[k]))
    if not 0.0 < before < math.inf:
        return False
    left = _without(Q, A[k])
    sizes[k] = left if left > DEPENDENT * before else math.inf
    for i in range(A.shape[1]):
        A[k, i] /= sizes[k]
    _orthonormalize(A, k, factor)
    return True


@njit_leaf
def _fit(Q, target, multipliers, picks, members, codes, U, thetas, g, d, A, sizes, factor, right, r):
    """Fit the coefficients at `thetas`; return the norm of the residual r, infinite where the sum is not defined."""
    R = target.shape[0]
    for f in range(codes.shape[0]):
        fill_function(codes[f], U[f], thetas[f], g[f], d[f])
    for i in range(R):
        r[i] = target[i]
    k = 0
    for t in range(picks.shape[0]):
        one, two = members[t, 0], members[t, 1]
        for a in range(2 if one >= 0 and is_double(codes[one]) else 1):
            for b in range(2 if two >= 0 and is_double(codes[two]) else 1):
                for i in range(R):
                    v = multipliers[picks[t], i]
                    if one >= 0:
                        v *= g[one, a, i]
                    if two >= 0:
                        v *= g[two, b, i]
                    A[k, i] = v
                if not _next_row(Q, A, k, sizes, factor):
                    return math.inf
                right[k] = _dot(A[k], r)
                _deduct(right[k], A[k], r)
                k += 1
    error = math.sqrt(_dot(r, r))
    return error if error < math.inf else math.inf


@njit_leaf
def _fill_slope(f, multipliers, picks, members, codes, g, d, coefficients, out):
    """Fill how the fit changes with the parameter of function f."""
    R = out.shape[0]
    for i in range(R):
        out[i] = 0.0
    k = 0
    for t in range(picks.shape[0]):
        one, two = members[t, 0], members[t, 1]
        for a in range(2 if one >= 0 and is_double(codes[one]) else 1):
            for b in range(2 if two >= 0 and is_double(codes[two]) else 1):
                if f == one or f == two:
                    for i in range(R):
                        v = coefficients[k] * multipliers[picks[t], i] * (d[one, a, i] if f == one else g[one, a, i])
                        if two >= 0:
                            v *= d[two, b, i] if f == two else g[two, b, i]
                        out[i] += v
                k += 1


@njit
def refine_sum(Q, target, multipliers, picks, members, codes, U, shifts, least, free, thetas, steps):
    """Move the parameters of a sum to a least residual by Gauss-Newton steps.

    Parameters
    ----------
    Q : float64[q, R]
        Orthonormal rows that are projected out of everything.
    target : float64[R]
        Without what they explain.
    multipliers : float64[m, R]
    picks : int64[T]
        Multiplier of each term.
    members : int64[T, 2]
        Functions of each term, -1 for none.
    codes, U, shifts, least : int64[F], float64[F, R], float64[F], float64[F]
        Of the functions: numbers of their families, arguments, ``Family.shift``, and steps that may be made always.
    free : int64[n]
        Functions whose parameters are moved.
    thetas : float64[F]
        Parameters, changed in place.
    steps : int

    Returns
    -------
    error : float
        Norm of the residual; infinite where the sum is not defined at the given parameters.
    """
    F, R, n = codes.shape[0], target.shape[0], free.shape[0]
    columns = 0
    for t in range(picks.shape[0]):
        double = 1
        for m in range(2):
            if members[t, m] >= 0 and is_double(codes[members[t, m]]):
                double *= 2
        columns += double
    g, d = np.zeros((F, 2, R)), np.zeros((F, 2, R))
    A, factor, r = np.empty((columns + n, R)), np.zeros((columns + n, columns + n)), np.empty(R)
    sizes, right, solved = np.empty(columns + n), np.empty(columns + n), np.empty(columns + n)
    moved, trial = np.empty(n), thetas.copy()
    error = _fit(Q, target, multipliers, picks, members, codes, U, thetas, g, d, A, sizes, factor, right, r)
    if n == 0 or not error < math.inf:
        return error
    for _ in range(steps):
        if error < TINY:
            break
        _solve(factor, 0, columns, right, solved)
        for k in range(columns):
            solved[k] /= sizes[k]
        for j in range(n):
            k = columns + j
            _fill_slope(free[j], multipliers, picks, members, codes, g, d, solved, A[k])
            if not _next_row(Q, A, k, sizes, factor):
                return error
            right[k] = _dot(A[k], r)
        _solve(factor, columns, columns + n, right, solved)
        for j in range(n):
            f = free[j]
            most = _room(U[f], shifts[f], thetas[f], least[f])
            moved[j] = max(-most, min(most, solved[columns + j] / sizes[columns + j]))
        after = math.inf
        for _ in range(HALVINGS):
            for j in range(n):
                trial[free[j]] = thetas[free[j]] + moved[j]
            after = _fit(Q, target, multipliers, picks, members, codes, U, trial, g, d, A, sizes, factor, right, r)
            if after < error:
                break
            for j in range(n):
                moved[j] *= 0.5
        if not after < error:
            break
        for f in range(F):
            thetas[f] = trial[f]
        slow = after > 0.99 * error and after > ROUNDED
        error = after
        if slow:
            break
    return error
