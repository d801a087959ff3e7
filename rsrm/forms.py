"""Reductions: forms that turn a problem into a smaller one by computation on the data.

The paper's forms ``A + f``, ``A * f`` and ``A ** f`` (Xu et al. 2024, sec. 3.3) fix a fragment A and search for f
only. Here A is read off the data instead of mined: with a gradient of the unknown law (:mod:`rsrm.surrogate`),

* *drop*: a column whose partial derivative vanishes;
* *factor*: ``d log y / d log A(x_i)`` constant, hence ``y = A**p * f``; with ``exp`` as A, ``y = exp(p A) * f``;
* *term*: ``d g(y) / d A(x_i)`` constant for an invertible g, hence ``y = g_inverse(c A + f)``;
* *merge*: ``(dy / dA(x_i)) / (dy / dB(x_j))`` constant, hence y depends on x_i and x_j through ``A + c B`` only, which
  for logarithmic A and B is the product ``a * b**c``;
* *scale*: the two derivatives are linearly related, hence ``y = A**p * f(A * B**c)`` or ``y = p A + f(A + c B)``;
* *shear*: the ratio of two derivatives is a function C of a third column, hence x_i and x_j act through
  ``x_i + c C(x_k) x_j``.

Each test costs a few dot products; what passes is confirmed by the caller, who refits the surrogate.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from rsrm.compose import linear, outer, power, product
from rsrm.expression import Expression, number, substitute, variable
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.simplify import fraction

SHEARS = ("id", "square", "inv", "sqrt", "cos", "sin")
"""Functions of the third column that shears try."""


@dataclass(frozen=True)
class Form:
    """A function A of one column.

    Attributes
    ----------
    name : str
    logarithmic : bool
        Whether ``slope`` is that of log A: sums of such forms are products.
    value, slope : callable
        On arrays.
    build : callable
        From the column's Expression to that of A, or None where the operators cannot write it.
    cost : float
        Simpler forms are proposed first.
    """

    name: str
    logarithmic: bool
    value: Callable
    slope: Callable
    build: Callable
    cost: float = 0.0


def _shifted(sign: float, inner: Callable) -> Callable:
    """Return a builder of ``1 + sign * inner(f)``."""

    def build(f):
        g = inner(f)
        return None if g is None else linear(f.library, [(sign, g)], 1.0)

    return build


def _square(f):
    return power(f, 2.0)


FORMS = (
    Form("log", True, lambda x: x, lambda x: 1.0 / x, lambda f: f),
    Form("id", False, lambda x: x, np.ones_like, lambda f: f),
    Form("square", False, np.square, lambda x: 2.0 * x, _square, 0.1),
    Form("inv", False, lambda x: 1.0 / x, lambda x: -1.0 / x**2, lambda f: power(f, -1.0), 0.2),
    Form("invsquare", False, lambda x: x**-2.0, lambda x: -2.0 * x**-3.0, lambda f: power(f, -2.0), 0.3),
    Form("cube", False, lambda x: x**3, lambda x: 3.0 * x**2, lambda f: power(f, 3.0), 0.3),
    Form("sqrt", False, np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda f: power(f, 0.5), 0.3),
    Form("cos", False, np.cos, lambda x: -np.sin(x), lambda f: outer("cos", f), 0.3),
    Form("sin", False, np.sin, np.cos, lambda f: outer("sin", f), 0.3),
    Form("exp", False, np.exp, np.exp, lambda f: outer("exp", f), 0.4),
    Form("log sin", True, np.sin, lambda x: np.cos(x) / np.sin(x), lambda f: outer("sin", f), 0.3),
    Form("log cos", True, np.cos, lambda x: -np.tan(x), lambda f: outer("cos", f), 0.3),
    Form("log 1+x", True, lambda x: 1.0 + x, lambda x: 1.0 / (1.0 + x), _shifted(1.0, lambda f: f), 0.4),
    Form("log 1-x", True, lambda x: 1.0 - x, lambda x: -1.0 / (1.0 - x), _shifted(-1.0, lambda f: f), 0.4),
    Form("log 1+xx", True, lambda x: 1.0 + x * x, lambda x: 2 * x / (1.0 + x * x), _shifted(1.0, _square), 0.5),
    Form("log 1-xx", True, lambda x: 1.0 - x * x, lambda x: -2 * x / (1.0 - x * x), _shifted(-1.0, _square), 0.5),
)

# Invertible outer functions g of the target: g(y), g'(y), and the builder of the inverse.
TARGETS = (
    ("id", lambda y: y, np.ones_like, lambda f: f),
    ("square", np.square, lambda y: 2.0 * y, lambda f: power(f, 0.5)),
    ("inv", lambda y: 1.0 / y, lambda y: -1.0 / y**2, lambda f: power(f, -1.0)),
    ("invsquare", lambda y: y**-2.0, lambda y: -2.0 * y**-3.0, lambda f: power(f, -0.5)),
    ("log", np.log, lambda y: 1.0 / y, lambda f: outer("exp", f)),
    ("exp", np.exp, np.exp, lambda f: outer("log", f)),
    ("sqrt", np.sqrt, lambda y: 0.5 / np.sqrt(y), lambda f: power(f, 2.0)),
)


@dataclass(frozen=True)
class Reduction:
    """A proposed step to a smaller problem.

    Attributes
    ----------
    kind : str
        "drop", "factor", "term", "merge", "scale" or "shear".
    spread : float
        Relative spread of what must be constant; 0 would be a perfect test.
    cost : float
        Spread and complexity in one number; the smallest is tried first.
    columns : tuple of int
        Columns of the parent that are used up.
    text : str
    make : callable
        Returns the reduced Problem, or None where the operators cannot write the step.
    """

    kind: str
    spread: float
    cost: float
    columns: tuple[int, ...]
    text: str
    make: Callable[[], Problem | None]


def proportion(u: np.ndarray, v: np.ndarray) -> tuple[float, float]:
    """Return (c, spread) with u close to c v: robust ratio and relative residual, infinite where it is undefined."""
    scale = np.abs(u) + np.abs(v)
    good = np.isfinite(u) & np.isfinite(v) & (scale > 0)
    if good.sum() < max(8, 0.5 * len(u)):
        return 0.0, np.inf
    u, v = u[good], v[good]
    vv, uv, uu = v @ v, u @ v, u @ u
    if vv == 0 or uu == 0 or not np.isfinite(vv * uu):
        return 0.0, np.inf
    return float(uv / vv), float(np.sqrt(max(0.0, 1.0 - uv * uv / (uu * vv))))


def simple(value: float, spread: float) -> float:
    """Return the nearest small fraction if it lies within the spread of the test, else `value`."""
    pq = fraction(value, max(4.0 * spread, 1e-3), 4) if np.isfinite(value) and value != 0 else None
    return pq[0] / pq[1] if pq and abs(pq[0]) <= 12 else value


def _odd(value: float) -> float:
    """Return what a number costs a proposal: nothing for 1 and -1, little for a small fraction."""
    return 0.0 if value in (1.0, -1.0) else 0.02 if fraction(value, 1e-12, 4) else 0.15


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
        Delta-method weights of the new target, see :func:`_weighted`; the parent's by default.
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


def _weighted(problem: Problem, slope: np.ndarray) -> np.ndarray:
    """Return delta-method weights for a target g(y) with |g'| = slope."""
    w = 1.0 / np.maximum(np.abs(slope), 1e-300)
    return w if problem.weights is None else w * problem.weights


