"""Sums with inner constants: their multipliers, their functions on grids of parameters, and the refinement of these.

The coefficients of a sum are linear and are projected out (Golub & Pereyra 1973), so that only the parameters inside
the functions are moved, by Gauss-Newton steps; :mod:`rsrm.mixtures` chooses the terms.
"""

import time
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, outer, product
from rsrm.families import families
from rsrm.mixture_kernels import CODES, refine_sum
from rsrm.mixture_products import Products
from rsrm.problem import Problem
from rsrm.terms import Generator, many_powers, monomials, variable_generators

PAIRED = 1000
"""Functions, but for those without parameters, of which all products are looked at."""
SLOWEST = 40
"""Waves that are tried of roots and logarithms."""
SLOW = 1e-2
"""Share of its spread by which a function that bends hardly at all differs from a line."""
SCANNED = 150
"""Rows used by the scan; more if the polynomial has many terms."""
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


class Model:
    """Base columns, multipliers, arguments, and the functions tabulated on their grids.

    Parameters
    ----------
    problem : Problem
    degree : int or None
        Of the polynomial that every sum contains; None for as high a degree as the rows allow, and roots and inverses.
    deadline : float
        Functions that are not tabulated by then are left out.
    like : Model, optional
        Of the same rows: its functions are taken, and nothing is tabulated again.
    """

    def __init__(self, problem: Problem, degree: int | None, deadline: float, like: "Model | None" = None):
        self.problem = problem
        self.weights = np.ones(problem.n_rows) if problem.weights is None else problem.weights
        self.generators = variable_generators(problem)
        self.base = monomials(self.generators, degree) if degree is not None else many_powers(self.generators)
        columns = self.base.values * self.weights[:, None]
        self.Q = basis_of(columns)
        rows = problem.n_rows
        self.scanned = np.unique(np.linspace(0, rows - 1, max(SCANNED, 5 * columns.shape[1])).round().astype(int))
        self.scan_basis = self.Q if len(self.scanned) == rows else basis_of(columns[self.scanned])
        spread = (problem.y - np.average(problem.y, weights=self.weights**2)) * self.weights
        largest = np.abs(spread).max()  # squares of what is beyond 1e154 either way leave the range of floats
        self.target = problem.y * self.weights / largest / np.linalg.norm(spread / largest)
        self.basis, self.left = np.ascontiguousarray(self.Q.T), project(self.Q, self.target)
        self._multipliers()
        if like is None:
            self.arguments = [(g, "variable") for g in self.generators]  # each with its kind, see Family.takes
            self._compound_arguments(problem.library)
            self.families = families(problem.library)
            self._tabulate(deadline)
        else:
            self.arguments, self.families, self.least = like.arguments, like.families, like.least
            self.functions, self.tables, self.group, self.single = like.functions, like.tables, like.group, like.single
        if self.functions:
            self.G, self.H = self.table(self.scanned)

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
        self.multiplier_rows = np.ascontiguousarray(self.multipliers.T)

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
        for g in generators if n <= 3 else ():
            if "sqrt" in library.operators and g.values.min() >= 0.0:
                self.arguments.append((Generator(np.sqrt(g.values), outer("sqrt", g.expression)), "warped"))
            shifted = linear(library, [(1.0, g.expression)], 1.0)
            if "log" in library.operators and g.values.min() > -0.9 and shifted is not None:
                self.arguments.append((Generator(np.log1p(g.values), outer("log", shifted)), "warped"))

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
                if kind == "warped":
                    grid = grid[:SLOWEST]
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
        self.tables = np.array(first), np.array(second)
        self.group = np.array([groups[f.family, f.argument] for f in self.functions])
        self.single = np.flatnonzero([self.arguments[f.argument][1] == "variable" for f in self.functions])
        if len(self.single) > PAIRED:
            fixed = np.array([self.families[f.family].fixed for f in self.functions])[self.single]
            nth = -(-int((~fixed).sum()) // PAIRED)
            self.single = self.single[fixed | (np.arange(len(fixed)) % nth == 0)]

    def table(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the functions and their slopes on some rows, float64[rows, n] each."""
        return self.tables[0][:, rows].T.copy(), self.tables[1][:, rows].T.copy()

    @cached_property
    def with_multipliers(self) -> Products:
        """All multipliers times all functions."""
        return Products.of(self.multipliers[self.scanned], self.G, self.H, self.scan_basis)

    @cached_property
    def with_functions(self) -> Products:
        """All products of two functions of single variables."""
        one = self.single
        weighted = self.G[:, one] * self.weights[self.scanned, None]
        return Products.of(weighted, self.G[:, one], self.H[:, one], self.scan_basis)

    @property
    def seconds_of_products(self) -> float:
        """About how long the first scan of all products takes."""
        return 6.0 * len(self.scanned) * len(self.single) ** 2 * self.scan_basis.shape[1] / FLOPS

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


def basis_of(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the columns, without those that depend on earlier ones."""
    Q, R = np.linalg.qr(columns / np.sqrt(np.mean(columns**2, axis=0)))
    return Q[:, np.abs(np.diag(R)) > 1e-9 * np.sqrt(len(columns))]


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


def refine(model: Model, chosen: Set, steps: int = 25) -> tuple[float, Set]:
    """Return the residual in units of the target's spread, and the terms, after Gauss-Newton steps."""
    functions = functions_of(chosen)
    place = {f: k for k, f in enumerate(functions)}
    members = np.array([([place[f] for f in t.functions] + [-1, -1])[:2] for t in chosen])
    kinds = [model.families[f.family] for f in functions]
    thetas = np.array([f.theta for f in functions], float)
    error = refine_sum(
        model.basis, model.left, model.multiplier_rows, np.array([t.multiplier for t in chosen]), members,
        np.array([CODES[kind.name] for kind in kinds], np.int64),
        np.array([model.arguments[f.argument][0].values for f in functions]).reshape(-1, len(model.left)),
        np.array([kind.shift for kind in kinds], float),
        np.array([model.least.get((f.family, f.argument), 0.0) for f in functions], float),
        np.array([k for k, kind in enumerate(kinds) if not kind.fixed], np.int64), thetas, steps)
    return error, moved_to(chosen, thetas) if error < np.inf else chosen
