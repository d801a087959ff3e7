"""Sums and products of functions of different variables: ``g(y) = f_1(S_1) + f_2(S_2) + ...`` for disjoint S_k.

A Chebyshev model of main effects, and of interactions for as few pairs of variables as the held-out rows ask for, tells
which variables belong together: the connected parts of the graph of interacting pairs (networkx). What the model says
of all other parts is subtracted, so that a part becomes a small problem of its own, with the model's error as noise.
The parts' best candidates are added up, and all their constants are fitted together on the data; the error of the model
leaves no trace there.
"""

import time
from collections.abc import Callable, Iterator
from itertools import combinations, product as cartesian
from typing import NamedTuple

import numpy as np

from rsrm.closing import column
from rsrm.compose import linear
from rsrm.constants import fit
from rsrm.expression import Expression, substitute, variable
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.surrogate import Columns, chebyshev
from rsrm.targets import Target, transformed
from rsrm.terms import presentable, subset

MAX_ROWS = 1500
"""Rows that the model sees."""
DEGREES = (5, 9, 14, 20)
"""Degrees of the main effects that are tried."""
INTERACTION = 5
"""Total degree of an interaction."""
ROWS_PER_TERM = 2.0
WORTH = 0.7
"""An interaction is kept if the held-out error falls below this multiple."""
ACCURATE = 0.1
"""Held-out error, in standard deviations of the target, above which nothing is believed."""
PAIRS = 12
"""Pairs that are looked at in full before one is chosen."""
KEPT = 4
"""Candidates of each part that are combined."""
COMBINED = 40
"""Combinations whose constants are fitted together."""
FIT_ROWS = 400


class Split(NamedTuple):
    """A target that splits, with the model's error and the values of every part."""

    error: float
    target: Target
    parts: list[tuple[list[int], np.ndarray]]  # columns of X, float64[R] values of the part


class _Blocks:
    """Chebyshev columns of the main effects and interactions of a problem."""

    def __init__(self, X: np.ndarray, columns: Columns, degree: int):
        self.t = chebyshev(columns.map(X)[0], max(degree, INTERACTION))[0]
        self.main = [self.t[1:degree + 1, i] for i in range(len(X))]

    def pair(self, i: int, j: int, top: int = INTERACTION) -> np.ndarray:
        """Return the columns of the interaction of two variables, float64[terms, R]."""
        return np.array([self.t[a, i] * self.t[b, j] for a in range(1, top) for b in range(1, top + 1 - a)])

    def promising(self, r: np.ndarray, w: np.ndarray, used: list) -> list[tuple[int, int]]:
        """Return the pairs whose simplest columns are most correlated with the weighted residual r."""
        scored = []
        for i, j in combinations(range(self.t.shape[1]), 2):
            if (i, j) not in used:
                columns = self.pair(i, j, 3) * w
                scored.append((-float(np.sum((columns @ r) ** 2 / np.sum(columns**2, axis=1))), (i, j)))
        return [pair for _, pair in sorted(scored)[:PAIRS]]


def _solve(blocks: list[np.ndarray], z, w, held) -> tuple[list[np.ndarray], float]:
    """Return the weighted values of every block and the held-out error in standard deviations of z."""
    A = np.vstack([np.ones((1, len(z))), *blocks])
    c = np.linalg.lstsq((A[:, ~held] * w[~held]).T, (z * w)[~held], rcond=1e-11)[0]
    r = (z - c @ A)[held] * w[held]
    scale = np.sqrt(np.mean(((z - np.average(z, weights=w * w)) * w)[held] ** 2))
    ends = np.cumsum([1] + [len(b) for b in blocks])
    return [c[lo:hi] @ A[lo:hi] for lo, hi in zip(ends[:-1], ends[1:], strict=True)], float(
        np.sqrt(np.mean(r * r)) / max(scale, 1e-300))


