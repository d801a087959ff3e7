"""From what a search scored to an expression for y: outer constants and the inverse of the target are written out."""

import numpy as np

from rsrm.agents.least_squares import MAX_TERMS, split_terms
from rsrm.agents.scoring import RAW, nearest_simple
from rsrm.compose import fraction, linear, outer, product, snap
from rsrm.constants import fit_constants, workspace
from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import Expression
from rsrm.metrics import target_scale
from rsrm.problem import Problem
from rsrm.targets import Target, targets

SNAP = 1e-8
"""Relative tolerance for taking a coefficient of an exact fit for a simple number."""
NEGLIGIBLE = 1e-10
"""A term whose spread is below this fraction of the target's is dropped."""


def exact_targets(problem: Problem) -> list[Target]:
    """Return y itself, 1/y, and the targets inverted under every outer function that the library can write."""
    base = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    found = [Target(problem.y, base, lambda f: f)]
    found += [t for t in targets(problem)][1:]
    if np.all(problem.y != 0.0):
        found.append(Target(1.0 / problem.y, base * problem.y**2, lambda f: outer("inv", f)))
    return [t for t in found if np.isfinite(t.values).all() and np.isfinite(t.weights).all() and t.weights.any()]


def values_of(expression: Expression, X: np.ndarray) -> np.ndarray | None:
    """Return the values of `expression` on X, float64[D, R], or None where one is not finite."""
    tokens = expression.expanded
    out = np.empty(X.shape[1])
    stack = np.empty((len(tokens) + 1, BLOCK))
    ok = evaluate(tokens, len(tokens), expression.constants, X, expression.library.tables, stack, out)
    return out if ok else None


def error_of(problem: Problem, expression: Expression) -> float:
    """Return the NRMSE of `expression` on the rows of `problem`, weighted if it has weights; inf if undefined."""
    values = values_of(expression, problem.X)
    if values is None:
        return np.inf
    w = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    spread = target_scale(problem.y) if problem.weights is None else np.sqrt(
        np.average((problem.y - np.average(problem.y, weights=w * w)) ** 2, weights=w * w))
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.average(((values - problem.y) / (spread or 1.0)) ** 2, weights=w * w)))
    return error if np.isfinite(error) else np.inf


def write_out(problem: Problem, inner: Expression, mode: int, target: int) -> list[tuple[Expression, float]]:
    """Return the expressions for y that `inner` stands for under `mode` and `target`, with their NRMSE.

    The first has the outer constants as fitted (fitted constants allowed) or nothing; a second one has them snapped to
    simple numbers, where that leaves the error about as it was.
    """
    goal = exact_targets(problem)[target]
    library = problem.library
    options: list[Expression | None] = []
    if mode == RAW:
        options.append(inner)
    else:
        parts = _parts(inner, mode)
        columns = [values_of(f, problem.X) for f in parts]
        if any(c is None for c in columns):
            return []
        slopes, intercept = _solve(columns, goal, mode < 0)
        spread = np.std(np.log(np.abs(goal.values)) if mode < 0 else goal.values)
        keep = [k for k, (a, c) in enumerate(zip(slopes, columns, strict=True))
                if abs(a) * np.std(c) > NEGLIGIBLE * spread]
        if len(keep) < len(parts):
            parts = [parts[k] for k in keep]
            slopes, intercept = _solve([columns[k] for k in keep], goal, mode < 0)
        numbers = np.append(slopes, intercept)
        if library.constants:
            options.append(_combine(library, parts, numbers, mode < 0))
            numbers = np.array([snap(v, SNAP) if abs(v) > 1e-9 * np.abs(goal.values).max() else 0.0 for v in numbers])
            options.append(_combine(library, parts, numbers, mode < 0))
        elif mode > 0:
            options.append(_combine(library, parts, _round(columns, slopes, goal, keep), False))
    lifted = [goal.lift(e) for e in options if e is not None]
    found = []
    for expression in lifted:
        if expression is None or (not library.constants and not _simple_constants(expression)):
            continue
        expression = polish(problem, expression)
        error = error_of(problem, expression)
        if error < np.inf:
            found.append((expression, error))
    return found


def _parts(inner: Expression, mode: int) -> list[Expression]:
    """Return the terms (factors for a negative mode) of an expression as expressions."""
    library = inner.library
    starts, stops = np.zeros(MAX_TERMS, np.int64), np.zeros(MAX_TERMS, np.int64)
    tokens = inner.expanded
    count = 1
    starts[0], stops[0] = 0, len(tokens)
    if abs(mode) > 1 or mode < 0:
        count = split_terms(tokens, len(tokens), library.tables.opcode, library.tables.arity, abs(mode), mode < 0,
                            starts, stops)
    offsets = np.concatenate([[0], np.cumsum(tokens == library.constant)])
    return [Expression(tokens[a:b].copy(), inner.constants[offsets[a]:offsets[b]].copy(), library)
            for a, b in zip(starts[:count], stops[:count], strict=True)]


def _solve(columns: list, goal: Target, logs: bool) -> tuple[np.ndarray, float]:
    """Return slopes and intercept of the weighted least-squares fit; in logarithms for powers."""
    y, w = goal.values, goal.weights
    if logs:
        columns, y, w = [np.log(np.abs(c)) for c in columns], np.log(np.abs(goal.values)), w * np.abs(goal.values)
    A = np.array([*columns, np.ones(len(y))]) * w
    scale = np.abs(A).max(axis=1)  # not the norm: squares of large values would overflow
    scale[scale == 0.0] = 1.0
    solution = np.linalg.lstsq((A / scale[:, None]).T, y * w, rcond=1e-12)[0] / scale
    return solution[:-1], float(solution[-1])


def _round(columns: list, slopes: np.ndarray, goal: Target, keep: list) -> np.ndarray:
    """Return slopes and intercept as simple numbers, as :func:`rsrm.agents.scoring.score_snapped` rounds them."""
    simple = np.array([nearest_simple(a) for a in slopes])
    w = goal.weights**2
    rest = goal.values - sum((a * columns[k] for a, k in zip(simple, keep, strict=True)), np.zeros(len(w)))
    return np.append(simple, nearest_simple(float(np.average(rest, weights=w))))


def _combine(library, parts: list, numbers: np.ndarray, logs: bool) -> Expression | None:
    """Return ``sum number * part + intercept``, or ``exp(intercept) * prod part**number``."""
    if logs:
        return product(library, list(zip(parts, numbers[:-1], strict=True)), float(np.exp(numbers[-1])))
    return linear(library, list(zip(numbers[:-1], parts, strict=True)), float(numbers[-1]))


def _simple_constants(expression: Expression) -> bool:
    """Return whether every constant is a simple fraction."""
    return all(fraction(v) is not None or v == 0.0 for v in expression.constants)


def polish(problem: Problem, expression: Expression, iterations: int = 60) -> Expression:
    """Return `expression` with its constants fitted to y by Levenberg-Marquardt, if the library may fit any."""
    m = len(expression.constants)
    if m == 0 or not problem.library.constants or error_of(problem, expression) < 1e-12:
        return expression
    tokens = expression.expanded
    result = expression.constants.copy()
    w = np.empty(0) if problem.weights is None else problem.weights
    fit_constants(tokens, len(tokens), expression.constants, problem.X, problem.y, w,
                                problem.library.tables, iterations, result, workspace(len(tokens), m, problem.n_rows))
    better = Expression(tokens, result, problem.library)
    return better if error_of(problem, better) < error_of(problem, expression) else expression
