"""Laws of the form ``y = c M g(u)``: a power law outside, a function, and a simple u inside.

M runs through small monomials of the variables, c through a few numbers, and g through chains such as
``1/(exp(u) - 1)``, ``sqrt(1 - u)``, ``1 - cos(u)`` or ``tanh(u)``. Each choice says what u must be on every row;
whether u is a power law, a linear or a quadratic function of the variables is one projection for all choices together.
"""

import itertools
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rsrm import compose
from rsrm.bank import ROWS, choose_rows
from rsrm.closing import Match, Target, close_linear, close_product, judge
from rsrm.expression import Expression, variable
from rsrm.matching import orthonormal
from rsrm.problem import Problem

EXACT = 1e-9
"""Share of the norm outside the span below which a u is fitted on all rows."""
NUMBERS = (1.0, -1.0, 2.0, 0.5, 0.5 / np.pi, 0.25 / np.pi, 2.0 * np.pi)
"""What stands in front of M."""
LARGEST = 1e100
"""Larger u are overflows of an inverse function."""
SPARE = 8
"""Rows beyond the number of coefficients that make a fit a test."""
MOST_VARIABLES = 10
"""Quadratic forms are tried up to this many variables."""
MOST_MATCHES = 5
"""Exact matches after which to stop: they are different spellings of one law."""
POWERS = (0, 1, -1, 2, -2, 3, -3)
MOST_FACTORS = 5
"""Powers of a variable, and how many variables a monomial may have."""
MOST_MONOMIALS = 1200
FEWER_MONOMIALS = 250
"""Monomials tried, and those tried with chains that have a shift or an inner function."""
OUTSIDE = {
    "": lambda v: v,
    "inv": lambda v: 1.0 / v,
    "sqrt": lambda v: v * v,
    "inv sqrt": lambda v: 1.0 / (v * v),
    "square": np.sqrt,
}
"""First functions of a chain, with their inverses."""
EXPONENT = {"": 1.0, "inv": -1.0, "sqrt": 0.5, "inv sqrt": -0.5, "square": 2.0}
"""What power each of them is."""
INSIDE = {
    "": lambda v: v, "exp": np.log, "log": np.exp, "sin": np.arcsin, "cos": np.arccos, "tan": np.arctan,
    "tanh": np.arctanh, "asin": np.sin, "acos": np.cos,
}
"""Functions next to u, with their inverses."""


class Chain(NamedTuple):
    """``v = outside(shift + inside(u))``."""

    outside: str
    shift: float
    inside: str

    def solve(self, v: np.ndarray) -> np.ndarray:
        """Return u."""
        return INSIDE[self.inside](OUTSIDE[self.outside](v) - self.shift)

    def write(self, u: Expression, factors=(), number: float = 1.0) -> Expression | None:
        """Return the expression of v times the (expression, power) in `factors` times `number`."""
        if self.inside:
            u = compose.outer(self.inside, u)
        w = None if u is None else compose.linear(u.library, [(1.0, u)], self.shift)
        return None if w is None else compose.product(w.library, [*factors, (w, EXPONENT[self.outside])], number)


def chains(problem: Problem) -> list[Chain]:
    """Return the chains that the operators can write; shorter ones first."""
    lib = problem.library
    probe = variable(lib, 0)
    found = [Chain(o, s, i) for i, s, o in itertools.product(INSIDE, (0.0, 1.0, -1.0), OUTSIDE)
             if (not i or i in lib.operators) and (s == 0.0 or {"add", "sub"} & set(lib.operators))]
    # Without a shift or an inner function the chain is a power law, which the first of them covers.
    found = [c for c in found if c.inside or c.shift or c.outside in ("", "sqrt", "inv", "inv sqrt")]
    found = [c for c in found if c.write(probe) is not None]
    return sorted(found, key=lambda c: len(c.write(probe).tokens))


def monomial_cost(powers: np.ndarray) -> np.ndarray:
    """Return the costs of exponent vectors (integer[..., D]): 1 a variable, 1/2 a further power or a division."""
    size = np.abs(powers)
    return (np.where(size > 0, 0.5 + 0.5 * size, 0.0) + 0.5 * (powers < 0)).sum(-1)


def small_monomials(D: int, most: int = MOST_MONOMIALS) -> np.ndarray:
    """Return exponent vectors int64[m, D] of the cheapest monomials, m <= `most`, cheapest first."""
    for limit in np.arange(2.0, 8.5, 0.5):
        found = np.zeros((1, 0), np.int64)
        for _ in range(D):
            found = np.concatenate([np.column_stack([found, np.full(len(found), p)]) for p in POWERS])
            found = found[(monomial_cost(found) <= limit) & ((found != 0).sum(1) <= MOST_FACTORS)]
        if len(found) >= most:
            break
    # Among equals the first variables come first.
    order = np.lexsort([*(-found.T[::-1]), monomial_cost(found)])
    return found[order][:most]


