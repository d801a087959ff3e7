"""Smaller problems: what a reduction makes of the data, and the way back.

Every function here returns a :class:`rsrm.problem.Problem` whose ``lift`` undoes the step, or None where the operators
cannot write it or the numbers do not exist.
"""

from collections.abc import Callable

import numpy as np

from rsrm.algebra import fraction
from rsrm.compose import linear, outer, product
from rsrm.expression import Expression, number, substitute, variable
from rsrm.forms import Form
from rsrm.library import Library
from rsrm.problem import Problem


def reduced(problem: Problem, keep: list[int], extra: list[tuple[np.ndarray, Expression]], y=None,
            weights=None, wrap: Callable | None = None) -> Problem | None:
    """Return the problem over the columns `keep` and `extra` with target `y`.

    Parameters
    ----------
    problem : Problem
    keep : list of int
        Columns that stay.
    extra : list of (float64[R], Expression)
        New columns and their expressions over the parent's library.
    y : float64[R], optional
        New target; the parent's by default.
    weights : float64[R], optional
        Delta-method weights of the new target, see :func:`weighted`; the parent's by default.
    wrap : callable, optional
        Maps an expression of the new target over the parent's library to one of the parent's target.
    """
    columns = [problem.X[i] for i in keep] + [v for v, _ in extra]
    expressions = [variable(problem.library, i) for i in keep] + [e for _, e in extra]
    if not columns or any(e is None for e in expressions) or not all(np.isfinite(c).all() for c in columns):
        return None
    y = problem.y if y is None else y
    if not np.isfinite(y).all():
        return None
    scale, noise = 1.0, problem.noise
    if weights is None:
        weights = problem.weights
    else:
        # Weighted residuals of the child times this mean are those of the parent.
        scale = float(weights.mean())
        weights = weights / scale
    if noise > 0 and np.std(y) > 0:
        noise = noise * float(np.std(problem.y) / (scale * np.std(y)))
    parent = problem.library
    library = Library(len(columns), parent.operators, parent.constants, parent.literals)

    def lift(expression: Expression) -> Expression | None:
        up = substitute(expression, expressions)
        up = up if wrap is None else wrap(up)
        return None if up is None else problem.lift(up)

    return Problem(np.ascontiguousarray(np.stack(columns)), np.ascontiguousarray(y), library, weights,
                   noise, lift)


def weighted(problem: Problem, slope: np.ndarray) -> np.ndarray:
    """Return delta-method weights for a target g(y) with |g'| = slope."""
    w = 1.0 / np.maximum(np.abs(slope), 1e-300)
    return w if problem.weights is None else w * problem.weights


def divided(problem: Problem, i: int, keep, form: Form, p: float, extra=()) -> Problem | None:
    """Return the problem of f for ``y = A(x_i)**p * f`` over the columns `keep` and `extra`, or None."""
    with np.errstate(all="ignore"):
        value = form.value(problem.X[i])
        factor = np.abs(value) ** p * (np.sign(value) if p % 2 == 1 else 1.0)
        y = problem.y / factor
    base = form.build(variable(problem.library, i))
    if base is None or (p != round(p) and (value <= 0).any()):
        return None
    return reduced(problem, keep, list(extra), y, weighted(problem, 1.0 / factor),
                   lambda f: product(problem.library, [(base, p), (f, 1.0)]))


def peeled(problem: Problem, i: int, keep, form: Form, c: float, g, slope_g, inverse) -> Problem | None:
    with np.errstate(all="ignore"):
        y = g(problem.y) - c * form.value(problem.X[i])
        weights = weighted(problem, slope_g(problem.y))
    base = form.build(variable(problem.library, i))
    if base is None or inverse(number(problem.library, 1.5)) is None:
        return None

    def wrap(f):
        total = linear(problem.library, [(c, base), (1.0, f)])
        return None if total is None else inverse(total)

    return reduced(problem, keep, [], y, weights, wrap)


def _tail(column: np.ndarray) -> float:
    """Return how far the largest value stands out."""
    size = np.abs(column)
    return float(size.max() / max(np.median(size), 1e-300)) if np.isfinite(size).all() else np.inf


