"""Which functions of one variable span what a separated representation found for it?

A representation's factors of one column are known up to their combinations only. What is well determined is the space
that they span; a function belongs to the law if it lies in that space.
"""

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

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
SETS, FEW_SETS = 12, 5
"""Sets of shapes of a column that are tried, of one or two columns and of more."""
NEAR, OUTSIDE = 30.0, 1e-8
"""Distance from which on a function is outside of a space: in uncertainties of the space, and at least."""
SUMS, TOGETHER = 40, 0.3
"""Sums of two functions that are looked at, and their square at most in those of either."""
PART = 1e-4
"""Of a sum, the lesser part in the greater at least."""
SHALLOW = 1e-3
"""Depth of a valley, in its value next to the bottom, that is believed."""
FLAT = 1e-5
"""Square of the spread of a function, of length one, below which it passes for a constant in a sum."""
FINER = 3
"""Members of a family for one on its grid."""
MINIMA = 3
"""Members of a family that are looked at."""
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
        self.sharp = problem.n_variables <= 2  # spaces of many columns are too uncertain for sums of two functions
        self.fixed = [Shape(self.one, 0.0, lambda: constant(self.library, 1.0), False), *self._fixed()]
        self.families: list[tuple[Family, np.ndarray, np.ndarray]] = []
        for family in families(self.library) if self.library.constants else []:
            with np.errstate(all="ignore"):
                grid = np.empty(0) if family.fixed else np.asarray(family.grid(self.u), float)
                grid = _finer(grid) if self.sharp else grid
                values = [family.plain(self.u, t) for t in grid]
            good = [k for k, columns in enumerate(values) if all(_usable(v) for v in columns)]
            if len(good) > 2:
                self.families.append((family, grid[good], np.array([values[k] for k in good])))

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
        single = [(s.log_distance(span, floor), s) for s in self.fixed]
        # What lies in the space itself says, beside another function, no more than that function.
        outside = [s for d, s in single if d > np.log(max(NEAR * floor, OUTSIDE if s.cost else IN_SPACE))]
        if not self.sharp and outside and outside[0].cost:
            outside = []  # sums with the constant only
        found = [(s.log_distance(span, floor) + s.cost, s)
                 for s in [*self.fixed, *self._fitted(span), *self._sums(span, outside)]]
        found.sort(key=lambda f: f[0])
        found = found[: KEPT + k]
        ranked = sorted(((sum(score for score, _ in group), [s for _, s in group]) for group in combinations(found, k)),
                        key=lambda g: g[0])
        independent = [g for g in ranked if np.linalg.cond(np.stack([s.values / np.linalg.norm(s.values)
                                                                     for s in g[1]])) < 1.0 / INDEPENDENT]
        return independent[:SETS if self.sharp else FEW_SETS]

    def _sums(self, span: np.ndarray, outside: list[Shape]) -> list[Shape]:
        """Return sums of two functions that come nearer to a space than either, a plain one and any other.

        Parameters
        ----------
        span : float64[k, N]
        outside : list of Shape
            The plain functions that are not in the space.
        """
        if not self.library.constants or not outside:
            return []
        A = np.stack([s.values / np.linalg.norm(s.values) for s in outside])
        names = [(None, n) for n in range(1, len(outside))]
        B = [A[1:]]
        if not self.sharp:
            A = A[:1]
        for m, (_, _, values) in enumerate(self.families if self.sharp else ()):
            if values.shape[1] == 1:
                B.append(values[:, 0] / np.linalg.norm(values[:, 0], axis=1, keepdims=True))
                names += [(m, n) for n in range(len(values))]
        B = np.concatenate(B)
        least = squares_of_sums(span, A, B)
        least[:, :len(outside) - 1][np.tri(len(A), len(outside) - 1, -1, bool)] = np.inf  # each sum once
        found = []
        kind = np.array([-1 if m is None else m for m, _ in names])
        padded = np.pad(least, ((0, 0), (1, 1)), constant_values=np.inf)
        before = np.where(np.diff(kind, prepend=-2) == 0, padded[:, :-2], np.inf)
        after = np.where(np.diff(kind, append=-2) == 0, padded[:, 2:], np.inf)
        valley = (kind == -1) | ((least <= before) & (least <= after))
        with np.errstate(all="ignore"):  # the bottom of a valley, by the parabola through three members
            bottom = least - (after - before) ** 2 / (8.0 * (after + before - 2.0 * least))
        bottom = np.where(np.isfinite(bottom) & (kind != -1), np.maximum(bottom, SHALLOW * least), least)
        places = np.argwhere(valley & (least < np.inf))
        for i, j in places[np.argsort(bottom[tuple(places.T)])[:SUMS]]:
            m, n = names[j]
            found.append(self._sum(span, outside[i], None if m is not None else outside[n], m, n))
        return [s for s in found if s is not None and _usable(s.values)]

    def _sum(self, span: np.ndarray, plain: Shape, other: Shape | None, m: int | None, n: int) -> Shape | None:
        """Return the combination next to a space of a plain function and another, or member n of family m."""
        if other is not None:
            values, cost, write = other.values, other.cost, other.write
        else:
            family, grid, _ = self.families[m]
            theta = self._lowest(family, grid, n, 1.0, span, [plain.values])
            values, cost = self._plain(family, theta)[0], FAMILY_COST
            write = lambda: family.build(self.x, theta)[0]  # noqa: E731
        v, _ = nearest(span, [plain.values, values])
        parts = np.abs(v) * [np.linalg.norm(plain.values), np.linalg.norm(values)]
        if not parts.min() > PART * parts.max():
            return None
        ratio = float(v[0] / v[1])
        if not plain.cost:
            return Shape(ratio + values, cost + AFFINE_COST, lambda: _plus(write(), ratio), True)
        return Shape(ratio * plain.values + values, plain.cost + cost + AFFINE_COST,
                     lambda: _combined(self.library, [ratio, 1.0], [plain.write(), write()]), True)

    def _fitted(self, span: np.ndarray) -> list[Shape]:
        """Return the members of every family nearest to a space, of several valleys of the distance."""
        found = []
        for family, grid, values in self.families:
            distances = (_squares(span, values[:, 0]) if values.shape[1] == 1 else
                         np.array([nearest(span, columns)[1] for columns in values]))
            padded = np.concatenate([[np.inf], distances, [np.inf]])
            minima = np.flatnonzero((distances <= padded[:-2]) & (distances <= padded[2:]))
            for k in minima[np.argsort(distances[minima])[:MINIMA if self.sharp else 1]]:
                theta = self._lowest(family, grid, k, distances[k], span)
                columns = self._plain(family, theta)
                v, _ = nearest(span, columns)
                v = np.where(np.abs(v) < 1e-3 * np.abs(v).max(), 0.0, v) / np.abs(v).max()
                if np.count_nonzero(v) == 1:
                    v = np.abs(np.sign(v))
                found.append(Shape(v @ np.stack(columns), FAMILY_COST + (np.count_nonzero(v) - 1),
                                   lambda f=family, t=theta, v=v: _combined(self.library, v, f.build(self.x, t)), True))
        return [s for s in found if _usable(s.values)]

    @np.errstate(all="ignore")
    def _plain(self, family: Family, theta: float) -> list[np.ndarray]:
        return family.plain(self.u, theta)

    def _lowest(self, family: Family, grid: np.ndarray, k: int, least: float, span: np.ndarray,
                beside: list[np.ndarray] = ()) -> float:
        """Return the parameter, between the neighbours of one on the grid, whose function is nearest to a space.

        Beside other functions, if there are some.
        """
        from scipy.optimize import minimize_scalar  # a tenth of a second, where few fits come

        def distance(t):
            columns = [*beside, *self._plain(family, t)]
            return nearest(span, columns)[1] if all(_usable(c) for c in columns) else 1.0

        # Beyond the ends of a grid, and between its members of either sign, up to half or twice the parameter.
        before, after = (grid[n] if 0 <= n < len(grid) and grid[n] * grid[k] > 0.0 else None for n in (k - 1, k + 1))
        shrinks = after is not None and abs(after) > abs(grid[k]) or before is not None and abs(before) < abs(grid[k])
        ends = sorted((grid[k] * (0.5 if shrinks else 2.0) if before is None else before,
                       grid[k] * (2.0 if shrinks else 0.5) if after is None else after))
        best = minimize_scalar(distance, bounds=ends, method="bounded", options={"xatol": 1e-7 * abs(grid[k])})
        return float(best.x if best.fun < least else grid[k])


