"""Slow twins of the evaluator and of the fitting of constants: recursion over NumPy arrays, scipy's least squares."""

import numpy as np
from scipy.optimize import least_squares

from rsrm.library import LITERALS
from rsrm.primitives import PRIMITIVES


def evaluate(tokens, constants, X, n_variables):
    """Return float64[R], the values of expanded prefix `tokens` on X, float64[D, R], by recursion."""
    position = 0
    used = 0

    def node():
        nonlocal position, used
        t = int(tokens[position])
        position += 1
        if t < n_variables:
            return X[t].copy()
        if t == n_variables:
            used += 1
            return np.full(X.shape[1], constants[used - 1])
        t -= n_variables + 1
        if t < len(LITERALS):
            return np.full(X.shape[1], LITERALS[t])
        primitive = PRIMITIVES[t - len(LITERALS)]
        arguments = [node() for _ in range(primitive.arity)]
        return primitive.function(*arguments)

    with np.errstate(all="ignore"):
        values = node()
    assert position == len(tokens)
    return values


def fit(tokens, start, X, y, n_variables):
    """Return constants and sum of squares by scipy's MINPACK with finite differences."""
    solution = least_squares(lambda c: evaluate(tokens, c, X, n_variables) - y, start, method="lm", xtol=1e-14,
                             ftol=1e-14)
    return solution.x, 2.0 * solution.cost
