"""Whether few rows show noise, by a Gaussian process: smooth functions of many columns need no polynomial.

Polynomials in several columns have too many coefficients for a few hundred rows: what they leave may be noise or their
own failure. A Gaussian process with one length scale a column (kriging; Rasmussen & Williams 2006, chapter 5) follows
smooth functions closely, and its likelihood says how much more probable the rows are with noise than without.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from rsrm.problem import Problem

ROWS = 150
DECADES = 30.0
"""Positive columns whose largest value is this many times the smallest one are seen in logarithms."""
JITTER = 1e-12
AFFINE = 9.0
"""Variance of the coefficients of the affine part."""
EXACT = 1e-4
"""Noise that stands for none."""
FAILED = 1e10
STARTS = (1e-1, 1e-3)
STEPS = 60
EVEN = 0.05
"""Share of the rows that the variance of y has to come from, as if each had the same part in it."""


class Evidence(NamedTuple):
    """Noise of y in units of its standard deviation, and by how many nats it is likelier than none."""

    level: float
    nats: float


def noise_evidence(problem: Problem, rng: np.random.Generator, rows: int = ROWS) -> Evidence:
    """Return how much noise y probably has, and how probable that is.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    rows : int
        Most rows to look at; the time rises with their cube.
    """
    problem = problem.sample(rows, rng)
    squares = np.square(problem.y - np.median(problem.y))
    columns = [np.log(x) if x.min() > 0.0 and x.max() > DECADES * x.min() else x for x in problem.X if np.ptp(x) > 0.0]
    if not columns or squares.sum() ** 2 <= EVEN * len(squares) * np.square(squares).sum():
        return Evidence(1.0, 0.0)  # nothing to go by, or values over decades, where a few rows are all that counts
    Z = np.array([(x - x.mean()) / x.std() for x in columns])
    likelihood = Likelihood(Z, (problem.y - problem.y.mean()) / problem.y.std())
    least, level = min(likelihood.best(s) for s in STARTS)
    without, _ = likelihood.best(EXACT, fixed=True)
    return Evidence(level, without - least if without < FAILED else 0.0)


class Likelihood:
    """The negative log marginal likelihood of an affine function plus a smooth one plus noise.

    Parameters
    ----------
    Z : float64[D, R]
        Columns of mean zero and variance one.
    y : float64[R]
        The same of the target.
    """

    def __init__(self, Z: np.ndarray, y: np.ndarray):
        self.y = y
        self.distances = np.square(Z[:, :, None] - Z[:, None, :])
        affine = np.vstack([np.ones(len(y)), Z])
        self.affine = AFFINE * affine.T @ affine + JITTER * np.eye(len(y))

    def __call__(self, logs: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient at the logarithms of length scales[D], size and noise."""
        inverse = np.exp(-2.0 * logs[:-2])
        size, noise = np.exp(2.0 * logs[-2:])
        smooth = size * np.exp(-0.5 * np.tensordot(inverse, self.distances, 1))
        K = smooth + self.affine
        K[np.diag_indices_from(K)] += noise
        L, failed = lapack.dpotrf(K, lower=1)
        if failed:
            return FAILED, np.zeros_like(logs)
        Q = lapack.dpotri(L, lower=1)[0]
        Q = np.tril(Q) + np.tril(Q, -1).T
        a = Q @ self.y
        W = np.outer(a, a) - Q
        V = W * smooth
        slopes = [-0.5 * inverse * np.tensordot(self.distances, V, 2), [-V.sum(), -noise * np.trace(W)]]
        return 0.5 * self.y @ a + np.log(np.diag(L)).sum(), np.concatenate(slopes)

    def best(self, noise: float, fixed: bool = False) -> tuple[float, float]:
        """Return the least value and the noise there, from a start at `noise` or with that noise."""
        from scipy.optimize import minimize  # a tenth of a second, where few fits come

        D = len(self.distances)
        start = np.append(np.full(D, np.log(2.0)), [np.log(3.0), np.log(noise)])
        last = (np.log(noise),) * 2 if fixed else (np.log(1e-6), 0.0)
        result = minimize(self, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS},
                          bounds=[(-3.0, 6.0)] * D + [(-3.0, 6.0), last])
        return float(result.fun), float(np.exp(result.x[-1]))
