"""How much noise a target has, before any law is known: the held-out error of polynomials of rising degree.

A polynomial's error on exact data goes on falling with its degree; under noise it falls to the level of the noise and
rises again, because more coefficients follow the noise. The turning point shows the noise and its level.
"""

from typing import NamedTuple

import numpy as np

from rsrm.noisy_surrogate import fits
from rsrm.problem import Problem

ROWS = 3000
EXACT = 1e-7
"""Errors below this are not looked at as noise."""
FEW = 100
"""With fewer rows the degree cannot rise far enough for its error to turn."""
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
    if problem.n_rows > ROWS:
        problem = problem.take(np.sort(rng.choice(problem.n_rows, ROWS, replace=False)))
    curves = [np.array([error for _, error in found]) for _, _, found in fits(problem)]
    if not curves:
        return Noise(1.0, False)
    errors = min(curves, key=np.min)
    level = float(min(errors.min(), 1.0))
    turned = len(errors) > 2 and errors[-1] > TURNED * level and errors[0] > 0
    return Noise(level, bool(level > EXACT and turned and level < 0.5 and problem.n_rows >= FEW))
