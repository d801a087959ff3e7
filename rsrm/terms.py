"""Dictionaries of terms (products of powers of generators) and the expressions of their sums."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import comb
from typing import NamedTuple

import numpy as np

from rsrm.compose import constant, fraction, linear, product
from rsrm.expression import Expression, apply, variable
from rsrm.problem import Problem


ROWS_PER_TERM = 5
"""Rows for each of many powers."""


class Generator(NamedTuple):
    """A column from which terms are built: a variable or a function of variables."""

    values: np.ndarray  # float64[R]
    expression: Expression


class Terms(NamedTuple):
    """A dictionary: T columns of values, each a product of powers of generators.

    ``values`` is float64[R, T]; ``factors[t]`` holds (generator index, exponent) pairs, empty for the constant term.
    """

    values: np.ndarray
    factors: list[tuple[tuple[int, float], ...]]
    generators: list[Generator]

    def take(self, support) -> "Terms":
        """Return the terms with the given indices."""
        return Terms(self.values[:, support], [self.factors[t] for t in support], self.generators)


def variable_generators(problem: Problem) -> list[Generator]:
    """Return one generator per variable that is not constant."""
    return [Generator(x, variable(problem.library, i)) for i, x in enumerate(problem.X) if np.ptp(x) > 0]


def function_generators(problem: Problem, names) -> list[Generator]:
    """Return f(x_i) for every allowed f among `names` that is finite, and not nearly linear, on the data."""
    found = []
    for name in names:
        if name not in problem.library.operators:
            continue
        for i, x in enumerate(problem.X):
            if np.ptp(x) == 0 or (name in ("sin", "cos") and not 1e-2 < np.abs(x).max() < 1e3):
                continue
            with np.errstate(all="ignore"):
                values = getattr(np, name)(x)
            if np.isfinite(values).all() and np.ptp(values) > 1e-8 * np.abs(values).max():
                found.append(Generator(values, apply(problem.library, name, variable(problem.library, i))))
    return found


def monomials(generators: Sequence[Generator], degree: int, limit: int = 10**6) -> Terms:
    """Return all monomials of the generators up to a total degree, constant first, at most about `limit` of them.

    A degree is left out as a whole when it does not fit.
    """
    rows = len(generators[0].values)
    factors: list[tuple[tuple[int, float], ...]] = [()]
    columns = [np.ones(rows)]
    known = {(): columns[0]}
    for d in range(1, degree + 1):
        combos = list(combinations_with_replacement(range(len(generators)), d))
        if len(columns) + len(combos) > limit:
            break
        for c in combos:
            known[c] = known[c[:-1]] * generators[c[-1]].values
            columns.append(known[c])
            factors.append(tuple((g, float(c.count(g))) for g in sorted(set(c))))
    return Terms(np.column_stack(columns), factors, list(generators))


def many_powers(generators: list[Generator]) -> Terms:
    """Return polynomials of up to degree five, and roots and inverses of positive variables, alone and times another.

    There are `ROWS_PER_TERM` rows or more for each.
    """
    n, rows = len(generators), len(generators[0].values)
    most = rows // ROWS_PER_TERM
    base = monomials(generators, max(d for d in range(1, 6) if d == 1 or comb(n + d, d) <= most))
    factors = list(base.factors)
    positive = [i for i, g in enumerate(generators) if g.values.min() > 0]
    factors += [((i, p),) for i in positive for p in (0.5, -1.0)]
    factors += [tuple(sorted(((i, p), (j, 1.0)))) for i in positive for p in (0.5, -1.0) for j in range(n) if j != i]
    factors = factors[:max(most, len(base.factors))]
    columns = [np.prod([generators[i].values ** p for i, p in f], axis=0) for f in factors[len(base.factors):]]
    return Terms(np.column_stack([base.values, *columns]), factors, list(generators))


def degrees(terms: Terms) -> np.ndarray:
    """Return the total degree of every term, int[T]."""
    return np.array([int(sum(p for _, p in f)) for f in terms.factors])


def subset(problem: Problem, rows: int, rng: np.random.Generator) -> Problem:
    """Return the problem on at most `rows` rows: half of them in even steps of every column and of y, half at random.

    A trajectory may dwell near its end; hardly any row drawn at random then tells how it came there.
    """
    if problem.n_rows <= rows:
        return problem
    even = []
    for u in (*problem.X, problem.y):
        order = np.argsort(u, kind="stable")
        steps = np.linspace(u[order[0]], u[order[-1]], rows // (2 * len(problem.X) + 2))
        even.append(order[np.minimum(np.searchsorted(u[order], steps), len(u) - 1)])
    chosen = np.unique(np.concatenate(even))
    others = np.setdiff1d(np.arange(problem.n_rows), chosen)
    return problem.take(np.sort(np.append(chosen, rng.choice(others, rows - len(chosen), replace=False))))


def presentable(expression: Expression | None) -> Expression | None:
    """Return the expression as its library may write it, or None.

    Without constants in the library only small integers may stand, and simple fractions are written as quotients.
    """
    if expression is None or not np.isfinite(expression.constants).all():
        return None
    library, values = expression.library, expression.constants
    if library.constants or not len(values):
        return expression
    tokens, constants = [], []
    remaining = iter(values)
    for t in expression.expanded:
        if t != library.constant:
            tokens.append(int(t))
            continue
        value = float(next(remaining))
        pair = fraction(value, 12, 1e-12)
        if pair is None or abs(pair[0]) > 100 or (pair[1] > 1 and "div" not in library.operators):
            return None
        parts = [constant(library, float(n)) for n in (pair if pair[1] > 1 else pair[:1])]
        tokens += ([library.token("div")] if len(parts) == 2 else []) + [int(e.tokens[0]) for e in parts]
        constants += [e.constants for e in parts]
    return Expression(np.array(tokens), np.concatenate(constants), library)


def shortest(options) -> Expression | None:
    """Return the option with the fewest nodes, constants counted twice; None options are left out."""
    return min((o for o in options if o is not None), key=lambda e: e.complexity + len(e.constants), default=None)


def compose_sum(terms: Terms, support, coefficients) -> Expression | None:
    """Return ``sum c_t * term_t`` as the shorter of a flat sum and a nested (Horner) form."""
    items = [(float(c), terms.factors[t]) for t, c in zip(support, coefficients, strict=True) if c != 0.0]
    if not items:
        return None
    return shortest((_flat(terms.generators, items), _nested(terms.generators, items)))


def _monomial(generators, factors, coefficient=1.0) -> Expression | None:
    library = generators[0].expression.library
    return product(library, [(generators[g].expression, p) for g, p in factors], coefficient)


def _flat(generators, items) -> Expression | None:
    library = generators[0].expression.library
    level = sum(c for c, f in items if not f)
    parts = [(c, _monomial(generators, f)) for c, f in items if f]
    if any(e is None for _, e in parts):
        return None
    return linear(library, parts, level)


def _divide(factors, divisor):
    left = dict(factors)
    for g, p in divisor:
        left[g] = left.get(g, 0.0) - p
    return tuple(sorted((g, p) for g, p in left.items() if p != 0.0))


def _common(items):
    """Return the factors that all monomials share."""
    shared = dict(items[0][1])
    for _, f in items[1:]:
        own = dict(f)
        shared = {g: min(p, own[g]) if p > 0 else max(p, own[g]) for g, p in shared.items()
                  if g in own and own[g] * p > 0}
    return tuple(sorted(shared.items()))


def _nested(generators, items) -> Expression | None:
    """Return the Horner form: common factors out, then the generator that most terms hold, and so on inside."""
    library = generators[0].expression.library
    if len(items) == 1:
        return _monomial(generators, items[0][1], items[0][0])
    shared = _common(items)
    scale = abs(items[0][0])
    scale = scale if all(abs(abs(c) - scale) <= 1e-12 * scale for c, _ in items) else 1.0
    if shared or scale != 1.0:
        inner = _nested(generators, [(c / scale, _divide(f, shared)) for c, f in items])
        if inner is None:
            return None
        return product(library, [(generators[g].expression, p) for g, p in shared] + [(inner, 1.0)], scale)
    count: dict[int, int] = {}
    for _, f in items:
        for g, p in f:
            count[g] = count.get(g, 0) + (p > 0)
    g = max(count, key=lambda k: (count[k], -k), default=None)
    if g is None or count[g] < 2:
        return _flat(generators, items)
    group = [item for item in items if dict(item[1]).get(g, 0.0) > 0]
    rest = [item for item in items if dict(item[1]).get(g, 0.0) <= 0]
    parts = [(1.0, _nested(generators, group))]
    level = 0.0
    if rest:
        level = sum(c for c, f in rest if not f)
        others = [item for item in rest if item[1]]
        if len(others) > 1:
            parts.append((1.0, shortest((_nested(generators, others), _flat(generators, others)))))
        elif others:
            parts.append((others[0][0], _monomial(generators, others[0][1])))
    if any(e is None for _, e in parts):
        return None
    return linear(library, parts, level)
