"""Polynomials and rational functions by linear algebra.

``y = P(x)/Q(x)`` is linear in the coefficients once it is written as ``P(x) - y*Q(x) = 0``: the coefficients are a
vector of the null space of the matrix ``[monomials, -y*monomials]``. Monomials are ordered by degree, so that one QR
factorization answers for every degree of P, and the first column of ``y*monomials`` that depends on the columns before
it gives the simplest denominator.
"""

import time
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from rsrm.compose import linear
from rsrm.expression import Expression, apply, variable
from rsrm.problem import Problem
from rsrm.quotient import factorized_quotient, normalise, quotient
from rsrm.regression import exact_fit
from rsrm.targets import Target, targets
from rsrm.terms import (
    Generator,
    Terms,
    degrees,
    function_generators,
    monomials,
    presentable,
    subset,
    variable_generators,
)

MAX_COLUMNS = 300
"""Columns of the numerator's monomials at most."""
MAX_ROWS = 400
"""Rows used by the linear algebra."""
MAX_SUPPORT = 30
"""A quotient with more terms than this approximates a function, it is no law."""
FOUND = 1e-9
"""Relative size of a projected column below which a null vector is looked at."""


def _null_degrees(P: Terms, Q: Terms, z: np.ndarray, weights: np.ndarray, deadline: float) -> list[tuple[int, int]]:
    """Return (columns of P, columns of Q) of null vectors, smallest sum of degrees first."""
    A = P.values * weights[:, None]
    B = Q.values * (z * weights)[:, None]
    with np.errstate(all="ignore"):
        A = A / np.linalg.norm(A, axis=0)
        B = B / np.linalg.norm(B, axis=0)
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        return []
    rows = len(z)
    full = np.linalg.qr(A, mode="complete")[0]
    T = full.T @ B
    dp, dq = degrees(P), degrees(Q)
    found = []
    for d in range(dp.max() + 1):
        if time.perf_counter() > deadline:
            break
        kp = int(np.searchsorted(dp, d, side="right"))
        spare = rows - kp - 3
        if spare < 1:
            break
        diagonal = np.abs(np.diag(np.linalg.qr(T[kp:, :min(spare, B.shape[1])], mode="r")))
        hits = np.flatnonzero(diagonal < FOUND)
        if len(hits):
            kq = int(hits[0]) + 1
            found.append((d + int(dq[kq - 1]), kp, kq))
            if kq == 1:
                break
    return [(kp, kq) for _, kp, kq in sorted(found)]


def rational_forms(P: Terms, Q: Terms, target: Target, deadline: float) -> Iterator[Expression]:
    """Yield exact quotients of polynomials for a target: the plain form, then the factorized one where it is shorter.

    Parameters
    ----------
    P, Q : Terms
        Monomials of numerator and denominator, ordered by degree, the constant first.
    target : Target
    deadline : float
        Of ``time.perf_counter``.
    """
    z, weights = target.values, target.weights
    seen = 0
    for kp, kq in _null_degrees(P, Q, z, weights, deadline):
        if time.perf_counter() > deadline or seen == 2:
            return
        own, other = P.take(np.arange(kp)), Q.take(np.arange(kq - 1))
        # The last denominator column is the dependent one: its coefficient is not zero, so that it becomes the target.
        joint = Terms(np.hstack([own.values, -other.values * z[:, None]]), own.factors + other.factors, P.generators)
        fit = exact_fit(joint, Q.values[:, kq - 1] * z, weights)
        if fit is None or len(fit.support) > MAX_SUPPORT:
            continue
        coefficients = normalise(np.append(fit.coefficients, 1.0))
        c, d = np.zeros(kp), np.zeros(kq)
        for t, v in zip(fit.support, coefficients[:-1], strict=True):
            if t < kp:
                c[t] = v
            else:
                d[t - kp] = v
        d[kq - 1] = coefficients[-1]
        if not c.any():
            continue
        with np.errstate(all="ignore"):
            value = (own.values @ c) / (Q.values[:, :kq] @ d)
            error = np.sqrt(np.mean(((value - z) * weights) ** 2) / np.mean((z * weights) ** 2))
        if not error < 1e-8:
            continue
        seen += 1
        head = Q.take(np.arange(kq))
        plain = quotient(own, head, c, d)
        lifted = None if plain is None else target.lift(plain)
        if (lifted := presentable(lifted)) is not None:
            yield lifted
        if max(np.count_nonzero(c), np.count_nonzero(d)) > 2 and time.perf_counter() < deadline:
            better = factorized_quotient(own, head, c, d)
            if better is not None and (plain is None or better.complexity < plain.complexity):
                lifted = target.lift(better)
                if (lifted := presentable(lifted)) is not None:
                    yield lifted


