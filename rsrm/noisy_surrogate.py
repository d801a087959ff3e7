"""Surrogates of noisy targets: weighted fits whose errors are all in the units of the user's noise.

A reduction changes the target (a factor divided out, an outer function undone) and with it how large the noise is on
each row. The delta-method weights of a reduced problem turn residuals back into those of the user's y, up to one
factor that the problem's ``noise`` holds; errors of parent and child are then comparable, and a reduction is right if
the error does not grow.
"""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from rsrm.problem import Problem
from rsrm.surrogate import Columns, Surrogate, chebyshev, multi_indices, n_terms, products, transformed

MAX_TERMS = 340
MAX_DEGREE = 12
ROWS_PER_TERM = 3.0
TRANSFORMS = ("identity", "log", "inverse", "square")


def _slope(y: np.ndarray, transform: str) -> np.ndarray:
    """Return |dy/dt| for the transformed target t."""
    match transform:
        case "log":
            return np.abs(y)
        case "inverse":
            return y * y
        case "square":
            return 0.5 / np.maximum(np.abs(y), 1e-3 * np.median(np.abs(y)))
    return np.ones(len(y))


def back_transformed(t: np.ndarray, y: np.ndarray, transform: str) -> np.ndarray:
    """Return y from the model's value of the transformed target, with the sign of y where the transform forgets it."""
    with np.errstate(all="ignore"):
        match transform:
            case "log":
                return np.sign(y) * np.exp(np.minimum(t, 700.0))
            case "inverse":
                return 1.0 / t
            case "square":
                return np.sign(y) * np.sqrt(np.maximum(t, 0.0))
    return t


def _degree(n_variables: int, rows: int) -> int:
    limit = min(MAX_TERMS, rows / ROWS_PER_TERM)
    degree = 0
    while degree < MAX_DEGREE and n_terms(n_variables, degree + 1) <= limit:
        degree += 1
    return degree


def fits(problem: Problem) -> Iterator[tuple[Columns, str, list[tuple[np.ndarray, float]]]]:
    """Yield, for every map of the columns and transform of the target, the fits of degree 1, 2, ...

    Rows at odd multiples of four are held out. A fit is its coefficients and its held-out weighted error, in units of
    the standard deviation of y.
    """
    X, y = problem.X, problem.y
    n = X.shape[1]
    held = np.arange(n) % 4 == 3
    top = _degree(X.shape[0], int((~held).sum()))
    if top < 1 or (X.max(1) <= X.min(1)).any() or not np.std(y) > 0:
        return
    span = np.ptp(y)
    given = np.ones(n) if problem.weights is None else problem.weights
    for columns in Columns.choices(X):
        basis = products(chebyshev(columns.map(X)[0], top)[0], multi_indices(X.shape[0], top))
        for name in TRANSFORMS:
            t = transformed(y, name)
            if t is None or not np.isfinite(t).all():
                continue
            w = given * _slope(y, name) / np.std(y)
            weighted = basis[:, ~held] * w[~held]
            gram = weighted @ weighted.T
            gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / len(gram)
            right = weighted @ (t * w)[~held]
            found = []
            for degree in range(1, top + 1):
                # Terms are ordered by degree: a smaller model is a leading block of the same matrix.
                k = n_terms(X.shape[0], degree)
                try:
                    c = cho_solve(cho_factor(gram[:k, :k], check_finite=False), right[:k], check_finite=False)
                except LinAlgError:
                    break
                # Judged as y: a linearized error vanishes on rows where y is nearly zero, whatever the model says.
                r = np.clip(back_transformed(basis[:k, held].T @ c, y[held], name) - y[held], -span, span) * given[held]
                error = float(np.sqrt(np.mean(r * r)) / np.std(y))
                found.append((c, error if np.isfinite(error) else np.inf))
            if found:
                yield columns, name, found


def fit_noisy_surrogate(problem: Problem, noise: float) -> Surrogate | None:
    """Fit the best polynomial over transforms of the target, maps of the columns and degrees.

    Parameters
    ----------
    problem : Problem
        With ``noise > 0``.
    noise : float
        The noise of the user's problem, to which ``problem.noise`` corresponds.

    Returns
    -------
    surrogate : Surrogate or None
        Its error is that of the user's y; None where there are too few rows.
    """
    best: Surrogate | None = None
    for columns, name, found in fits(problem):
        degree = int(np.argmin([error for _, error in found])) + 1
        c, error = found[degree - 1]
        error *= noise / problem.noise
        if np.isfinite(error) and (best is None or error < best.error):
            best = Surrogate(columns, degree, c, name, error, float(problem.y.min()), float(problem.y.max()))
    return best
