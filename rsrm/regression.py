"""Linear algebra of the direct stages: dictionaries of terms, exact fits, sparse fits, choice by description length.

Exact data leave residuals at rounding level, so that on columns of full rank the solution is unique and its zeros show
as rounding noise: no search for the support is needed. Noisy data are treated by backward elimination, which copes with
correlated columns better than forward selection, and the number of terms is chosen by description length.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from rsrm.compose import snap
from rsrm.terms import Terms

EXACT = 1e-10
"""Relative residual below which a least-squares fit of noise-free data counts as exact."""
DEPENDENT = 1e-11
"""Relative size below which what remains of a column after projection counts as zero."""
MAX_TERMS = 24
"""A fit with more terms is an approximation, not a law."""
ROUNDINGS = 10.0
"""Rounding errors of the largest term that a sum may be off."""
HEIGHT = 128
"""Rows of a Gram matrix that are looked at together: of 1,500 columns all of them at once take 70 MB."""
SPARE_ROWS = 3
"""Rows that a fit must have beyond its terms."""


class Fit(NamedTuple):
    """A sparse linear fit: term indices, their coefficients, and the relative weighted residual."""

    support: np.ndarray
    coefficients: np.ndarray
    error: float


def independent(A: np.ndarray, threshold: float = DEPENDENT) -> np.ndarray:
    """Return indices of columns that do not depend on the columns before them.

    The order is one of preference: of dependent columns the earlier ones stay. Columns must be scaled.
    """
    diagonal = np.abs(np.diag(np.linalg.qr(A, mode="r")))
    # Behind a dependent column the factorization goes on with an arbitrary direction, which costs the later columns
    # one dimension out of many: they stay far from the threshold.
    return np.flatnonzero(diagonal >= threshold)


@np.errstate(all="ignore")
def solve(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (coefficients, residual) of least squares by QR, with one step of iterative refinement.

    The residual is infinite where the data are not finite.
    """
    if not (np.isfinite(A).all() and np.isfinite(b).all()):
        return np.zeros(A.shape[1]), np.full(len(b), np.inf)
    Q, R = np.linalg.qr(A)
    diagonal = np.abs(np.diag(R))
    if len(diagonal) == 0 or diagonal.min() <= 1e-14 * diagonal.max():
        c = np.linalg.lstsq(A, b, rcond=None)[0]
        return c, b - A @ c
    c = solve_triangular(R, Q.T @ b)
    c = c + solve_triangular(R, Q.T @ (b - A @ c))
    return c, b - A @ c


@np.errstate(all="ignore")
def scaled(terms: Terms, target: np.ndarray, weights: np.ndarray):
    """Return weighted columns of mean square one, their terms, their scales, the same for the target, and its scale."""
    A = terms.values * weights[:, None]
    scale = np.sqrt(np.mean(A * A, axis=0))
    good = np.flatnonzero(np.isfinite(scale) & (scale > 0))
    b = target * weights
    size = np.sqrt(np.mean(b * b))
    return A[:, good] / scale[good], good, scale[good], b / size, size


@np.errstate(all="ignore")
def _tolerance(A: np.ndarray, c: np.ndarray) -> float:
    """Return the exactness tolerance, wider where terms cancel, float64."""
    amplification = np.sqrt(np.mean((np.abs(A) @ np.abs(c)) ** 2))
    return EXACT * min(max(1.0, 1e-2 * amplification), 1e2)


@np.errstate(all="ignore")
def _exact_on(A, b, support):
    c, r = solve(A[:, support], b)
    error = float(np.sqrt(np.mean(r * r)))
    return c, error, error < _tolerance(A[:, support], c)


def _rounded(A, c, b) -> np.ndarray | None:
    """Return factors for the rows that make up for rounding, where rounding hides that a fit is exact, else None.

    Where terms cancel, as at the fixed point of a trajectory, a value tells no more than how its terms were rounded.
    """
    errors = np.finfo(float).eps * (np.abs(A) @ np.abs(c))
    r = b - A @ c
    if not errors.max() > EXACT or not np.mean(r * r) < np.mean((ROUNDINGS * errors) ** 2):
        return None
    return 1.0 / (1.0 + ROUNDINGS / EXACT * errors)


def exact_fit(terms: Terms, target: np.ndarray, weights: np.ndarray) -> Fit | None:
    """Return the sparse solution of ``terms @ c = target`` that is exact to rounding, or None.

    Of dependent terms the earlier ones stay. The terms are ranked by what they contribute, and the shortest head of
    that ranking that is still exact is kept.
    """
    A, good, scale, b, size = scaled(terms, target, weights)
    rows = len(b)
    if rows < 2 or size == 0 or not np.isfinite(size):
        return None
    A = A[:, :max(rows - SPARE_ROWS, 0)]
    if A.shape[1] == 0:
        return None
    c, error, ok = _exact_on(A, b, np.arange(A.shape[1]))
    if not ok:
        factors = _rounded(A, c, b)
        return None if factors is None else exact_fit(terms, target, weights * factors)
    keep = independent(A / np.sqrt(rows))
    c, error, ok = _exact_on(A, b, keep)
    if not ok:
        return None
    order = keep[np.argsort(-np.abs(c))]
    low, high = 0, len(order)  # exact at `high`, not exact at `low`
    while high - low > 1:
        middle = (low + high) // 2
        if _exact_on(A, b, order[:middle])[2]:
            high = middle
        else:
            low = middle
    if high > MAX_TERMS:
        return None
    support = np.sort(order[:high])
    c, error, _ = _exact_on(A, b, support)
    # Greedy thinning: a term ranked high by rounding in an ill-conditioned basis may still be superfluous.
    k = 0
    while k < len(support) and len(support) > 1:
        fewer = np.delete(support, k)
        c2, error2, ok = _exact_on(A, b, fewer)
        if ok:
            support, c, error = fewer, c2, error2
        else:
            k += 1
    return Fit(good[support], c * size / scale[support], error)


