"""Sparse linear combinations over a dictionary of terms: products of variables and of functions of simple arguments.

Three ways of closing a problem, all linear algebra on the values of the terms:

* ``projected``: ``y**p * M`` for many monomials M and several p against the span of a dictionary, by one matrix product;
* ``small_sums``: all pairs (and, with a simple third term, triples) of a dictionary larger than the number of rows,
  through its Gram matrix;
* ``noisy_sums``: backward elimination and description length.
"""

import time
from collections.abc import Iterator
from itertools import combinations, product as cartesian

import numpy as np

from rsrm.compose import linear, outer, product, snap
from rsrm.expression import Expression, variable
from rsrm.factors import arguments
from rsrm.problem import Problem
from rsrm.regression import best_pairs, eliminate, exact_fit, independent, snap_fit
from rsrm.targets import relative_weights, targets
from rsrm.terms import Generator, Terms, compose_sum, presentable

MAX_ROWS = 400
"""Rows used by the linear algebra."""
SPAN = 240
"""Columns of the dictionary that targets are projected on."""
SMALL = 600
"""Columns of the dictionary that pairs are taken from."""
FUNCTIONS = ("sin", "cos", "exp", "log", "sqrt", "tanh", "abs")
POWERS = (1.0, 2.0, -1.0, -2.0, 0.5)
"""Powers p of y in y**p * M."""


def subset(problem: Problem, rows: int, rng: np.random.Generator) -> Problem:
    """Return the problem on at most `rows` rows drawn without replacement."""
    if problem.n_rows <= rows:
        return problem
    return problem.take(np.sort(rng.choice(problem.n_rows, rows, replace=False)))


@np.errstate(all="ignore")
def _inner_arguments(problem: Problem, columns) -> list[tuple[int, Generator]]:
    """Return (level, argument) for functions: variables, then sums, differences, products, quotients and powers."""
    library, X = problem.library, problem.X
    x = [variable(library, i) for i in range(problem.n_variables)]
    found: list = [(0, X[i], x[i]) for i in columns]
    with np.errstate(all="ignore"):
        for i in columns:
            found.append((1, X[i] ** 2, product(library, [(x[i], 2.0)])))
            if len(columns) == 1:
                found.append((2, X[i] ** 3, product(library, [(x[i], 3.0)])))
                for s in (1.0, -1.0):
                    square = product(library, [(x[i], 2.0)])
                    found.append((2, X[i] ** 2 + s * X[i], None if square is None else linear(
                        library, [(1.0, square), (s, x[i])])))
                for c in (1.0, -1.0):
                    found.append((1, X[i] + c, linear(library, [(1.0, x[i])], c)))
                    square = product(library, [(x[i], 2.0)])
                    found.append((2, X[i] ** 2 + c, None if square is None else linear(library, [(1.0, square)], c)))
        for i, j in combinations(columns, 2):
            found.append((1, X[i] - X[j], linear(library, [(1.0, x[i]), (-1.0, x[j])])))
            found.append((1, X[i] + X[j], linear(library, [(1.0, x[i]), (1.0, x[j])])))
            found.append((1, X[i] * X[j], product(library, [(x[i], 1.0), (x[j], 1.0)])))
            found.append((1, X[i] / X[j], product(library, [(x[i], 1.0), (x[j], -1.0)])))
            found.append((1, X[j] / X[i], product(library, [(x[j], 1.0), (x[i], -1.0)])))
    return [(level, Generator(v, e)) for level, v, e in found if e is not None and np.isfinite(v).all()]


