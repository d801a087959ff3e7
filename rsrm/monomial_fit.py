"""Fits of all exponents and coefficients of a tree over monomials at once, from random starts."""

import numpy as np

from rsrm.compose import linear
from rsrm.constants import fit, fit_scaled, workspace
from rsrm.expression import Expression, variable
from rsrm.library import Library
from rsrm.monomial_trees import FITTED, Factor, Node, count, tokens, write
from rsrm.problem import Problem
from rsrm.targets import relative_weights
from rsrm.terms import subset

MAX_LEAVES = 5
EXACT_ROWS, NOISY_ROWS = (150, 3, 24), (400, 5, 40)
"""Rows of a fit at most, for each constant, and besides: of exact data, and of noisy data."""
SPREAD = 0.4
"""Standard deviation of exponents at the start."""
AROUND_ONE, ARGUMENT = (0.0, 0.7), (0.5, 0.8)
"""Mean and standard deviation of logarithms of coefficients at the start: of most functions, and of sines."""
BELOW_ONE = (0.2, 1.0)
"""Largest value of a monomial at the start where it must stay below one."""
ITERATIONS = 40


class Fits:
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
        self.most, self.each, self.spare = NOISY_ROWS if problem.noise > 0 else EXACT_ROWS
        part = subset(problem, self.most, rng)
        self.part = part.take(rng.permutation(part.n_rows))
        logs, self.y = np.log(self.part.X[columns]), self.part.y
        self.centre = logs.mean(axis=1)
        self.logs = logs - self.centre[:, None]
        if problem.noise == 0:
            self.weights = relative_weights(self.y)
        else:
            self.weights = np.ones(len(self.y)) if self.part.weights is None else self.part.weights
        self.weights = self.weights / np.sqrt(np.mean((self.weights * self.y) ** 2))
        self.library = Library(len(columns), FITTED)
        self.known: dict[Node, np.ndarray] = {}
        self.rows: dict[tuple[int, int], tuple] = {}

    def constants(self, node: Node) -> int:
        """Return how many constants a tree has."""
        return count(node) * (len(self.columns) + 1) - 1

    def fits(self, leaves: int) -> bool:
        """Return whether there are rows enough for trees of so many monomials."""
        return leaves <= MAX_LEAVES and self.constants(()) * leaves + leaves + 8 <= len(self.y)

    def fit(self, node: Node, start: np.ndarray, whole: bool = False) -> tuple[float, np.ndarray, float, float]:
        """Return (mean square of weighted residuals, constants, a, b) of the fit by ``a + b*tree`` from a start.

        As many rows as the number of constants asks for are looked at, or the `whole` of them.
        """
        m = len(start)
        if node not in self.known:
            self.known[node] = tokens(node, self.library)
        n = len(self.y) if whole else min(len(self.y), self.each * m + self.spare)
        if (m, n) not in self.rows:
            self.rows[m, n] = (np.ascontiguousarray(self.logs[:, :n]), np.ascontiguousarray(self.y[:n]),
                               np.ascontiguousarray(self.weights[:n]), np.empty(m), {})
        X, y, w, result, spaces = self.rows[m, n]
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

    def compose(self, table: np.ndarray, node: Node, a: float, b: float) -> Expression | None:
        """Return ``a + b*tree`` over the problem's columns, its coefficients fitted; None if it cannot be written.

        Parameters
        ----------
        table : float64[L, D + 1]
            Of every monomial the logarithm of its coefficient, and its exponents.
        """
        exponents = list(table[:, 1:])
        with np.errstate(all="ignore"):
            coefficients = [float(np.exp(c - e @ self.centre)) for c, e in zip(table[:, 0], exponents, strict=True)]
        coefficients[0] *= b
        if not (np.isfinite(coefficients).all() and np.all(coefficients)):
            return None
        library = self.problem.library
        tree = write(node, coefficients, exponents, [variable(library, i) for i in self.columns])
        if tree is None or isinstance(tree, float):
            return None
        whole = tree if a == 0.0 else linear(library, [(1.0, tree)], a)
        if whole is None or not len(whole.constants):
            return whole
        weights = relative_weights(self.y) if self.problem.noise == 0 else self.part.weights
        return fit(whole, self.part.X, self.y, weights, n_starts=0)[0]
