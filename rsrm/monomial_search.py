"""The search over trees of monomials: fits from many starts, small trees first, the best of them extended.

From starts near zero a fit of all exponents finds the law's own for one start in ten or so, at a third of a millisecond
each, in any number of variables.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import linear, snap
from rsrm.constants import fit, fit_scaled, workspace
from rsrm.expression import Expression, variable
from rsrm.library import Library
from rsrm.monomial_trees import FITTED, Factor, Node, allowed, count, extensions, tokens, trees, weight, write
from rsrm.problem import Problem
from rsrm.targets import relative_weights
from rsrm.terms import presentable, subset

MAX_LEAVES = 5
MAX_ROWS, ROWS_PER_CONSTANT, SPARE_ROWS = 150, 3, 24
"""Rows of a fit: so many for each constant and some more, at most MAX_ROWS."""
SPREAD = 0.4
"""Standard deviation of exponents at the start."""
AROUND_ONE, ARGUMENT = (0.0, 0.7), (0.5, 0.8)
"""Mean and standard deviation of logarithms of coefficients at the start: of most functions, and of sines."""
BELOW_ONE = (0.2, 1.0)
"""Largest value of a monomial at the start where it must stay below one."""
FIRST_STARTS = 12
"""Starts of each of the smallest trees."""
DRAWN = 1000
"""Trees of three monomials that are tried in a round."""
PARENTS = {3: 4, 4: 2}
"""Trees of so many monomials that are extended in a round."""
ITERATIONS = 40
EXACT = 1e-18
"""Mean square of relative residuals of an exact fit."""
CHUNK = 16
"""Fits between two looks at the clock."""
LARGEST = 8.0
"""An exponent beyond is none of a law."""
ROUND = 1e-4
"""Distance from simple exponents that rounding and curved valleys account for."""


class _Fits:
    """Fits of trees to one problem, on logarithms of its columns.

    Parameters
    ----------
    problem : Problem
    columns : list of int
        Variables that are positive.
    rng : numpy.random.Generator
    """

    def __init__(self, problem: Problem, columns: list[int], rng: np.random.Generator):
        self.problem, self.columns, self.rng = problem, columns, rng
        part = subset(problem, MAX_ROWS, rng)
        order = rng.permutation(part.n_rows)
        logs = np.log(part.X[columns][:, order])
        self.centre = logs.mean(axis=1)
        self.logs, self.y = logs - self.centre[:, None], part.y[order]
        self.weights = relative_weights(self.y)
        self.weights = self.weights / np.sqrt(np.mean((self.weights * self.y) ** 2))
        self.library = Library(len(columns), FITTED)
        self.known: dict[Node, np.ndarray] = {}
        self.rows: dict[int, tuple] = {}

    def constants(self, node: Node) -> int:
        """Return how many constants a tree has."""
        return count(node) * (len(self.columns) + 1) - 1

    def fits(self, leaves: int) -> bool:
        """Return whether there are rows enough for trees of so many monomials."""
        return leaves <= MAX_LEAVES and self.constants(()) * leaves + leaves + 8 <= len(self.y)

    def fit(self, node: Node, start: np.ndarray) -> tuple[float, np.ndarray, float, float]:
        """Return (mean square of weighted residuals, constants, a, b) of the fit by ``a + b*tree`` from a start."""
        m = len(start)
        if node not in self.known:
            self.known[node] = tokens(node, self.library)
        if m not in self.rows:
            n = min(len(self.y), ROWS_PER_CONSTANT * m + SPARE_ROWS)
            self.rows[m] = (np.ascontiguousarray(self.logs[:, :n]), np.ascontiguousarray(self.y[:n]),
                            np.ascontiguousarray(self.weights[:n]), np.empty(m), {})
        X, y, w, result, spaces = self.rows[m]
        text = self.known[node]
        if len(text) not in spaces:
            spaces[len(text)] = workspace(len(text), m, len(y))
        _, sse, a, b = fit_scaled(text, len(text), start, X, y, w, self.library.tables, ITERATIONS, result,
                                  spaces[len(text)])
        return sse / len(y), result.copy(), a, b

    def monomial(self, factor: Factor) -> np.ndarray:
        """Return a random start for the monomial inside a factor: the logarithm of its coefficient, and exponents."""
        exponents = self.rng.normal(0.0, SPREAD, len(self.columns))
        if factor.base not in ("1 - u", "asin"):
            mean, spread = ARGUMENT if factor.base in ("sin", "cos", "1 - cos") else AROUND_ONE
            return np.concatenate([[self.rng.normal(mean, spread)], exponents])
        logs, least = exponents @ self.logs, np.log(self.rng.uniform(*BELOW_ONE))
        # Poles between the rows are no way to start, nor are roots of what is negative on some of them.
        above = factor.base == "1 - u" and factor.power % 1.0 == 0.0 and self.rng.random() < 0.5
        return np.concatenate([[-logs.min() - least if above else least - logs.max()], exponents])

    def start(self, node: Node, first: Factor | None = None) -> np.ndarray:
        """Return random constants of a tree, from left to right."""
        own = self.rng.normal(0.0, SPREAD, len(self.columns)) if first is None else self.monomial(first)
        return np.concatenate([own, *(self.start(inner, factor) for factor, inner in node)])

    def write(self, node: Node, constants: np.ndarray, a: float, b: float) -> Expression | None:
        """Return a fitted tree over the problem's columns, its exponents simple numbers; None if they are not."""
        d = len(self.columns)
        table = np.concatenate([[0.0], constants]).reshape(-1, d + 1)
        exponents = []
        for row in table[:, 1:]:
            simple = [min((round(q * e) / q for q in (1, 2, 3, 4)), key=lambda s, e=e: (abs(s - e) > ROUND, abs(s - e)))
                      for e in row]
            if np.abs(row - simple).max() > ROUND or np.abs(simple).max() > LARGEST:
                return None
            exponents.append(np.array(simple))
        with np.errstate(all="ignore"):
            coefficients = [float(np.exp(c - e @ self.centre)) for c, e in zip(table[:, 0], exponents, strict=True)]
        coefficients[0] *= b
        if not (np.isfinite(coefficients).all() and np.all(coefficients)):
            return None
        library = self.problem.library
        tree = write(node, coefficients, exponents, [variable(library, i) for i in self.columns])
        if tree is None or isinstance(tree, float):
            return None
        a = 0.0 if abs(a) < 1e-9 * np.abs(self.y).max() else snap(a, 1e-9)
        whole = tree if a == 0.0 else linear(library, [(1.0, tree)], a)
        if whole is None or not len(whole.constants):
            return whole
        part = subset(self.problem, MAX_ROWS, self.rng)
        return fit(whole, part.X, part.y, relative_weights(part.y), n_starts=0)[0]


