"""Sums with inner constants: their multipliers, their functions on grids of parameters, and the refinement of these.

The coefficients of a sum are linear and are projected out (Golub & Pereyra 1973), so that only the parameters inside
the functions are moved, by Gauss-Newton steps; :mod:`rsrm.mixtures` chooses the terms.
"""

import time
from functools import cached_property
from itertools import combinations
from math import prod
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, outer, product
from rsrm.families import families
from rsrm.problem import Problem
from rsrm.terms import Generator, many_powers, monomials, variable_generators

PAIRED = 1000
"""Functions, but for those without parameters, of which all products are looked at."""
SLOW = 1e-2
"""Share of its spread by which a function that bends hardly at all differs from a line."""
FLOPS = 6e10
"""Floating-point operations a second that a scan is reckoned to make."""


class Function(NamedTuple):
    """A member of a family over one argument."""

    family: int
    argument: int
    theta: float


class Term(NamedTuple):
    """A multiplier times functions."""

    multiplier: int
    functions: tuple[Function, ...]


Set = tuple[Term, ...]


class Products(NamedTuple):
    """All products of multipliers M with functions G and slopes H, and what is left of their squares beside a basis.

    Attributes
    ----------
    M, G, H : float64[R, m], float64[R, n], float64[R, n]
    size, size2 : float64[m, n]
        Squares of ``m*g`` and of ``m*h``.
    gg, hh, gh : float64[m, n]
        Squares and products of ``m*g`` and ``m*h`` once the basis is projected out.
    """

    M: np.ndarray
    G: np.ndarray
    H: np.ndarray
    size: np.ndarray
    size2: np.ndarray
    gg: np.ndarray
    hh: np.ndarray
    gh: np.ndarray

    @classmethod
    def of(cls, M: np.ndarray, G: np.ndarray, H: np.ndarray, Q: np.ndarray) -> "Products":
        """Return the products beside the orthonormal columns of Q."""
        size, size2, gh = (M * M).T @ (G * G), (M * M).T @ (H * H), (M * M).T @ (G * H)
        gg, hh = size.copy(), size2.copy()
        deduct(gg, hh, gh, M, G, H, Q)
        return cls(M, G, H, size, size2, gg, hh, gh)


def deduct(gg, hh, gh, M, G, H, Q) -> None:
    """Take from the squares and products what orthonormal columns Q explain, in place."""
    for q in Q.T:
        left = (M * q[:, None]).T
        g, h = left @ G, left @ H
        gg -= g * g
        hh -= h * h
        gh -= g * h