def propose(problem: Problem, rows: np.ndarray, y: np.ndarray, gradient: np.ndarray,
            loose: float) -> Iterator[Reduction]:
    """Yield the reductions that the gradient of y supports.

    Parameters
    ----------
    problem : Problem
    rows : int64[S]
        Rows at which the gradient is known.
    y : float64[S]
        The target there, freed of noise as far as it can be.
    gradient : float64[D, S]
        dy / dx_i there.
    loose : float
        Tests with a relative spread above this are not proposed.
    """
    X = problem.X[:, rows]
    D = problem.n_variables
    with np.errstate(all="ignore"):
        pull = np.abs(gradient) * np.std(problem.X, axis=1)[:, None]
        share = np.sqrt(np.mean(pull**2, 1)) / max(np.sqrt(np.mean(pull**2)), 1e-300)
        slopes = [[form.slope(X[i]) for form in FORMS] for i in range(D)]
        for i in range(D):
            if D > 1 and share[i] < loose / 3:
                keep = [k for k in range(D) if k != i]
                yield Reduction("drop", float(share[i]), float(share[i]) - 0.2, (i,), f"drop x{i}",
                                lambda keep=keep: reduced(problem, keep, []))
        for i in range(D):
            yield from _separations(problem, i, y, gradient[i], slopes[i], loose)
        for i in range(D):
            for j in range(i + 1, D):
                yield from _merges(problem, i, j, gradient, slopes, loose)
                yield from _scales(problem, i, j, y, gradient, slopes, loose)
                yield from _shears(problem, i, j, X, gradient, loose)


