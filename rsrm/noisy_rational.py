"""Quotients of polynomials for noisy data.

Null vectors are useless under noise. The linearized equations ``P(x) - y*(Q(x) - 1) = y`` are solved instead, with the
weights that undo the linearization, and thinned by backward elimination; Gauss-Newton steps end in the space of y.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import snap
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.quotient import quotient
from rsrm.regression import description_length, eliminate
from rsrm.targets import Target, targets
from rsrm.terms import Terms, monomials, presentable, subset, variable_generators

MAX_ROWS = 800
"""Rows used by the linear algebra."""


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
    """Return (description length, expression) of a quotient whose denominator holds the term `anchor` once.

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
    snapped = [np.array([snap(v, 3.0 * noise) for v in part]) for part in polished[:2]]
    r = (y - (P.values[:, over] @ snapped[0]) / (Q.values[:, below] @ snapped[1])) * target.weights
    # Simple numbers are cheaper than fitted ones by about half a log n each.
    if rows * np.log(float(r @ r)) < cost + 0.5 * np.log(rows) * len(fit.support):
        best = (*snapped, float(r @ r))
    top, bottom_c = np.zeros(len(P.factors)), np.zeros(len(Q.factors))
    top[over], bottom_c[below] = best[0], best[1]
    expression = quotient(P, Q, top, bottom_c)
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
    part = subset(problem, MAX_ROWS, rng)
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