@np.errstate(all="ignore")
def dictionary(problem: Problem, limit: int, functions=FUNCTIONS) -> Terms:
    """Return at most `limit` terms, simplest first, the constant at their head.

    Variables; functions of variables; their products; inverse monomials; functions of sums, products and quotients.
    """
    X, library = problem.X, problem.library
    columns = [i for i in range(problem.n_variables) if np.ptp(X[i]) > 0]
    generators = [Generator(X[i], variable(library, i)) for i in columns]
    n = len(generators)
    waves: list[tuple[int, int]] = []  # (level, generator)
    inner = [item for item in _inner_arguments(problem, columns) if item[0] == 0 or n <= 5]
    for name in functions:
        if name not in library.operators and not (name == "tanh" and "exp" in library.operators):
            continue
        for level, argument in inner:
            with np.errstate(all="ignore"):
                values = getattr(np, name)(argument.values)
            if name in ("sin", "cos") and not 1e-2 < np.abs(argument.values).max() < 1e4:
                continue
            if not np.isfinite(values).all() or not np.ptp(values) > 1e-9 * np.abs(values).max():
                continue
            expression = outer(name, argument.expression)
            if expression is not None:
                waves.append((level, len(generators)))
                generators.append(Generator(values, expression))
    ranked: list[tuple[float, tuple]] = [(0.0, ())]
    degree = {1: 8, 2: 5, 3: 4, 4: 4}.get(n, 3)
    monomials_ = [(0, ())]
    for d in range(1, degree + 1):
        for chosen in {tuple(sorted(c)) for c in _combinations(n, d)}:
            factors = tuple((g, float(chosen.count(g))) for g in sorted(set(chosen)))
            monomials_.append((d, factors))
            ranked.append((d, factors))
    single = [i for i in range(n) if np.all(X[columns[i]] != 0)]
    for i in single:
        for p in (1.0, 2.0, 3.0):
            ranked.append((1.0 + p, ((i, -p),)))
            ranked += [(1.2 + p + q, tuple(sorted(((i, -p), (j, q))))) for j in range(n) for q in (1.0, 2.0) if j != i]
    for level, w in waves:
        for d, factors in monomials_:
            if d <= (2 if level == 0 or n <= 3 else 1):
                ranked.append((1.5 + 1.5 * level + 1.2 * d, factors + ((w, 1.0),)))
    # Products of functions grow with the square of their number: only of the simplest arguments when there are many.
    simplest = sorted(waves, key=lambda item: item[0])[:120]
    for (a, v), (b, w) in combinations(simplest, 2):
        ranked.append((3.2 + 1.5 * (a + b), ((v, 1.0), (w, 1.0))))
    for level, w in waves:
        ranked.append((3.1 + 1.5 * level, ((w, 2.0),)))
    ranked.sort(key=lambda item: item[0])
    kept, values = [], []
    for _, factors in ranked[:2 * limit]:
        with np.errstate(all="ignore"):
            column = np.ones(problem.n_rows)
            for g, p in factors:
                column = column * generators[g].values ** p
        if np.isfinite(column).all() and (not factors or np.ptp(column) > 0):
            kept.append(factors)
            values.append(column)
            if len(kept) == limit:
                break
    return Terms(np.column_stack(values), kept, generators)


def _combinations(n: int, d: int):
    """Yield nondecreasing index tuples of length d."""
    if d == 0:
        yield ()
        return
    for head in _combinations(n, d - 1):
        for last in range(head[-1] if head else 0, n):
            yield (*head, last)


def _finish(problem: Problem, terms: Terms, fit, z: np.ndarray, weights: np.ndarray) -> Expression | None:
    """Return the expression of a fit with its coefficients snapped."""
    tolerance = 1e-7 if problem.noise == 0 else 0.1 * problem.noise
    fit = snap_fit(terms, fit, z, weights, tolerance)
    return compose_sum(terms, fit.support, fit.coefficients)


