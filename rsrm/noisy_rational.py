"""Quotients of polynomials for noisy data.

Null vectors are useless under noise. The best small sets of terms of the linearized equations
``P(x) - y*(Q(x) - 1) = y`` are looked for instead, solved with the weights that undo the linearization, and end with
Gauss-Newton steps in the space of y. One variable may stand within a wave, and the quotient within a root or exp.
"""

import time
from collections.abc import Iterator
from math import comb
from typing import NamedTuple

import numpy as np

from rsrm.compose import outer, snap
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.quotient import quotient
from rsrm.regression import description_length
from rsrm.subsets import fit_subsets, normal_solution
from rsrm.targets import Target, transformed
from rsrm.terms import Generator, Terms, monomials, presentable, subset, variable_generators

MAX_ROWS = 800
"""Rows used by the linear algebra."""
DEGREES = ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2))
"""Of numerator and denominator."""
OUTER = ("identity", "sqrt", "exp")
"""Outer functions of quotients."""
WAVES = ("cos", "sin")
WIDE, MOST_BESIDE_WAVES = 0.5, 4
"""Least range of an argument of a wave; most variables of a law that holds one."""
MOST_TERMS = 80
"""Terms of numerator and denominator to choose from."""
FOLLOWED = 2
"""Sets of terms of every size that are polished."""
WRITTEN, YIELDED = 16, 4
"""Quotients that are written down, and the shortest of them."""


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


class _Quotient(NamedTuple):
    """A fitted quotient ``P @ top / Q @ bottom``, and about how long its description is."""

    length: float
    P: Terms
    Q: Terms
    top: np.ndarray
    bottom: np.ndarray
    target: Target
    rss: float

    def written(self) -> tuple[float, Expression] | None:
        """Return (description length, expression), or None where it cannot be written."""
        expression = quotient(self.P, self.Q, self.top, self.bottom)
        expression = presentable(None if expression is None else self.target.lift(expression))
        if expression is None:
            return None
        rows = len(self.target.values)
        return description_length(self.rss, rows, len(expression.constants), expression.complexity), expression


@np.errstate(all="ignore")
def _quotients(P: Terms, Q: Terms, anchor: int, target: Target, noise: float) -> Iterator[_Quotient]:
    """Yield quotients whose denominator holds the term `anchor` once.

    The linearized equations choose the terms; each choice is reweighted by 1/Q (Sanathanan & Koerner 1963) and polished
    on the residual of the quotient itself.
    """
    y, rows, n = target.values, len(target.values), len(P.factors)
    others = np.delete(np.arange(len(Q.factors)), anchor)
    joint = Terms(np.hstack([P.values, -Q.values[:, others] * y[:, None]]), P.factors + [Q.factors[t] for t in others],
                  P.generators)
    goal = Q.values[:, anchor] * y
    for fit in fit_subsets(joint, goal, _undone(Q.values[:, anchor], target.weights), FOLLOWED):
        over, below = fit.support[fit.support < n], np.append(anchor, others[fit.support[fit.support >= n] - n])
        c = fit.coefficients
        for _ in range(2):
            bottom = Q.values[:, below] @ np.append(1.0, c[fit.support >= n])
            weights = _undone(bottom, target.weights)
            A = joint.values[:, fit.support] * weights[:, None]
            size = np.sqrt(np.sum(A * A, axis=0))
            A /= size
            c = normal_solution(A.T @ A, A.T @ (goal * weights)) / size
        d = np.append(1.0, c[fit.support >= n])
        bottom = Q.values[:, below] @ d
        if not len(over) or not np.all(bottom * bottom[0] > 0):
            continue
        free = np.arange(len(below)) > 0
        best = _polished(P.values[:, over], Q.values[:, below], c[fit.support < n], d, y, target.weights, free)
        if best is None:
            continue
        snapped = [np.array([snap(v, 3.0 * noise) for v in part]) for part in best[:2]]
        r = (y - (P.values[:, over] @ snapped[0]) / (Q.values[:, below] @ snapped[1])) * target.weights
        # Simple numbers are cheaper than fitted ones by about half a log n each.
        if rows * np.log(float(r @ r) / best[2]) < 0.5 * np.log(rows) * len(fit.support):
            best = (*snapped, float(r @ r))
        top, bottom = np.zeros(n), np.zeros(len(Q.factors))
        top[over], bottom[below] = best[0], best[1]
        numbers = sum(abs(v) != 1.0 for part in best[:2] for v in part)
        factors = [P.factors[t] for t in over] + [Q.factors[t] for t in below]
        nodes = sum(2.0 + sum(abs(a) for _, a in f) for f in factors)
        yield _Quotient(description_length(best[2], rows, numbers, nodes), P, Q, top, bottom, target, best[2])


def _undone(bottom: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights of equations that were multiplied by a denominator."""
    return weights / np.maximum(np.abs(bottom), 1e-6 * np.abs(bottom).max())


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
    found: list[_Quotient] = []
    for target, generators in _tried(part):
        n = len(generators)
        for p, q in DEGREES:
            if comb(n + p, p) + comb(n + q, q) > MOST_TERMS:
                continue
            P, Q = monomials(generators, p), monomials(generators, q)
            for anchor in range(len(Q.factors)):
                if time.perf_counter() > deadline:
                    break
                found += _quotients(P, Q, anchor, target, part.noise)
    found.sort(key=lambda f: f.length)
    different = list({round(f.length, 6): f for f in found}.values())  # one quotient may come by several anchors
    written = [pair for f in different[:WRITTEN] if (pair := f.written()) is not None]
    written.sort(key=lambda pair: pair[0])
    yield from list(dict.fromkeys(expression for _, expression in written))[:YIELDED]


def _tried(problem: Problem) -> Iterator[tuple[Target, list[Generator]]]:
    """Yield targets and what the polynomials are made of: the variables, and one of them inside a wave."""
    plain = variable_generators(problem)
    usable = [name for name in OUTER if name != "exp" or name in problem.library.operators]
    chosen = [target for name in usable if (target := transformed(problem, name)) is not None]
    for target in chosen if plain else ():
        yield target, plain
    if len(plain) > MOST_BESIDE_WAVES:
        return
    for i, g in enumerate(plain):
        for name in WAVES:
            wave = outer(name, g.expression)
            if wave is not None and np.ptp(g.values) > WIDE:
                values = np.cos(g.values) if name == "cos" else np.sin(g.values)
                yield chosen[0], [*plain[:i], Generator(values, wave), *plain[i + 1:]]