def monomial_trees(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield trees of functions over monomials that fit exactly; None between fits.

    Parameters
    ----------
    problem : Problem
        Of exact data.
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows and starts.
    """
    columns = [i for i, x in enumerate(problem.X) if x.min() > 0.0 and np.ptp(x) > 0.0]
    if problem.noise > 0 or not columns or np.ptp(problem.y) == 0:
        return
    factors = allowed(problem.library)
    fits = _Fits(problem, columns, rng)
    done = 0

    def tried(waiting: Iterator[tuple[Node, np.ndarray]], best: dict) -> Iterator[Expression | None]:
        nonlocal done
        for node, start in waiting:
            if time.perf_counter() > deadline:
                return
            error, constants, a, b = fits.fit(node, start)
            if error < EXACT:
                yield presentable(fits.write(node, constants, a, b))
            elif error < best.get(node, (np.inf,))[0]:
                best[node] = (error, constants)
            done += 1
            if done % CHUNK == 0:
                yield None

    def from_zero(some) -> Iterator[tuple[Node, np.ndarray]]:
        return ((node, fits.start(node)) for node in some)

    def extended(best: dict, most: int) -> Iterator[tuple[Node, np.ndarray]]:
        for node in sorted(best, key=lambda k: best[k][0])[:most]:
            _, constants = best.pop(node)
            for longer, place, factor in extensions(node, factors):
                at = place * (len(columns) + 1) - 1
                yield longer, np.insert(constants, at, fits.monomial(factor))

    levels: dict[int, dict] = {n: {} for n in range(2, MAX_LEAVES + 1)}
    if fits.fits(2):
        for _ in range(FIRST_STARTS):
            yield from tried(from_zero(trees(factors, 2)), levels[2])
    every = trees(factors, 3)
    chances = np.array([weight(node) for node in every])
    chances /= chances.sum()
    while fits.fits(3) and time.perf_counter() < deadline:
        yield from tried(from_zero(every[k] for k in rng.choice(len(every), DRAWN, p=chances)), levels[3])
        for n, most in PARENTS.items():
            if fits.fits(n + 1):
                yield from tried(extended(levels[n], most), levels[n + 1])
