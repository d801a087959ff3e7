"""Shapes of factors and their arguments: h(u) such as 1 + u, sin u or exp u - 1, and monomials M to put inside."""

from collections.abc import Callable
from itertools import combinations
from itertools import product as cartesian
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, outer, product
from rsrm.expression import Expression, apply, variable
from rsrm.problem import Problem

MAX_MONOMIALS = 1500
"""Monomials that are listed at most, the simplest first."""


class Monomial(NamedTuple):
    """An argument: ``prod x_i**a_i``, possibly times the sine or cosine of a variable, or a difference."""

    values: np.ndarray
    exponents: tuple[tuple[int, float], ...]  # (variable, exponent); empty where the argument is no pure monomial
    build: Callable[[float], Expression | None]  # the expression times a coefficient


class Shape(NamedTuple):
    """A factor h(u): its values and its expression over the expression of u."""

    name: str
    values: Callable[[np.ndarray], np.ndarray]
    build: Callable[[Expression], Expression | None]


def shapes(library) -> list[Shape]:
    """Return the shapes that the library's operators can write; ``exp`` enters without the logarithm."""
    found = [Shape("1+", lambda u: 1.0 + u, lambda f: linear(library, [(1.0, f)], 1.0)),
             Shape("1-", lambda u: 1.0 - u, lambda f: linear(library, [(-1.0, f)], 1.0))]
    names = set(library.operators)

    def shifted(name, sign, constant):
        return lambda e: linear(library, [(sign, outer(name, e))], constant)

    for name in ("sin", "cos", "tan", "tanh", "log", "asin", "acos", "atan"):
        if name in names:
            f = {"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan}.get(name) or getattr(np, name)
            found.append(Shape(name, f, lambda e, name=name: outer(name, e)))
    if "exp" in names:
        found += [Shape("exp", np.exp, lambda e: outer("exp", e)),
                  Shape("exp-1", np.expm1, shifted("exp", 1.0, -1.0)),
                  Shape("exp+1", lambda u: np.exp(u) + 1.0, shifted("exp", 1.0, 1.0)),
                  Shape("cosh", np.cosh, lambda e: outer("cosh", e))]
        if "tanh" not in names:
            found.append(Shape("tanh", np.tanh, lambda e: outer("tanh", e)))
    if "cos" in names:
        found.append(Shape("1-cos", lambda u: 1.0 - np.cos(u), shifted("cos", -1.0, 1.0)))
        found.append(Shape("1+cos", lambda u: 1.0 + np.cos(u), shifted("cos", 1.0, 1.0)))
    if "sin" in names:
        found.append(Shape("1+sin", lambda u: 1.0 + np.sin(u), shifted("sin", 1.0, 1.0)))
        found.append(Shape("1-sin", lambda u: 1.0 - np.sin(u), shifted("sin", -1.0, 1.0)))
    return found


@np.errstate(all="ignore")
def arguments(problem: Problem, limit: int = MAX_MONOMIALS) -> list[Monomial]:
    """Return monomials in up to five variables, simplest first, then differences and monomials times a sine or cosine.

    Of M and 1/M both are listed; exponents are 1 and 2, with signs.
    """
    library, X = problem.library, problem.X
    columns = [i for i, x in enumerate(X) if np.ptp(x) > 0]
    ranked = []
    for size in range(1, min(len(columns), 5) + 1):
        powers = (1, -1, 2, -2) if size <= 3 else (1, -1)
        for chosen in combinations(columns, size):
            for a in cartesian(powers, repeat=size):
                degree = sum(map(abs, a))
                if degree <= max(size, 4) or (size == 3 and degree == 6):
                    ranked.append((degree + 0.1 * sum(p < 0 for p in a), chosen, a))
    ranked.sort(key=lambda item: item[0])
    own = {i: variable(library, i) for i in columns}
    power = {(i, p): X[i] ** p for i in columns for p in (1, -1, 2, -2)}
    found = []
    for _, chosen, a in ranked[:limit]:
        values = np.ones(problem.n_rows)
        for factor in zip(chosen, a, strict=True):
            values = values * power[factor]
        factors = [(own[i], float(p)) for i, p in zip(chosen, a, strict=True)]
        found.append(Monomial(values, tuple((i, float(p)) for i, p in zip(chosen, a, strict=True)),
                              lambda c, factors=factors: product(library, factors, c)))
    for i, j in combinations(columns, 2):
        for s in (1.0, -1.0):
            difference = linear(library, [(1.0, own[i]), (s, own[j])])
            if difference is not None:
                found.append(Monomial(X[i] + s * X[j], (), lambda c, d=difference: product(library, [(d, 1.0)], c)))
    for name in ("sin", "cos"):
        if name not in library.operators:
            continue
        for i in columns:
            wave = apply(library, name, own[i])
            values = getattr(np, name)(X[i])
            for j in [None, *[j for j in columns if j != i]]:
                for p in ((0.0,) if j is None else (1.0, -1.0)):
                    column = values * (1.0 if j is None else X[j] ** p)
                    factors = [(wave, 1.0)] + ([] if j is None else [(own[j], p)])
                    found.append(Monomial(column, (), lambda c, factors=factors: product(library, factors, c)))
    return [m for m in found if np.isfinite(m.values).all() and np.ptp(m.values) > 0]