def split(problem: Problem, target: Target, deadline: float = np.inf) -> Split | None:
    """Return how the target splits into parts over different variables, or None where it does not.

    Parameters
    ----------
    problem : Problem
        Of at least two variables.
    target : Target
        Of that problem; its weights count under noise only.
    deadline : float
        Of ``time.perf_counter``; nothing is returned later.
    """
    z = target.values
    w = np.ones(len(z)) if problem.noise == 0 else target.weights
    held = np.arange(len(z)) % 4 == 3
    n, rows = problem.n_variables, int((~held).sum())
    best = None
    for map_ in Columns.choices(problem.X):
        for degree in DEGREES:
            if ROWS_PER_TERM * (1 + n * degree) > rows or time.perf_counter() > deadline:
                break
            blocks = _Blocks(problem.X, map_, degree)
            values, error = _solve(blocks.main, z, w, held)
            if best is None or error < 0.9 * best[0]:
                best = (error, blocks, values)
    if best is None:
        return None
    import networkx as nx  # takes longer to load than most laws to find

    error, blocks, values = best
    graph = nx.empty_graph(n)
    used: list[tuple[int, int]] = []
    terms = sum(len(b) for b in blocks.main)
    extra = len(blocks.pair(0, 1))
    while ROWS_PER_TERM * (terms + extra) <= rows and error > 1e-10:
        if time.perf_counter() > deadline:
            return None
        r = (z - sum(values) - np.average(z - sum(values), weights=w * w)) * w
        gains = {}
        for pair in blocks.promising(r, w, used):
            q, _ = np.linalg.qr((blocks.pair(*pair) * w).T)
            gains[pair] = float(np.sum((q.T @ r) ** 2))
        if not gains:
            break
        pair = max(gains, key=gains.get)
        longer = [*used, pair]
        more, less = _solve(blocks.main + [blocks.pair(*p) for p in longer], z, w, held)
        if less > WORTH * error:
            break
        used, values, error, terms = longer, more, less, terms + extra
        graph.add_edge(*pair)
        if nx.is_connected(graph):
            return None
    if error > ACCURATE and problem.noise == 0 or error > 1.0:
        return None
    parts = []
    spread = float(np.std(z))
    for members in nx.connected_components(graph):
        inside = [k for k in range(n) if k in members]
        part = sum(values[k] for k in inside) + sum((v for p, v in zip(used, values[n:], strict=True)
                                                     if p[0] in members), np.zeros(len(z)))
        if np.std(part) > max(0.3 * error, 1e-8) * spread:  # else the variables matter less than the model errs
            parts.append((inside, part))
    return Split(error, target, parts) if len(parts) > 1 or (parts and len(parts[0][0]) < n) else None


def splits(problem: Problem, deadline: float) -> Iterator[Split]:
    """Yield how the target and its images under invertible outer functions split, where they do."""
    for name in ("identity", "exp", "inv", "sqrt", "square", "log"):
        if name in ("exp", "log") and name not in problem.library.operators:
            continue
        target = transformed(problem, name)
        if target is not None and (found := split(problem, target, deadline)) is not None:
            yield found


def separable(problem: Problem, solve: Callable[[Problem], Iterator[Expression | None]], deadline: float,
              rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield sums of functions of different variables, and their images under outer functions.

    Parameters
    ----------
    problem : Problem
        Nothing is yielded for a single variable, or without constants.
    solve : callable
        Yields expressions (or None) for a part: a problem with noise.
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows.
    """
    if problem.n_variables < 2 or problem.n_rows < 40 or not problem.library.constants:
        return
    part = subset(problem, MAX_ROWS, rng)
    ways = []
    for found in splits(part, deadline):
        ways.append(found)
        yield None
    for found in sorted(ways, key=lambda s: s.error)[:3]:
        yield from _solved(part, found, solve, deadline)


def _solved(problem: Problem, found: Split, solve, deadline: float) -> Iterator[Expression | None]:
    """Yield the combined candidates of all parts."""
    total = sum(values for _, values in found.parts)
    z = found.target.values - np.mean(found.target.values)
    residual = z - (total - np.mean(total))
    options: list[list[Expression]] = []
    library = problem.library
    for inside, values in found.parts:
        small = Library(len(inside), library.operators, library.constants, library.literals)
        y = values + residual
        weights = None if problem.noise == 0 else found.target.weights
        noise = min(1.0, max(1e-7, float(np.std(residual) / max(np.std(y), 1e-300))))
        sub = Problem(np.ascontiguousarray(problem.X[inside]), y, small, weights, noise)
        ranked = []
        for expression in solve(sub):
            if expression is None:
                yield None
                continue
            if (value := judged(sub, expression)) is not None:
                ranked.append((value, len(ranked), expression))
        if not ranked or time.perf_counter() > deadline:
            return
        ranked.sort(key=lambda r: r[:2])
        columns = [variable(library, i) for i in inside]
        options.append([substitute(e, columns) for _, _, e in ranked[:KEPT]])
    rows = np.arange(problem.n_rows) if problem.n_rows <= FIT_ROWS else np.linspace(
        0, problem.n_rows - 1, FIT_ROWS).astype(int)
    order = sorted(cartesian(*(range(len(o)) for o in options)), key=sum)
    for ranks in order[:COMBINED]:
        if time.perf_counter() > deadline:
            return
        parts = [o[k] for o, k in zip(options, ranks, strict=True)]
        whole = linear(library, [(1.0, e) for e in parts], float(np.mean(found.target.values) - np.mean(total)))
        candidate = None if whole is None else presentable(found.target.lift(whole))
        if candidate is not None:
            X, y = np.ascontiguousarray(problem.X[:, rows]), problem.y[rows]
            fitted, _ = fit(candidate, X, y, None if problem.weights is None else problem.weights[rows], n_starts=0)
            yield presentable(fitted)


def judged(problem: Problem, expression: Expression) -> float | None:
    """Return the description length of a candidate of a part."""
    values = column(expression, problem.X)
    if values is None:
        return None
    w = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    r = (problem.y - values) * w
    r = r - w * np.sum(r * w) / np.sum(w * w)
    scale = np.sqrt(np.mean(((problem.y - problem.y.mean()) * w) ** 2))
    error = max(float(np.sqrt(np.mean(r * r)) / scale), 0.5 * problem.noise)
    return problem.n_rows * np.log(error) + expression.complexity + 0.5 * np.log(problem.n_rows) * len(
        expression.constants)
