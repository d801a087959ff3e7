"""Odd and even variables, seen on scattered data without a grid.

A law is even in x_i if changing the sign of x_i keeps y, odd if it changes the sign of y too. Data rarely hold both a
point and its mirror image, so the question is put to a model: with x_i scaled but never shifted, the Chebyshev products
split into a part that is even in x_i and one that is odd. If the law is even, the even part alone predicts rows that
were held out as well as all terms do; if it is not, the prediction falls apart. The held-out rows, resampled, measure
how sure the answer is, and a model that explains little is not believed at all.

The idea of searching the symmetric part only is from Xu, Liu & Sun (ICLR 2024), who test it on a grid of the data. The
search itself folds columns (:mod:`rsrm.folding`), which asks the same question of models over decades; what is here is
for users, with a confidence.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.linalg import lstsq

from rsrm.surrogate import best_degree, multi_indices, n_terms

MAX_ROWS = 400
MAX_TERMS = 70
"""Keeps the test of a variable at some ten milliseconds."""
FOLDS = 5
RESAMPLES = 200
SAME = 1.1
"""Held-out errors within this factor count as equal."""
WORSE = 2.0
"""Held-out errors beyond this factor count as different."""
EXACT = 1e-9
"""Held-out errors below this (relative to the standard deviation of y) are rounding."""
POOR = 0.1
"""A model with a larger held-out error cannot tell: the other parity might hide below its error."""
OVERLAP = 0.05
"""Smallest share of rows on either side of zero within the range that both sides cover."""


class Symmetry(NamedTuple):
    """What the data say about one variable.

    Attributes
    ----------
    kind : {"even", "odd", "none", "unknown"}
        "none": measurably neither; "unknown": the data do not straddle zero, or the model is too poor to tell.
    confidence : float
        0 .. 1: share of resampled held-out sets that agree, lowered by what could hide below the model's error.
    error : float
        Held-out RMSE of the model with all terms, divided by the standard deviation of y; NaN if none was fitted.
    """

    kind: str
    confidence: float
    error: float


UNKNOWN = Symmetry("unknown", 0.0, float("nan"))


def detect_symmetries(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> list[Symmetry]:
    """Test every variable for evenness and oddness.

    Parameters
    ----------
    X : float64[D, R]
        One row per variable.
    y : float64[R]
    rng : numpy.random.Generator
        Chooses rows, folds and resamples.

    Returns
    -------
    list of Symmetry
        One per variable.
    """
    y = y / (np.abs(y).max() or 1.0)  # no overflow in squares, and parity does not mind
    if X.shape[1] > MAX_ROWS:
        rows = rng.choice(X.shape[1], MAX_ROWS, replace=False)
        X, y = X[:, rows], y[rows]
    scale = float(np.std(y))
    folds = rng.permutation(X.shape[1]) % FOLDS
    degree = best_degree(X.shape[0], int(X.shape[1] * (1 - 1 / FOLDS)), MAX_TERMS)
    while n_terms(X.shape[0], degree) > MAX_TERMS:
        degree -= 1
    if degree < 2 or not scale > 0:
        return [UNKNOWN] * X.shape[0]
    return [_detect(X, y / scale, i, degree, folds, rng) if _straddles(X[i]) else UNKNOWN for i in range(X.shape[0])]


def _straddles(x: np.ndarray) -> bool:
    """Whether both sides of zero are populated within the range that both cover."""
    reach = min(-x.min(), x.max())
    if reach <= 0.1 * np.abs(x).max():
        return False
    least = max(3, OVERLAP * len(x))
    return ((x < 0) & (x >= -reach)).sum() >= least and ((x > 0) & (x <= reach)).sum() >= least


def _detect(X, y, i: int, degree: int, folds, rng) -> Symmetry:
    # The basis is made anew for every variable: only the one under test must not be shifted.
    parities = (_parity_error(X, y, i, degree, parity, folds) for parity in (0, 1))
    squares = np.stack([_held_out(_basis(X, i, degree)[0], y, folds), *parities])
    draws = rng.multinomial(len(y), np.full(len(y), 1.0 / len(y)), size=RESAMPLES) / len(y)
    point = np.sqrt(squares.mean(1)) + EXACT
    full, only_even, only_odd = np.sqrt(draws @ squares.T).T + EXACT
    if point[0] > POOR:
        return Symmetry("unknown", 0.0, float(point[0]))
    trust = 1.0 - point[0] / POOR
    for kind, part, other, k in (("even", only_even, only_odd, 1), ("odd", only_odd, only_even, 2)):
        if point[k] <= SAME * point[0] and point[3 - k] > WORSE * point[0]:
            agree = np.mean((part <= SAME * full) & (other > WORSE * full))
            return Symmetry(kind, float(agree * trust), float(point[0]))
    if min(point[1], point[2]) > WORSE * point[0]:
        agree = np.mean(np.minimum(only_even, only_odd) > WORSE * full)
        return Symmetry("none", float(agree * trust), float(point[0]))
    return Symmetry("unknown", 0.0, float(point[0]))


def _parity_error(X, y, i: int, degree: int, parity: int, folds) -> np.ndarray:
    """Return the squared held-out errors of the terms of one parity in x_i, float64[R], at the better of two degrees.

    At the same degree one parity has half the terms, and loses to all terms where the series converges slowly, even
    if the law has that parity; at the degree that gives it as many terms, it does not.
    """
    room = n_terms(X.shape[0], degree)
    larger = degree
    while larger < 2 * degree and (multi_indices(X.shape[0], larger + 1)[:, i] % 2 == parity).sum() <= room:
        larger += 1
    errors = []
    for d in {degree, larger}:
        basis, powers = _basis(X, i, d)
        errors.append(_held_out(basis[:, powers[:, i] % 2 == parity], y, folds))
    return min(errors, key=np.mean)


def _basis(X, i: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Chebyshev products float64[R, T] with column i scaled only, and their exponents int64[T, D]."""
    powers = multi_indices(X.shape[0], degree)
    basis = np.ones((X.shape[1], len(powers)))
    for k, x in enumerate(X):
        middle = 0.0 if k == i else 0.5 * (x.min() + x.max())
        u = (x - middle) / (np.abs(x - middle).max() or 1.0)
        basis *= chebvander(u, degree)[:, powers[:, k]]
    return basis, powers


def _held_out(basis: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the squared error of every row under the least-squares model of the other folds, float64[R]."""
    out = np.empty_like(y)
    for fold in range(FOLDS):
        held = folds == fold
        solution = lstsq(basis[~held], y[~held], lapack_driver="gelsy", check_finite=False)[0]
        out[held] = (basis[held] @ solution - y[held]) ** 2
    return out
