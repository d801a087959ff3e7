"""Fits of many skeletons at once: a look at many starts each, then Levenberg-Marquardt from the best of them."""

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit
from rsrm.closing import column
from rsrm.compose import linear, product
from rsrm.constants import fit_scaled, workspace
from rsrm.expression import Expression, substitute, variable
from rsrm.problem import Problem
from rsrm.simplify import simplify
from rsrm.skeletons import FREQUENCY, OFFSET, PHASE, POWER, Skeleton, enumerate_skeletons
from rsrm.targets import Target, transformed
from rsrm.terms import presentable, subset

STARTS = (1, 24, 48, 64, 64, 64)
"""Starts that are looked at, by number of constants."""
TRIED = 4
"""Starts that are followed."""
SHORT, LONG = 12, 60
"""Most evaluations of a fit that is followed, and of one that is promising."""
PROMISING = 1e-3
"""Share of the variance: a fit that leaves less is followed to its end."""


class Batch(NamedTuple):
    """Skeletons as arrays; N skeletons, L longest, C most constants, S most starts."""

    tokens: np.ndarray  # int16[N, L]
    lengths: np.ndarray  # int64[N]
    counts: np.ndarray  # int64[N], constants
    starts: np.ndarray  # int64[N], starts to look at
    kinds: np.ndarray  # int64[N, C]
    draws: np.ndarray  # float64[S, C] in [0, 1)


def batch(skeletons: list[Skeleton], rng: np.random.Generator) -> Batch:
    """Return the skeletons as arrays, with fresh random numbers for their starts."""
    n = len(skeletons)
    longest = max(len(s.tokens) for s in skeletons)
    most = max(1, max(len(s.kinds) for s in skeletons))
    tokens, kinds = np.zeros((n, longest), np.int16), np.zeros((n, most), np.int64)
    for k, s in enumerate(skeletons):
        tokens[k, :len(s.tokens)] = np.frombuffer(s.tokens, np.uint8)
        kinds[k, :len(s.kinds)] = np.frombuffer(s.kinds, np.uint8)
    counts = np.array([len(s.kinds) for s in skeletons])
    starts = np.array(STARTS)[np.minimum(counts, len(STARTS) - 1)]
    # Stratified in every coordinate: few starts cover all magnitudes.
    size = int(max(STARTS))
    draws = (np.array([rng.permutation(size) for _ in range(most)]).T + rng.random((size, most))) / size
    return Batch(tokens, np.array([len(s.tokens) for s in skeletons]), counts, starts, kinds, draws)


@njit
def place(kind, u):
    """Return the start value of a constant of a kind, for u uniform in [0, 1)."""
    if kind == PHASE:
        return 2.0 * math.pi * (u - 0.5)
    if kind == FREQUENCY:
        return 0.3 * 10.0 ** (2.1 * u)
    sign = 1.0
    if u < 0.5:
        sign = -1.0
        v = 2.0 * u
    else:
        v = 2.0 * u - 1.0
    if kind == POWER:
        return sign * 0.2 * 60.0**v
    if kind == OFFSET:
        return sign * 10.0 ** (2.5 * v - 1.5)
    return sign * 10.0 ** (2.0 * v - 0.8)


