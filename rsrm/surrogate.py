"""A smooth stand-in for an unknown law: a linear Chebyshev model with gradients.

Reductions ask questions about derivatives ("do x0 and x1 act through their product only?"). The data are scattered, so
the derivatives come from a polynomial of bounded total degree in normalized columns, fitted by least squares, and the
answer is believed only as far as the model's error on held-out rows allows.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import cho_factor, cho_solve

TERMS = (400, 700)
"""Terms of the model, and of a second, larger one where the first is not accurate."""
MAX_DEGREE = 14
ROWS_SPACED = 3
ROWS_PER_TERM = 2.5
TRIM = 0.07
"""Share of the rows left out at either end of y where the law has poles."""
SMOOTH = 1e-3
"""Held-out error above which smaller degrees are tried too: under noise they are better."""
TRANSFORMS = ("log", "identity", "inverse", "square", "invsquare", "asinh")
"""Targets that the model may be fitted to; tests on ratios of gradients do not depend on the choice."""


@lru_cache(maxsize=64)
def multi_indices(n_variables: int, degree: int) -> np.ndarray:
    """Return all exponents of total degree <= `degree`, int64[T, D], the constant first."""
    rows = [()]
    for _ in range(n_variables):
        rows = [(*r, k) for r in rows for k in range(degree - sum(r) + 1)]
    return np.array(sorted(rows, key=lambda r: (sum(r), r)), np.int64).reshape(-1, n_variables)


def n_terms(n_variables: int, degree: int) -> int:
    """Return the number of exponents of total degree <= `degree`."""
    total = 1
    for k in range(1, n_variables + 1):
        total = total * (degree + k) // k
    return total


def best_degree(n_variables: int, n_rows: int, limit: int) -> int:
    """Return the largest degree of at most `limit` terms that `n_rows` rows can carry; 0: not even a linear model."""
    limit = min(limit, n_rows / ROWS_PER_TERM)
    degree = 0
    while degree < MAX_DEGREE and n_terms(n_variables, degree + 1) <= limit:
        degree += 1
    return degree


def transformed(y: np.ndarray, transform: str) -> np.ndarray | None:
    """Return the target under one of TRANSFORMS, or None where it does not exist."""
    match transform:
        case "identity":
            return y
        case "square":
            return y * y
        case "asinh":  # a logarithm that knows signs
            return np.arcsinh(y / max(np.median(np.abs(y)), 1e-300))
    if (y == 0).any():
        return None
    match transform:
        case "log":
            return None if y.min() < 0 < y.max() else np.log(np.abs(y))
        case "inverse":
            return 1.0 / y
        case "invsquare":
            return y**-2.0
    raise ValueError(f"transform: unknown name {transform!r}")


def undone(gradient: np.ndarray, y: np.ndarray, transform: str) -> np.ndarray:
    """Return dy/dx from the gradient of the transformed target (up to a constant factor)."""
    with np.errstate(all="ignore"):
        match transform:
            case "log":
                return gradient * y
            case "inverse":
                return -gradient * y * y
            case "square":
                return gradient / (2.0 * y)
            case "invsquare":
                return -0.5 * gradient * y**3
            case "asinh":
                return gradient * np.hypot(y, np.median(np.abs(y)))
    return gradient


@dataclass(frozen=True)
class Columns:
    """How columns are mapped to [-1, 1]: a logarithm where a positive column spans enough, then a linear map."""

    logarithmic: np.ndarray  # bool[D]
    low: np.ndarray  # float64[D]
    high: np.ndarray  # float64[D]

    @staticmethod
    def choices(X: np.ndarray) -> "list[Columns]":
        """Return the maps worth trying for X, float64[D, R].

        A column is drawn on a logarithmic scale if most of it lies at the low end of its range, and then needs the
        logarithm. Whether other positive columns that stay away from zero want it too, the held-out rows decide.
        """
        low, high, middle = X.min(1), X.max(1), np.median(X, axis=1)
        needs = (low > 0) & (middle - low < 0.25 * (high - low))
        may = needs | ((low > 0.05 * high) & (high > 1.2 * low))
        return [Columns._of(X, log) for log in ([needs] if (needs == may).all() else [needs, may])]

    @staticmethod
    def _of(X: np.ndarray, log: np.ndarray) -> "Columns":
        u = np.where(log[:, None], np.log(np.where(log[:, None], X, 1.0)), X)
        return Columns(log, u.min(1), u.max(1))

    def map(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (u, du/dx), both float64[D, R]."""
        log = self.logarithmic[:, None]
        u = np.where(log, np.log(np.where(log, np.maximum(X, 1e-300), 1.0)), X)
        slope = 2.0 / np.maximum(self.high - self.low, 1e-300)[:, None]
        return (u - self.low[:, None]) * slope - 1.0, np.where(log, slope / np.where(log, X, 1.0), slope)