def _separations(problem: Problem, i: int, y, gradient, slopes, loose: float) -> Iterator[Reduction]:
    """Yield factors and terms of column i."""
    D = problem.n_variables
    keep = [k for k in range(D) if k != i]
    if not keep:
        return
    for form, slope in zip(FORMS, slopes, strict=True):
        if form.logarithmic and not (y == 0).any():
            # Exact data count relative to y, noisy data where y stands out of the noise.
            p, spread = (proportion(gradient / y / slope, np.ones_like(y)) if problem.noise == 0 else
                         proportion(gradient / slope, y))
            p = simple(p, spread)
            if spread < loose and abs(p) <= 8:
                cost = spread + form.cost / 5 + _odd(p)
                yield Reduction("factor", spread, cost, (i,), f"factor {form.name}(x{i})**{p:g}",
                                lambda form=form, p=p: _factor(problem, i, keep, form, p))
        if form.logarithmic:
            continue
        for name, g, slope_g, inverse in TARGETS:
            c, spread = proportion(gradient * slope_g(y) / slope, np.ones_like(y))
            c = simple(c, spread)
            if spread < loose:
                cost = spread + form.cost / 5 + (0.05 if name == "id" else 0.1) + 2.0 * _odd(c)
                yield Reduction("term", spread, cost, (i,), f"term {name}(y) = {c:g}*{form.name}(x{i}) + f",
                                lambda form=form, c=c, g=g, sg=slope_g, inv=inverse: _term(
                                    problem, i, keep, form, c, g, sg, inv))


def _factor(problem: Problem, i: int, keep, form: Form, p: float) -> Problem | None:
    with np.errstate(all="ignore"):
        value = form.value(problem.X[i])
        factor = np.abs(value) ** p * (np.sign(value) if p % 2 == 1 else 1.0)
        y = problem.y / factor
    base = form.build(variable(problem.library, i))
    if base is None or (p != round(p) and (value <= 0).any()):
        return None
    return reduced(problem, keep, [], y, _weighted(problem, 1.0 / factor),
                   lambda f: product(problem.library, [(base, p), (f, 1.0)]))


def _term(problem: Problem, i: int, keep, form: Form, c: float, g, slope_g, inverse) -> Problem | None:
    with np.errstate(all="ignore"):
        y = g(problem.y) - c * form.value(problem.X[i])
        weights = _weighted(problem, slope_g(problem.y))
    base = form.build(variable(problem.library, i))
    if base is None or inverse(number(problem.library, 1.5)) is None:
        return None

    def wrap(f):
        total = linear(problem.library, [(c, base), (1.0, f)])
        return None if total is None else inverse(total)

    return reduced(problem, keep, [], y, weights, wrap)


def _merges(problem: Problem, i: int, j: int, gradient, slopes, loose: float) -> Iterator[Reduction]:
    """Yield merges of columns i and j."""
    keep = [k for k in range(problem.n_variables) if k not in (i, j)]
    first = [gradient[i] / s for s in slopes[i]]
    second = [gradient[j] / s for s in slopes[j]]
    for a, u in zip(FORMS, first, strict=True):
        for b, v in zip(FORMS, second, strict=True):
            c, spread = proportion(v, u)
            c = simple(c, spread)
            if spread >= loose or c == 0 or not np.isfinite(c):
                continue
            if (a.logarithmic or b.logarithmic) and abs(c) > 8:
                continue
            mixed = 0.1 if a.logarithmic != b.logarithmic else 0.0
            yield Reduction("merge", spread, spread + (a.cost + b.cost) / 5 + _odd(c) + mixed, (i, j),
                            f"merge {a.name}(x{i}) {c:+g} {b.name}(x{j})",
                            lambda a=a, b=b, c=c: _merged(problem, i, j, keep, a, b, c))


def _tail(column: np.ndarray) -> float:
    """Return how far the largest value stands out."""
    size = np.abs(column)
    return float(size.max() / max(np.median(size), 1e-300)) if np.isfinite(size).all() else np.inf


def _merged(problem: Problem, i: int, j: int, keep, a: Form, b: Form, c: float) -> Problem | None:
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


