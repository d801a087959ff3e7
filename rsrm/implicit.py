"""Roots of quadratic equations: ``A(x) y**2 + B(x) y + C(x) = 0`` with polynomials A, B, C.

Such a relation is linear in its coefficients: they are a null vector of ``[monomials, y*monomials, y**2*monomials]``.
Laws that were solved for one of their variables often have this form.
"""

import time
from collections.abc import Iterator

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
                found = _relation(terms, target)
                if found is not None:
                    yield from _roots(problem, terms, target, *found)
                    break


def _independent(terms: Terms) -> Terms:
    """Return the terms without those that depend on earlier ones."""
    with np.errstate(all="ignore"):
        A = terms.values / np.linalg.norm(terms.values, axis=0)
    good = np.flatnonzero(np.isfinite(A).all(axis=0))
    diagonal = np.abs(np.diag(np.linalg.qr(A[:, good], mode="r"))) if len(good) <= len(A) else np.zeros(0)
    return terms.take(good[:len(diagonal)][diagonal > 1e-9])


def _relation(terms: Terms, target: Target) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (support, coefficients) of the sparse relation over [terms, z terms, z**2 terms], or None."""
    z, M = target.values, terms.values
    k = M.shape[1]
    with np.errstate(all="ignore"):
        A = np.hstack([M, M * z[:, None], M * (z * z)[:, None]])
        size = np.linalg.norm(A, axis=0)
        A = A / size
    if not np.isfinite(A).all():
        return None
    _, s, V = np.linalg.svd(A, full_matrices=False)
    if not (s[-1] < NULL * s[0]) or s[-2] < 1e3 * s[-1]:
        return None  # no relation, or several: a relation of lower degree was not seen, so that none is telling
    vector = V[-1]
    lead = int(np.argmax(np.abs(vector[2 * k:]))) + 2 * k
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
    return np.append(rest[fit.support], lead), np.append(fit.coefficients, -1.0)


def _multiplied(f: dict, g: dict, c: float, into: dict) -> None:
    """Add c f g to the polynomial `into`; polynomials map sorted factors to coefficients."""
    for a, u in f.items():
        for b, v in g.items():
            powers = dict(a)
            for i, p in b:
                powers[i] = powers.get(i, 0.0) + p
            key = tuple(sorted(powers.items()))
            into[key] = into.get(key, 0.0) + c * u * v


def _roots(problem: Problem, terms: Terms, target: Target, support, coefficients) -> Iterator[Expression]:
    """Yield the two roots as expressions; the caller's scoring tells which one the data follow."""
    k = terms.values.shape[1]
    unit = coefficients[np.argmin(np.abs(coefficients))]
    A, B, C = {}, {}, {}
    for t, v in zip(support, coefficients / unit, strict=True):
        (C, B, A)[t // k][tuple(sorted(terms.factors[t % k]))] = float(v)
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
