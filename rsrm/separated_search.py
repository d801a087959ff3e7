"""Laws that are sums of products of functions of single variables, in many variables and from few rows.

A separated representation (:mod:`rsrm.separated`) shows how many terms a target has and, for every column, the space
that its factors span. Functions that span it (:mod:`rsrm.separated_shapes`) replace the polynomials; of their products
those stay that the target needs.
"""

import heapq
import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import linear, product
from rsrm.constants import fit
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.regression import solve
from rsrm.separated import factor_values, polished, raised, start
from rsrm.separated_shapes import Column, Shape
from rsrm.surrogate import Columns, chebyshev
from rsrm.targets import Target, transformed
from rsrm.terms import presentable, subset

ROWS = 600
TERMS = (2, 3, 4)
STARTS = 3
DEGREES, HIGH_DEGREES = (6, 4), (12, 9)
SHARE, NOISY_SHARE = 0.7, 0.35
"""Coefficients of a representation for each row that it is fitted to, at most."""
GOOD, BETTER, NOISY_BETTER = 0.1, 0.3, 0.8
"""Held-out error of a representation worth a look, and its ratio to that of one of fewer terms."""
DISTINCT, NOISY_DISTINCT = 5.0, 1.0
"""Part of a factor, in held-out errors, from which on it counts."""
TERM = 5.0
"""Nats that a term has to be worth under noise."""
TRIED = 40
"""Sets of shapes that are tried for one representation."""
MOST_PRODUCTS = 400
MOST_TERMS = 12
EXACT, NEARLY = 1e-9, 1e-6
TARGETS = ("identity", "sqrt", "inv", "exp")


class Representation:
    """A separated representation of a target, on the rows of a problem.

    Attributes
    ----------
    factors : float64[T, D, N]
        Of equal size within a term.
    error : float
        Of the rows that were held out.
    """

    def __init__(self, problem: Problem, z: np.ndarray, rng: np.random.Generator):
        self.problem, self.z, self.rng = problem, z, rng
        columns = Columns.choices(problem.X)[-1]
        powers = chebyshev(columns.map(problem.X)[0], HIGH_DEGREES[0])[0]
        self.basis = np.ascontiguousarray(powers.transpose(1, 2, 0))
        self.known = np.arange(problem.n_rows) % 5 != 4
        self.error, self.factors = np.inf, np.empty((0, problem.n_variables, problem.n_rows))
        self.noisy = problem.noise > 0
        self.good, self.better = max(GOOD, 2.0 * problem.noise), NOISY_BETTER if self.noisy else BETTER

    def degree(self, n_terms: int, degrees) -> int | None:
        """Return the largest of some degrees that the rows allow."""
        per_degree = n_terms * self.problem.n_variables
        share = NOISY_SHARE if self.noisy else SHARE
        return next((k for k in degrees if per_degree * (k + 1) <= share * self.known.sum()), None)

    def fit(self, n_terms: int) -> bool:
        """Fit from a random start; return whether the representation is a good one."""
        degree = self.degree(n_terms, DEGREES)
        basis = self.basis[:, :, : degree + 1]
        try:
            c = start(basis[:, self.known], self.z[self.known], n_terms, self.rng)
            c, _ = polished(basis[:, self.known], self.z[self.known], c)
            self._note(basis, c)
            higher = None if self.noisy else self.degree(n_terms, HIGH_DEGREES)
            if self.error < self.good and higher is not None and higher > degree:
                before, factors = self.error, self.factors
                basis = self.basis[:, :, : higher + 1]
                c, _ = polished(basis[:, self.known], self.z[self.known], raised(c, higher))
                self._note(basis, c)
                if self.error > before:
                    self.error, self.factors = before, factors
        except np.linalg.LinAlgError:
            return False
        return self.error < self.good

    def _note(self, basis: np.ndarray, c: np.ndarray) -> None:
        self.factors = factor_values(basis, c)
        r = (self.factors.prod(axis=1).sum(axis=0) - self.z)[~self.known]
        self.error = float(np.sqrt(np.mean(r * r)) / np.std(self.z))

    def spans(self) -> list[tuple[np.ndarray, float]]:
        """Return, for every column, orthonormal functions that span its factors, and how uncertain they are."""
        found = []
        sizes = np.sqrt(np.mean(self.factors.prod(axis=1) ** 2, axis=1)) / np.std(self.z)
        for j in range(self.problem.n_variables):
            f = self.factors[:, j]
            f = f / np.linalg.norm(f, axis=1, keepdims=True) * sizes[:, None]
            _, s, span = np.linalg.svd(f, full_matrices=False)
            k = max(1, int((s > (NOISY_DISTINCT if self.noisy else DISTINCT) * self.error).sum()))
            found.append((span[:k], self.error / float(s[k - 1])))
        return found