def description_length(rss: float, rows: int, terms: int, nodes: float = 0.0) -> float:
    """Return ``n log(RSS/n) + k log n`` plus one nat a node."""
    return rows * np.log(max(rss, 1e-300) / rows) + terms * np.log(rows) + nodes


@np.errstate(all="ignore")
def eliminate(terms: Terms, target: np.ndarray, weights: np.ndarray, keep: int = 3) -> list[Fit]:
    """Return the best fits along a backward elimination of noisy data, best description length first.

    At each step the term goes whose removal raises the residual least (c_k**2 over the k-th diagonal of the inverse
    Gram matrix). A term counts its factors as nodes.
    """
    A, good, scale, b, size = scaled(terms, target, weights)
    rows = len(b)
    if rows < 4 or size == 0 or not np.isfinite(size):
        return []
    A = A[:, :max(rows - SPARE_ROWS, 0)]
    # The Gram matrix squares the condition number: what lies below half the digits of a float cannot be told apart.
    alive = independent(A / np.sqrt(rows), 1e-5)
    nodes = np.array([2.0 + 2.0 * sum(abs(p) for _, p in terms.factors[g]) for g in good])
    path = []
    inverse = np.linalg.pinv(A[:, alive].T @ A[:, alive], hermitian=True, rcond=1e-13)
    c = inverse @ (A[:, alive].T @ b)
    while len(alive):
        r = b - A[:, alive] @ c
        path.append((description_length(float(r @ r), rows, len(alive), nodes[alive].sum()), alive.copy()))
        gain = c * c / np.maximum(np.diag(inverse), 1e-300)
        k = int(np.argmin(gain))
        pivot = inverse[k, k]
        rest = np.delete(np.arange(len(alive)), k)
        column = inverse[rest, k]
        c = c[rest] - column * (c[k] / pivot)
        inverse = inverse[np.ix_(rest, rest)] - np.outer(column, column) / pivot
        alive = alive[rest]
    path.sort(key=lambda item: item[0])
    fits = []
    for _, support in path[:keep]:
        c, r = solve(A[:, support], b)
        fits.append(Fit(good[support], c * size / scale[support], float(np.sqrt(np.mean(r * r)))))
    return fits


@np.errstate(all="ignore")
def snap_fit(terms: Terms, fit: Fit, target: np.ndarray, weights: np.ndarray, tolerance: float = 1e-7) -> Fit:
    """Return `fit` with coefficients replaced by simple numbers where the fit stays as good.

    All coefficients are tried at once; where that fails they are snapped one by one, the others refitted.
    """
    A = terms.values[:, fit.support] * weights[:, None]
    b = target * weights
    size = np.sqrt(np.mean(b * b))

    def error(c):
        r = b - A @ c
        return float(np.sqrt(np.mean(r * r)) / size)

    if fit.error < 1e-8:  # with these weights it may be more, where rounding showed
        limit = max(3.0 * fit.error, 3.0 * error(fit.coefficients), 1e-13)
    else:
        limit = fit.error * (1.0 + 2.0 / len(b))
    rounded = np.array([snap(v, tolerance) for v in fit.coefficients])
    if error(rounded) <= limit:
        return Fit(fit.support, rounded, error(rounded))
    c = fit.coefficients.copy()
    fixed = np.zeros(len(c), bool)
    for k in np.argsort(np.abs(rounded - c) / np.maximum(np.abs(c), 1e-300)):
        if rounded[k] == c[k]:
            continue
        trial = c.copy()
        trial[k] = snap(c[k], tolerance)
        free = ~fixed
        free[k] = False
        if free.any():
            trial[free] = solve(A[:, free], b - A[:, ~free] @ trial[~free])[0]
        if error(trial) <= limit:
            c, fixed[k] = trial, True
    return Fit(fit.support, c, error(c))


@np.errstate(all="ignore")
def best_pairs(P: np.ndarray, target: np.ndarray, keep: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Return the pairs of columns that explain the target best, and the share of its square that each explains.

    Columns of P and the target are normalized; all pairs are compared through the Gram matrix, a block of rows of it
    at a time.
    """
    b = P.T @ target
    best = []
    for lo in range(0, len(b), HEIGHT):
        first, second = b[lo:lo + HEIGHT, None], b[lo:]
        gram = P[:, lo:lo + HEIGHT].T @ P[:, lo:]
        with np.errstate(all="ignore"):
            gain = (first**2 + second**2 - 2.0 * gram * first * second) / (1.0 - gram * gram)
        gain[(np.abs(gram) > 1.0 - 1e-6) | ~np.isfinite(gain)] = -1.0
        gain[np.tril_indices(len(first), 0, len(second))] = -1.0
        gains = gain.ravel()
        top = np.argpartition(-gains, min(keep, gains.size - 1))[:keep]
        for k in top[gains[top] > 0.0]:
            i, j = divmod(int(k), len(second))
            best.append((float(gains[k]), lo + i, lo + j))
    best = sorted(best, key=lambda item: -item[0])[:keep]
    return [(i, j) for _, i, j in best], np.array([gain for gain, _, _ in best])
