"""Sparse linear combinations over a dictionary of terms: products of variables and of functions of simple arguments.

Three ways of closing a problem, all linear algebra on the values of the terms:

* ``projected``: ``y**p * M`` for many monomials M and several p against the span of a dictionary, by a matrix product;
* ``small_sums``: all pairs (and, with a simple third term, triples) of a dictionary larger than the number of rows,
  through its Gram matrix;
* ``noisy_sums``: the best of all small sets of terms, by description length.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import product
from rsrm.expression import Expression, variable
from rsrm.problem import Problem
from rsrm.regression import best_pairs, exact_fit, independent, snap_fit
from rsrm.shapes import arguments
from rsrm.subsets import fit_subsets
from rsrm.targets import relative_weights, targets
from rsrm.term_dictionary import FUNCTIONS, dictionary, laurent
from rsrm.terms import Terms, compose_sum, presentable, subset

MAX_ROWS = 400
"""Rows used by the linear algebra."""
NOISY_ROWS = 2400
"""Rows used under noise, which correlated terms need many of."""
NOISY_TERMS, NOISY_TERMS_INSIDE = 100, 60
"""Columns of the dictionary that sets are chosen from under noise, and for a sum within a function."""
SPAN = 240
"""Columns of the dictionary that targets are projected on."""
SMALL = 600
"""Columns of the dictionary that pairs are taken from."""
POWERS = (1.0, 2.0, -1.0, -2.0, 0.5)
"""Powers p of y in y**p * M."""


def _finish(problem: Problem, terms: Terms, fit, z: np.ndarray, weights: np.ndarray) -> Expression | None:
    """Return the expression of a fit with its coefficients snapped."""
    tolerance = 1e-7 if problem.noise == 0 else 0.1 * problem.noise
    fit = snap_fit(terms, fit, z, weights, tolerance)
    return compose_sum(terms, fit.support, fit.coefficients)


def projected(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``(sum of dictionary terms / M)**(1/p)`` that is exact: y**p * M lies in the span of the dictionary."""
    if problem.noise > 0 or problem.n_rows < 12 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, MAX_ROWS, rng)
    multipliers: list = [((), np.ones(part.n_rows))]
    multipliers += [(m.exponents, m.values) for m in arguments(part, 300) if m.exponents]
    limit = min(SPAN, int(0.6 * part.n_rows))
    found = _in_span(part, dictionary(part, limit), multipliers, deadline)
    if not found:
        found = _in_span(part, laurent(part, limit), multipliers[:1], deadline)
    yield from sorted(found, key=lambda e: e.complexity + len(e.constants))


def _in_span(part: Problem, terms: Terms, multipliers: list, deadline: float) -> list[Expression]:
    """Return the expressions for those ``y**p * M`` that lie in the span of the terms; M from the multipliers."""
    with np.errstate(all="ignore"):
        A = terms.values / np.linalg.norm(terms.values, axis=0)
    # Directions of dependent columns are arbitrary: they must not count as explained.
    kept = independent(A)
    Q = np.linalg.qr(A[:, kept])[0]
    sign = np.sign(part.y[np.argmax(np.abs(part.y))])
    one_sign = np.all(part.y * sign > 0)
    library = part.library
    hits = []
    for p in POWERS:
        if time.perf_counter() > deadline:
            return []
        if (p != 1.0 and not one_sign) or (p < 0 and np.any(part.y == 0)):
            continue
        with np.errstate(all="ignore"):
            base = part.y if p == 1.0 else (sign * part.y) ** p
            V = np.column_stack([base * m for _, m in multipliers])
            V = V / np.linalg.norm(V, axis=0)
        finite = np.isfinite(V).all(axis=0)
        V[:, ~finite] = 0.0
        left = 1.0 - np.sum((Q.T @ V) ** 2, axis=0)
        for k in np.flatnonzero(finite & (left < 1e-11)):
            # The shortest head of the dictionary that suffices: all of it is close to collinear on smooth data.
            rest = 1.0 - np.cumsum((Q.T @ V[:, k]) ** 2)
            hits.append((p, k, int(kept[np.argmax(rest < 1e-11)]) + 1))
        if hits and p == 1.0 and hits[0][1] == 0:
            break
    found = []
    hits.sort(key=lambda hit: hit[2] + 2 * hit[1] / len(multipliers))
    for p, k, head in hits[:15]:
        if time.perf_counter() > deadline:
            break
        z = (part.y if p == 1.0 else (sign * part.y) ** p) * multipliers[k][1]
        weights = relative_weights(z)
        few = terms.take(np.arange(head))
        fit = exact_fit(few, z, weights)
        if fit is None or len(fit.support) > 12:
            continue
        over = _finish(part, few, fit, z, weights)
        if over is None:
            continue
        factors = [(over, 1.0 / p)] + [(variable(library, i), -a / p) for i, a in multipliers[k][0]]
        candidate = product(library, factors, 1.0 if p == 1.0 else float(sign))
        if (candidate := presentable(candidate)) is not None:
            found.append(candidate)
    return found