def usable_monomials(problem: Problem) -> np.ndarray:
    """Return the small monomials without variables that are zero somewhere."""
    found = small_monomials(problem.n_variables)
    zero = (problem.X == 0.0).any(1)
    return found[~(found[:, zero] != 0).any(1)]


class _Form(NamedTuple):
    """A space in which u may lie: whether logarithms are meant, its orthonormal rows, and the terms."""

    logarithmic: bool
    unit: np.ndarray
    terms: list


def _forms(problem: Problem, columns: np.ndarray) -> list[_Form]:
    lib, D = problem.library, problem.n_variables
    xs = [variable(lib, i) for i in range(D)]
    ones = np.ones(columns.shape[1])
    n = len(np.unique(columns, axis=1).T)
    nonzero = [i for i in range(D) if (problem.X[i] != 0.0).all()]
    logs = [np.log(np.abs(columns[i])) for i in nonzero]
    found = []
    if len(logs) + 1 + SPARE <= n:
        found.append(_Form(True, orthonormal(np.array([ones, *logs])), [xs[i] for i in nonzero]))
    if D + 1 + SPARE <= n:
        found.append(_Form(False, orthonormal(np.array([ones, *columns])), xs))
    pairs = list(itertools.combinations_with_replacement(range(D), 2))
    products = [compose.product(lib, [(xs[i], 1.0), (xs[j], 1.0)]) if i != j else compose.power(xs[i], 2.0)
                for i, j in pairs]
    if all(p is not None for p in products) and 1 + D + len(pairs) + SPARE <= n:
        rows = np.array([ones, *columns, *(columns[i] * columns[j] for i, j in pairs)])
        found.append(_Form(False, orthonormal(rows), xs + products))
    return found


def nested(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Match]:
    """Yield exact matches of ``y = c M g(u)`` with u a power law, linear, or quadratic, simplest chains first.

    Noisy problems are left to the other stages: the test here is one of exactness.
    """
    if problem.noise > 0.0 or problem.n_rows < 8:
        return
    D = problem.n_variables
    wanted = max(ROWS, 1 + D + D * (D + 1) // 2 + SPARE) if D <= MOST_VARIABLES else ROWS
    rows = choose_rows(problem.X, min(wanted, problem.n_rows), rng)
    columns = problem.X[:, rows]
    forms = _forms(problem, columns)
    monomials = usable_monomials(problem)
    with np.errstate(all="ignore"):
        M = np.prod(columns[None] ** monomials[:, :, None].astype(float), axis=1)
        numbers = np.array([c for c in NUMBERS if c == 1.0 or problem.library.constants or problem.library.literals])
        V = problem.y[rows] / (numbers[:, None, None] * M[None])
    few = min(len(monomials), FEWER_MONOMIALS)
    exact = 0
    for chain in chains(problem):
        if time.perf_counter() > deadline:
            return
        with np.errstate(all="ignore"):
            # A plain power of u absorbs the number in front.
            U = chain.solve(V[0] if not (chain.shift or chain.inside) else V[:, :few].reshape(-1, len(rows)))
            size = np.abs(U).max(1)
            good = np.flatnonzero((size < LARGEST) & (np.ptp(U, axis=1) > 1e-6 * size))
        for form in forms:
            for at in good[_inside(U[good], form)]:
                number, monomial = divmod(int(at), few if chain.shift or chain.inside else len(monomials))
                match = _close(problem, chain, form, float(numbers[number]), monomials[monomial])
                if match is not None:
                    yield match
                    exact += match.residual < EXACT
                    if exact >= MOST_MATCHES:
                        return


def _inside(U: np.ndarray, form: _Form) -> np.ndarray:
    """Return the rows of U that lie in the form's span."""
    if form.logarithmic:
        with np.errstate(divide="ignore"):
            U = np.log(np.abs(U))
        U[~np.isfinite(U).all(1)] = 1.0 / (1.0 + np.arange(U.shape[1]))
        spread = np.linalg.norm(U - U.mean(1, keepdims=True), axis=1)
    else:
        spread = np.linalg.norm(U - U.mean(1, keepdims=True), axis=1)
    rest = U - (U @ form.unit.T) @ form.unit
    return np.flatnonzero(np.linalg.norm(rest, axis=1) < EXACT * spread)


def _close(problem: Problem, chain: Chain, form: _Form, number: float, monomial: np.ndarray) -> Match | None:
    """Return the law fitted on all rows."""
    lib = problem.library
    with np.errstate(all="ignore"):
        M = number * np.prod(problem.X ** monomial.astype(float)[:, None], axis=0)
        u = chain.solve(problem.y / M)
    if not np.isfinite(u).all():
        return None
    inner = Problem(problem.X, u, lib)
    target = Target("", u, np.ones(len(u)))
    if form.logarithmic:
        match = close_product(inner, target, form.terms, [])
    else:
        match = close_linear(inner, target, form.terms)
    if match is None or match.residual > 1e-6:
        return None
    factors = [(variable(lib, i), float(p)) for i, p in enumerate(monomial) if p]
    return judge(problem, chain.write(match.expression, factors, number))
