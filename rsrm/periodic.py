"""Sines whose argument runs over several periods, so that no inverse tells what it is.

Asked are, for y and what it is under the inverse of an outer function, also divided by a variable or times one,

* ``a + b sin(f + g + phase)``, or with ``f - g``, for all pairs of the simplest sub-trees of a bank: the addition
  theorem makes all sums over rows that a fit needs products of two matrices;
* the same with a few factors before g, as start of a fit;
* ``a + b sin(c f + phase)`` for the simplest sub-trees f and a grid of frequencies c (a periodogram in f instead of the
  time: Lomb, Astrophysics and Space Science 39, 1976).
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm import compose
from rsrm.bank import Bank
from rsrm.closing import Target, admissible, column, targets
from rsrm.constants import fit
from rsrm.expression import Expression, apply, number, variable
from rsrm.problem import Problem

ROWS = 64
ENTRIES, PAIRED, SCANNED = 4_000, 1_000, 300
"""Of the bank, of pairs, of the periodogram."""
CYCLES, STEP = 40.0, 0.125
"""Most periods within the data, and the step between two frequencies in periods."""
SCALED, SCALES = 200, (0.3, 0.5, 0.7, 1.4, 2.0, 3.0)
"""Sub-trees g, and what is tried before them, as start of a fit."""
ALMOST = 1.0000001
"""A one that stays a constant to be fitted."""
BLOCK = 100
"""Sub-trees whose pairs are scored at once."""
SPREAD = 1e-4
"""Determinant of the covariance of sine and cosine below which the argument hardly moves."""
SURE, PERHAPS = 1e-6, 0.5
"""Unexplained variance of exact data, at most, at the true frequency and next to it."""
ROUNDING = 1e-10
KEPT = 6
FIT_ROWS = 400


class _Waves:
    """Sines and cosines of sub-trees and of their doubles on some rows."""

    def __init__(self, values: np.ndarray):
        self.s, self.c = np.sin(values), np.cos(values)
        self.s2, self.c2 = 2.0 * self.s * self.c, 1.0 - 2.0 * self.s * self.s

    def part(self, lo: int, hi: int | None) -> "_Waves":
        """Return the waves of some of the sub-trees."""
        part = object.__new__(_Waves)
        part.s, part.c, part.s2, part.c2 = (a[lo:hi] for a in (self.s, self.c, self.s2, self.c2))
        return part

    def pairs(self, other: "_Waves", sign: float, y: np.ndarray) -> np.ndarray:
        """Return the unexplained variance of y (mean 0, variance 1) by waves in ``f + sign g``, float64[F, G].

        f is one of these sub-trees, g one of the `other`.
        """
        n = len(y)

        def sums(s, c, t, d, weights):
            a, b = s * weights, c * weights
            return (a @ d.T + sign * (b @ t.T)) / n, (b @ d.T - sign * (a @ t.T)) / n

        one = np.ones(n)
        return _unexplained(*sums(self.s, self.c, other.s, other.c, one), *sums(self.s, self.c, other.s, other.c, y),
                            *sums(self.s2, self.c2, other.s2, other.c2, one))


def _unexplained(sin, cos, y_sin, y_cos, sin2, cos2) -> np.ndarray:
    """Return the unexplained variance from means over rows: of the waves, of their products with y, of the doubles."""
    v11, v22, v12 = 0.5 * (1.0 - cos2) - sin * sin, 0.5 * (1.0 + cos2) - cos * cos, 0.5 * sin2 - sin * cos
    determinant = v11 * v22 - v12 * v12
    with np.errstate(all="ignore"):
        explained = (y_sin**2 * v22 - 2.0 * y_sin * y_cos * v12 + y_cos**2 * v11) / determinant
    return np.where(determinant > SPREAD, 1.0 - explained, np.inf)


def periodic(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield laws with a sine whose argument runs over several periods; None between questions.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows.
    """
    library = problem.library
    if not {"sin", "cos"} & set(library.operators):
        return
    bank = Bank.enumerate(problem.X, library, max_entries=ENTRIES, deadline=deadline, rng=rng, n_rows=ROWS)
    rows = np.unique(bank.rows)
    first = np.array([np.flatnonzero(bank.rows == r)[0] for r in rows])
    usable = np.flatnonzero(~bank.is_number & (np.ptp(bank.values, axis=1) > 0)
                            & (np.abs(bank.values).max(1) < 1e3))[:PAIRED]
    if len(rows) < 8 or not len(usable):
        return
    values = bank.values[usable][:, first]
    waves = _Waves(values)
    for target, power in _questions(problem):
        if time.perf_counter() > deadline:
            return
        y = _divided(problem, target, power)
        if y is None:
            continue
        part = y[rows] - y[rows].mean()
        if not np.std(part) > 0:
            continue
        part = part / np.std(part)
        for argument in _arguments(problem, bank, usable, values, waves, part, deadline):
            law = None if argument is None else _closed(problem, target, power, y, argument)
            yield law
            if law is None and time.perf_counter() > deadline:
                return


def _questions(problem: Problem) -> Iterator[tuple[Target, tuple[int, float] | None]]:
    """Yield (target, (column, exponent) of what stands before the sine or None), likely ones first."""
    plain, *others = targets(problem)
    yield plain, None
    for i in range(problem.n_variables):
        if (problem.X[i] != 0).all():
            yield plain, (i, 1.0)
            yield plain, (i, -1.0)
    for target in others:
        yield target, None