def small_sums(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield exact sums of two terms and a polynomial, or three terms and a constant, for y and its transforms."""
    if problem.noise > 0 or problem.n_rows < 8 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, 100, rng)
    terms = dictionary(part, SMALL)
    n = len({f[0][0] for f in terms.factors if len(f) == 1 and terms.generators[f[0][0]].expression.length == 1})
    power = np.array([sum(p for _, p in f) if all(g < n and p > 0 for g, p in f) else np.inf for f in terms.factors])
    # Under the pairs lies the constant, a polynomial of low degree, or the constant and any one of the simplest terms.
    wide = [list(np.flatnonzero(power <= d)) for d in range(6)]
    wide = [h for k, h in enumerate(wide) if len(h) <= part.n_rows // 3 and (k == 0 or len(h) > len(wide[k - 1]))]
    heads = wide + [[0, third] for third in range(1, min(60, len(terms.factors)))]
    for target in targets(part):
        z, w = target.values, target.weights
        A = terms.values * w[:, None]
        with np.errstate(all="ignore"):
            A = A / np.linalg.norm(A, axis=0)
        A[:, ~np.isfinite(A).all(axis=0)] = 0.0
        b = z * w
        b = b / np.linalg.norm(b)
        for head in heads:
            if time.perf_counter() > deadline:
                return
            Q = np.linalg.qr(A[:, head])[0]
            P = A - Q @ (Q.T @ A)
            size = np.linalg.norm(P, axis=0)
            useful = np.flatnonzero(size > 1e-5)
            if head not in wide:
                useful = useful[:300]
            P = P[:, useful] / size[useful]
            r = b - Q @ (Q.T @ b)
            norm = np.linalg.norm(r)
            if norm < 1e-10:
                continue
            pairs, gains = best_pairs(P, r / norm, 4)
            found = []
            for (i, j), gain in zip(pairs, gains, strict=True):
                if gain < 1.0 - 1e-9:
                    break
                support = np.unique([*head, useful[i], useful[j]])
                few = terms.take(support)
                fit = exact_fit(few, z, w)
                if fit is None:
                    continue
                candidate = _finish(part, few, fit, z, w)
                candidate = None if candidate is None else target.lift(candidate)
                if (candidate := presentable(candidate)) is not None:
                    found.append(candidate)
            if found:
                yield from sorted(found, key=lambda e: e.complexity + len(e.constants))
                return


def noisy_sums(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield the sums of few terms that describe y or a transform of it shortest."""
    if problem.noise == 0 or problem.n_rows < 12 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, NOISY_ROWS, rng)
    for functions in ((), ("sin", "cos"), FUNCTIONS):
        terms = dictionary(part, min(NOISY_TERMS, 2 * part.n_rows), functions)
        simple = terms.take(np.arange(min(len(terms.factors), NOISY_TERMS_INSIDE)))
        for n, target in enumerate(targets(part)):
            if time.perf_counter() > deadline:
                return
            for fit in fit_subsets(terms if n == 0 else simple, target.values, target.weights):
                candidate = _finish(part, terms, fit, target.values, target.weights)
                candidate = None if candidate is None else target.lift(candidate)
                if (candidate := presentable(candidate)) is not None:
                    yield candidate
