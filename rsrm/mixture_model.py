"""Sums with inner constants: their multipliers, their functions on grids of parameters, and the refinement of these.

The coefficients of a sum are linear and are projected out (Golub & Pereyra 1973), so that only the parameters inside
the functions are moved, by Gauss-Newton steps; :mod:`rsrm.mixtures` chooses the terms.
"""

import time
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, product
from rsrm.families import families
from rsrm.problem import Problem
from rsrm.terms import Generator, monomials, variable_generators

FLOPS = 1e10
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
    degree : int
        Of the polynomial that every sum contains.
    deadline : float
        Functions that are not tabulated by then are left out.
    """

    def __init__(self, problem: Problem, degree: int, deadline: float):
        self.problem = problem
        self.weights = np.ones(problem.n_rows) if problem.weights is None else problem.weights
        self.generators = variable_generators(problem)
        self.base = monomials(self.generators, degree)
        columns = self.base.values * self.weights[:, None]
        Q, R = np.linalg.qr(columns / np.sqrt(np.mean(columns**2, axis=0)))
        self.Q = Q[:, np.abs(np.diag(R)) > 1e-9 * np.sqrt(problem.n_rows)]
        spread = (problem.y - np.average(problem.y, weights=self.weights**2)) * self.weights
        self.target = problem.y * self.weights / np.linalg.norm(spread)
        self._multipliers()
        self.arguments = [(g, True) for g in self.generators]  # argument, whether it is a single variable
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
        """Add sums of two and three variables, and squares, as arguments of waves and steps."""
        generators, n = self.generators, len(self.generators)
        for size in (2, 3) if n <= 6 else ():
            for chosen in combinations(generators, size):
                for signs in ((1.0, 1.0), (1.0, -1.0)) if size == 2 else ((1.0, 1.0, 1.0),):
                    e = linear(library, [(s, g.expression) for s, g in zip(signs, chosen, strict=True)])
                    v = sum(s * g.values for s, g in zip(signs, chosen, strict=True))
                    if e is not None and np.ptp(v) > 0:
                        self.arguments.append((Generator(v, e), False))
        for g in generators if n <= 3 else ():
            square = product(library, [(g.expression, 2.0)])
            if square is not None:
                self.arguments.append((Generator(g.values**2, square), False))

    @np.errstate(all="ignore")
    def _tabulate(self, deadline) -> None:
        """Tabulate g(u; theta) and, beside it, dg/dtheta, or the cosine of a sine."""
        self.functions: list[Function] = []
        first, second, groups = [], [], {}
        for k, (argument, single) in enumerate(self.arguments):
            for f, family in enumerate(self.families):
                if time.perf_counter() > deadline or not (single or family.sums):
                    continue
                for theta in family.grid(argument.values)[::1 if family.sums or family.fixed else 2]:
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
        self.single = np.flatnonzero([self.arguments[f.argument][1] for f in self.functions])

    @property
    def seconds_of_products(self) -> float:
        """About how long a scan of all products takes."""
        return 6.0 * self.problem.n_rows * len(self.single) ** 2 * self.Q.shape[1] / FLOPS

    @np.errstate(all="ignore")
    def values(self, f: Function, theta: float) -> list[np.ndarray]:
        """Return the columns of a function with another parameter."""
        return self.families[f.family].values(self.arguments[f.argument][0].values, theta)


def functions_of(chosen: Set) -> list[Function]:
    """Return the functions of the terms; what stands in several terms has one parameter and is listed once."""
    return list(dict.fromkeys(f for term in chosen for f in term.functions))


def moved_to(chosen: Set, thetas) -> Set:
    """Return the terms with the given parameters."""
    moved = {f: f._replace(theta=float(theta)) for f, theta in zip(functions_of(chosen), thetas, strict=True)}
    return tuple(t._replace(functions=tuple(moved[f] for f in t.functions)) for t in chosen)


@np.errstate(all="ignore")
def columns_of(model: Model, chosen: Set, thetas=None) -> np.ndarray:
    """Return the weighted columns of all terms, with other parameters if given, float64[R, 1 or more a term]."""
    functions = functions_of(chosen)
    thetas = [f.theta for f in functions] if thetas is None else thetas
    known = {f: model.values(f, theta) for f, theta in zip(functions, thetas, strict=True)}
    columns = []
    for term in chosen:
        values = [model.multipliers[:, term.multiplier]]
        for f in term.functions:
            values = [v * p for v in values for p in known[f]]
        columns += values
    return np.column_stack(columns)


def project(Q: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Return what is left of A beside the orthonormal columns of Q."""
    return A - Q @ (Q.T @ A)


@np.errstate(all="ignore")
def refine(model: Model, chosen: Set, deadline: float, steps: int = 25) -> tuple[float, Set]:
    """Return the residual in units of the target's spread, and the terms, after Gauss-Newton steps."""
    r0 = project(model.Q, model.target)

    def fit(thetas):
        A = project(model.Q, columns_of(model, chosen, thetas))
        size = np.linalg.norm(A, axis=0)
        if not (np.isfinite(size).all() and (size > 0).all()):
            return None
        c = np.linalg.lstsq(A / size, r0, rcond=1e-12)[0] / size
        r = r0 - A @ c
        return A, c, r, float(np.linalg.norm(r))

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
        A, c, r, error = now
        slopes = []
        for k in free:
            h = 1e-6 * max(abs(thetas[k]), 1e-6)
            shift = np.zeros(len(thetas))
            shift[k] = h
            slopes.append((columns_of(model, chosen, thetas + shift)
                           - columns_of(model, chosen, thetas - shift)) @ c / (2.0 * h))
        S = project(model.Q, np.column_stack(slopes))
        size = np.linalg.norm(S, axis=0)
        if not np.isfinite(S).all() or not (size > 0).all():
            break
        both = np.hstack([A / np.linalg.norm(A, axis=0), S / size])
        step = np.linalg.lstsq(both, r, rcond=1e-12)[0][A.shape[1]:] / size
        most = 0.5 * np.abs(thetas[free])
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