def _divided(problem: Problem, target: Target, power: tuple[int, float] | None) -> np.ndarray | None:
    """Return the target over the power before the sine, or None where it is not finite."""
    with np.errstate(all="ignore"):
        y = target.values if power is None else target.values * problem.X[power[0]] ** -power[1]
    return y if np.isfinite(y).all() else None


def _arguments(problem: Problem, bank: Bank, usable, values, waves: _Waves, y: np.ndarray,
               deadline: float) -> Iterator[Expression | None]:
    """Yield what may stand in the sine, best first: pairs, then single sub-trees with a frequency (a constant)."""
    limit = SURE if problem.noise == 0.0 else 1.0 - PERHAPS
    found: list[tuple[float, int, int, float]] = []
    for lo in range(0, len(usable), BLOCK):
        if time.perf_counter() > deadline:
            return
        hi = min(lo + BLOCK, len(usable))
        for sign in (1.0, -1.0):
            rest = waves.part(lo, hi).pairs(waves.part(lo, None), sign, y)
            found += [(max(score, ROUNDING), lo + i, lo + j, sign) for score, i, j in _least(rest, limit) if i != j]
        yield None
    # Equal ones are the same sum written in several ways; sub-trees are in the order of their size.
    for _, i, j, sign in sorted(found, key=lambda f: (f[0], f[1] + f[2]))[:KEPT]:
        yield compose.linear(problem.library, [(1.0, bank.expression(int(usable[i]))),
                                               (sign, bank.expression(int(usable[j])))])
    if not problem.library.constants:
        return
    few = min(SCALED, len(usable))
    scaled: list[tuple[float, int, int, float]] = []
    for scale in SCALES:
        other = _Waves(scale * values[:few])
        for sign in (1.0, -1.0):
            least = _least(waves.pairs(other, sign, y), PERHAPS)
            scaled += [(score, i, j, sign * scale) for score, i, j in least if i != j]
    yield None
    for _, i, j, scale in sorted(scaled)[:KEPT]:
        f, g = bank.expression(int(usable[i])), bank.expression(int(usable[j]))
        yield compose.linear(problem.library, [(ALMOST, f), (scale, g)])
    for _, i, frequency in _periodogram(values[:SCANNED], y):
        yield compose.product(problem.library, [(number(problem.library, frequency), 1.0),
                                                (bank.expression(int(usable[i])), 1.0)])


def _least(rest: np.ndarray, limit: float) -> list[tuple[float, int, int]]:
    """Return (value, row, column) of the least values below a limit."""
    places = np.argpartition(rest, KEPT, axis=None)[:KEPT] if rest.size > KEPT else range(rest.size)
    least = [(float(rest.flat[p]), *divmod(int(p), rest.shape[1])) for p in places]
    return [entry for entry in least if entry[0] < limit]


def _periodogram(values: np.ndarray, y: np.ndarray) -> list[tuple[float, int, float]]:
    """Return (unexplained variance, sub-tree, frequency) of the best waves, best first; one for a sub-tree."""
    cycles = np.arange(1.0, min(CYCLES, len(y) / 3.0), STEP)
    found = []
    for i, f in enumerate(values):
        frequencies = 2.0 * np.pi * cycles / np.ptp(f)
        angle = frequencies[:, None] * f
        s, c = np.sin(angle), np.cos(angle)
        rest = _unexplained(s.mean(1), c.mean(1), (s * y).mean(1), (c * y).mean(1), (2.0 * s * c).mean(1),
                            (1.0 - 2.0 * s * s).mean(1))
        k = int(np.argmin(rest))
        if rest[k] < PERHAPS:
            found.append((float(rest[k]), i, float(frequencies[k])))
    return sorted(found)[:KEPT]


def _closed(problem: Problem, target: Target, power: tuple[int, float] | None, y: np.ndarray,
            argument: Expression) -> Expression | None:
    """Return the law with ``a + b sin(argument + phase)``, constants fitted, or None where that says nothing."""
    library = problem.library
    step = max(1, problem.n_rows // FIT_ROWS)
    X, t = np.ascontiguousarray(problem.X[:, ::step]), y[::step]
    angle = column(argument, X)
    if angle is None:
        return None
    design = np.stack([np.ones(len(t)), np.sin(angle), np.cos(angle)], 1)
    a, b, d = np.linalg.lstsq(design, t)[0]
    size = np.hypot(b, d)
    wave = None
    if not len(argument.constants):
        for name, coefficient, other in (("sin", b, d), ("cos", d, b)):
            if name in library.operators and abs(other) < 1e-3 * size:
                wave = _written(problem, a, coefficient, size, apply(library, name, argument))
    if wave is None and library.constants and "sin" in library.operators:
        shifted = compose.linear(library, [(1.0, argument)], float(np.arctan2(d, b)))
        wave = None if shifted is None else compose.linear(library, [(size, apply(library, "sin", shifted))], a)
        if wave is not None:
            wave, _ = fit(wave, X, t, n_starts=0)
    if wave is None:
        return None
    f = column(wave, X)
    if f is None or (problem.noise == 0.0 and np.std(t - f) > 1e-3 * np.std(t)):
        return None
    if power is not None:
        wave = compose.product(library, [(variable(library, power[0]), power[1]), (wave, 1.0)])
    if wave is None or not target.outer:
        return wave
    return compose.outer(target.outer, wave)


def _written(problem: Problem, a: float, b: float, size: float, wave: Expression) -> Expression | None:
    """Return ``a + b wave`` with numbers as the library allows them."""
    a, b = admissible(problem, a if abs(a) > 1e-9 * size else 0.0), admissible(problem, b)
    return None if a is None or b is None else compose.linear(problem.library, [(b, wave)], a)