def nearest(span: np.ndarray, columns: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return (coefficients, square) of the combination of one or two functions next to a space.

    The square is that of the distance from the space in units of the spread: every function comes near a constant for
    some number inside, which is no reason to take it for one.
    """
    V = np.stack(columns)
    if len(columns) == 1:
        return np.ones(1), float(_squares(span, V)[0])
    V = V / (scale := np.linalg.norm(V, axis=1))[:, None]
    inside, centred = span @ V.T, V - V.mean(axis=1, keepdims=True)
    outside, spread = V @ V.T - inside.T @ inside, centred @ centred.T
    level, axes = np.linalg.eigh(outside)
    root = (axes / np.sqrt(np.maximum(level, 0.0) + ROUNDING)).T
    size, v = np.linalg.eigh(root @ spread @ root.T)
    return (root.T @ v[:, -1]) / scale, 1.0 / max(float(size[-1]), ROUNDING)


def _finer(grid: np.ndarray) -> np.ndarray:
    """Return the grid with members in between: next to each other, two functions that span a space are two valleys."""
    between = [np.linspace(a, b, FINER, endpoint=False) if a * b > 0.0 else [a] for a, b in pairwise(grid)]
    return np.concatenate([*between, grid[-1:]]) if len(grid) else grid


def _squares(span: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Return the squares of :func:`nearest` for single functions, float64[len(V)]."""
    V = V / np.linalg.norm(V, axis=1, keepdims=True)
    outside = 1.0 - np.sum((V @ span.T) ** 2, axis=1)
    return np.maximum(outside, 0.0) / np.maximum(np.sum((V - V.mean(axis=1, keepdims=True)) ** 2, axis=1), ROUNDING)


def squares_of_sums(span: np.ndarray, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return the squares of :func:`nearest` for all sums of a function of A and one of B, float64[len(A), len(B)].

    Infinite where one of the two is nearly as near by itself.
    """
    centred = [V - V.mean(axis=1, keepdims=True) for V in (A, B)]
    inside = [V @ span.T for V in (A, B)]
    aa, bb = (np.maximum(np.sum(V * V, axis=1) - np.sum(W * W, axis=1), 0.0)
              for V, W in zip((A, B), inside, strict=True))
    ab = A @ B.T - inside[0] @ inside[1].T
    paa, pbb = (np.sum(V * V, axis=1) for V in centred)
    pab = centred[0] @ centred[1].T
    # The lesser root of det(outside - square * spread) = 0.
    b = aa[:, None] * pbb + paa[:, None] * bb - 2.0 * ab * pab
    c = np.maximum(aa[:, None] * bb - ab * ab, ROUNDING * ROUNDING)
    a = paa[:, None] * pbb - pab * pab
    with np.errstate(all="ignore"):
        square = 2.0 * c / (b + np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0)))
        alone = np.minimum(np.where(paa > ROUNDING, aa / paa, np.inf)[:, None], bb / np.maximum(pbb, ROUNDING))
    return np.where(np.isfinite(square) & (square < TOGETHER * alone) & (pbb > FLAT), square, np.inf)


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
