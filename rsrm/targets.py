"""Transformed targets: y = g(f) is solved for f by fitting g's inverse of y, with delta-method weights."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, outer, power
from rsrm.expression import Expression
from rsrm.problem import Problem


class Target(NamedTuple):
    """A target z = h(y) with the way back.

    ``weights`` multiply residuals of z; ``lift`` maps an expression for z to one for y (None where the operators cannot
    write it).
    """

    values: np.ndarray  # float64[R]
    weights: np.ndarray  # float64[R]
    lift: Callable[[Expression], Expression | None]


def relative_weights(values: np.ndarray) -> np.ndarray:
    """Return 1/|values|, floored at a thousandth of the median: the error of exact data is relative to the value."""
    magnitude = np.abs(values)
    floor = max(1e-3 * np.median(magnitude), 1e-9 * magnitude.max(), np.finfo(float).tiny)
    return 1.0 / (magnitude + floor)


def transformed(problem: Problem, name: str) -> Target | None:
    """Return the target named after the outer function g, or None where it is not defined on the data.

    Parameters
    ----------
    problem : Problem
    name : str
        "identity", or one of sqrt, square, inv, exp, log, sin, cos, tan, asin, acos, atan, tanh.
    """
    y = problem.y
    given = np.ones(len(y)) if problem.weights is None else problem.weights
    sign = 1.0
    if name in ("sqrt", "exp", "square") and np.all(y < 0):
        sign = -1.0
    with np.errstate(all="ignore"):
        u = sign * y
        # z = h(y) and dz/dy, for y = g(z).
        pairs = {
            "identity": (u, np.ones_like(u)), "sqrt": (u * u, 2.0 * u), "square": (np.sqrt(u), 0.5 / np.sqrt(u)),
            "exp": (np.log(u), 1.0 / u), "log": (np.exp(u), np.exp(u)), "asin": (np.sin(u), np.cos(u)),
            "acos": (np.cos(u), -np.sin(u)), "atan": (np.tan(u), 1.0 + np.tan(u) ** 2),
            "sin": (np.arcsin(u), 1.0 / np.sqrt(1.0 - u * u)), "cos": (np.arccos(u), -1.0 / np.sqrt(1.0 - u * u)),
            "tan": (np.arctan(u), 1.0 / (1.0 + u * u)), "tanh": (np.arctanh(u), 1.0 / (1.0 - u * u)),
            "inv": (1.0 / u, -1.0 / (u * u)),
        }
        z, slope = pairs[name]
        if name == "sqrt" and not np.all(u >= 0):
            return None
        weights = given / np.abs(slope) if problem.noise > 0 else relative_weights(z)
    if not (np.isfinite(z).all() and np.ptp(z) > 0):
        return None
    weights = np.where(np.isfinite(weights), weights, 0.0)

    def lift(f: Expression) -> Expression | None:
        g = f if name == "identity" else power(f, -1.0) if name == "inv" else outer(name, f)
        return g if g is None or sign > 0 else linear(g.library, [(-1.0, g)])

    return Target(z, weights, lift)


def targets(problem: Problem) -> Iterator[Target]:
    """Yield the transformed targets whose outer function the library can write, the plain one first."""
    operators = problem.library.operators
    names = ["identity", "sqrt", "exp", "log", "asin", "acos", "atan", "sin", "cos", "tan", "tanh"]
    for name in names:
        if name in ("identity", "sqrt") or name in operators:
            target = transformed(problem, name)
            if target is not None:
                yield target
