"""How much noise a target has, before any law is known: the held-out error of polynomials of rising degree.

A polynomial's error on exact data goes on falling with its degree; under noise it falls to the level of the noise and
rises again, because more coefficients follow the noise. The turning point shows the noise and its level.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.linalg import lstsq

from rsrm.noisy_surrogate import back_transformed, fits
from rsrm.problem import Problem
from rsrm.surrogate import chebyshev, multi_indices, products

ROWS = 3000
EXACT = 1e-7
"""Errors below this are not looked at as noise."""
FEW = 100
"""With fewer rows the degree cannot rise far enough for its error to turn."""
SURE = 10.0
"""Nats by which one kind of noise has to be the better description."""
SHARED = 0.12
"""Share of the held-out rows that the error has to come from, as if each had the same part in it; of Gaussian noise a
third does, of the failure of a polynomial hardly ever a tenth."""
ROUNDING = 1e-5
"""Errors below this may come from the normal equations of the models, and are looked at again without them."""
TURNED = 1.01
"""Ratio of the largest degree's error to the least one from which on the curve counts as turned."""


class Noise(NamedTuple):
    """Noise of y in units of its standard deviation: an upper bound, and whether it is noise and not a poor model."""

    level: float
    certain: bool


def noise_level(problem: Problem, rng: np.random.Generator) -> Noise:
    """Return how much noise y can have at most, and whether its presence is certain.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    problem = problem.sample(ROWS, rng)
    curves = [(columns, name, found, np.array([error for _, error in found])) for columns, name, found in fits(problem)]
    if not curves:
        return Noise(1.0, False)
    columns, name, found, errors = min(curves, key=lambda curve: curve[3].min())
    level = float(min(errors.min(), 1.0))
    turned = len(errors) > 2 and errors[-1] > TURNED * level and errors[0] > 0
    if not (level > EXACT and turned and level < 0.5 and problem.n_rows >= FEW):
        return Noise(level, False)
    degree = int(np.argmin(errors)) + 1
    known = np.arange(problem.n_rows) % 4 != 3
    held = problem.take(~known)
    for d in (degree, len(found)) if level < ROUNDING else ():
        c = _orthogonal(columns, d, problem.take(known))
        r = _size(columns, "identity", d, c, held)[0] - held.y
        error = float(np.sqrt(np.mean(r * r)) / np.std(problem.y))
        if error < 0.5 * level:
            return Noise(error, False)
    squares = np.square(_size(columns, name, degree, found[degree - 1][0], held)[0] - held.y)
    # Where y spans decades a few rows make up the error, and its turn says nothing.
    counted = squares.sum() ** 2 / max(np.square(squares).sum(), 1e-300)
    return Noise(level, bool(counted > SHARED * held.n_rows))


def _orthogonal(columns, degree: int, p: Problem) -> np.ndarray:
    """Return the coefficients of a polynomial model of y without what normal equations cost in digits."""
    basis = products(chebyshev(columns.map(p.X)[0], degree)[0], multi_indices(p.n_variables, degree))
    return lstsq(basis.T, p.y, cond=1e-13, lapack_driver="gelsy", check_finite=False)[0]


def _size(columns, name: str, degree: int, c: np.ndarray, p: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return a model's values on the rows of p, and their sizes with a floor."""
    basis = products(chebyshev(columns.map(p.X)[0], degree)[0], multi_indices(p.n_variables, degree))
    f = back_transformed(basis.T @ c, p.y, name)
    f = np.clip(np.nan_to_num(f), p.y.min() - np.ptp(p.y), p.y.max() + np.ptp(p.y))
    return f, np.maximum(np.abs(f), 1e-2 * np.median(np.abs(p.y)))


def proportional_weights(problem: Problem, rng: np.random.Generator) -> np.ndarray | None:
    """Return weights for noise that is proportional to the values of y, or None where it is not clearly so.

    A smooth model of y stands in for the law; the two kinds of noise are compared by likelihood.

    Parameters
    ----------
    problem : Problem
        Known to be noisy.
    rng : numpy.random.Generator
        Chooses the rows when there are many.

    Returns
    -------
    weights : float64[R] or None
        Of mean 1; the problem's own weights are contained.
    """
    few = problem.sample(ROWS, rng)
    given = np.ones(few.n_rows) if few.weights is None else few.weights
    held = np.arange(few.n_rows) % 4 == 3
    equal, proportional, size_of = np.inf, np.inf, None
    for columns, name, found in fits(few):
        turn = int(np.argmin([error for _, error in found]))
        for degree in range(max(turn, 1), min(turn + 2, len(found)) + 1):
            model = partial(_size, columns, name, degree, found[degree - 1][0])
            f, size = model(few.take(held))
            r = (few.y[held] - f) * given[held]
            kept = np.abs(r) < 10.0 * np.median(np.abs(r)) + 1e-300  # a poor model errs wildly on some rows
            if kept.sum() < 0.9 * len(r) or len(r) < 10:
                continue
            with np.errstate(divide="ignore"):
                equal = min(equal, np.log(np.sqrt(np.mean(r[kept] ** 2))))
                now = np.log(np.sqrt(np.mean((r / size)[kept] ** 2))) + np.mean(np.log(size[kept]))
            if now < proportional:
                proportional, size_of = now, model
    if size_of is None or not (equal - proportional) * few.n_rows > SURE:
        return None
    weights = 1.0 / size_of(problem)[1]
    if problem.weights is not None:
        weights = weights * problem.weights
    return weights / weights.mean()
