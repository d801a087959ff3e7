"""Gaussians, Arrhenius laws and their kin: ``log|y|`` is linear in logarithms and Laurent monomials."""

import time
from collections.abc import Iterator
from itertools import combinations
from itertools import product as cartesian

import numpy as np

from rsrm.compose import outer, product, snap
from rsrm.expression import Expression, variable
from rsrm.problem import Problem
from rsrm.regression import eliminate, exact_fit, snap_fit
from rsrm.subsets import fit_subsets
from rsrm.terms import Generator, Terms, compose_sum, presentable, subset

MAX_ROWS = 400
"""Rows used by the linear algebra."""


@np.errstate(all="ignore")
def _laurent(problem: Problem, limit: int) -> tuple[Terms, int]:
    """Return terms for log|y| and the number of generators that are variables.

    The constant, the logarithms of the variables, and monomials with exponents from -2 to 2.
    """
    library = problem.library
    columns = [i for i in range(problem.n_variables) if np.ptp(problem.X[i]) > 0 and np.all(problem.X[i] != 0)]
    generators = [Generator(problem.X[i], variable(library, i)) for i in columns]
    n = len(generators)
    logs = [Generator(np.log(np.abs(g.values)), g.expression) for g in generators]
    factors = [()] + [((n + k, 1.0),) for k in range(n)]
    ranked = []
    for size in range(1, min(n, 4) + 1):
        for chosen in combinations(range(n), size):
            for a in cartesian((1.0, -1.0, 2.0, -2.0), repeat=size):
                if sum(map(abs, a)) <= 4:
                    ranked.append((sum(map(abs, a)) + 0.1 * sum(p < 0 for p in a), tuple(zip(chosen, a, strict=True))))
    ranked.sort(key=lambda item: item[0])
    factors += [f for _, f in ranked[:max(limit - len(factors), 0)]]
    values = [np.prod([(generators + logs)[g].values ** p for g, p in f], axis=0) * np.ones(problem.n_rows)
              for f in factors]
    return Terms(np.column_stack(values), factors, generators + logs), n


def exponentials(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``c * prod x_i**a_i * exp(sum of monomials)``: log|y| is linear in logarithms and Laurent monomials."""
    y = problem.y
    if "exp" not in problem.library.operators or problem.n_rows < 12 or np.ptp(y) == 0 or np.ptp(np.sign(y)) > 0:
        return
    part = subset(problem, MAX_ROWS, rng)
    part = part.take(np.abs(part.y) > 3.0 * part.noise * np.std(part.y))
    if part.n_rows < 12 or time.perf_counter() > deadline:
        return
    exact = problem.noise == 0
    terms, n = _laurent(part, part.n_rows // (2 if exact else 5))
    sign = float(np.sign(part.y[0]))
    z = np.log(sign * part.y)
    weights = np.ones(len(z)) if exact else np.abs(part.y) * (1.0 if part.weights is None else part.weights)
    if exact:
        fit = exact_fit(terms, z, weights)
        fits = [] if fit is None else [fit]
    else:
        fits = fit_subsets(terms, z, weights, keep=2)
    for fit in fits:
        if len(fit.support) > 10:
            continue
        # Exponents outside are rounded to halves, and what is inside the exponential is fitted again.
        c = dict(zip(fit.support.tolist(), fit.coefficients, strict=True))
        powers = [(t - 1, np.round(2.0 * v) / 2.0) for t, v in c.items() if 1 <= t <= n]
        if any(abs(p - c[k + 1]) > (1e-6 if exact else 0.2) for k, p in powers):
            continue
        rest = z - sum((p * terms.values[:, k + 1] for k, p in powers), np.zeros(len(z)))
        inside = [t for t in fit.support if t == 0 or t > n]
        few = terms.take(inside)
        again = exact_fit(few, rest, weights) if exact else next(iter(eliminate(few, rest, weights, keep=1)), None)
        if again is None or not any(few.factors[t] for t in again.support):
            continue
        again = snap_fit(few, again, rest, weights, 1e-7 if exact else problem.noise)
        level = sum(v for t, v in zip(again.support, again.coefficients, strict=True) if not few.factors[t])
        moving = [(t, v) for t, v in zip(again.support, again.coefficients, strict=True) if few.factors[t]]
        inner = compose_sum(few, [t for t, _ in moving], [v for _, v in moving])
        if inner is None:
            continue
        own = [(terms.generators[k].expression, float(p)) for k, p in powers if p != 0]
        coefficient = snap(sign * float(np.exp(level)), 1e-9 if exact else problem.noise)
        candidate = presentable(product(problem.library, own + [(outer("exp", inner), 1.0)], coefficient))
        if candidate is not None:
            yield candidate
