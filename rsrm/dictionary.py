"""A dictionary of monomials times shapes, and targets ``y**p / M`` projected on it.

Laws of physics are often sums of a few products: ``y = M (a D + b_0 + sum b_i x_i)**e`` with a monomial M, an
exponent e and D a monomial times something like ``cos(x1 - x2)``, or ``y**e`` a sum of two such D. Both are matrix
products of unit vectors, targets against dictionary or dictionary against itself.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm import compose
from rsrm.bank import Bank
from rsrm.closing import Match, Target, close_linear, judge
from rsrm.expression import Expression, variable
from rsrm.matching import match_pairs, orthonormal
from rsrm.matching_kernels import distinct_projections
from rsrm.nested import EXPONENT, OUTSIDE, SPARE, monomial_cost, usable_monomials
from rsrm.problem import Problem

ROWS = 48
"""Rows on which columns are compared."""
N_SHAPES = 300
"""Shapes beside 1."""
N_COLUMNS = 5000
N_PAIRED = 2500
"""Columns of the dictionary, and those that enter pairs."""
N_TARGETS = 600
"""Monomials by which y is divided."""
N_PAIR_TARGETS = 24
"""Targets that are matched against pairs."""
SCREEN = 2e-6
"""1 - |cos| below which a match found in single precision is looked at again."""
SCORE = 1e-12
"""Unexplained fraction of variance below which a match is fitted on all rows."""
LARGEST = 1e100
"""Larger values are overflows."""
MOST_TRIES = 6
"""Matches of one matrix product that are fitted."""
MOST_MATCHES = 4
"""Exact matches after which to stop."""


class Dictionary:
    """Columns ``shape * prod x**p`` on the rows of a bank, cheapest first.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
        Chooses the rows.
    """

    def __init__(self, problem: Problem, rng: np.random.Generator):
        self.problem = problem
        self.bank = Bank.enumerate(problem.X, problem.library, max_entries=4_000, rng=rng, n_rows=ROWS)
        X = self.bank.columns
        nonzero = [i for i in range(len(X)) if (problem.X[i] != 0.0).all()]
        self.monomials = usable_monomials(problem)
        self.powers = np.prod(X[None] ** self.monomials[:, :, None].astype(float), axis=1)
        weight = monomial_cost(self.monomials)
        self.shapes = self._shapes(X[nonzero])
        heavy = np.array([0.0, *self.bank.complexity[self.shapes]])
        cost = (heavy[:, None] + weight[None]).ravel()
        order = np.argsort(cost, kind="stable")[:N_COLUMNS]
        self.shape, self.monomial = np.divmod(order, len(weight))
        factors = np.concatenate([np.ones((1, X.shape[1])), self.bank.values[self.shapes]])
        self.values = factors[self.shape] * self.powers[self.monomial]
        self.values[~(np.abs(self.values).max(1) < LARGEST)] = np.nan

    def _shapes(self, X: np.ndarray) -> np.ndarray:
        """Return entries of the bank that are no monomials, each once up to factors of powers of the variables."""
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(self.bank.values))
        unit = orthonormal(np.array([np.ones(X.shape[1]), *np.log(np.abs(X))]))
        out, index = np.empty((N_SHAPES, X.shape[1])), np.empty(N_SHAPES, np.int64)
        n = distinct_projections(logs, len(logs), unit, self.bank.store.probes, out, index)
        return index[:n]

    def factors(self, monomial: int) -> list[tuple[Expression, float]]:
        """Return monomial number `monomial` as (variable, power)."""
        return [(variable(self.problem.library, i), float(p)) for i, p in enumerate(self.monomials[monomial]) if p]

    def expression(self, i: int) -> Expression | None:
        """Return column `i` as an expression, or None if the operators cannot write it."""
        shape = [(self.bank.expression(int(self.shapes[self.shape[i] - 1])), 1.0)] if self.shape[i] else []
        return compose.product(self.problem.library, shape + self.factors(self.monomial[i]))

    def projected(self, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return unit vectors outside a basis, and the columns they come from."""
        out, index = np.empty(self.values.shape), np.empty(len(self.values), np.int64)
        n = distinct_projections(self.values, len(self.values), unit, self.bank.store.probes, out, index)
        return out[:n], index[:n]


