"""The error of a candidate and the reward that the search maximizes."""

import math

import numpy as np

from rsrm._jit import njit

ETA = 0.99
"""Discount of the reward for each token (arXiv 2305.14656)."""


def target_scale(y, squares=None) -> float:
    """Return std(y), the scale of the NRMSE; 1 if y is constant up to rounding, so that the NRMSE stays defined.

    It is right for magnitudes whose squares overflow or vanish, too.

    Parameters
    ----------
    y : float64[R]
    squares : float64[R], optional
        Weights of the rows.
    """
    y = np.asarray(y, np.float64)
    largest = float(np.abs(y).max())
    exponent = math.frexp(largest)[1]
    z = np.ldexp(y, -exponent)  # a power of two changes no digit
    if squares is None:
        scale = float(np.std(z))
    else:
        scale = float(np.sqrt(np.mean(squares * np.square(z - np.average(z, weights=squares)))))
    scale = math.ldexp(scale, exponent)
    return scale if scale > 4 * np.finfo(float).eps * largest else 1.0


@njit
def nrmse(values, y, scale):
    """Return the root of the mean squared error of `values` against `y`, divided by `scale`.

    Parameters
    ----------
    values, y : float64[R]
    scale : float
        Usually :func:`target_scale` of y.

    Returns
    -------
    error : float
        NaN or infinite if a value is, or if squares overflow.
    """
    acc = 0.0
    for i in range(y.shape[0]):
        d = (values[i] - y[i]) / scale
        acc += d * d
    return math.sqrt(acc / y.shape[0])


@njit
def reward(length, error, eta=ETA):
    """Return ``eta**length / (1 + error)``; zero for an error that is not finite (arXiv 2305.14656, equation 3).

    Parameters
    ----------
    length : int
        Number of tokens, promoted operators counted as one.
    error : float
        The NRMSE, not negative.
    eta : float, optional
        Discount per token.

    Returns
    -------
    reward : float
        In [0, 1] for any argument.
    """
    if not math.isfinite(error):
        return 0.0
    # Not eta**length: for 32-bit lengths LLVM turns that into a library call (powi) that is missing at run time.
    return math.exp(length * math.log(eta)) / (1.0 + error)
