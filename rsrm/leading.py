"""What a leading term is the limit of: ``y = f * h(m)``, where f is a good approximation and m is small.

Where y spans decades, one term may explain all but a few digits: ``x1/x0`` of ``1/(exp(x0/x1) - 1)`` for small x0, or
f of ``sqrt(f**2 + 1)``. The digits that are left tell the rest. For every h of :data:`LIMITS`, all with h(0) = 1, the
values of m follow from y/f; of the right one they are a product of powers of the columns, of their sines and cosines
and of f, to all digits that y has. Of the others they are so in part only: likelihood tells them apart.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from rsrm.closing import column
from rsrm.compose import linear, outer, product
from rsrm.expression import Expression, variable
from rsrm.problem import Problem
from rsrm.regression import solve
from rsrm.terms import presentable
from rsrm.turns import PAUSE

SMALL, GROUP = 0.1, 10
"""Largest part of y that the leading term may leave, and rows that agree where it leaves nothing."""
ANGLE = 0.5
"""Columns with larger values may be angles."""
ROUNDING, DIGITS = 4e-16, 30.0
"""Relative error of y, and how many times that what is left has to be to be looked at."""
FIT_ROWS, SPARE_ROWS = 2000, 10
"""Rows of a fit at most, and beyond its exponents at least."""
CLOSE, ROUGH, LIKELY = 1e-2, 0.3, 15.0
"""Largest error of log m where m is large, the same for an h that need not be right, and nats that an h may be behind
the best one."""
STEPS, SCALINGS = 30, 3
"""Steps to m, and times that the factor of the leading term is corrected."""
EXPONENTS, MOST = 2.0, 8.0
"""Exponents are multiples of one over this, and at most so large."""


class Limit(NamedTuple):
    """A function h with h(0) = 1: ``factor * m**power * product of parts``.

    Attributes
    ----------
    value : callable
        h of float64[R].
    parts : callable
        (m, its root, each a function that builds it) -> list of (Expression or None, exponent).
    power, factor : float
    exponent : float or None
        p of ``(1 + m)**p``.
    """

    value: Callable[[np.ndarray], np.ndarray]
    parts: Callable[[Callable, Callable], list]
    power: float = 0.0
    factor: float = 1.0
    exponent: float | None = None


def _plus(e: Expression | None, c: float) -> Expression | None:
    return None if e is None else linear(e.library, [(1.0, e)], c)


def _power(e: Expression | None, p: float) -> Expression | None:
    return None if e is None else product(e.library, [(e, p)])


def _of(name: str, e: Expression | None) -> Expression | None:
    return None if e is None else outer(name, e)


def _of_root(name: str, function: Callable, exponent: float, power: float = 0.0) -> Limit:
    """Return the limit ``m**power * function(sqrt(m))**exponent``."""
    return Limit(lambda m: m**power * function(np.sqrt(m)) ** exponent,
                 lambda m, root: [(_of(name, root()), exponent)], power)


LIMITS = [
    *(Limit(lambda m, p=p: (1.0 + m) ** p, lambda m, root, p=p: [(_plus(m(), 1.0), p)], exponent=p)
      for p in (1.0, -1.0, 0.5, -0.5, 2.0, -2.0)),
    Limit(np.exp, lambda m, root: [(_of("exp", m()), 1.0)]),
    Limit(lambda m: m / np.expm1(m), lambda m, root: [(_plus(_of("exp", m()), -1.0), -1.0)], 1.0),
    Limit(lambda m: np.expm1(m) / m, lambda m, root: [(_plus(_of("exp", m()), -1.0), 1.0)], -1.0),
    Limit(lambda m: 2.0 / (1.0 + np.exp(m)), lambda m, root: [(_plus(_of("exp", m()), 1.0), -1.0)], 0.0, 2.0),
    Limit(lambda m: np.log1p(m) / m, lambda m, root: [(_of("log", _plus(m(), 1.0)), 1.0)], -1.0),
    *(Limit(lambda m, p=p: np.expm1(p * np.log1p(m)) / (p * m),
            lambda m, root, p=p: [(_plus(_power(_plus(m(), 1.0), p), -1.0), 1.0)], -1.0, 1.0 / p) for p in (0.5, -0.5)),
    *(_of_root(name, function, p) for name, function in (("cos", np.cos), ("cosh", np.cosh)) for p in (1.0, -1.0)),
    *(_of_root(name, function, p, -0.5 * p)
      for name, function in (("sin", np.sin), ("sinh", np.sinh), ("tan", np.tan), ("tanh", np.tanh))
      for p in (1.0, -1.0, 2.0, -2.0)),
]


class Leading:
    """Laws that approximations are the leading terms of, for those that are seen for the first time.

    Parameters
    ----------
    problem : Problem
        Without noise.
    best : callable
        Returns (expression, NRMSE) of the best expressions so far, in the problem's variables.
    deadline : float
        Of ``time.perf_counter``.
    """

    def __init__(self, problem: Problem, best: Callable[[], list[tuple[Expression, float]]], deadline: float):
        self.problem, self.best, self.deadline = problem, best, deadline
        self._seen: set[bytes] = set()

    def __iter__(self) -> Iterator:
        """Yield expressions, None between steps, and PAUSE where nothing is left to try."""
        while self.problem.library.constants and time.perf_counter() < self.deadline:
            n_seen = len(self._seen)
            for expression, _ in self.best():
                key = expression.expanded.tobytes() + expression.constants.tobytes()
                if key not in self._seen:
                    self._seen.add(key)
                    yield from laws(self.problem, expression)
                    yield None
            if len(self._seen) == n_seen:
                yield PAUSE


class _Fit(NamedTuple):
    """m as a product of powers: the error of its logarithm, the factor of f, exponents and coefficient."""

    error: float
    scale: float
    exponents: np.ndarray
    coefficient: float


@np.errstate(all="ignore")
def laws(problem: Problem, expression: Expression) -> list[Expression]:
    """Return the laws ``y = f * h(m)``, the likeliest first, for an approximation f of y."""
    f = column(expression, problem.X)
    if f is None:
        return []
    rows = np.flatnonzero((f != 0.0) & (problem.y != 0.0) & np.isfinite(problem.y / f))
    if len(rows) < SPARE_ROWS:
        return []
    part = problem.take(rows)
    variables = [variable(problem.library, i) for i in range(problem.n_variables)]
    # Of small angles the sine is the angle.
    waves = [_of(name, v) for v, x in zip(variables, part.X, strict=True) if np.abs(x).max() > ANGLE
             for name in ("sin", "cos")]
    for bases in (variables, variables + [w for w in waves if w is not None]):
        found = _laws(part, f[rows], expression, bases)
        if found:
            return found
    return []


def _laws(problem: Problem, f: np.ndarray, expression: Expression, bases: list[Expression]) -> list[Expression]:
    """Return the laws whose m is a product of powers of `bases` and of f."""
    columns = [(e, column(e, problem.X)) for e in bases]
    columns = [(e, x) for e, x in columns if x is not None and (x != 0.0).all() and np.ptp(np.abs(x)) > 0.0]
    logs = np.vstack([np.ones(len(f)), *(np.log(np.abs(x)) for _, x in columns)])
    own, error = solve(logs.T, np.log(np.abs(f)))
    leading = np.round(own[1:] * EXPONENTS) / EXPONENTS
    if np.sqrt(np.mean(error * error)) < 1e-9 and np.abs(leading - own[1:]).max(initial=0.0) < 1e-9:
        # A leading term that is a product of powers itself shares its factors with m.
        f = np.prod([np.ones(len(f)), *(x**p for (_, x), p in zip(columns, leading, strict=True))], axis=0)
    else:
        columns.append((expression, f))
        logs = np.vstack([logs, np.log(np.abs(f))])
        leading = np.eye(len(columns))[-1]
    if not (np.isfinite(f).all() and np.isfinite(logs).all()):
        return []
    found: list[tuple[_Fit, Limit]] = []
    for scale in _scales(problem.y / f):
        q = problem.y / (scale * f) - 1.0
        rows = np.flatnonzero((np.abs(q) < SMALL) & (np.abs(q) > DIGITS * ROUNDING))
        if len(rows) < len(logs) + SPARE_ROWS:
            continue
        rows = rows[np.argsort(-np.abs(q[rows]))[:FIT_ROWS]]
        fitted = partial(_product_of_powers, q=q[rows], logs=logs[:, rows], values=[x[rows] for _, x in columns])
        if fitted(LIMITS[0], close=ROUGH) is None:  # to first order they are all the same
            continue
        fits = [(fit._replace(scale=scale * fit.scale), limit)
                for limit in LIMITS if (fit := fitted(limit)) is not None]
        least = min((fit.error for fit, _ in fits), default=0.0)
        found += [(fit, limit) for fit, limit in fits if len(rows) * np.log(fit.error / least) < LIKELY]
    found.sort(key=lambda entry: entry[0].error)
    built = [e for fit, limit in found for e in _built([e for e, _ in columns], leading, fit, limit)]
    return [e for e in map(presentable, built) if e is not None]


def _scales(ratio: np.ndarray) -> list[float]:
    """Return what y/f may tend to: where the values crowd, and one."""
    values = np.sort(ratio)
    while len(values) > GROUP:
        half = (len(values) + 1) // 2
        start = int(np.argmin(values[half - 1:] - values[:len(values) - half + 1]))
        values = values[start:start + half]
    level = float(np.median(values))
    return [1.0] if level == 0.0 or abs(level - 1.0) <= ROUNDING else [level, 1.0]


def _argument(limit: Limit, q: np.ndarray) -> np.ndarray | None:
    """Return m with ``h(m) = 1 + q``, or None where there is none."""
    for tiny in (1e-6, -1e-6):
        slope = (limit.value(np.array([tiny]))[0] - 1.0) / tiny
        if np.isfinite(slope):
            break
    m = q / slope
    for _ in range(STEPS):  # q is small, so that the slope at zero will do for all
        m = m - (limit.value(m) - 1.0 - q) / slope
    return m if np.isfinite(m).all() and (m != 0.0).all() else None


def _product_of_powers(limit: Limit, q: np.ndarray, logs: np.ndarray, values: list[np.ndarray],
                       close: float = CLOSE) -> _Fit | None:
    """Return how ``h(m) = (1 + q) / scale`` is solved by a product of powers of `values`, or None."""
    weights = np.abs(q) / np.sqrt(np.mean(q * q))  # y/f errs by the same on all rows, the log of m does not
    scale, exponents = 1.0, None
    for step in range(SCALINGS):
        m = _argument(limit, (1.0 + q) / scale - 1.0)
        if m is None:
            return None
        z = np.log(np.abs(m))
        if exponents is None:
            b, _ = solve(np.vstack([logs, 1.0 / q]).T * weights[:, None], z * weights)
            exponents = np.round(b[1:-1] * EXPONENTS) / EXPONENTS + 0.0
            if not np.isfinite(b).all() or not exponents.any() or np.abs(exponents).max() > MOST:
                return None
        (level, moved), rest = solve(np.vstack([logs[0], 1.0 / q]).T * weights[:, None],
                                     (z - exponents @ logs[1:]) * weights)
        if step < SCALINGS - 1:
            scale *= 1.0 + moved
    error = float(np.sqrt(np.mean(rest * rest)))
    signs = np.sign(m)
    for v, p in zip(values, exponents, strict=True):
        if p != round(p) and (v < 0.0).any():
            return None
        signs = signs * np.sign(v) if p % 2.0 == 1.0 else signs
    sign = float(np.average(signs, weights=weights * weights))
    if not error < close or abs(sign) < 1.0 - close:
        return None
    return _Fit(max(error, 1e-300), scale, exponents, float(np.sign(sign) * np.exp(level)))


def _built(bases: list[Expression], leading: np.ndarray, fit: _Fit, limit: Limit) -> list[Expression]:
    """Return the ways to write ``scale * f * h(m)``."""
    library = bases[0].library

    def powers(exponents: np.ndarray, coefficient: float, parts=()) -> Expression | None:
        factors = [*((e, float(x)) for e, x in zip(bases, exponents, strict=True) if x), *parts]
        return None if any(e is None for e, _ in factors) else product(library, factors, coefficient)

    c, scale = fit.coefficient, fit.scale
    parts = limit.parts(partial(powers, fit.exponents, c), partial(powers, 0.5 * fit.exponents, np.sqrt(abs(c))))
    factor = scale * limit.factor * abs(c) ** limit.power * (np.sign(c) if limit.power % 2.0 == 1.0 else 1.0)
    built = [powers(leading + limit.power * fit.exponents, factor, parts)]
    if limit.exponent is not None and scale > 0.0:  # (f**(1/p) + f**(1/p) * m)**p
        inside, own = leading / limit.exponent, scale ** (1.0 / limit.exponent)
        terms = [(own, powers(inside, 1.0)), (own * c, powers(inside + fit.exponents, 1.0))]
        if all(e is not None for _, e in terms):
            built.append(_power(linear(library, terms), limit.exponent))
    return [e for e in built if e is not None]
