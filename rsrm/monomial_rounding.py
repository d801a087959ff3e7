"""Exponents of a fit under noise, rounded to simple numbers one after the other, or left where none is near.

Near its optimum a fit is a Gaussian over all constants. The exponent that is least in doubt is rounded first, at the
cost of its distance in standard errors and of the digits of the number, and the others follow it to where they fit best
given that (successive rounding of an integer least-squares problem; Babai, Combinatorica 6, 1986). A few ways of doing
so are kept.
"""

import numpy as np

LARGEST, DENOMINATORS = 6, (1, 2, 3)
FREE = 7.0
"""What it costs in nats to leave an exponent as it is."""
WIDTH = 4
"""Ways of rounding that are kept."""
SIMPLE = np.array(sorted({p / q for q in DENOMINATORS for p in range(-LARGEST * q, LARGEST * q + 1)}, key=abs))
"""Numbers that exponents are rounded to."""
LEAST_VARIANCE = 1e-12


def _price(value: float) -> float:
    """Return what it costs in nats to write a simple number and the variable that it is the exponent of."""
    if value == 0.0:
        return 0.0
    q = next(q for q in DENOMINATORS if value * q == round(value * q))
    return 2.0 + float(np.log(2.0 * abs(value * q))) + 2.0 * float(np.log(q))


PRICES = np.array([_price(value) for value in SIMPLE])


def rounded(mean: np.ndarray, covariance: np.ndarray, exponents: np.ndarray) -> list[np.ndarray]:
    """Return the cheapest ways of rounding some of the constants, the others moved along.

    Parameters
    ----------
    mean : float64[M]
        The fitted constants.
    covariance : float64[M, M]
    exponents : bool[M]
        Which of them are rounded.

    Returns
    -------
    ways : list of float64[M]
        At most `WIDTH`, the cheapest first.
    """
    ways = [(0.0, mean, covariance, exponents)]
    for _ in range(int(exponents.sum())):
        found = []
        for nats, m, C, waiting in ways:
            at = np.flatnonzero(waiting)
            variance = np.maximum(np.diag(C)[at], LEAST_VARIANCE)
            costs = 0.5 * (SIMPLE - m[at, None]) ** 2 / variance[:, None] + PRICES
            two = np.argsort(costs, axis=1)[:, :2]
            cost = np.take_along_axis(costs, two, axis=1)
            k = int(np.argmax(cost[:, 1] - cost[:, 0]))
            i, left = at[k], waiting.copy()
            left[i] = False
            gain = C[:, i] / variance[k]
            for value, price in zip(SIMPLE[two[k]], cost[k], strict=True):
                moved = m - gain * (m[i] - value)
                moved[i] = value
                found.append((nats + price, moved, C - np.outer(gain, C[i]), left))
            found.append((nats + FREE, m, C, left))
        ways = sorted(found, key=lambda way: way[0])[:WIDTH]
    return [m for _, m, _, _ in ways]
