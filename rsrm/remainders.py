"""What a good approximation has right is kept, and the rest is looked for over fewer columns.

Approximations often hold some terms of the law as they are and make up for the others: of ``f(x0, x1) + g(x0)`` the
term f is found, and g is a polynomial. If the terms that contain some columns are right, what is left is a function of
the other columns alone. A polynomial in these stands in for it in one least-squares fit with the terms' coefficients;
if that explains more than the approximation does, the remainder is a smaller problem of its own: the form ``A + f`` of
the paper (Xu et al. 2024, section 3.3) with the fragment A taken from the best expressions.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from rsrm.closing import column
from rsrm.compose import linear
from rsrm.constants import fit
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.reducing import reduced
from rsrm.separable import judged
from rsrm.simplify import summands
from rsrm.surrogate import Columns, best_degree, chebyshev, multi_indices, products
from rsrm.terms import presentable, subset
from rsrm.turns import PAUSE

ROWS, FIT_ROWS = 1000, 400
TERMS = 100
"""Terms of the polynomial that stands in for the remainder."""
MOST, FEW = 6, 9
"""Terms that are kept at most, and columns up to which all sets of them are looked at, instead of single ones."""
BETTER, ACCURATE = 0.1, 1e-2
"""A remainder is believed if the error falls below this share of the approximation's, and below this share of y."""
EXACT = 1e-10
"""Error, in spreads of a remainder, below which it is taken for exact."""


class Remainders:
    """Remainders of expressions that are seen for the first time.

    Parameters
    ----------
    problem : Problem
        Without noise.
    best : callable
        Returns (expression, NRMSE) of the best expressions so far, in the problem's variables.
    solve : callable
        Yields expressions (or None) for a smaller problem.
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows.
    """

    def __init__(self, problem: Problem, best: Callable[[], list[tuple[Expression, float]]],
                 solve: Callable[[Problem], Iterator[Expression | None]], deadline: float, rng: np.random.Generator):
        self.problem = subset(problem, ROWS, rng)
        self.best, self.solve, self.deadline = best, solve, deadline
        self._seen: set = set()

    def __iter__(self) -> Iterator:
        """Yield expressions, None between steps, and PAUSE."""
        if self.problem.n_variables < 2 or not self.problem.library.constants:
            return
        while time.perf_counter() < self.deadline:
            found = []
            for expression, error in self.best():
                found += yield from self._remainders(expression, error)
                yield None
            for error, keep, terms, coefficients in sorted(found, key=lambda f: f[0]):
                yield from self._solved(keep, terms, coefficients, error)
            if not found:
                yield PAUSE

    def _remainders(self, expression: Expression, error: float) -> Iterator:
        """Return (error, columns that stay, terms, coefficients) of what parts of an expression leave; yield None."""
        n, found = self.problem.n_variables, []
        terms = summands(expression)
        used = [frozenset(int(t) for t in term.expanded if t < n) for term in terms]
        for size in range(1, n if n <= FEW else 2):
            for gone in combinations(range(n), size):
                kept = [t for t, columns in zip(terms, used, strict=True) if columns & set(gone)]
                key = (gone, frozenset(kept))
                if not 0 < len(kept) <= MOST or len(kept) == len(terms) or key in self._seen:
                    continue
                self._seen.add(key)
                keep = [i for i in range(n) if i not in gone]
                if any(f[1] == keep or set(f[1]) < set(keep) for f in found):
                    continue
                yield None
                with np.errstate(all="ignore"):
                    fitted = self._fitted(keep, kept)
                if fitted is not None and fitted[0] < min(BETTER * error, ACCURATE):
                    found.append((fitted[0], keep, kept, fitted[1]))
        return found

    def _fitted(self, keep: list[int], terms: list[Expression]) -> tuple[float, np.ndarray] | None:
        """Return the held-out error of the terms beside a polynomial, in spreads of y, and their coefficients."""
        p = self.problem
        columns = [column(term, p.X) for term in terms]
        if any(c is None or not np.ptp(c) > 0.0 for c in columns):
            return None
        held = np.arange(p.n_rows) % 4 == 3
        degree = best_degree(len(keep), int((~held).sum()) - len(terms), TERMS)
        A = np.array([c / np.sqrt(np.mean(c * c)) for c in columns])
        X, best = p.X[keep], None
        if degree < 1 or (X.max(1) <= X.min(1)).any() or not np.isfinite(A).all():
            return None
        for map_ in Columns.choices(X):
            basis = products(chebyshev(map_.map(X)[0], degree)[0], multi_indices(len(keep), degree))
            B = np.concatenate([A, basis])
            c = np.linalg.lstsq(B[:, ~held].T, p.y[~held], rcond=1e-13)[0]
            error = float(np.sqrt(np.mean((c @ B[:, held] - p.y[held]) ** 2)) / np.std(p.y))
            if best is None or error < best[0]:
                best = error, c[:len(terms)] / np.array([np.sqrt(np.mean(v * v)) for v in columns])
        return best

    def _solved(self, keep: list[int], terms: list[Expression], coefficients: np.ndarray,
                error: float) -> Iterator[Expression | None]:
        """Yield the terms with what is found for the remainder, all constants fitted together."""
        p = self.problem
        known = list(zip(coefficients, terms, strict=True))
        rest = p.y - sum(a * column(term, p.X) for a, term in known)
        small = reduced(p, keep, [], rest, wrap=lambda f: linear(p.library, [*known, (1.0, f)]))
        if small is None or not np.std(rest) > 0.0:
            return
        noise = error * float(np.std(p.y) / np.std(rest))
        small = replace(small, noise=0.0 if noise < EXACT else min(noise, 1.0))
        rows = np.linspace(0, p.n_rows - 1, min(p.n_rows, FIT_ROWS)).astype(int)
        least = np.inf
        for expression in self.solve(small):
            value = None if expression is None else judged(small, expression)
            whole = presentable(small.lift(expression)) if value is not None and value < least else None
            if whole is None:
                yield None
                continue
            least = value
            fitted, _ = fit(whole, np.ascontiguousarray(p.X[:, rows]), p.y[rows], n_starts=0)
            yield presentable(fitted)