def _bases(generators: list[Generator], rows: int, degree: int) -> tuple[Terms, Terms]:
    """Return monomials of numerator and denominator that leave rows to spare."""
    limit = min(MAX_COLUMNS, rows - 4)
    P = monomials(generators, degree, limit)
    Q = monomials(generators, degree, max(min(limit, rows // 2), 1))
    return P, Q


def _rows(problem: Problem, rng: np.random.Generator) -> Problem | None:
    """Return the problem on the rows for the linear algebra, or None where the stages do not apply."""
    if problem.noise > 0 or problem.n_rows < 5 or np.ptp(problem.y) == 0:
        return None
    problem = subset(problem, MAX_ROWS, rng)
    return problem


def rational(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield polynomials, quotients of polynomials, and allowed functions of them, that fit noise-free data exactly.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    part = _rows(problem, rng)
    generators = [] if part is None else variable_generators(part)
    if not generators:
        return
    degree = {1: 12, 2: 8, 3: 6, 4: 5}.get(len(generators), 4)
    P, Q = _bases(generators, part.n_rows, degree)
    for target in targets(part):
        if time.perf_counter() > deadline:
            return
        yield from rational_forms(P, Q, target, deadline)


def generalized_rational(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield what :func:`rational` yields, with functions of single variables as further generators.

    Sines and cosines, then exponentials, logarithms, roots, hyperbolic tangents and absolute values, for y and y**2;
    then the sine and cosine of the difference or sum of two variables, for y.
    """
    part = _rows(problem, rng)
    base = [] if part is None else variable_generators(part)
    if not base:
        return
    for names in (("sin", "cos"), ("exp",), ("log",), ("sqrt",), ("tanh",), ("abs",)):
        extra = function_generators(part, names)
        if not extra:
            continue
        generators = base + extra
        P, Q = _bases(generators, part.n_rows, {2: 8, 3: 6, 4: 5}.get(len(generators), 4))
        for target in list(targets(part))[:2]:
            if time.perf_counter() > deadline:
                return
            yield from rational_forms(P, Q, target, deadline)
    for waves in _waves_of_two(part):
        generators = base + waves
        P, Q = _bases(generators, part.n_rows, {3: 6, 4: 5}.get(len(generators), 4))
        if time.perf_counter() > deadline:
            return
        yield from rational_forms(P, Q, next(targets(part)), deadline)


def _waves_of_two(problem: Problem) -> Iterator[list[Generator]]:
    """Yield the sine and cosine of the difference, then of the sum, of every two variables."""
    library, n = problem.library, problem.n_variables
    if not {"sin", "cos"} <= set(library.operators) or n > 4:
        return
    for sign in (-1.0, 1.0):
        for i, j in combinations(range(n), 2):
            argument = linear(library, [(1.0, variable(library, i)), (sign, variable(library, j))])
            values = problem.X[i] + sign * problem.X[j]
            if argument is not None and np.ptp(values) > 0:
                yield [Generator(f(values), apply(library, name, argument)) for f, name in
                       ((np.sin, "sin"), (np.cos, "cos"))]