class _Writer:
    """Turns representations into laws."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.columns = [Column(problem, j) for j in range(problem.n_variables)]

    def laws(self, found: Representation, target: Target, deadline: float) -> Iterator[Expression | None]:
        """Yield laws for a target whose representation is known; None between attempts."""
        choices = []
        for column, (span, floor) in zip(self.columns, found.spans(), strict=True):
            choices.append(column.sets(span, floor))
            yield None
        for sets in _combinations(choices):
            if time.perf_counter() > deadline:
                return
            law = self._law(sets, found, target)
            yield None if law is None else presentable(target.lift(law))

    def _law(self, sets: list[list[Shape]], found: Representation, target: Target) -> Expression | None:
        """Return the sum of products of shapes that is the target, or None."""
        if np.prod([len(s) for s in sets]) > MOST_PRODUCTS:
            return None
        tensor = np.ones((len(found.factors), 1))  # coefficients of all products, term by term
        for j, shapes in enumerate(sets):
            V = np.stack([s.values for s in shapes])
            beta = np.linalg.lstsq(V.T, found.factors[:, j].T)[0].T
            tensor = (tensor[:, :, None] * beta[:, None, :]).reshape(len(beta), -1)
        picked = np.stack(np.meshgrid(*(range(len(s)) for s in sets), indexing="ij"), -1).reshape(-1, len(sets))
        values = np.ones((len(picked), self.problem.n_rows))
        for j, shapes in enumerate(sets):
            values *= np.stack([s.values for s in shapes])[picked[:, j]]
        z, w, spread = target.values, target.weights, np.std(target.values)
        sizes = np.abs(tensor.sum(axis=0)) * np.sqrt(np.mean(values**2, axis=1)) / spread
        inner = any(s.inner for shapes in sets for s in shapes)
        kept = np.argsort(-sizes)[:MOST_TERMS]
        kept = kept[sizes[kept] > 0.3 * found.error]
        if not len(kept) or not np.isfinite(values[kept]).all():
            return None
        kept, c, error = _sparse(values, kept, z, np.exp(TERM / len(z)) if found.noisy else None)
        if error > (max(NEARLY, 3.0 * found.error) if inner or found.noisy else NEARLY):
            return None
        library = self.problem.library
        written = [[s.write() for s in shapes] for shapes in sets]
        terms = []
        for k in kept:
            factors = [written[j][i] for j, i in enumerate(picked[k]) if sets[j][i].cost > 0.0]
            if any(f is None for f in factors):
                return None
            terms.append(product(library, [(f, 1.0) for f in factors]))
        if any(t is None for t in terms):
            return None
        constant = sum(float(a) for a, k in zip(c, kept, strict=True) if _plain(picked[k], sets))
        law = linear(library, [(float(a), t) for a, t, k in zip(c, terms, kept, strict=True)
                               if not _plain(picked[k], sets)], constant)
        if law is None or not len(law.constants):
            return law
        return fit(law, self.problem.X, z, w, n_starts=0)[0]


def _plain(picked: np.ndarray, sets: list[list[Shape]]) -> bool:
    """Return whether a product is the constant."""
    return all(sets[j][i].cost == 0.0 for j, i in enumerate(picked))


def _sparse(values: np.ndarray, kept: np.ndarray, z: np.ndarray,
            growth: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (terms, coefficients, error in standard deviations of z), terms left out while the error allows.

    Without `growth` the whole error may be one and a half times that of all terms, with it grow so much a term.
    """
    def fitted(terms):
        A = values[terms].T
        scale = np.linalg.norm(A, axis=0)
        c, r = solve(A / scale, z)
        return c / scale, float(np.sqrt(np.mean(r * r)) / np.std(z))

    c, error = fitted(kept)
    allowed = max(1.5 * error, 1e-11)
    while len(kept) > 1:
        weakest = np.argsort(np.abs(c) * np.linalg.norm(values[kept], axis=1))[:2]
        for k in weakest:
            fewer = np.delete(kept, k)
            c_fewer, e_fewer = fitted(fewer)
            if e_fewer <= (allowed if growth is None else growth * error):
                kept, c, error = fewer, c_fewer, e_fewer
                break
        else:
            break
    return kept, c, error


def _combinations(choices: list[list[tuple[float, list[Shape]]]]) -> Iterator[list[list[Shape]]]:
    """Yield one set of shapes per column, best sums of scores first."""
    if any(not options for options in choices):
        return
    first = (0,) * len(choices)
    heap, seen = [(sum(options[0][0] for options in choices), first)], {first}
    for _ in range(TRIED):
        if not heap:
            return
        score, place = heapq.heappop(heap)
        yield [options[k][1] for options, k in zip(choices, place, strict=True)]
        for j, k in enumerate(place):
            following = (*place[:j], k + 1, *place[j + 1:])
            if k + 1 < len(choices[j]) and following not in seen:
                seen.add(following)
                heapq.heappush(heap, (score + choices[j][k + 1][0] - choices[j][k][0], following))


def separated(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield laws that are sums of products of functions of single variables; None between attempts.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows and starts.
    """
    if problem.n_variables < 2 or not problem.library.constants:
        return
    part = subset(problem, ROWS, rng)
    writer = _Writer(part)
    sources = []
    for name in ("identity",) if part.noise > 0 else TARGETS:
        target = transformed(part, name) if name in ("identity", "sqrt", "inv", *part.library.operators) else None
        if target is not None:
            sources.append([target, Representation(part, target.values, rng), np.inf])
    for n_terms in TERMS:
        for source in sources:
            target, found, least = source
            if found.degree(n_terms, DEGREES) is None:
                continue
            best = np.inf
            for _ in range(STARTS):
                if time.perf_counter() > deadline:
                    return
                good = found.fit(n_terms) and found.error < min(best, found.better * least)
                yield None
                if good:
                    best = source[2] = found.error
                    yield from writer.laws(found, target, deadline)
                    if not found.noisy:
                        break