def chebyshev(u: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return T_k(u) and T_k'(u) for k = 0 .. degree, each float64[degree + 1, ...]."""
    t = np.ones((degree + 1, *u.shape))
    d = np.zeros_like(t)
    if degree >= 1:
        t[1], d[1] = u, 1.0
    for k in range(2, degree + 1):
        t[k] = 2.0 * u * t[k - 1] - t[k - 2]
        d[k] = 2.0 * t[k - 1] + 2.0 * u * d[k - 1] - d[k - 2]
    return t, d


@dataclass(frozen=True)
class Surrogate:
    """A fitted model.

    Attributes
    ----------
    error : float
        RMSE on held-out rows divided by the standard deviation of the transformed target.
    transform : str
        One of TRANSFORMS.
    lowest, highest : float
        Range of y on the rows that were fitted: the model knows nothing beyond.
    limit, trimmed : int, bool
        Bound on the number of terms, and whether the rows with extreme y were left out.
    """

    columns: Columns
    degree: int
    coefficients: np.ndarray
    transform: str
    error: float
    lowest: float
    highest: float
    limit: int = TERMS[0]
    trimmed: bool = False

    def gradient(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values float64[R] and gradient float64[D, R] of the transformed target with respect to X."""
        u, du = self.columns.map(X)
        t, d = chebyshev(u, self.degree)
        powers = multi_indices(X.shape[0], self.degree)
        values = self.coefficients @ products(t, powers)
        out = np.empty_like(X)
        for i in range(X.shape[0]):
            mixed = t.copy()
            mixed[:, i] = d[:, i]
            out[i] = (self.coefficients @ products(mixed, powers)) * du[i]
        return values, out


def products(t: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Return prod_i t[powers[:, i], i], float64[T, R], from t float64[degree + 1, D, R]."""
    out = t[powers[:, 0], 0]
    for i in range(1, powers.shape[1]):
        out = out * t[powers[:, i], i]
    return out


def _spread(t: np.ndarray) -> np.ndarray:
    """Return a standard deviation of each column that single rows cannot blow up, but for a factor of ten."""
    low, high = np.quantile(t, [0.1, 0.9], axis=0)
    return 4.0 * (high - low)


def least_squares(basis: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve ``basis.T @ x = right`` by normal equations; two refinements give back the digits that squaring costs."""
    gram = basis @ basis.T
    gram[np.diag_indices_from(gram)] += 1e-13 * np.trace(gram)
    factor = cho_factor(gram, check_finite=False)
    solution = cho_solve(factor, basis @ right, check_finite=False)
    for _ in range(2):
        solution += cho_solve(factor, basis @ (right - basis.T @ solution), check_finite=False)
    return solution


def held_out_errors(X: np.ndarray, ys: list[np.ndarray], limit: int) -> np.ndarray:
    """Return the least held-out error over TRANSFORMS and maps of the columns for several targets, float64[len(ys)].

    All share one factorization; `limit` bounds the number of terms. Infinite where there are too few rows.
    """
    held = np.arange(X.shape[1]) % 4 == 3
    degree = best_degree(X.shape[0], int((~held).sum()), limit)
    out = np.full(len(ys), np.inf)
    targets = [(k, t / np.std(t)) for k, y in enumerate(ys) for t in (transformed(y, name) for name in TRANSFORMS)
               if t is not None and np.isfinite(t).all() and np.std(t) > 0]
    if degree < 1 or not targets or (X.max(1) <= X.min(1)).any():
        return out
    right = np.stack([t for _, t in targets], 1)
    for columns in Columns.choices(X):
        basis = products(chebyshev(columns.map(X)[0], degree)[0], multi_indices(X.shape[0], degree))
        solution = least_squares(basis[:, ~held], right[~held])
        errors = np.sqrt(np.mean((basis[:, held].T @ solution - right[held]) ** 2, 0)) / _unit(right, held)
        for (k, _), error in zip(targets, errors, strict=True):
            out[k] = min(out[k], error)
    return out


def _unit(right: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return what errors of columns of targets count in: a transform that makes one row huge explains nothing."""
    return np.maximum(np.minimum(np.std(right[held], axis=0), _spread(right)), 1e-300)


def fit_surrogate(X: np.ndarray, y: np.ndarray, like: Surrogate | None = None) -> Surrogate | None:
    """Fit the best model over TRANSFORMS; every fourth row is held out.

    Parameters
    ----------
    X : float64[D, R]
    y : float64[R]
    like : Surrogate, optional
        Model of the problem that this one was reduced from: its size and its choice of rows are taken over, which saves
        finding them again.

    Returns
    -------
    surrogate : Surrogate or None
        None where there are too few rows, or no transform is defined.
    """
    if like is not None:
        return _trimmed(X, y, like.limit) if like.trimmed else _spaced(X, y, like.limit)
    model = None
    for limit in TERMS:
        larger = _spaced(X, y, limit)
        if model is None or (larger is not None and larger.error < model.error):
            model = larger
        if model is None or model.error < SMOOTH or ROWS_SPACED * limit > X.shape[1]:
            break
    if model is None or model.error < SMOOTH or X.shape[1] < 200:
        return model
    # Poles spoil a polynomial everywhere. Rows chosen by y alone leave all questions about the gradient as they are.
    trimmed = _trimmed(X, y, TERMS[0])
    return trimmed if trimmed is not None and trimmed.error < 0.5 * model.error else model


def _spaced(X: np.ndarray, y: np.ndarray, limit: int) -> Surrogate | None:
    # Rows beyond a few per term cost time and give nothing; the rows of a problem are in random or time order.
    rows = np.arange(0, X.shape[1], max(1, X.shape[1] // (ROWS_SPACED * limit)))
    return _fit(X[:, rows], y[rows], limit, False)


def _trimmed(X: np.ndarray, y: np.ndarray, limit: int) -> Surrogate | None:
    low, high = np.quantile(y, [TRIM, 1.0 - TRIM])
    middle = np.flatnonzero((y >= low) & (y <= high))
    return _fit(X[:, middle], y[middle], limit, True)


def _fit(X: np.ndarray, y: np.ndarray, limit: int, trimmed: bool) -> Surrogate | None:
    n = X.shape[1]
    held = np.arange(n) % 4 == 3
    degree = best_degree(X.shape[0], int((~held).sum()), limit)
    if degree < 1 or (X.max(1) <= X.min(1)).any():
        return None
    targets = [(name, transformed(y, name)) for name in TRANSFORMS]
    targets = [(name, t) for name, t in targets if t is not None and np.isfinite(t).all() and np.std(t) > 0]
    if not targets:
        return None
    right = np.stack([t / np.std(t) for _, t in targets], 1)
    unit = _unit(right, held)
    best = None
    for columns in Columns.choices(X):
        basis = products(chebyshev(columns.map(X)[0], degree)[0], multi_indices(X.shape[0], degree))
        d, fell = degree, True
        while d >= 1 and fell:
            # Under noise smaller models are better; terms are ordered by degree, so that one is a leading block.
            basis = basis[:n_terms(X.shape[0], d)]
            solution = least_squares(basis[:, ~held], right[~held])
            errors = np.sqrt(np.mean((basis[:, held].T @ solution - right[held]) ** 2, 0)) / unit
            k = int(np.argmin(errors))
            fell = best is None or errors[k] < best.error
            if fell:
                name, t = targets[k]
                best = Surrogate(columns, d, solution[:, k] * np.std(t), name, float(errors[k]),
                                 float(y.min()), float(y.max()), limit, trimmed)
            fell = fell and best.error > SMOOTH
            d = d // 2 if d > 3 else d - 1
    return best
