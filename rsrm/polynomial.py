"""Polynomials and rational functions by linear algebra.

``y = P(x)/Q(x)`` is linear in the coefficients once it is written as ``P(x) - y*Q(x) = 0``: the coefficients are a
vector of the null space of the matrix ``[monomials, -y*monomials]``. Monomials are ordered by degree, so that one QR
factorization answers for every degree of P, and the first column of ``y*monomials`` that depends on the columns before
it gives the simplest denominator.
"""

import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from rsrm.compose import fraction, product, snap
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.regression import description_length, eliminate, exact_fit
from rsrm.targets import Target, targets
from rsrm.terms import (
    Generator, Terms, compose_sum, degrees, function_generators, monomials, presentable, shortest, variable_generators,
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


def _normalise(coefficients: np.ndarray) -> np.ndarray:
    """Divide all coefficients by the one that leaves most of them simple, and snap them."""
    best, best_cost = coefficients / coefficients[-1], np.inf
    for anchor in coefficients:
        c = coefficients / anchor
        snapped = np.array([snap(v, 1e-7) for v in c])
        simple = [fraction(v, 12, 1e-12) for v in snapped]
        cost = sum(10.0 if s is None else (s[1] > 1) + 0.3 * (abs(s[0]) > 1) + 0.01 * (s[0] < 0) for s in simple)
        if cost < best_cost:
            best, best_cost = snapped, cost
    return best


def _quotient(P: Terms, Q: Terms, c: np.ndarray, d: np.ndarray) -> Expression | None:
    """Return the expression of ``P@c / Q@d`` in the shortest of several ways."""
    library = P.generators[0].expression.library
    top, below = np.flatnonzero(c), np.flatnonzero(d)
    options = []
    if len(below) == 1:
        # A Laurent polynomial: every term takes its share of the denominator.
        divisor = dict(Q.factors[below[0]])
        factors = []
        for t in top:
            own = dict(P.factors[t])
            for g, p in divisor.items():
                own[g] = own.get(g, 0.0) - p
            factors.append(tuple(sorted((g, p) for g, p in own.items() if p != 0.0)))
        laurent = Terms(P.values[:, top], factors, P.generators)
        options.append(compose_sum(laurent, range(len(top)), c[top] / d[below[0]]))
    if len(top) == 1:
        bottom = compose_sum(Q, below, d[below])
        if bottom is not None:
            own = [(P.generators[g].expression, p) for g, p in P.factors[top[0]]]
            options.append(product(library, own + [(bottom, -1.0)], float(c[top[0]])))
    if len(below) > 1 or len(top) > 1:
        over, bottom = compose_sum(P, top, c[top]), compose_sum(Q, below, d[below])
        if over is not None and bottom is not None:
            if len(below) == 1:
                own = [(Q.generators[g].expression, -p) for g, p in Q.factors[below[0]]]
                options.append(product(library, [(over, 1.0)] + own, float(1.0 / d[below[0]])))
            else:
                options.append(product(library, [(over, 1.0), (bottom, -1.0)]))
    return shortest(options)


def _factorized(terms: Terms, coefficients: np.ndarray) -> list[tuple[Expression, float]] | None:
    """Return (factor, exponent) pairs of a polynomial with rational coefficients, or None where it does not factor."""
    import sympy as sp

    support = np.flatnonzero(coefficients)
    if len(support) < 2 or len(support) > 40 or degrees(terms)[support].max() > 12:
        return None
    pairs = [fraction(v, 12, 1e-12) for v in coefficients[support]]
    if any(p is None for p in pairs):
        return None
    symbols = sp.symbols(f"g0:{len(terms.generators)}")
    monoms = {}
    for t, pair in zip(support, pairs, strict=True):
        exponents = [0] * len(symbols)
        for g, p in terms.factors[t]:
            exponents[g] = int(p)
        monoms[tuple(exponents)] = sp.Rational(*pair)
    lead, factors = sp.Poly.from_dict(monoms, *symbols, domain="QQ").factor_list()
    if len(factors) == 1 and factors[0][1] == 1:
        return None
    library = terms.generators[0].expression.library
    found = []
    lead = Fraction(int(lead.p), int(lead.q))
    for poly, power in factors:
        items = [(tuple((g, float(p)) for g, p in enumerate(m) if p), float(v)) for m, v in poly.terms()]
        if len(items) > 1 and sum(v < 0 for _, v in items) > sum(v > 0 for _, v in items):
            items, lead = [(f, -v) for f, v in items], lead * (-1) ** int(power)
        part = Terms(np.empty((0, len(items))), [f for f, _ in items], terms.generators)
        expression = compose_sum(part, range(len(items)), np.array([v for _, v in items]))
        if expression is None:
            return None
        found.append((expression, float(power)))
    if lead != 1:
        whole = product(library, [(found[0][0], found[0][1])], float(lead))
        if whole is None:
            return None
        found[0] = (whole, 1.0)
    return found


def _factorized_quotient(P: Terms, Q: Terms, c: np.ndarray, d: np.ndarray) -> Expression | None:
    library = P.generators[0].expression.library
    top, below = _factorized(P, c), _factorized(Q, d)
    if top is None and below is None:
        return None
    if top is None:
        whole = compose_sum(P, np.flatnonzero(c), c[c != 0])
        top = None if whole is None else [(whole, 1.0)]
    if below is None:
        whole = compose_sum(Q, np.flatnonzero(d), d[d != 0])
        below = None if whole is None else [(whole, 1.0)]
    if top is None or below is None:
        return None
    return product(library, top + [(f, -p) for f, p in below])


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
        coefficients = _normalise(np.append(fit.coefficients, 1.0))
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
        plain = _quotient(own, head, c, d)
        lifted = None if plain is None else target.lift(plain)
        if (lifted := presentable(lifted)) is not None:
            yield lifted
        if max(np.count_nonzero(c), np.count_nonzero(d)) > 2 and time.perf_counter() < deadline:
            better = _factorized_quotient(own, head, c, d)
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
    if problem.n_rows > MAX_ROWS:
        problem = problem.take(np.sort(rng.choice(problem.n_rows, MAX_ROWS, replace=False)))
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

    Sines and cosines, then exponentials, logarithms, roots, hyperbolic tangents and absolute values, for y and its square.
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


def _polished(P: np.ndarray, Q: np.ndarray, c: np.ndarray, d: np.ndarray, y: np.ndarray, weights: np.ndarray, free):
    """Return (c, d, residual) after Gauss-Newton steps on ``y - P@c / Q@d``; ``free`` masks the moving part of d."""
    best = None
    for _ in range(8):
        bottom = Q @ d
        value = (P @ c) / bottom
        r = (y - value) * weights
        rss = float(r @ r)
        if not np.isfinite(rss) or (best is not None and rss > best[2] * (1.0 - 1e-9)):
            break
        best = (c, d, rss)
        J = np.hstack([P / bottom[:, None], -(value / bottom)[:, None] * Q[:, free]]) * weights[:, None]
        size = np.linalg.norm(J, axis=0)
        if not (np.isfinite(J).all() and (size > 0).all()):
            break
        step = np.linalg.lstsq(J / size, r, rcond=1e-12)[0] / size
        c = c + step[:P.shape[1]]
        d = d.copy()
        d[free] += step[P.shape[1]:]
    return best


@np.errstate(all="ignore")
def _noisy_quotient(P: Terms, Q: Terms, anchor: int, target: Target, noise: float) -> tuple[float, Expression] | None:
    """Return (description length, expression) of a quotient whose denominator holds the term `anchor` with coefficient 1.

    The linearized equations are reweighted by 1/Q (Sanathanan & Koerner 1963), thinned by backward elimination, and the
    survivors are polished on the residual of the quotient itself.
    """
    y, rows = target.values, len(target.values)
    others = np.delete(np.arange(len(Q.factors)), anchor)
    joint = Terms(np.hstack([P.values, -Q.values[:, others] * y[:, None]]), P.factors + [Q.factors[t] for t in others],
                  P.generators)
    goal = Q.values[:, anchor] * y
    bottom = Q.values[:, anchor]
    fit = None
    for _ in range(3):
        weights = target.weights / np.maximum(np.abs(bottom), 1e-6 * np.abs(bottom).max())
        fits = eliminate(joint, goal, weights, keep=1)
        if not fits or len(fits[0].support) > 10:
            return None
        fit = fits[0]
        d = np.zeros(len(Q.factors))
        d[anchor] = 1.0
        for t, v in zip(fit.support, fit.coefficients, strict=True):
            if t >= len(P.factors):
                d[others[t - len(P.factors)]] = v
        bottom = Q.values @ d
    over = [t for t in fit.support if t < len(P.factors)]
    if not over or np.any(bottom * bottom[0] <= 0):
        return None
    c = np.array([v for t, v in zip(fit.support, fit.coefficients, strict=True) if t < len(P.factors)])
    below = np.flatnonzero(d)
    free = below != anchor
    polished = _polished(P.values[:, over], Q.values[:, below], c, d[below], y, target.weights, free)
    if polished is None:
        return None
    best, cost = polished, rows * np.log(polished[2])
    snapped = (np.array([snap(v, 3.0 * noise) for v in polished[0]]), np.array([snap(v, 3.0 * noise) for v in polished[1]]))
    r = (y - (P.values[:, over] @ snapped[0]) / (Q.values[:, below] @ snapped[1])) * target.weights
    # Simple numbers are cheaper than fitted ones by about half a log n each.
    if rows * np.log(float(r @ r)) < cost + 0.5 * np.log(rows) * len(fit.support):
        best = (*snapped, float(r @ r))
    top, bottom_c = np.zeros(len(P.factors)), np.zeros(len(Q.factors))
    top[over], bottom_c[below] = best[0], best[1]
    expression = _quotient(P, Q, top, bottom_c)
    expression = presentable(None if expression is None else target.lift(expression))
    if expression is None:
        return None
    return description_length(best[2], rows, len(expression.constants), expression.complexity), expression


def noisy_rational(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield quotients of polynomials of low degree that describe noisy data shortly, best first.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    if problem.noise == 0 or problem.n_rows < 20 or np.ptp(problem.y) == 0:
        return
    part = problem
    if problem.n_rows > 2 * MAX_ROWS:
        part = problem.take(np.sort(rng.choice(problem.n_rows, 2 * MAX_ROWS, replace=False)))
    generators = variable_generators(part)
    if not generators:
        return
    found = []
    for target in list(targets(part))[:2]:
        for p, q in ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2)):
            P, Q = monomials(generators, p, 90), monomials(generators, q, 40)
            if len(P.factors) + len(Q.factors) > part.n_rows // 4:
                break
            for anchor in range(1 + len(generators) if q > 0 else 1):
                if time.perf_counter() > deadline:
                    break
                result = _noisy_quotient(P, Q, anchor, target, part.noise)
                if result is not None:
                    found.append(result)
    found.sort(key=lambda item: item[0])
    for _, expression in found[:3]:
        yield expression
