"""Expressions of quotients of polynomials: simple coefficients, nested, Laurent and factorized forms."""

from fractions import Fraction

import numpy as np

from rsrm.compose import fraction, product, snap
from rsrm.expression import Expression
from rsrm.terms import Terms, compose_sum, degrees, shortest


def normalise(coefficients: np.ndarray) -> np.ndarray:
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


def quotient(P: Terms, Q: Terms, c: np.ndarray, d: np.ndarray) -> Expression | None:
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


def factorized_quotient(P: Terms, Q: Terms, c: np.ndarray, d: np.ndarray) -> Expression | None:
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