@njit
def fit_batch(batch, first, last, X, y, weights, tables, constants, sse, ws):
    """Fit ``a + b f`` for the skeletons `first` .. `last` - 1; write their constants and sums of squares.

    Parameters
    ----------
    batch : Batch
    first, last : int
    X : float64[D, R]
    y, weights : float64[R]
    tables : Tables
    constants : float64[N, C]
        Overwritten.
    sse : float64[N]
        Overwritten with the sum of squares, relative to that of ``y - mean``; infinite where nothing is finite.
    ws : Workspace
    """
    rows = y.shape[0]
    weight = 0.0
    mean = 0.0
    for i in range(rows):
        weight += weights[i] * weights[i]
        mean += weights[i] * weights[i] * y[i]
    mean /= weight
    total = 0.0
    for i in range(rows):
        total += (weights[i] * (y[i] - mean)) ** 2
    c = batch.kinds.shape[1]
    start = np.zeros(c)
    result = np.zeros(c)
    best = np.zeros((TRIED, c))
    errors = np.zeros(TRIED)
    for k in range(first, last):
        tokens, n, m = batch.tokens[k], batch.lengths[k], batch.counts[k]
        sse[k] = math.inf
        for t in range(TRIED):
            errors[t] = math.inf
        for s in range(batch.starts[k]):
            for j in range(m):
                start[j] = place(batch.kinds[k, j], batch.draws[s, j])
            _, error, _, _ = fit_scaled(tokens, n, start, X, y, weights, tables, 0, result, ws)
            if not error < errors[TRIED - 1]:
                continue
            at = TRIED - 1
            while at > 0 and error < errors[at - 1]:
                errors[at] = errors[at - 1]
                for j in range(m):
                    best[at, j] = best[at - 1, j]
                at -= 1
            errors[at] = error
            for j in range(m):
                best[at, j] = start[j]
        if m == 0:
            sse[k] = errors[0] / total
            continue
        for t in range(TRIED):
            if not errors[t] < math.inf:
                break
            _, error, _, _ = fit_scaled(tokens, n, best[t], X, y, weights, tables, SHORT, result, ws)
            if error < PROMISING * total and error > 1e-20 * total:
                for j in range(m):
                    start[j] = result[j]
                _, error, _, _ = fit_scaled(tokens, n, start, X, y, weights, tables, LONG, result, ws)
            if error / total < sse[k]:
                sse[k] = error / total
                for j in range(m):
                    constants[k, j] = result[j]
            if sse[k] < 1e-20:
                break


ROWS, ROWS_NOISY = 40, 150
"""Rows that skeletons are fitted on."""
CHUNK = 200
"""Skeletons fitted between two looks at the clock."""
EXACT = 1e-18
"""Share of the variance that an exact fit leaves at most."""
YIELDED, YIELDED_NOISY = 4, 8
"""Candidates of one tier and target."""
FOLLOWED = 8
"""Fits of one tier and target that are nearly exact and followed to their end."""
LARGEST = 1e4
"""Constants are of the order of one, as columns are scaled; larger ones, and inverses of such, are degenerate."""
WIDEST = 1e8
"""A target whose values spread more than this, in units of their median, says nothing of most rows."""


def _scales(X: np.ndarray) -> np.ndarray:
    """Return what columns are divided by so that constants are of the order of one: spread, or size if it is wide."""
    size = np.abs(X)
    wide = (size.min(axis=1) > 0) & (size.max(axis=1) > 50.0 * size.min(axis=1))
    scale = np.where(wide, np.median(size, axis=1), np.std(X, axis=1))
    return np.where(scale > 0, scale, 1.0)


def _targets(problem: Problem) -> Iterator[Target]:
    """Yield the targets whose values are fitted: y and its images under invertible outer functions."""
    for name in ("identity", "inv", "exp", "sqrt", "square", "log", "tanh"):
        if name in ("identity", "sqrt", "square", "inv") or name in problem.library.operators:
            target = transformed(problem, name)
            if target is None:
                continue
            size = np.abs(target.values - np.median(target.values))
            if name == "identity" or size.max() < WIDEST * np.median(size):
                yield target


