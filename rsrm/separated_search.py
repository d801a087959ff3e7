"""Laws that are sums of products of functions of single variables, in many variables and from few rows.

A separated representation (:mod:`rsrm.separated`) shows how many terms a target has and, for every column, the space
that its factors span. Functions that span it replace the polynomials (:mod:`rsrm.separated_laws`).
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.separated import factor_values, polished, raised, start
from rsrm.separated_laws import Writer
from rsrm.separated_matrix import matrix_starts, orthogonal, trimmed
from rsrm.surrogate import Columns, chebyshev
from rsrm.targets import transformed
from rsrm.terms import subset

ROWS, MATRIX_ROWS, MATRIX_LEAST = 600, 1200, 40
"""Rows used of many variables, and of two, at most and at least."""
TERMS, MATRIX_TERMS = (2, 3, 4), (1, 2, 3, 4, 5)
STARTS = 3
DEGREES, HIGH_DEGREES = (6, 4), (12, 9)
SHARE, NOISY_SHARE = 0.7, 0.35
"""Coefficients of a representation for each row that it is fitted to, at most."""
ENDS, MARGIN = 3, 0.01
"""Rows at either end of a column that are not held out, and the share of those not asked what the factors are."""
ENOUGH, ROUNDING, MATRIX_GOOD = 10.0, 1e-12, 1e-3
"""Of two variables: how far the error may be from the least of any number of terms, or in all; what is worth a look."""
FAR = 30.0
"""Errors of a representation from which on a row is left out."""
GOOD, BETTER, NOISY_BETTER = 0.1, 0.3, 0.8
"""Held-out error of a representation worth a look, and its ratio to that of one of fewer terms."""
DISTINCT, NOISY_DISTINCT = 5.0, 1.0
"""Part of a factor, in held-out errors, from which on it counts."""
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

    def fit_matrix(self) -> bool:
        """Fit a target of two variables by as few terms as it needs; return whether the representation is good."""
        if self.problem.n_rows < MATRIX_LEAST:
            return False
        self.known |= self._at_ends(ENDS)  # a polynomial says nothing about rows beyond those that it is fitted to
        tried = {n: (np.inf, self.factors) for n in MATRIX_TERMS}
        for basis, c in matrix_starts(self.problem.X, self.z, self.known, SHARE):
            for n_terms in MATRIX_TERMS:
                most = int(SHARE * self.known.sum() / (2 * n_terms))
                try:
                    few, _ = polished(basis[:, self.known, :most], self.z[self.known], c[:n_terms, :, :most])
                except np.linalg.LinAlgError:
                    continue
                factors = factor_values(basis[:, :, :most], few)
                error = trimmed((factors.prod(axis=1).sum(axis=0) - self.z)[~self.known]) / float(np.std(self.z))
                if error < tried[n_terms][0]:
                    tried[n_terms] = error, orthogonal(factors)
        enough = max(ENOUGH * min(error for error, _ in tried.values()), ROUNDING)
        self.error, self.factors = next((t for t in tried.values() if t[0] <= enough), (np.inf, self.factors))
        return self.error < MATRIX_GOOD and len(self.factors) > 1

    def supported(self) -> np.ndarray:
        """Return the rows that the representation is true of.

        In corners with few rows it may be far off, and at the ends of a column it fits its rows whatever the factors.
        """
        rest = np.abs(self.factors.prod(axis=1).sum(axis=0) - self.z)
        return (rest <= FAR * self.error * np.std(self.z)) & ~self._at_ends(max(ENDS, int(MARGIN * len(rest))))

    def _at_ends(self, n: int) -> np.ndarray:
        found = np.zeros(self.problem.n_rows, bool)
        for x in self.problem.X:
            found[np.argsort(x)[[*range(n), *range(-n, 0)]]] = True
        return found

    def take(self, rows: np.ndarray) -> None:
        """Keep some rows only."""
        self.problem, self.z, self.known = self.problem.take(rows), self.z[rows], self.known[rows]
        self.factors = orthogonal(self.factors[:, :, rows])

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
    part = subset(problem, MATRIX_ROWS if problem.n_variables == 2 and problem.noise == 0 else ROWS, rng)
    sources = []
    for name in ("identity",) if part.noise > 0 else TARGETS:
        target = transformed(part, name) if name in ("identity", "sqrt", "inv", *part.library.operators) else None
        if target is not None:
            sources.append([target, Representation(part, target.values, rng), np.inf])
    if part.n_variables == 2 and part.noise == 0:
        for target, found, _ in sources:
            good = found.fit_matrix()
            yield None
            if good:
                rows = np.flatnonzero(found.supported())
                found.take(rows)
                target = target._replace(values=target.values[rows], weights=target.weights[rows])
                yield from Writer(found.problem).laws(found, target, deadline)
        return
    writer = Writer(part)
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
