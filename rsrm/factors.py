"""Products of powers and one or two further factors: ``y = c * prod x_i**a_i * h(M)**b``.

In ``log|y|`` the constant and the powers are linear, and are projected out; what is left is compared with the
projected columns ``log|h(k*M)|`` of a dictionary of shapes h (1 + u, sin u, exp u - 1, ...) over monomials M. Pairs of
columns are compared through their Gram matrix; an unknown inner constant k is scanned and then refined.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm.compose import linear, outer, product, snap
from rsrm.expression import Expression, variable
from rsrm.log_columns import TRIED, Column, Projection, scan, screen
from rsrm.problem import Problem
from rsrm.regression import best_pairs
from rsrm.shapes import Monomial, Shape, arguments, shapes
from rsrm.terms import presentable, shortest, subset

SCREEN_ROWS = 64
"""Rows on which the dictionary is screened."""
MAX_ROWS = 600
"""Rows on which candidates are confirmed."""
INNER = (1.0, 0.5, 2.0, np.pi, 2.0 * np.pi, 0.5 / np.pi, 1.0 / 3.0, 0.25, 3.0)
"""Inner constants that are tried as they are."""
PAIRED = 1500
"""Columns whose pairs are compared at once."""


@np.errstate(all="ignore")
def _build(problem: Problem, projection: Projection, monomials_, columns, b: np.ndarray) -> Expression | None:
    """Return the expression of fitted logarithms with snapped exponents and the coefficient refitted, or None."""
    library, y = problem.library, problem.y
    exact = problem.noise == 0
    tolerance = 1e-4 if exact else 0.15  # a wrong rounding fails the test in the space of y
    powers = []
    for v, pure in list(zip(b[1:], [True] * len(projection.variables) + [c.shape.name != "exp" for c in columns],
                            strict=True)):
        if pure:
            rounded = (np.round(q * v) / q for q in (1, 2, 3, 4))
            snapped = next((p for p in rounded if abs(p - v) < tolerance), None)
            if snapped is None or abs(snapped) > 8:
                return None
            v = snapped
        powers.append(float(v))
    own, further = powers[:len(projection.variables)], powers[len(projection.variables):]
    if any(p == 0 for p in further):
        return None
    value = np.ones(len(y))
    with np.errstate(all="ignore"):
        for i, a in zip(projection.variables, own, strict=True):
            value = value * problem.X[i] ** a
        factors = []
        fractions: dict[int, float] = {}
        plain, merged = [], []
        for c, p in zip(columns, further, strict=True):
            m = monomials_[c.argument]
            if c.shape.name == "exp":
                k = snap(p * c.inner, 1e-8 if exact else 1e-3)
                value = value * np.exp(k * m.values)
                inner = m.build(k)
                e = None if inner is None else outer("exp", inner)
                plain.append((e, 1.0))
                merged.append((e, 1.0))
                continue
            k = snap(c.inner, 1e-8)
            u = k * m.values
            if c.shape.name in ("1+", "1-") and not 1e-10 < np.abs(u).max() < 1e10:
                return None  # one of the two terms is lost in rounding: not a sum
            # The exponent is known up to the sign of the base: an even root of a negative base has no meaning.
            value = value * c.shape.values(u) ** p
            inner = m.build(k)
            plain.append((None if inner is None else c.shape.build(inner), p))
            flip = c.shape.name == "1-" and p == round(p) and p % 2 == 1 and np.all(u > 1)
            if flip:
                plain[-1] = (linear(library, [(1.0, inner)], -1.0), p)
                value = -value
            merged.append(_common_denominator(library, c.shape, m, k, p, flip, fractions) or plain[-1])
        weight = 1.0 if problem.weights is None or exact else problem.weights
        scale = 1.0 / np.abs(y) if exact else weight
        coefficient = float(np.sum(value * y * scale**2) / np.sum((value * scale) ** 2))
        error = np.sqrt(np.mean(((coefficient * value - y) * scale) ** 2) / np.mean((y * scale) ** 2))
    if not error < (1e-8 if exact else 0.5):
        return None
    coefficient = snap(coefficient, 1e-9 if exact else 0.1 * problem.noise)
    options = []
    for factors, shift in ((plain, {}), (merged, fractions)):
        if any(e is None for e, _ in factors):
            continue
        total = dict(zip(projection.variables, own, strict=True))
        for i, p in shift.items():
            total[i] = total.get(i, 0.0) + p
        own_factors = [(variable(library, i), p) for i, p in total.items() if p]
        options.append(product(library, own_factors + factors, coefficient))
    return shortest(options)


def _common_denominator(library, shape: Shape, monomial: Monomial, k: float, p: float, flip: bool, shift: dict):
    """Return (D + k*N, p) for (1 + k*N/D)**p, adding the exponents of D**-p to `shift`; None for other shapes."""
    below = [(i, -a) for i, a in monomial.exponents if a < 0]
    if shape.name not in ("1+", "1-") or not below:
        return None
    above = [(variable(library, i), a) for i, a in monomial.exponents if a > 0]
    sign = k if shape.name == "1+" else -k
    bottom = product(library, [(variable(library, i), a) for i, a in below])
    top = product(library, above) if above else None
    if bottom is None or (above and top is None):
        return None
    one = -1.0 if flip else 1.0
    terms = [(one, bottom)] + ([(one * sign, top)] if above else [])
    whole = linear(library, terms, 0.0 if above else one * sign)
    if whole is None:
        return None
    for i, a in below:
        shift[i] = shift.get(i, 0.0) - a * p
    return whole, p


class _Search:
    """What the stages on factors share: projections, arguments and the confirmation of candidates."""

    def __init__(self, problem: Problem, deadline: float, rng: np.random.Generator):
        problem = subset(problem, MAX_ROWS, rng)
        self.problem, self.deadline = problem, deadline
        self.whole = Projection(problem)
        rows = np.flatnonzero(self.whole.rows)
        wanted = SCREEN_ROWS if problem.noise == 0 else 4 * SCREEN_ROWS
        if len(rows) > wanted:
            rows = np.sort(rng.choice(rows, wanted, replace=False))
        self.screened = Projection(problem.take(rows), rows, self.whole.level)
        size = np.linalg.norm(self.screened.left)
        # Nothing is left behind a power law.
        law = size < 1e-9 * np.linalg.norm(self.screened.z * self.screened.w) + 1e-12
        self.usable = len(rows) >= self.whole.L.shape[1] + 4 and not law
        if self.usable:
            self.target = self.screened.left / size
            self.monomials = arguments(problem)
            self.U = np.column_stack([m.values[rows] for m in self.monomials])
            self.shapes = shapes(problem.library)
            self.seen: set = set()

    def expired(self) -> bool:
        return time.perf_counter() > self.deadline

    def screen(self, inner: float, chosen: np.ndarray, shapes: list[Shape]):
        """Return columns and normalized values for one inner constant and some of the arguments."""
        columns, P = screen(self.screened, shapes, self.U[:, chosen], inner)
        return [c._replace(argument=int(chosen[c.argument])) for c in columns], P

    def confirm(self, groups) -> list[Expression]:
        """Return the expressions of those groups of columns that fit, shortest first."""
        found = []
        for columns in groups:
            if self.expired():
                break
            logs = [self.whole.column(c.shape, c.inner * self.monomials[c.argument].values) for c in columns]
            b, error = self.whole.residual(logs)
            if self.problem.noise == 0 and not error < 1e-8 * (1.0 + np.abs(self.whole.z).max()):
                continue
            candidate = presentable(_build(self.problem, self.whole, self.monomials, columns, b))
            if candidate is not None and candidate not in self.seen:
                self.seen.add(candidate)
                found.append(candidate)
        return sorted(found, key=lambda e: e.complexity)


def _applies(problem: Problem) -> bool:
    y = problem.y
    clear = np.count_nonzero(np.abs(y) > 3.0 * problem.noise * np.std(y))  # all rows that are not zero, if exact
    return np.ptp(y) > 0 and clear >= problem.n_variables + 8 and (problem.noise > 0 or clear == len(y))


def factors(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``c * prod x_i**a_i * h(k*M)**b`` with one factor h and a simple inner constant k.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    if not _applies(problem):
        return
    search = _Search(problem, deadline, rng)
    if not search.usable:
        return
    simple = np.flatnonzero([k < 300 or not m.exponents for k, m in enumerate(search.monomials)])
    for k, inner in enumerate(INNER):
        if search.expired():
            return
        chosen = np.arange(search.U.shape[1]) if k == 0 else simple
        columns, P = search.screen(inner, chosen, [s for s in search.shapes if k == 0 or s.name != "exp"])
        gain = (P.T @ search.target) ** 2
        best = np.argsort(-gain)[:TRIED if problem.noise == 0 or k == 0 else 3]
        yield from search.confirm([columns[j]] for j in best if problem.noise > 0 or gain[j] > 1.0 - 1e-9)


def more_factors(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield ``c * prod x_i**a_i`` times one factor with an unknown inner constant, then times two factors."""
    if not _applies(problem):
        return
    search = _Search(problem, deadline, rng)
    if not search.usable:
        return
    tuned = scan(search.whole, search.screened, search.shapes, search.monomials, search.U[:, :60], deadline)
    yield from search.confirm([c] for c in tuned[:4])
    pool: list[Column] = []
    pooled = []
    loose = [k for k, m in enumerate(search.monomials) if not m.exponents]
    for inner in INNER[:3]:
        for names, count in ((("1+", "1-"), 450), (None, 60)):
            shapes = [s for s in search.shapes if (s.name in ("1+", "1-")) == (names is not None)
                      and (inner == 1.0 or s.name != "exp")]
            chosen = np.array(sorted({*range(min(count, len(search.monomials))), *loose}))
            if shapes:
                columns, P = search.screen(inner, chosen, shapes)
                pool += columns
                pooled.append(P)
    P = np.hstack(pooled)
    # Pairs within a block of columns only: the Gram matrix must stay small.
    for lo in range(0, min(len(pool), 4 * PAIRED), PAIRED):
        if search.expired():
            return
        pairs, _ = best_pairs(P[:, lo:lo + PAIRED], search.target, TRIED)
        yield from search.confirm([pool[lo + i], pool[lo + j]] for i, j in pairs)