def skeletons(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``a + b f(x; c)``, or an invertible function of it, for small skeletons f with several constants.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows and starts.
    """
    tiers = (0, 1) if problem.n_variables == 1 else (0,)
    yield from (e for e in _tiers(problem, deadline, rng, tiers) if e is not None)


def more_skeletons(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield what the larger skeletons find; None between two chunks of them."""
    yield from _tiers(problem, deadline, rng, (2,) if problem.n_variables == 1 else (1, 2))


def _tiers(problem: Problem, deadline: float, rng, tiers) -> Iterator[Expression | None]:
    library = problem.library
    if problem.n_rows < 8 or np.ptp(problem.y) == 0:
        return
    exact = problem.noise == 0
    part = subset(problem, ROWS if exact else ROWS_NOISY, rng)
    scales = _scales(part.X)
    X = np.ascontiguousarray(part.X / scales[:, None])
    columns = [product(library, [(variable(library, i), 1.0)], float(1.0 / s)) for i, s in enumerate(scales)]
    chosen = list(_targets(part))
    for tier in tiers:
        every = [s for s in enumerate_skeletons(library, tier) if len(s.kinds) + 3 < part.n_rows]
        for lo in range(0, len(every), CHUNK * 20):
            some = every[lo:lo + CHUNK * 20]
            packed = batch(some, rng)
            for target in chosen:
                yield from _fitted(part, target, X, columns, some, packed, deadline)
                if time.perf_counter() > deadline:
                    return


def _fitted(problem: Problem, target: Target, X, columns, some: list[Skeleton], packed: Batch,
            deadline: float) -> Iterator[Expression | None]:
    """Yield the best fits of one target, simplest first."""
    exact = problem.noise == 0
    y = np.ascontiguousarray(target.values / np.std(target.values))
    weights = np.ones(len(y)) if exact else np.ascontiguousarray(target.weights)
    constants, sse = np.zeros(packed.kinds.shape), np.full(len(some), np.inf)
    ws = workspace(packed.tokens.shape[1], packed.kinds.shape[1], len(y))
    done = 0
    while done < len(some) and time.perf_counter() < deadline:
        last = min(done + CHUNK, len(some))
        fit_batch(packed, done, last, X, y, weights, problem.library.tables, constants, sse, ws)
        done = last
        yield None
    if exact:
        near = [int(k) for k in np.argsort(sse)[:FOLLOWED] if EXACT <= sse[k] < PROMISING]
        for k in near:  # a narrow valley takes many steps
            m = packed.counts[k]
            start = constants[k, :m].copy()
            _, error, _, _ = fit_scaled(packed.tokens[k], packed.lengths[k], start, X, y, weights,
                                        problem.library.tables, 300, constants[k], ws)
            sse[k] = error / np.sum((y - y.mean()) ** 2)
        order = [k for k in range(len(some)) if sse[k] < EXACT]
    else:
        cost = np.array([s.cost + 0.5 * len(s.kinds) * np.log(len(y)) for s in some])
        with np.errstate(divide="ignore", invalid="ignore"):
            length = 0.5 * len(y) * np.log(sse) + cost
        order = [int(k) for k in np.argsort(length)[:2 * YIELDED_NOISY] if np.isfinite(length[k])]
    n_found = 0
    for k in order:
        candidate = _write(problem, target, X, columns, some[k], constants[k, :packed.counts[k]], weights)
        if candidate is not None:
            n_found += 1
            yield candidate
            if n_found == (YIELDED if exact else YIELDED_NOISY):
                return


def _write(problem: Problem, target: Target, X, columns, skeleton: Skeleton, constants,
           weights) -> Expression | None:
    """Return the fitted skeleton over the problem's own columns, its powers snapped; None for a degenerate one."""
    size = np.abs(constants)
    if ((size > LARGEST) | (size < 1.0 / LARGEST)).any():
        return None  # a function seen through a keyhole, where it is a line or a power of something else
    tolerance = 1e-6 if problem.noise == 0 else 0.1
    snapped = [np.round(2.0 * c) / 2.0 if kind == POWER and abs(np.round(2.0 * c) / 2.0 - c) < tolerance else c
               for kind, c in zip(skeleton.kinds, constants, strict=True)]
    f = Expression(np.frombuffer(skeleton.tokens, np.uint8), np.array(snapped), problem.library)
    values = column(f, X)
    if values is None:
        return None
    design = np.column_stack([np.ones(len(values)), values]) * weights[:, None]
    a, b = np.linalg.lstsq(design, target.values * weights, rcond=None)[0]
    if abs(a) < 1e-9 * np.abs(target.values).max():
        a = 0.0
    candidate = linear(problem.library, [(float(b), substitute(f, columns))], float(a))
    candidate = None if candidate is None else target.lift(simplify(candidate))
    return presentable(candidate)