def projected(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``(sum of dictionary terms / M)**(1/p)`` that is exact: y**p * M lies in the span of the dictionary."""
    if problem.noise > 0 or problem.n_rows < 12 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, MAX_ROWS, rng)
    terms = dictionary(part, min(SPAN, int(0.6 * part.n_rows)))
    with np.errstate(all="ignore"):
        A = terms.values / np.linalg.norm(terms.values, axis=0)
    # Directions of dependent columns are arbitrary: they must not count as explained.
    kept = independent(A)
    Q = np.linalg.qr(A[:, kept])[0]
    sign = np.sign(part.y[np.argmax(np.abs(part.y))])
    one_sign = np.all(part.y * sign > 0)
    multipliers: list = [((), np.ones(part.n_rows))]
    multipliers += [(m.exponents, m.values) for m in arguments(part, 300) if m.exponents]
    library = problem.library
    hits = []
    for p in POWERS:
        if time.perf_counter() > deadline:
            return
        if (p != 1.0 and not one_sign) or (p < 0 and np.any(part.y == 0)):
            continue
        with np.errstate(all="ignore"):
            base = part.y if p == 1.0 else (sign * part.y) ** p
            V = np.column_stack([base * m for _, m in multipliers])
            V = V / np.linalg.norm(V, axis=0)
        finite = np.isfinite(V).all(axis=0)
        V[:, ~finite] = 0.0
        left = 1.0 - np.sum((Q.T @ V) ** 2, axis=0)
        for k in np.flatnonzero(finite & (left < 1e-11)):
            # The shortest head of the dictionary that suffices: all of it is close to collinear on smooth data.
            rest = 1.0 - np.cumsum((Q.T @ V[:, k]) ** 2)
            hits.append((p, k, int(kept[np.argmax(rest < 1e-11)]) + 1))
        if hits and p == 1.0 and hits[0][1] == 0:
            break
    found = []
    hits.sort(key=lambda hit: hit[2] + 2 * hit[1] / len(multipliers))
    for p, k, head in hits[:15]:
        if time.perf_counter() > deadline:
            break
        z = (part.y if p == 1.0 else (sign * part.y) ** p) * multipliers[k][1]
        weights = relative_weights(z)
        few = terms.take(np.arange(head))
        fit = exact_fit(few, z, weights)
        if fit is None or len(fit.support) > 12:
            continue
        over = _finish(part, few, fit, z, weights)
        if over is None:
            continue
        factors = [(over, 1.0 / p)] + [(variable(library, i), -a / p) for i, a in multipliers[k][0]]
        candidate = product(library, factors, 1.0 if p == 1.0 else float(sign))
        if (candidate := presentable(candidate)) is not None:
            found.append(candidate)
    yield from sorted(found, key=lambda e: e.complexity + len(e.constants))


def small_sums(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield exact sums of two dictionary terms and a polynomial, or three terms and a constant, for y and its transforms."""
    if problem.noise > 0 or problem.n_rows < 8 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, 100, rng)
    terms = dictionary(part, SMALL)
    n = len({f[0][0] for f in terms.factors if len(f) == 1 and terms.generators[f[0][0]].expression.length == 1})
    power = np.array([sum(p for _, p in f) if all(g < n and p > 0 for g, p in f) else np.inf for f in terms.factors])
    # Under the pairs lies the constant, a polynomial of low degree, or the constant and any one of the simplest terms.
    wide = [list(np.flatnonzero(power <= d)) for d in range(6)]
    wide = [h for k, h in enumerate(wide) if len(h) <= part.n_rows // 3 and (k == 0 or len(h) > len(wide[k - 1]))]
    heads = wide + [[0, third] for third in range(1, min(60, len(terms.factors)))]
    for target in targets(part):
        z, w = target.values, target.weights
        A = terms.values * w[:, None]
        with np.errstate(all="ignore"):
            A = A / np.linalg.norm(A, axis=0)
        A[:, ~np.isfinite(A).all(axis=0)] = 0.0
        b = z * w
        b = b / np.linalg.norm(b)
        for head in heads:
            if time.perf_counter() > deadline:
                return
            Q = np.linalg.qr(A[:, head])[0]
            P = A - Q @ (Q.T @ A)
            size = np.linalg.norm(P, axis=0)
            useful = np.flatnonzero(size > 1e-5)
            if head not in wide:
                useful = useful[:300]
            P = P[:, useful] / size[useful]
            r = b - Q @ (Q.T @ b)
            norm = np.linalg.norm(r)
            if norm < 1e-10:
                continue
            pairs, gains = best_pairs(P, r / norm, 4)
            found = []
            for (i, j), gain in zip(pairs, gains, strict=True):
                if gain < 1.0 - 1e-9:
                    break
                support = np.unique([*head, useful[i], useful[j]])
                few = terms.take(support)
                fit = exact_fit(few, z, w)
                if fit is None:
                    continue
                candidate = _finish(part, few, fit, z, w)
                candidate = None if candidate is None else target.lift(candidate)
                if (candidate := presentable(candidate)) is not None:
                    found.append(candidate)
            if found:
                yield from sorted(found, key=lambda e: e.complexity + len(e.constants))
                return


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
        fits = eliminate(terms, z, weights, keep=8)
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


def noisy_sums(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield sums of dictionary terms chosen by backward elimination and description length, for y and its transforms."""
    if problem.noise == 0 or problem.n_rows < 12 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, 2 * MAX_ROWS, rng)
    for functions in ((), ("sin", "cos"), FUNCTIONS):
        terms = dictionary(part, min(120, part.n_rows // 4), functions)
        for target in targets(part):
            if time.perf_counter() > deadline:
                return
            for fit in eliminate(terms, target.values, target.weights, keep=2):
                if len(fit.support) > 12:
                    continue
                candidate = _finish(part, terms, fit, target.values, target.weights)
                candidate = None if candidate is None else target.lift(candidate)
                if (candidate := presentable(candidate)) is not None:
                    yield candidate
