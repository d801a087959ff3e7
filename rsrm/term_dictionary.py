"""Dictionaries of terms: products of variables and of functions of simple arguments, ranked by simplicity."""

from itertools import combinations
from itertools import product as cartesian

import numpy as np

from rsrm.compose import linear, outer, product
from rsrm.expression import variable
from rsrm.problem import Problem
from rsrm.terms import Generator, Terms

FUNCTIONS = ("sin", "cos", "exp", "log", "sqrt", "tanh", "abs")


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


@np.errstate(all="ignore")
def laurent(problem: Problem, limit: int) -> Terms:
    """Return at most `limit` monomials with exponents from -2 to 2, simplest first, the constant at their head."""
    columns = [i for i in range(problem.n_variables) if np.ptp(problem.X[i]) > 0 and np.all(problem.X[i] != 0)]
    generators = [Generator(problem.X[i], variable(problem.library, i)) for i in columns]
    exponents = cartesian((-2.0, -1.0, 0.0, 1.0, 2.0), repeat=min(len(columns), 5))
    ranked = sorted((sum(map(abs, a)) + 0.1 * sum(p < 0 for p in a), a) for a in exponents if sum(map(abs, a)) <= 6)
    kept, values = [], []
    for _, a in ranked[:limit]:
        factors = tuple((g, p) for g, p in enumerate(a) if p)
        column = np.prod([generators[g].values ** p for g, p in factors], axis=0) * np.ones(problem.n_rows)
        if np.isfinite(column).all():
            kept.append(factors)
            values.append(column)
    return Terms(np.column_stack(values), kept, generators)


def _combinations(n: int, d: int):
    """Yield nondecreasing index tuples of length d."""
    if d == 0:
        yield ()
        return
    for head in _combinations(n, d - 1):
        for last in range(head[-1] if head else 0, n):
            yield (*head, last)
