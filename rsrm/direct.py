"""Direct stages: constants, affine functions and power laws in closed form, and the list of all direct stages.

A stage is a generator ``stage(problem, deadline, rng)`` of candidate expressions, simplest first. A stage promises that
its candidates fit the rows it looked at (exactly, or as well as the noise allows); the caller scores them on all rows.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import constant, product, snap
from rsrm.exponential import exponentials
from rsrm.expression import Expression, variable
from rsrm.factors import factors, more_factors
from rsrm.implicit import quadratics
from rsrm.noisy_rational import noisy_rational
from rsrm.polynomial import generalized_rational, rational
from rsrm.problem import Problem
from rsrm.regression import eliminate, exact_fit, snap_fit, solve
from rsrm.skeleton_fit import skeletons
from rsrm.sparse import noisy_sums, projected, small_sums
from rsrm.targets import relative_weights, transformed
from rsrm.terms import compose_sum, monomials, presentable, subset, variable_generators
from rsrm.mixtures import mixtures

MAX_ROWS = 1000
"""Rows used by a power law."""


def elementary(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield the constant, single variables and affine functions that fit.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    y = problem.y
    spread = np.ptp(y)
    if problem.noise > 0 or spread <= 1e-12 * np.abs(y).max():
        weights = np.ones(len(y)) if problem.weights is None else problem.weights**2
        mean = float(np.average(y, weights=weights))
        level = constant(problem.library, snap(mean, max(1e-12, problem.noise * 1e-2)))
        if (level := presentable(level)) is not None:
            yield level
        if spread <= 1e-12 * np.abs(y).max():
            return
    part = subset(problem, MAX_ROWS, rng)
    generators = variable_generators(part)
    target = transformed(part, "identity")
    if not generators or target is None or time.perf_counter() > deadline:
        return
    terms = monomials(generators, 1)
    if part.noise > 0:
        fits = eliminate(terms, target.values, target.weights, keep=1)
    else:
        fit = exact_fit(terms, target.values, target.weights)
        fits = [] if fit is None else [fit]
    for fit in fits:
        tolerance = 1e-9 if part.noise == 0 else part.noise * 1e-2
        fit = snap_fit(terms, fit, target.values, target.weights, tolerance)
        candidate = compose_sum(terms, fit.support, fit.coefficients)
        candidate = None if candidate is None else target.lift(candidate)
        if (candidate := presentable(candidate)) is not None:
            yield candidate


def _signs(problem: Problem, columns, exponents) -> np.ndarray | None:
    """Return the sign of prod x_i**a_i on every row, or None where a root of a negative number would be taken."""
    sign = np.ones(problem.n_rows)
    for i, a in zip(columns, exponents, strict=True):
        x = problem.X[i]
        if a == 0 or np.all(x > 0):
            continue
        if a != round(a):
            return None
        if round(a) % 2:
            sign = sign * np.sign(x)
    return sign


def _snap_exponents(a: np.ndarray, error: np.ndarray) -> list[np.ndarray]:
    """Return exponents rounded to halves, to thirds and quarters where that is closer, and as they are."""
    halves = np.round(2.0 * a) / 2.0
    options = [np.where(np.abs(halves - a) <= error, halves, a)]
    finer = a.copy()
    for q in (1, 2, 3, 4, 5, 6):
        rounded = np.round(q * a) / q
        finer = np.where((finer == a) & (np.abs(rounded - a) <= error), rounded, finer)
    options.append(finer)
    options.append(np.where(np.abs(a) <= error, 0.0, a))
    return options


def power_law(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``c * prod x_i**a_i``: log|y| is linear in log|x_i|.

    Rows of noisy data count with |y| (delta method); rows where y is lost in the noise are left out of the exponents.
    Exponents are rounded to halves or thirds within their error, and c is refitted in the space of y.
    """
    part = subset(problem, MAX_ROWS, rng)
    with np.errstate(all="ignore"):
        columns = [i for i, x in enumerate(part.X) if np.ptp(np.log(np.abs(x))) > 1e-9 and np.all(x != 0)]
    y = part.y
    if not columns or np.ptp(y) == 0 or (part.noise == 0 and np.any(y == 0)):
        return
    level = part.noise * np.std(y)
    rows = np.abs(y) > 3.0 * level
    if rows.sum() < len(columns) + 4 or time.perf_counter() > deadline:
        return
    L = np.column_stack([np.ones(int(rows.sum()))] + [np.log(np.abs(part.X[i][rows])) for i in columns])
    z = np.log(np.abs(y[rows]))
    w = np.abs(y[rows]) if part.noise > 0 else np.ones(len(z))
    if part.noise > 0 and part.weights is not None:
        w = w * part.weights[rows]
    b, r = solve(L * w[:, None], z * w)
    variance = float(r @ r) / (len(z) - len(b))
    covariance = np.linalg.pinv((L * w[:, None]).T @ (L * w[:, None]), hermitian=True) * variance
    error = 4.0 * np.sqrt(np.diag(covariance))[1:] + 1e-9
    if part.noise == 0 and np.sqrt(np.mean(r * r)) > 1e-8 * (1.0 + np.abs(z).max()):
        return
    if np.sqrt(variance) > 0.5 * np.sqrt(np.mean((w * z) ** 2)):
        return
    seen: list[tuple] = []
    for exponents in _snap_exponents(b[1:], np.minimum(error, 0.2)):
        if tuple(exponents) in seen:
            continue
        seen.append(tuple(exponents))
        sign = _signs(part, columns, exponents)
        if sign is None:
            continue
        with np.errstate(all="ignore"):
            # In logarithms: partial products of columns like 1e-34 and 1e30 may leave the range of a float.
            m = sign * np.exp(np.log(np.abs(part.X[columns])).T @ exponents)
        weights = relative_weights(y) if part.noise == 0 else (1.0 if part.weights is None else part.weights)
        c = float((m * weights) @ (y * weights) / ((m * weights) @ (m * weights)))
        residual = np.sqrt(np.mean(((c * m - y) * weights) ** 2) / np.mean((y * weights) ** 2))
        if not np.isfinite(residual) or residual > (1e-8 if part.noise == 0 else 0.5):
            continue
        c = snap(c, 1e-10 if part.noise == 0 else part.noise * 1e-1)
        factors = [(variable(part.library, i), float(a)) for i, a in zip(columns, exponents, strict=True) if a != 0]
        candidate = product(part.library, factors, c)
        if (candidate := presentable(candidate)) is not None:
            yield candidate
            if part.noise == 0:
                return


STAGES = (elementary, power_law, rational, noisy_sums, factors, exponentials, noisy_rational, projected, more_factors,
          skeletons, quadratics, small_sums,
          generalized_rational, mixtures)
"""All direct stages, cheapest first; those for exact data give nothing where the problem has noise, and the reverse."""
AT_ONCE, CHEAP, QUICK = 2, 6, 11
"""Stages that take a hundredth of a second, those that exact data pass before anybody asks for noise, and those that
come before the bank."""
NOISY_SETS = (noisy_sums, noisy_rational)
"""Stages for noise that compare all small sets of terms."""