def _bases(problem: Problem, columns: np.ndarray) -> Iterator[tuple[list[Expression], np.ndarray]]:
    """Yield (terms, orthonormal rows): nothing, the variables, the variables and their products."""
    lib = problem.library
    n = len(np.unique(columns, axis=1).T)
    ones = np.ones(columns.shape[1])
    xs = [variable(lib, i) for i in range(len(columns))]
    yield [], orthonormal(ones[None])
    if 1 + len(xs) + SPARE <= n:
        yield xs, orthonormal(np.array([ones, *columns]))
    pairs = [(i, j) for i in range(len(xs)) for j in range(i, len(xs))]
    if "mul" in lib.operators and 1 + len(xs) + len(pairs) + SPARE <= n:
        terms = [compose.product(lib, [(xs[i], 1.0), (xs[j], 1.0)]) if i != j else compose.power(xs[i], 2.0)
                 for i, j in pairs]
        yield xs + terms, orthonormal(np.array([ones, *columns, *(columns[i] * columns[j] for i, j in pairs)]))


def sums_of_products(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Match]:
    """Yield exact matches of ``M (a D + b + sum b_i x_i)**e`` and ``M (a D + a' D' + ...)**e``.

    Noisy problems are left to other stages: the screening is one of exactness.
    """
    if problem.noise > 0.0 or problem.n_rows < SPARE + 4:
        return
    words = Dictionary(problem, rng)
    y = problem.y[words.bank.rows]
    exact = 0
    probe = variable(problem.library, 0)
    outside = [o for o in OUTSIDE if compose.power(probe, EXPONENT[o]) is not None]
    for terms, unit in _bases(problem, words.bank.columns):
        U, index = words.projected(unit)
        for build in _pairs(words, y, outside, terms, unit, U, index, deadline), _singles(
                words, y, outside, terms, unit, U, index, deadline):
            for match in build:
                yield match
                exact += match.residual < 1e-9
                if exact >= MOST_MATCHES:
                    return


def _targets(words: Dictionary, y: np.ndarray, outside: str, unit: np.ndarray, n: int):
    """Return (unit vectors outside the basis, numbers of the monomials) for ``y = M u**e``."""
    with np.errstate(all="ignore"):
        V = OUTSIDE[outside](y / words.powers[:n])
        good = np.flatnonzero(np.abs(V).max(1) < LARGEST)
    V = V[good]
    rest = V - (V @ unit.T) @ unit
    rest -= (rest @ unit.T) @ unit
    norm, whole = np.linalg.norm(rest, axis=1), np.linalg.norm(V, axis=1)
    live = norm > 1e-5 * whole
    return rest[live] / norm[live, None], good[live]


def _singles(words, y, outside, terms, unit, U, index, deadline) -> Iterator[Match]:
    single = U.astype(np.float32)
    for name in outside:
        if time.perf_counter() > deadline:
            return
        T, which = _targets(words, y, name, unit, N_TARGETS)
        cosine = np.abs(T.astype(np.float32) @ single.T)
        tries = 0
        for t, i in np.argwhere(cosine > 1.0 - SCREEN):
            if 1.0 - (T[t] @ U[i]) ** 2 < SCORE and tries < MOST_TRIES:
                tries += 1
                match = _close(words, name, int(which[t]), [int(index[i])], terms)
                if match is not None:
                    yield match


def _pairs(words, y, outside, terms, unit, U, index, deadline) -> Iterator[Match]:
    for name in outside:
        if time.perf_counter() > deadline:
            return
        T, which = _targets(words, y, name, unit, N_PAIR_TARGETS if not name else 1)
        if not len(T):
            continue
        lists = match_pairs(U[:N_PAIRED], T, 2, lambda: time.perf_counter() < deadline)
        for row, monomial in enumerate(which):
            for score, i, j in zip(*(part[row] for part in lists), strict=True):
                if score < SCORE:
                    match = _close(words, name, int(monomial), [int(index[i]), int(index[j])], terms)
                    if match is not None:
                        yield match


def _close(words: Dictionary, name: str, monomial: int, columns: list[int], terms: list) -> Match | None:
    """Return ``M * (fit of the columns and terms)**e`` fitted on all rows."""
    problem = words.problem
    written = [words.expression(i) for i in columns]
    if any(e is None for e in written):
        return None
    with np.errstate(all="ignore"):
        M = np.prod(problem.X ** words.monomials[monomial].astype(float)[:, None], axis=0)
        u = OUTSIDE[name](problem.y / M)
    if not np.isfinite(u).all():
        return None
    match = close_linear(Problem(problem.X, u, problem.library), Target("", u, np.ones(len(u))), written + terms)
    if match is None or match.residual > 1e-6:
        return None
    return judge(problem, compose.product(problem.library,
                                          [*words.factors(monomial), (match.expression, EXPONENT[name])]))
