"""From a match on a few rows to an expression judged on all rows: inverted targets, fits, guards.

Every fit ends in an :class:`Expression` that uses only allowed operators, and in its residual on all rows of the
problem; nothing is believed before that.
"""

from typing import NamedTuple

import numpy as np

from rsrm import compose
from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import Expression, apply
from rsrm.problem import Problem
from rsrm.targets import relative_weights

FIT_ROWS = 256
"""Rows for fits of exact data; noisy data need them all."""
LARGEST_TERM = 1e4
"""A fit whose terms are this many times larger than the target lives on cancellation."""
SMALL_TERM = 1e-9
"""Terms below this fraction of the target are dropped from exact fits."""
SNAP = 1e-8
"""Relative tolerance for taking a coefficient of an exact fit for a simple number."""
LARGEST_EXPONENT = 12
"""Fitted exponents above this are no power law."""
SMALL_EXPONENT = 1e-2
"""exp(b f) with a smaller argument everywhere is a straight line in disguise."""


WIDE = 1e3
"""Values whose largest stands out by this factor from the median count as spanning decades."""


class Match(NamedTuple):
    """A candidate and its weighted rms residual on all rows, divided by the weighted standard deviation of y."""

    expression: Expression
    residual: float


class Target(NamedTuple):
    """What an inner expression has to equal: ``y = outer(values)``; `outer` is "" for y itself.

    `weights` multiply residuals of `values` so that they count as residuals of y (delta method).
    """

    outer: str
    values: np.ndarray
    weights: np.ndarray


# name: (inverse, derivative of the outer function as a function of u and y)
_INVERSES = {
    "square": (np.sqrt, lambda u, y: 2.0 * u),
    "sqrt": (np.square, lambda u, y: 0.5 / y),
    "inv": (np.reciprocal, lambda u, y: y * y),
    "exp": (np.log, lambda u, y: y),
    "log": (np.exp, lambda u, y: 1.0 / u),
    "cube": (np.cbrt, lambda u, y: 3.0 * u * u),
    "sin": (np.arcsin, lambda u, y: np.cos(u)),
    "cos": (np.arccos, lambda u, y: np.sin(u)),
    "tan": (np.arctan, lambda u, y: 1.0 + y * y),
    "asin": (np.sin, lambda u, y: 1.0 / np.sqrt(1.0 - u * u)),
    "acos": (np.cos, lambda u, y: 1.0 / np.sqrt(1.0 - u * u)),
    "atan": (np.tan, lambda u, y: 1.0 / (1.0 + u * u)),
    "sinh": (np.arcsinh, lambda u, y: np.sqrt(1.0 + y * y)),
    "cosh": (np.arccosh, lambda u, y: np.sqrt(y * y - 1.0)),
    "tanh": (np.arctanh, lambda u, y: 1.0 - y * y),
}
_HALF = np.pi / 2
_RANGES = {"sqrt": (0.0, np.inf), "asin": (-_HALF, _HALF), "acos": (0.0, np.pi), "atan": (-_HALF, _HALF)}
ALGEBRAIC = ("square", "sqrt", "inv")
"""Outer functions that are tried even if another operator has to spell them."""
MONOMIAL_OUTER = ("square", "sqrt", "cube", "inv")
"""Outer functions that a power law absorbs."""


def targets(problem: Problem) -> list[Target]:
    """Return y and its inverses under every outer function that the operators can write and that y allows."""
    base = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    found = [Target("", problem.y, base)]
    probe = compose.constant(problem.library, 1.0)
    y = problem.y
    for name, (inverse, slope) in _INVERSES.items():
        # Roots, squares and reciprocals are worth their other spellings; a hyperbolic function spelled out is not.
        if name not in problem.library.operators and (name not in ALGEBRAIC or compose.outer(name, probe) is None):
            continue
        low, high = _RANGES.get(name, (-np.inf, np.inf))
        with np.errstate(all="ignore"):
            u = inverse(y)
            w = base * np.abs(slope(u, y))
        good = np.isfinite(u) & np.isfinite(w) & (y >= low) & (y <= high)
        # Noise may carry a few rows over the edge; exact data may not.
        if good.mean() < (1.0 if problem.noise == 0.0 else 0.95):
            continue
        u = np.where(good, u, 0.0)
        w = np.where(good, w, 0.0)
        if np.ptp(u[good]) > 0.0:
            found.append(Target(name, u, w))
    return found