class Model:
    """Base columns, multipliers, arguments, and the functions tabulated on their grids.

    Parameters
    ----------
    problem : Problem
    degree : int or None
        Of the polynomial that every sum contains; None for as high a degree as the rows allow, and roots and inverses.
    deadline : float
        Functions that are not tabulated by then are left out.
    """

    def __init__(self, problem: Problem, degree: int, deadline: float):
        self.problem = problem
        self.weights = np.ones(problem.n_rows) if problem.weights is None else problem.weights
        self.generators = variable_generators(problem)
        self.base = monomials(self.generators, degree) if degree is not None else many_powers(self.generators)
        columns = self.base.values * self.weights[:, None]
        Q, R = np.linalg.qr(columns / np.sqrt(np.mean(columns**2, axis=0)))
        self.Q = Q[:, np.abs(np.diag(R)) > 1e-9 * np.sqrt(problem.n_rows)]
        spread = (problem.y - np.average(problem.y, weights=self.weights**2)) * self.weights
        largest = np.abs(spread).max()  # squares of what is beyond 1e154 either way leave the range of floats
        self.target = problem.y * self.weights / largest / np.linalg.norm(spread / largest)
        self._multipliers()
        self.arguments = [(g, "variable") for g in self.generators]  # each with its kind, see Family.takes
        self._compound_arguments(problem.library)
        self.families = families(problem.library)
        self._tabulate(deadline)

    def _multipliers(self) -> None:
        n = len(self.generators)
        self.factors: list[tuple[tuple[int, float], ...]] = [()]
        self.factors += [((i, 1.0),) for i in range(n)]
        self.factors += [((i, p),) for p in (2.0, 3.0) for i in range(n)]
        self.factors += [((i, 1.0), (j, 1.0)) for i, j in combinations(range(n), 2)]
        for i, g in enumerate(self.generators):
            if g.values.min() > 0:
                self.factors += [((i, 0.5),), ((i, -1.0),)]
        self.multipliers = np.column_stack([self.monomial(f) for f in self.factors]) * self.weights[:, None]
        self.multipliers /= np.sqrt(np.mean(self.multipliers**2, axis=0))

    def monomial(self, factors) -> np.ndarray:
        """Return the values of a product of powers of variables."""
        return np.prod([self.generators[i].values ** p for i, p in factors], axis=0) * np.ones(self.problem.n_rows)

    def _compound_arguments(self, library) -> None:
        """Add sums of two and three variables and squares, for waves and steps, and absolute values of both signs."""
        generators, n = self.generators, len(self.generators)
        for size in (2, 3) if n <= 6 else ():
            for chosen in combinations(generators, size):
                for signs in ((1.0, 1.0), (1.0, -1.0)) if size == 2 else ((1.0, 1.0, 1.0),):
                    e = linear(library, [(s, g.expression) for s, g in zip(signs, chosen, strict=True)])
                    v = sum(s * g.values for s, g in zip(signs, chosen, strict=True))
                    if e is not None and np.ptp(v) > 0:
                        self.arguments.append((Generator(v, e), "sum"))
        for g in generators if n <= 3 else ():
            square = product(library, [(g.expression, 2.0)])
            if square is not None:
                self.arguments.append((Generator(g.values**2, square), "sum"))
        for g in generators if "abs" in library.operators else ():
            if g.values.min() < 0.0 < g.values.max():
                self.arguments.append((Generator(np.abs(g.values), outer("abs", g.expression)), "magnitude"))

    @np.errstate(all="ignore")
    def _tabulate(self, deadline) -> None:
        """Tabulate g(u; theta) and, beside it, dg/dtheta, or the cosine of a sine."""
        self.functions: list[Function] = []
        self.least: dict[tuple[int, int], float] = {}  # steps that may be made whatever the parameter
        first, second, groups = [], [], {}
        for k, (argument, kind) in enumerate(self.arguments):
            for f, family in enumerate(self.families):
                if time.perf_counter() > deadline or not family.takes(kind):
                    continue
                grid = family.grid(argument.values)
                if family.crosses and len(grid):
                    self.least[f, k] = float(np.abs(grid).min())
                for theta in grid[::1 if family.sums or family.fixed else 2]:
                    g, *other = family.values(argument.values, theta)
                    h = 0.0 if family.fixed else 1e-4 * abs(theta)
                    if not other:
                        other = [family.values(argument.values, theta + h)[0]
                                 - family.values(argument.values, theta - h)[0]]
                    pair = np.array([g, other[0]])
                    pair /= np.sqrt(np.mean(pair**2, axis=1, keepdims=True)) + np.finfo(float).tiny
                    if np.isfinite(pair).all():
                        self.functions.append(Function(f, k, float(theta)))
                        first.append(pair[0])
                        second.append(pair[1])
                        groups.setdefault((f, k), len(groups))
        if not first:
            return
        self.G, self.H = np.column_stack(first), np.column_stack(second)
        self.group = np.array([groups[f.family, f.argument] for f in self.functions])
        self.single = np.flatnonzero([self.arguments[f.argument][1] == "variable" for f in self.functions])
        if len(self.single) > PAIRED:
            fixed = np.array([self.families[f.family].fixed for f in self.functions])[self.single]
            nth = -(-int((~fixed).sum()) // PAIRED)
            self.single = self.single[fixed | (np.arange(len(fixed)) % nth == 0)]

    @cached_property
    def with_multipliers(self) -> Products:
        """All multipliers times all functions."""
        return Products.of(self.multipliers, self.G, self.H, self.Q)

    @cached_property
    def with_functions(self) -> Products:
        """All products of two functions of single variables."""
        one = self.single
        return Products.of(self.G[:, one] * self.weights[:, None], self.G[:, one], self.H[:, one], self.Q)

    @property
    def seconds_of_products(self) -> float:
        """About how long the first scan of all products takes."""
        return 6.0 * self.problem.n_rows * len(self.single) ** 2 * self.Q.shape[1] / FLOPS

    @np.errstate(all="ignore")
    def values(self, f: Function, theta: float) -> list[np.ndarray]:
        """Return the columns of a function with another parameter."""
        return self.families[f.family].values(self.arguments[f.argument][0].values, theta)

    def powers(self, argument: int) -> list[Function]:
        """Return the plain powers of an argument."""
        k = next(k for k, family in enumerate(self.families) if family.name == "monomial")
        u, kind = self.arguments[argument][0].values, self.arguments[argument][1]
        exponents = self.families[k].grid(u) if kind == "variable" else (1.0, 2.0)
        return [Function(k, argument, float(p)) for p in exponents]

    def slow(self, f: Function) -> bool:
        """Return whether a function is a straight line of its argument, or of the square, but for little."""
        if self.families[f.family].fixed:
            return False
        u = self.arguments[f.argument][0].values
        x = u / np.abs(u).max()
        for column in self.values(f, f.theta):
            for power in (x, x * x):
                line = np.column_stack([np.ones(len(u)), power])
                left = column - line @ np.linalg.lstsq(line, column)[0]
                if left @ left <= SLOW**2 * np.sum((column - column.mean()) ** 2):
                    return True
        return False

    @np.errstate(all="ignore")
    def room(self, f: Function, theta: float) -> float:
        """Return how far a parameter may be moved by one step."""
        room = self.families[f.family].room(self.arguments[f.argument][0].values, theta)
        return max(room, self.least.get((f.family, f.argument), 0.0))


def functions_of(chosen: Set) -> list[Function]:
    """Return the functions of the terms; what stands in several terms has one parameter and is listed once."""
    return list(dict.fromkeys(f for term in chosen for f in term.functions))


def moved_to(chosen: Set, thetas) -> Set:
    """Return the terms with the given parameters."""
    moved = {f: f._replace(theta=float(theta)) for f, theta in zip(functions_of(chosen), thetas, strict=True)}
    return tuple(t._replace(functions=tuple(moved[f] for f in t.functions)) for t in chosen)


def _columns(model: Model, term: Term, known: dict[Function, list[np.ndarray]]) -> list[np.ndarray]:
    """Return the weighted columns of a term, given those of its functions."""
    columns = [model.multipliers[:, term.multiplier]]
    for f in term.functions:
        columns = [v * p for v in columns for p in known[f]]
    return columns


@np.errstate(all="ignore")
def columns_of(model: Model, chosen: Set) -> np.ndarray:
    """Return the weighted columns of all terms, float64[R, 1 or more a term]."""
    known = {f: model.values(f, f.theta) for f in functions_of(chosen)}
    return np.column_stack([v for term in chosen for v in _columns(model, term, known)])


def project(Q: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Return what is left of A beside the orthonormal columns of Q."""
    return A - Q @ (Q.T @ A)


@np.errstate(all="ignore")
def refine(model: Model, chosen: Set, deadline: float, steps: int = 25) -> tuple[float, Set]:
    """Return the residual in units of the target's spread, and the terms, after Gauss-Newton steps."""
    r0 = project(model.Q, model.target)

    def fit(thetas):
        known = {f: model.values(f, theta) for f, theta in zip(functions, thetas, strict=True)}
        A = project(model.Q, np.column_stack([v for term in chosen for v in _columns(model, term, known)]))
        size = np.sqrt(np.einsum("ij,ij->j", A, A))
        if not (np.isfinite(size).all() and (size > 0).all()):
            return None
        A = A / size
        c = np.linalg.lstsq(A, r0, rcond=1e-12)[0]
        r = r0 - A @ c
        return A, c / size, r, float(np.sqrt(r @ r)), known

    def slope(k, c, known):
        """Return how the fit with coefficients c changes with parameter k, on all rows."""
        f, theta = functions[k], thetas[k]
        h = 1e-6 * max(abs(theta), 1e-6)
        moved = known | {f: [(up - down) / (2.0 * h) for up, down in zip(
            model.values(f, theta + h), model.values(f, theta - h), strict=True)]}
        total, start = np.zeros(len(r0)), 0
        for term in chosen:
            end = start + prod(len(known[g]) for g in term.functions)
            if f in term.functions:
                total += sum(x * v for x, v in zip(c[start:end], _columns(model, term, moved), strict=True))
            start = end
        return total

    functions = functions_of(chosen)
    thetas = np.array([f.theta for f in functions])
    free = [k for k, f in enumerate(functions) if not model.families[f.family].fixed]
    now = fit(thetas)
    if now is None:
        return np.inf, chosen
    if not free:
        return now[3], chosen
    for _ in range(steps):
        if time.perf_counter() > deadline or now[3] < 1e-15:
            break
        A, c, r, error, known = now
        S = project(model.Q, np.column_stack([slope(k, c, known) for k in free]))
        size = np.linalg.norm(S, axis=0)
        if not np.isfinite(S).all() or not (size > 0).all():
            break
        both = np.hstack([A, S / size])
        step = np.linalg.lstsq(both, r, rcond=1e-12)[0][A.shape[1]:] / size
        most = np.array([model.room(functions[k], thetas[k]) for k in free])
        moved = np.zeros(len(thetas))
        moved[free] = np.clip(step, -most, most)
        for _ in range(5):
            after = fit(thetas + moved)
            if after is not None and after[3] < error:
                break
            moved = 0.5 * moved
        else:
            break
        thetas, now = thetas + moved, after
        if now[3] > 0.99 * error and now[3] > 1e-8:
            break
    return now[3], moved_to(chosen, thetas)
