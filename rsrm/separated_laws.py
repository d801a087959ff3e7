"""Laws from separated representations: what spans the factors of every column, and which products the target needs.

The shapes of a column (:mod:`rsrm.separated_shapes`) replace the polynomials of a representation; of their products
those stay that the target cannot do without, and all numbers are fitted at once.
"""

import heapq
import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import linear, product
from rsrm.constants import fit
from rsrm.evaluate import values as evaluate
from rsrm.expression import Expression
from rsrm.problem import Problem
from rsrm.regression import solve
from rsrm.separated_shapes import Column, Shape
from rsrm.targets import Target
from rsrm.terms import presentable

TERM = 5.0
"""Nats that a term has to be worth under noise."""
TRIED, FEW_TRIED = 100, 40
"""Sets of shapes that are tried for one representation, of two columns and of more."""
MOST_EXACT = 3
"""Exact laws of one representation that are looked at."""
MOST_PRODUCTS = 400
MOST_TERMS = 12
EXACT, NEARLY, ROUGH = 1e-9, 1e-6, 1e-5
"""Errors of a law, in standard deviations: an exact one, a near one whose numbers are rounded, and while the numbers
inside its functions are those of single columns."""


class Writer:
    """Turns representations into laws.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self.columns = [Column(problem, j) for j in range(problem.n_variables)]
        self.columns_by_row = np.ascontiguousarray(problem.X.T)

    def laws(self, found, target: Target, deadline: float) -> Iterator[Expression | None]:
        """Yield laws for a target; None between attempts.

        Parameters
        ----------
        found : rsrm.separated_search.Representation
            Of the target.
        target : Target
        deadline : float
            Of ``time.perf_counter``.
        """
        choices = []
        for column, (span, floor) in zip(self.columns, found.spans(), strict=True):
            choices.append(column.sets(span, floor))
            yield None
        n_exact = 0
        for sets in _combinations(choices, TRIED if len(choices) == 2 else FEW_TRIED):
            if time.perf_counter() > deadline or n_exact == MOST_EXACT:
                return
            law, error = self._law(sets, found, target)
            n_exact += error < EXACT
            yield None if law is None else presentable(target.lift(law))

    def _law(self, sets: list[list[Shape]], found, target: Target) -> tuple[Expression | None, float]:
        """Return the sum of products of shapes that is the target, or None, and its error."""
        if np.prod([len(s) for s in sets]) > MOST_PRODUCTS:
            return None, np.inf
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
            return None, np.inf
        written = [[s.write() for s in shapes] for shapes in sets]
        allowed = [np.exp(TERM / len(z))] if found.noisy else [1.5]
        if inner and not found.noisy:  # numbers inside are as uncertain as the spaces: what is small may be their error
            allowed = [ROUGH, *allowed]
        law, least, before = None, np.inf, None
        for growth in allowed:
            kept_now, c, error = _sparse(values, kept, z, growth, found.noisy)
            if error > (max(growth if growth < 1.0 else NEARLY, 3.0 * found.error) if inner or found.noisy else NEARLY):
                return law, least
            if before is not None and np.array_equal(kept_now, before):
                return law, least
            before = kept_now
            law = self._written(kept_now, c, sets, picked, written)
            if law is None or not len(law.constants):
                return law, error
            law, least = self._fitted(law, z, w)
            if least < EXACT:
                break
        return law, least

    def _written(self, kept, c, sets, picked, written) -> Expression | None:
        """Return a sum of products of shapes."""
        library = self.problem.library
        terms = []
        for k in kept:
            factors = [written[j][i] for j, i in enumerate(picked[k]) if sets[j][i].cost > 0.0]
            if any(f is None for f in factors):
                return None
            terms.append(product(library, [(f, 1.0) for f in factors]))
        if any(t is None for t in terms):
            return None
        constant = sum(float(a) for a, k in zip(c, kept, strict=True) if _plain(picked[k], sets))
        return linear(library, [(float(a), t) for a, t, k in zip(c, terms, kept, strict=True)
                                if not _plain(picked[k], sets)], constant)

    def _fitted(self, law: Expression, z: np.ndarray, w: np.ndarray) -> tuple[Expression, float]:
        """Return the law with its constants fitted, and its error in standard deviations of z."""
        best, least = law, np.inf
        for weights in (w, np.ones(len(z))):  # relative weights may be led astray by rows next to zero
            found = fit(law, self.problem.X, z, weights, n_starts=0)[0]
            with np.errstate(all="ignore"):
                got, ok = evaluate(found, self.columns_by_row)
                error = float(np.sqrt(np.mean((got - z) ** 2)) / np.std(z)) if ok else np.inf
            if error < least:
                best, least = found, error
            if least < EXACT or self.problem.noise > 0:
                break
        return best, least


def _plain(picked: np.ndarray, sets: list[list[Shape]]) -> bool:
    """Return whether a product is the constant."""
    return all(sets[j][i].cost == 0.0 for j, i in enumerate(picked))


def _sparse(values: np.ndarray, kept: np.ndarray, z: np.ndarray, growth: float,
            each: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (terms, coefficients, error in standard deviations of z), terms left out while the error allows.

    The whole error may be `growth` times that of all terms, or so much itself if it is below one; with `each` it may
    grow so much a term.
    """
    def fitted(terms):
        A = values[terms].T
        scale = np.linalg.norm(A, axis=0)
        c, r = solve(A / scale, z)
        return c / scale, float(np.sqrt(np.mean(r * r)) / np.std(z))

    c, error = fitted(kept)
    allowed = max(growth * error if growth > 1.0 else growth, 1e-11)
    while len(kept) > 1:
        weakest = np.argsort(np.abs(c) * np.linalg.norm(values[kept], axis=1))[:2]
        for k in weakest:
            fewer = np.delete(kept, k)
            c_fewer, e_fewer = fitted(fewer)
            if e_fewer <= (growth * error if each else allowed):
                kept, c, error = fewer, c_fewer, e_fewer
                break
        else:
            break
    return kept, c, error


def _combinations(choices: list[list[tuple[float, list[Shape]]]], most: int) -> Iterator[list[list[Shape]]]:
    """Yield one set of shapes per column, best sums of scores first."""
    if any(not options for options in choices):
        return
    first = (0,) * len(choices)
    heap, seen = [(sum(options[0][0] for options in choices), first)], {first}
    for _ in range(most):
        if not heap:
            return
        score, place = heapq.heappop(heap)
        yield [options[k][1] for options, k in zip(choices, place, strict=True)]
        for j, k in enumerate(place):
            following = (*place[:j], k + 1, *place[j + 1:])
            if k + 1 < len(choices[j]) and following not in seen:
                seen.add(following)
                heapq.heappush(heap, (score + choices[j][k + 1][0] - choices[j][k][0], following))