def column(expression: Expression, X: np.ndarray) -> np.ndarray | None:
    """Return the values of `expression` on X (float64[D, R]), or None where one is not finite."""
    tokens = expression.expanded
    out = np.empty(X.shape[1])
    stack = np.empty((len(tokens) + 1, BLOCK))
    ok = evaluate(tokens, len(tokens), expression.constants, X, expression.library.tables, stack, out)
    return out if ok else None


def judge(problem: Problem, expression: Expression | None) -> Match | None:
    """Return the match with its residual on all rows, or None if the expression is not finite there."""
    if expression is None:
        return None
    values = column(expression, problem.X)
    if values is None:
        return None
    w = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    center = np.average(problem.y, weights=w * w)
    spread = np.linalg.norm(w * (problem.y - center))
    error = np.linalg.norm(w * (problem.y - values))
    return Match(expression, float(error / spread) if spread > 0 else float(error))


def least_squares(columns: np.ndarray, t: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the coefficients of float64[k, R] columns that fit t with residual weights w; columns are scaled first."""
    A = columns * w
    scale = np.abs(A).max(axis=1)  # not the norm, whose squares overflow for huge columns
    scale[scale == 0.0] = 1.0
    solution, *_ = np.linalg.lstsq((A / scale[:, None]).T, t * w, rcond=1e-13)
    return solution / scale


def _tolerance(problem: Problem) -> float:
    return SNAP if problem.noise == 0.0 else 3.0 * problem.noise / np.sqrt(problem.n_rows)


def admissible(problem: Problem, coefficient: float) -> float | None:
    """Return the coefficient as it is to be written, or None if the library has no constants and it is not simple."""
    if problem.library.constants:
        return compose.snap(coefficient, _tolerance(problem))
    ratio = compose.fraction(coefficient, tol=_tolerance(problem))
    return None if ratio is None else ratio[0] / ratio[1]


def _rows(problem: Problem) -> slice:
    # Rows are samples without order, so that every n-th is as good as a random choice and needs no generator.
    return slice(None, None, max(1, problem.n_rows // FIT_ROWS) if problem.noise == 0.0 else 1)


def fit_weights(problem: Problem, target: Target) -> np.ndarray:
    """Return weights of at most 1.

    The residual of exact data is rounding whatever the weights, whose range only costs digits: there are none, unless
    the values span decades, where the largest rows alone would not see the weaker terms.
    """
    if problem.noise > 0.0:
        return target.weights / target.weights.max()
    given = (target.weights > 0.0).astype(float)
    size = np.abs(target.values)
    if size.max() <= WIDE * np.median(size):
        return given
    relative = given * relative_weights(target.values)
    return relative / relative.max()


def close_linear(problem: Problem, target: Target, terms: list[Expression], intercept: bool = True) -> Match | None:
    """Return ``outer(sum a f + b)`` with the coefficients fitted, pruned and snapped, or None if that is degenerate."""
    rows = _rows(problem)
    t, w = target.values[rows], fit_weights(problem, target)[rows]
    X = np.ascontiguousarray(problem.X[:, rows])
    columns = [column(f, X) for f in terms]
    if any(c is None for c in columns):
        return None
    A = np.array(columns + ([np.ones(len(t))] if intercept else []))
    spread = np.linalg.norm(w * (t - np.average(t, weights=w * w + 1e-300)))
    size = np.linalg.norm(w * t)
    kept = np.arange(len(A))
    with np.errstate(all="ignore"):  # squares of huge but finite values
        while True:  # ends because every further turn drops a term
            a = least_squares(A[kept], t, w)
            share = np.abs(a) * np.linalg.norm(A[kept] * w, axis=1)
            small = share < (SMALL_TERM * size if problem.noise == 0.0 else 0.1 * problem.noise * spread)
            if not small.any() or small.all():
                break
            kept = kept[~small]
        varying = np.linalg.norm((A[kept] - A[kept].mean(1, keepdims=True)) * w, axis=1) * np.abs(a)
    if not np.isfinite(a).all() or not varying.max() <= LARGEST_TERM * spread:
        return None
    written = [admissible(problem, v) for v in a]
    if any(v is None for v in written):
        return None
    parts = {int(k): v for k, v in zip(kept, written, strict=True)}
    constant = parts.pop(len(terms), 0.0)
    inner = compose.linear(problem.library, [(v, terms[k]) for k, v in parts.items()], constant)
    return _finish(problem, target, inner)


def _finish(problem: Problem, target: Target, inner: Expression | None) -> Match | None:
    if inner is None:
        return None
    return judge(problem, compose.outer(target.outer, inner) if target.outer else inner)


def close_product(problem: Problem, target: Target, bases: list[Expression],
                  exponents: list[Expression]) -> Match | None:
    """Return ``outer(A * prod f**p * exp(sum b h))`` with everything fitted on ``log|t|``, then A again on t.

    Parameters
    ----------
    problem : Problem
    target : Target
    bases : list of Expression
        The f: variables and entries of the bank.
    exponents : list of Expression
        The h.
    """
    rows = _rows(problem)
    t, w = target.values[rows], fit_weights(problem, target)[rows]
    X = np.ascontiguousarray(problem.X[:, rows])
    columns = [column(f, X) for f in bases + exponents]
    if any(c is None for c in columns):
        return None
    logs = [np.abs(c) for c in columns[:len(bases)]]
    good = (t != 0.0) & np.all([c > 0.0 for c in logs] or [t == t], axis=0)
    if good.sum() <= len(columns) + 1:
        return None
    A = np.array([np.log(c[good]) for c in logs] + [c[good] for c in columns[len(bases):]] + [np.ones(good.sum())])
    solution = least_squares(A, np.log(np.abs(t[good])), w[good] * np.abs(t[good]))
    if not np.isfinite(solution).all():
        return None
    powers = [_exponent(problem, p) for p in solution[:len(bases)]]
    rates = [admissible(problem, b) if abs(b) * np.abs(c).max() > SMALL_TERM else 0.0
             for b, c in zip(solution[len(bases):-1], columns[len(bases):], strict=True)]
    if any(v is None or abs(v) > LARGEST_EXPONENT for v in powers) or any(v is None for v in rates):
        return None
    # With exact data an odd exponent means that the shape is wrong.
    odd = any(compose.fraction(p) is None for p in powers)
    if odd and problem.noise == 0.0 and "pow" not in problem.library.operators:
        return None
    factors = list(zip(bases, powers, strict=True))
    inside = [(b, h) for b, h in zip(rates, exponents, strict=True) if b]
    if any(abs(b) * np.abs(c).max() < SMALL_EXPONENT for b, c in zip(rates, columns[len(bases):], strict=True) if b):
        return None
    if inside:
        exponent = compose.linear(problem.library, inside)
        grown = None if exponent is None else compose.outer("exp", exponent)
        if grown is None:
            return None
        factors.append((grown, 1.0))
    shape = compose.product(problem.library, factors)
    v = None if shape is None else column(shape, X)
    if v is None or not v.any():
        return None
    a = admissible(problem, float(least_squares(v[None], t, w)[0]))
    return None if a is None else _finish(problem, target, compose.product(problem.library, factors, a))


def _exponent(problem: Problem, p: float) -> float | None:
    """Return the exponent as it is to be written: a multiple of 1/2 or 1/3 where that fits."""
    near = 1e-7 if problem.noise == 0.0 else min(0.05, 30.0 * problem.noise / np.sqrt(problem.n_rows) + 1e-3)
    for q in (1, 2, 3, 4):
        if abs(p * q - round(p * q)) <= near * q:
            return round(p * q) / q
    # Under noise a fraction that is no half, third or quarter is chance.
    if problem.noise > 0.0 and "pow" not in problem.library.operators:
        return None
    return admissible(problem, p)


def product_expression(f: Expression, g: Expression, sign: int) -> Expression | None:
    """Return ``f*g`` (sign 1) or ``g/f`` (sign -1), or None if the operators cannot write it."""
    if sign == 1 and f == g:
        return compose.power(f, 2.0)
    if sign == -1 and "div" in f.library.operators:
        return apply(f.library, "div", g, f)
    return compose.product(f.library, [(g, 1.0), (f, float(sign))])
