"""Roots of quadratic equations: ``A(x) y**2 + B(x) y + C(x) = 0`` with polynomials A, B, C.

Such a relation is linear in its coefficients: they are a null vector of ``[monomials, y*monomials, y**2*monomials]``.
Laws that were solved for one of their variables often have this form. A, B and C are of one degree where the rows allow
so many terms; of many variables, the relation as a whole is of a degree, in which y counts like the others.
"""

import time
from collections.abc import Iterator
from math import comb

import numpy as np

from rsrm.compose import linear, outer, product
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.regression import exact_fit
from rsrm.targets import Target, transformed
from rsrm.terms import (
    Terms, compose_sum, function_generators, monomials, presentable, shortest, subset, variable_generators,
)

MAX_ROWS = 400
"""Rows used by the linear algebra."""
MAX_TERMS = 12
"""A relation with more terms is an approximation."""
NULL = 1e-9
"""Singular values below this, relative to the largest, count as zero."""
MONOMIALS = 120
GRADED_DEGREES, GRADED_ROWS, GRADED_TERMS = (3, 4), 1000, 400
"""Degrees of relations in which y counts like the others, rows, and most terms of these."""


def quadratics(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield roots of quadratic equations with polynomial coefficients, for y and for y**2.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    if problem.noise > 0 or problem.n_rows < 20 or np.ptp(problem.y) == 0 or "sqrt" not in problem.library.operators:
        return
    part = subset(problem, MAX_ROWS, rng)
    base = variable_generators(part)
    full = 0
    for names in ((), ("sin", "cos"), ("exp",), ("log",), ("sqrt",)):
        extra = function_generators(part, names) if names else []
        if names and not extra:
            continue
        for target in (transformed(part, "identity"), transformed(part, "sqrt")):
            if target is None:
                continue
            for degree in (1, 2, 3):
                if time.perf_counter() > deadline:
                    return
                terms = _independent(monomials(base + extra, degree))
                if terms.values.shape[1] < 2:
                    continue
                if 3 * terms.values.shape[1] + 8 > part.n_rows or terms.values.shape[1] > MONOMIALS:
                    break
                full = max(full, degree)
                found = _relation(terms, [(t, p) for p in range(3) for t in range(len(terms.factors))], target)
                if found is not None:
                    yield from _roots(problem, terms, target, *found)
                    break
    part = subset(problem, GRADED_ROWS, rng)
    base = variable_generators(part)
    for degree in GRADED_DEGREES:
        if degree <= full or comb(len(base) + 1 + degree, degree) > min(GRADED_TERMS, part.n_rows // 2):
            continue
        terms = _independent(monomials(base, degree))
        size = [sum(e for _, e in factors) for factors in terms.factors]
        places = [(t, p) for p in range(3) for t in range(len(size)) if size[t] + p <= degree]
        for target in (transformed(part, "identity"), transformed(part, "sqrt")):
            if target is None or time.perf_counter() > deadline:
                continue
            found = _relation(terms, places, target)
            if found is not None:
                yield from _roots(problem, terms, target, *found)


def _independent(terms: Terms) -> Terms:
    """Return the terms without those that depend on earlier ones."""
    with np.errstate(all="ignore"):
        A = terms.values / np.linalg.norm(terms.values, axis=0)
    good = np.flatnonzero(np.isfinite(A).all(axis=0))
    diagonal = np.abs(np.diag(np.linalg.qr(A[:, good], mode="r"))) if len(good) <= len(A) else np.zeros(0)
    return terms.take(good[:len(diagonal)][diagonal > 1e-9])


Place = tuple[int, int]
"""A term and the power of y that it multiplies."""


def _relation(terms: Terms, places: list[Place], target: Target) -> tuple[list[Place], np.ndarray] | None:
    """Return (places, coefficients) of the sparse relation over the given places, or None."""
    z = target.values
    with np.errstate(all="ignore"):
        A = np.column_stack([terms.values[:, t] * z**p for t, p in places])
        size = np.linalg.norm(A, axis=0)
        A = A / size
    if not np.isfinite(A).all():
        return None
    _, s, V = np.linalg.svd(A, full_matrices=False)
    if not (s[-1] < NULL * s[0]) or s[-2] < 1e3 * s[-1]:
        return None  # no relation, or several: a relation of lower degree was not seen, so that none is telling
    vector = V[-1]
    squares = np.array([p == 2 for _, p in places])
    lead = int(np.argmax(np.where(squares, np.abs(vector), 0.0)))
    if abs(vector[lead]) < 1e-6:
        return None  # linear in y: a quotient of polynomials
    support = np.flatnonzero(np.abs(vector) > 1e-6 * np.abs(vector).max())
    if len(support) > MAX_TERMS:
        return None
    rest = support[support != lead]
    joint = Terms(A[:, rest] * size[rest], [()] * len(rest), [])
    fit = exact_fit(joint, A[:, lead] * size[lead], np.ones(len(z)))
    if fit is None:
        return None
    return [places[i] for i in (*rest[fit.support], lead)], np.append(fit.coefficients, -1.0)


def _multiplied(f: dict, g: dict, c: float, into: dict) -> None:
    """Add c f g to the polynomial `into`; polynomials map sorted factors to coefficients."""
    for a, u in f.items():
        for b, v in g.items():
            powers = dict(a)
            for i, p in b:
                powers[i] = powers.get(i, 0.0) + p
            key = tuple(sorted(powers.items()))
            into[key] = into.get(key, 0.0) + c * u * v


def _roots(problem: Problem, terms: Terms, target: Target, places, coefficients) -> Iterator[Expression]:
    """Yield the two roots as expressions; the caller's scoring tells which one the data follow."""
    unit = coefficients[np.argmin(np.abs(coefficients))]
    A, B, C = {}, {}, {}
    for (t, p), v in zip(places, coefficients / unit, strict=True):
        (C, B, A)[p][tuple(sorted(terms.factors[t]))] = float(v)
    square: dict = {}
    _multiplied(B, B, 1.0, square)
    _multiplied(A, C, -4.0, square)
    largest = max(map(abs, square.values()))
    square = {f: c for f, c in square.items() if abs(c) > 1e-10 * largest}

    def written(polynomial: dict) -> Expression | None:
        factors = list(polynomial)
        few = Terms(np.empty((0, len(factors))), factors, terms.generators)
        return compose_sum(few, np.arange(len(factors)), [polynomial[f] for f in factors])

    bottom = written(A)
    for sign in (1.0, -1.0):
        options = []
        for half in (1.0, 0.5):  # (-B + sqrt(B**2 - 4AC)) / 2A and (-B/2 + sqrt(B**2/4 - AC)) / A
            inside = written({f: half * half * c for f, c in square.items()})
            middle = written({f: -half * c for f, c in B.items()}) if B else None
            root = None if inside is None else outer("sqrt", inside)
            if root is None or bottom is None or (B and middle is None):
                continue
            top = linear(problem.library, ([(1.0, middle)] if B else []) + [(sign, root)])
            options.append(None if top is None else product(problem.library, [(top, 1.0), (bottom, -1.0)], 0.5 / half))
        whole = shortest(options)
        candidate = None if whole is None else presentable(target.lift(whole))
        if candidate is not None:
            yield candidate
