"""Which functions of one variable span what a separated representation found for it?

A representation's factors of one column are known up to their combinations only. What is well determined is the space
that they span; a function belongs to the law if it lies in that space.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from rsrm.compose import constant, linear, outer, product
from rsrm.expression import Expression, variable
from rsrm.families import Family, families
from rsrm.problem import Problem

POWERS = (1.0, 2.0, -1.0, -2.0, 0.5, 3.0, -0.5, 1.5, 4.0, -3.0, -1.5, -4.0)
FUNCTIONS = ("sin", "cos", "exp", "log", "tanh", "abs", "tan", "asin", "acos", "atan")
POWER_COST, FUNCTION_COST, FAMILY_COST, AFFINE_COST = 0.2, 1.0, 3.0, 2.0
"""What a shape costs, in nats of distance: per unit of the exponent, and so on; a constant costs nothing."""
KEPT = 6
"""Shapes of a column that sets are made of."""
SETS = 5
"""Sets of shapes of a column that are tried."""
INDEPENDENT, IN_SPACE = 1e-4, 1e-3
"""Of shapes that are nearly dependent one is enough; distance below which the constant may lie in a space."""
ROUNDING = 1e-15


class Shape(NamedTuple):
    """A function of one variable."""

    values: np.ndarray  # float64[N]
    cost: float
    write: Callable[[], Expression | None]
    inner: bool  # whether numbers inside were fitted

    def log_distance(self, span: np.ndarray, floor: float) -> float:
        """Return the logarithm of the distance from a space (orthonormal rows) in spreads, `floor` at least."""
        rest = np.linalg.norm(self.values - (span @ self.values) @ span)
        size = np.linalg.norm(self.values - self.values.mean()) if self.cost else np.linalg.norm(self.values)
        return float(np.log(max(rest / max(size, 1e-300), floor)))


class Column:
    """The dictionary of one column.

    Parameters
    ----------
    problem : Problem
    j : int
        The column.
    """

    def __init__(self, problem: Problem, j: int):
        self.library, self.u = problem.library, problem.X[j]
        self.x = variable(self.library, j)
        self.one = np.ones(len(self.u))
        self.fixed = [Shape(self.one, 0.0, lambda: constant(self.library, 1.0), False), *self._fixed()]
        self.families: list[tuple[Family, np.ndarray, list[list[np.ndarray]]]] = []
        for family in families(self.library) if self.library.constants else []:
            with np.errstate(all="ignore"):
                grid = [] if family.fixed else [t for t in family.grid(self.u)]
                values = [family.plain(self.u, t) for t in grid]
            good = [k for k, columns in enumerate(values) if all(_usable(v) for v in columns)]
            if len(good) > 2:
                self.families.append((family, np.array([grid[k] for k in good]), [values[k] for k in good]))

    def _fixed(self) -> list[Shape]:
        found = []
        with np.errstate(all="ignore"):
            for p in POWERS:
                if _usable(values := self.u**p):
                    found.append(Shape(values, POWER_COST * abs(p) + (p != 1.0),
                                       lambda p=p: product(self.library, [(self.x, p)]), False))
            for name in FUNCTIONS:
                if name in self.library.operators and not (name == "abs" and self.u.min() * self.u.max() >= 0.0):
                    values = apply_function(name, self.u)
                    if _usable(values):
                        found.append(Shape(values, FUNCTION_COST, lambda name=name: outer(name, self.x), False))
            if "exp" in self.library.operators and _usable(values := np.exp(-self.u)):
                found.append(Shape(values, FUNCTION_COST + 0.5,
                                   lambda: outer("exp", linear(self.library, [(-1.0, self.x)])), False))
        return found

    def sets(self, span: np.ndarray, floor: float) -> list[tuple[float, list[Shape]]]:
        """Return (score, shapes) of sets that may span a space; rows of `span`, float64[k, N], are orthonormal."""
        k = len(span)
        # Where the constant lies in the space, a + b*s says no more than s.
        affine = [] if self.fixed[0].log_distance(span, floor) < np.log(IN_SPACE) else self._affine(span)
        found = [(s.log_distance(span, floor) + s.cost, s) for s in [*self.fixed, *affine, *self._fitted(span)]]
        found.sort(key=lambda f: f[0])
        found = found[: KEPT + k]
        ranked = sorted(((sum(score for score, _ in group), [s for _, s in group]) for group in combinations(found, k)),
                        key=lambda g: g[0])
        independent = [g for g in ranked if np.linalg.cond(np.stack([s.values / np.linalg.norm(s.values)
                                                                     for s in g[1]])) < 1.0 / INDEPENDENT]
        return independent[:SETS]

    def _affine(self, span: np.ndarray) -> list[Shape]:
        """Return the function ``a + b*s`` nearest to a space, for every fixed shape s."""
        found = []
        for shape in self.fixed[1:]:
            v, _ = nearest(span, [self.one, shape.values])
            if abs(v[1]) > 1e-6 and abs(v[0]) > 1e-6 * np.abs(shape.values).max():
                ratio = float(v[0] / v[1])
                found.append(Shape(ratio + shape.values, shape.cost + AFFINE_COST,
                                   lambda s=shape, r=ratio: _plus(s.write(), r), True))
        return found if self.library.constants else []

    def _fitted(self, span: np.ndarray) -> list[Shape]:
        """Return the member of every family nearest to a space."""
        found = []
        for family, grid, values in self.families:
            distances = [nearest(span, columns)[1] for columns in values]
            k = int(np.argmin(distances))
            low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]

            def distance(t, family=family):
                with np.errstate(all="ignore"):
                    columns = family.plain(self.u, t)
                return nearest(span, columns)[1] if all(_usable(c) for c in columns) else 1.0

            theta = float(grid[k])
            if low != high:
                with np.errstate(all="ignore"):
                    best = minimize_scalar(distance, bounds=(min(low, high), max(low, high)), method="bounded",
                                           options={"xatol": 1e-7 * abs(theta)})
                theta = float(best.x) if best.fun < distances[k] else theta
            columns = family.plain(self.u, theta)
            v, _ = nearest(span, columns)
            v = np.where(np.abs(v) < 1e-3 * np.abs(v).max(), 0.0, v)
            found.append(Shape(v @ np.stack(columns), FAMILY_COST + (np.count_nonzero(v) - 1),
                               lambda f=family, t=theta, v=v: _combined(self.library, v, f.build(self.x, t)), True))
        return [s for s in found if _usable(s.values)]


def nearest(span: np.ndarray, columns: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return (coefficients, square) of the combination of one or two functions next to a space.

    The square is that of the distance from the space in units of the spread: every function comes near a constant for
    some number inside, which is no reason to take it for one.
    """
    V = np.stack(columns)
    V = V / (scale := np.linalg.norm(V, axis=1))[:, None]
    inside, centred = span @ V.T, V - V.mean(axis=1, keepdims=True)
    outside, spread = V @ V.T - inside.T @ inside, centred @ centred.T
    if len(columns) == 1:
        return np.ones(1), max(float(outside[0, 0]), 0.0) / max(float(spread[0, 0]), ROUNDING)
    root = np.linalg.inv(np.linalg.cholesky(outside + ROUNDING * np.eye(2)))
    size, v = np.linalg.eigh(root @ spread @ root.T)
    return (root.T @ v[:, -1]) / scale, 1.0 / max(float(size[-1]), ROUNDING)


def apply_function(name: str, u: np.ndarray) -> np.ndarray:
    """Return the values of a unary primitive."""
    return {"sin": np.sin, "cos": np.cos, "exp": np.exp, "log": np.log, "tanh": np.tanh, "abs": np.abs, "tan": np.tan,
            "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan}[name](u)


def _usable(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and 1e-100 < np.abs(values).max() < 1e100)


def _plus(f: Expression | None, c: float) -> Expression | None:
    return None if f is None else linear(f.library, [(1.0, f)], c)


def _combined(library, coefficients, functions) -> Expression | None:
    """Return the sum of functions, the first of coefficient one."""
    if any(f is None for f in functions):
        return None
    used = [(float(c), f) for c, f in zip(coefficients, functions, strict=True) if c != 0.0]
    return used[0][1] if len(used) == 1 else linear(library, used)