def relation(u: np.ndarray, v: np.ndarray) -> tuple[float, float, float]:
    """Return (c, p, spread) with v close to ``c (u - p)``; spread is infinite where that says nothing."""
    good = np.isfinite(u) & np.isfinite(v)
    if good.sum() < max(8, 0.5 * len(u)):
        return 0.0, 0.0, np.inf
    u, v = u[good], v[good]
    a, b = u - u.mean(), v - v.mean()
    aa, ab, bb = a @ a, a @ b, b @ b
    # If one of them is constant, the simpler tests have it.
    if aa <= 1e-6 * (u @ u) or bb <= 1e-6 * (v @ v) or not np.isfinite(aa * bb):
        return 0.0, 0.0, np.inf
    c = ab / aa
    return float(c), float(u.mean() - v.mean() / c) if c else 0.0, float(np.sqrt(max(0.0, 1.0 - ab * ab / (aa * bb))))


def _scales(problem: Problem, i: int, j: int, y, gradient, slopes, loose: float) -> Iterator[Reduction]:
    """Yield the reductions ``y = A**p f(A B**c)`` and ``y = p A + f(A + c B)``."""
    log, plain, square = FORMS[0], FORMS[1], FORMS[2]
    for form, z in ((log, y), (plain, 1.0), (square, 1.0)):
        n = FORMS.index(form)
        if form is log and ((y == 0).any() or (problem.X[i] == 0).any()):
            continue
        c, p, spread = relation(gradient[i] / slopes[i][n] / z, gradient[j] / slopes[j][n] / z)
        c, p = simple(c, spread), simple(p, spread)
        if spread >= loose or c == 0 or p == 0 or abs(c) > 8 or (form is log and abs(p) > 8):
            continue
        cost = spread + 0.05 + _odd(c) + _odd(p) + form.cost / 5
        yield Reduction("scale", spread, cost, (i, j), f"scale {form.name}: p={p:g}, x{i} {c:+g} x{j}",
                        lambda form=form, c=c, p=p: _scaled(problem, i, j, form, c, p))


def _scaled(problem: Problem, i: int, j: int, form: Form, c: float, p: float) -> Problem | None:
    keep = [k for k in range(problem.n_variables) if k not in (i, j)]
    merged = _merged_column(problem, i, j, form, form, c)
    base = form.build(variable(problem.library, i))
    if merged is None or base is None:
        return None
    with np.errstate(all="ignore"):
        value = form.value(problem.X[i])
        if form.logarithmic:
            if p != round(p) and (value <= 0).any():
                return None
            factor = np.abs(value) ** p * (np.sign(value) if p % 2 == 1 else 1.0)
            y, weights = problem.y / factor, _weighted(problem, 1.0 / factor)
        else:
            y, weights = problem.y - p * value, problem.weights
    if not np.isfinite(y).all():
        return None

    def wrap(f: Expression) -> Expression | None:
        if form.logarithmic:
            return product(problem.library, [(base, p), (f, 1.0)])
        return linear(problem.library, [(p, base), (1.0, f)])

    return reduced(problem, keep, [merged], y, weights, wrap)


def _shears(problem: Problem, i: int, j: int, X, gradient, loose: float) -> Iterator[Reduction]:
    """Yield merges of columns i and j into ``x_i + c C(x_k) x_j``."""
    for k in range(problem.n_variables):
        if k in (i, j):
            continue
        for a, b in ((i, j), (j, i)):
            for form in FORMS:
                if form.name not in SHEARS:
                    continue
                c, spread = proportion(gradient[b], gradient[a] * form.value(X[k]))
                c = simple(c, spread)
                if spread < loose and c != 0 and np.isfinite(c):
                    yield Reduction("shear", spread, spread + 0.1 + form.cost / 5 + _odd(c), (a, b),
                                    f"shear x{a} {c:+g} {form.name}(x{k}) x{b}",
                                    lambda a=a, b=b, k=k, c=c, form=form: _sheared(problem, a, b, k, form, c))


def _sheared(problem: Problem, i: int, j: int, k: int, form: Form, c: float) -> Problem | None:
    library = problem.library
    f = form.build(variable(library, k))
    inner = None if f is None else product(library, [(f, 1.0), (variable(library, j), 1.0)])
    expression = None if inner is None else linear(library, [(1.0, variable(library, i)), (c, inner)])
    if expression is None:
        return None
    with np.errstate(all="ignore"):
        column = problem.X[i] + c * form.value(problem.X[k]) * problem.X[j]
    return reduced(problem, [n for n in range(problem.n_variables) if n not in (i, j)], [(column, expression)])