def merged(problem: Problem, i: int, j: int, keep, a: Form, b: Form, c: float) -> Problem | None:
    extra = _merged_column(problem, i, j, a, b, c)
    return None if extra is None else reduced(problem, keep, [extra])


def _merged_column(problem: Problem, i: int, j: int, a: Form, b: Form, c: float) -> tuple | None:
    """Return (values, expression) of the column that stands for x_i and x_j, or None."""
    library = problem.library
    f, g = a.build(variable(library, i)), b.build(variable(library, j))
    if f is None or g is None:
        return None
    with np.errstate(all="ignore"):
        x, z = a.value(problem.X[i]), b.value(problem.X[j])
        if a.logarithmic and b.logarithmic:
            column, expression = x * np.sign(z) ** (c % 2) * np.abs(z) ** c, product(library, [(f, 1.0), (g, c)])
            turned = np.abs(z) ** -c / x * np.sign(z) ** (c % 2)
            if c < 0 and _tail(turned) < _tail(column):
                # z/x and x/z carry the same information; the one that stays bounded is the smoother argument.
                column, expression = turned, product(library, [(f, -1.0), (g, -c)])
            if c != round(c):
                # (x**q) * (z**p) with whole p and q keeps the index a rational function where it is one.
                pq = fraction(c, 1e-12, 4)
                if pq and (x > 0).all() and (z > 0).all():
                    column = x ** pq[1] * z ** float(pq[0])
                    expression = product(library, [(f, float(pq[1])), (g, float(pq[0]))])
                elif (z <= 0).any():
                    return None
        elif not a.logarithmic and not b.logarithmic:
            column, expression = x + c * z, linear(library, [(1.0, f), (c, g)])
        else:  # a * exp(c B), or the other way round
            base, other, exponent, power_ = (f, g, c * z, 1.0) if a.logarithmic else (g, f, x, c)
            grown = outer("exp", linear(library, [(c, other)]) if a.logarithmic else other)
            if grown is None:
                return None
            column = (x if a.logarithmic else np.sign(z) ** (c % 2) * np.abs(z) ** c) * np.exp(exponent)
            expression = product(library, [(base, power_), (grown, 1.0)])
    return None if expression is None else (column, expression)


def scaled(problem: Problem, i: int, j: int, form: Form, c: float, p: float) -> Problem | None:
    keep = [k for k in range(problem.n_variables) if k not in (i, j)]
    merged = _merged_column(problem, i, j, form, form, c)
    base = form.build(variable(problem.library, i))
    if merged is None or base is None:
        return None
    if form.logarithmic:
        return divided(problem, i, keep, form, p, [merged])
    with np.errstate(all="ignore"):
        y = problem.y - p * form.value(problem.X[i])
    return reduced(problem, keep, [merged], y, wrap=lambda f: linear(problem.library, [(p, base), (1.0, f)]))


def grouped(problem: Problem, k: int, exponents: dict[int, float], form: Form, p: float) -> Problem | None:
    """Return the problem of f for ``y = x_k**p * f(x_i * x_k**c, ...)`` with c by column i, or None.

    What a law of quantities with units comes to when x_k is taken for the unit of the others.
    """
    extra = [_merged_column(problem, i, k, form, form, c) for i, c in exponents.items()]
    keep = [i for i in range(problem.n_variables) if i != k and i not in exponents]
    return None if any(column is None for column in extra) else divided(problem, k, keep, form, p, extra)


def sheared(problem: Problem, i: int, j: int, k: int, form: Form, c: float) -> Problem | None:
    library = problem.library
    f = form.build(variable(library, k))
    inner = None if f is None else product(library, [(f, 1.0), (variable(library, j), 1.0)])
    expression = None if inner is None else linear(library, [(1.0, variable(library, i)), (c, inner)])
    if expression is None:
        return None
    with np.errstate(all="ignore"):
        column = problem.X[i] + c * form.value(problem.X[k]) * problem.X[j]
    return reduced(problem, [n for n in range(problem.n_variables) if n not in (i, j)], [(column, expression)])
