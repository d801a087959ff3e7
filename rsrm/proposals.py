"""Which reductions the data support: tests on the gradient of the unknown law.

With a gradient (:mod:`rsrm.surrogate`), the tests are

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

from collections.abc import Iterator

import numpy as np

from rsrm.algebra import fraction
from rsrm.forms import FORMS, SHEARS, TARGETS, Reduction
from rsrm.problem import Problem
from rsrm.reducing import divided, merged, peeled, reduced, scaled, sheared


CONSTANT = 1e-3
"""What varies by less than that, relative to its size, counts as constant, unless the surrogate is good enough..."""
DIGITS = 1e3
"""...to tell: it is trusted down to this multiple of its held-out error."""


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


def relation(u: np.ndarray, v: np.ndarray, least: float = CONSTANT) -> tuple[float, float, float]:
    """Return (c, p, spread) with v close to ``c (u - p)``; spread is infinite where that says nothing.

    What varies by less than `least`, relative to its size, counts as constant.
    """
    good = np.isfinite(u) & np.isfinite(v)
    if good.sum() < max(8, 0.5 * len(u)):
        return 0.0, 0.0, np.inf
    u, v = u[good], v[good]
    a, b = u - u.mean(), v - v.mean()
    aa, ab, bb = a @ a, a @ b, b @ b
    # If one of them is constant, the simpler tests have it.
    if aa <= least**2 * (u @ u) or bb <= least**2 * (v @ v) or not np.isfinite(aa * bb):
        return 0.0, 0.0, np.inf
    c = ab / aa
    return float(c), float(u.mean() - v.mean() / c) if c else 0.0, float(np.sqrt(max(0.0, 1.0 - ab * ab / (aa * bb))))


def simple(value: float, spread: float) -> float:
    """Return the nearest small fraction if it lies within the spread of the test, else `value`."""
    pq = fraction(value, max(4.0 * spread, 1e-3), 4) if np.isfinite(value) and value != 0 else None
    return pq[0] / pq[1] if pq and abs(pq[0]) <= 12 else value


def _odd(value: float) -> float:
    """Return what a number costs a proposal: nothing for 1 and -1, little for a small fraction."""
    return 0.0 if value in (1.0, -1.0) else 0.02 if fraction(value, 1e-12, 4) else 0.15


def propose(problem: Problem, rows: np.ndarray, y: np.ndarray, gradient: np.ndarray,
            loose: float, error: float = 1.0) -> Iterator[Reduction]:
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
    error : float
        Held-out error of the surrogate.
    """
    least = min(CONSTANT, DIGITS * error)
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
                yield from _scales(problem, i, j, y, gradient, slopes, loose, least)
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
                                lambda form=form, p=p: divided(problem, i, keep, form, p))
        if form.logarithmic:
            continue
        for name, g, slope_g, inverse in TARGETS:
            c, spread = proportion(gradient * slope_g(y) / slope, np.ones_like(y))
            c = simple(c, spread)
            if spread < loose:
                cost = spread + form.cost / 5 + (0.05 if name == "id" else 0.1) + 2.0 * _odd(c)
                yield Reduction("term", spread, cost, (i,), f"term {name}(y) = {c:g}*{form.name}(x{i}) + f",
                                lambda form=form, c=c, g=g, sg=slope_g, inv=inverse: peeled(
                                    problem, i, keep, form, c, g, sg, inv))


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
                            lambda a=a, b=b, c=c: merged(problem, i, j, keep, a, b, c))


def _scales(problem: Problem, i: int, j: int, y, gradient, slopes, loose: float, least: float) -> Iterator[Reduction]:
    """Yield the reductions ``y = A**p f(A B**c)`` and ``y = p A + f(A + c B)``."""
    log, plain, square = FORMS[0], FORMS[1], FORMS[2]
    for form, z in ((log, y), (plain, 1.0), (square, 1.0)):
        n = FORMS.index(form)
        if form is log and ((y == 0).any() or (problem.X[i] == 0).any()):
            continue
        c, p, spread = relation(gradient[i] / slopes[i][n] / z, gradient[j] / slopes[j][n] / z, least)
        c, p = simple(c, spread), simple(p, spread)
        if spread >= loose or c == 0 or p == 0 or abs(c) > 8 or (form is log and abs(p) > 8):
            continue
        cost = spread + 0.05 + _odd(c) + _odd(p) + form.cost / 5
        yield Reduction("scale", spread, cost, (i, j), f"scale {form.name}: p={p:g}, x{i} {c:+g} x{j}",
                        lambda form=form, c=c, p=p: scaled(problem, i, j, form, c, p))


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
                                    lambda a=a, b=b, k=k, c=c, form=form: sheared(problem, a, b, k, form, c))
