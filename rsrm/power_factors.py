"""Powers as factors and as arguments of a law that no smooth model fits well.

Where the model of all columns is poor its gradient says little. But a column that acts as a factor ``x**p`` is
*linear* in ``log y = p log x + f(others)``: if leaving it out of the polynomial, for one linear term, does not raise
the held-out error, the column is a factor, and the term's coefficient is its exponent. In the same way two columns that
act through ``a * b**c``, but for a factor ``a**p``, can be replaced by that one.
"""

from collections.abc import Iterator

import numpy as np

from rsrm.algebra import fraction
from rsrm.compose import product
from rsrm.expression import variable
from rsrm.forms import FORMS, Reduction
from rsrm.problem import Problem
from rsrm.reducing import merged, reduced, scaled, weighted
from rsrm.surrogate import (
    ROWS_SPACED, SMOOTH, TERMS, Columns, Surrogate, best_degree, chebyshev, least_squares, multi_indices, products,
)

NO_WORSE = 1.1
"""Growth of the held-out error up to which a smaller model is as good."""
TYPICAL = 0.7
"""Quantile of the held-out errors that counts: where a law is not smooth, some rows are far off under any model."""
COST, SCALE_COST = -0.3, 0.0
WIDE = 1.0
"""Standard deviation of log y from which on a target spans decades."""
LARGEST = 8.0
CLOSE = 0.02
"""Exponents this close to a small fraction are that."""
EXPONENTS = (-1.0, 1.0, -2.0, 2.0, -0.5, 0.5)
"""Powers c of ``a * b**c`` that are tried."""

Fit = tuple[float, np.ndarray, np.ndarray]


class _Logs:
    """The logarithm of the target of a problem, and smaller models of it."""

    def __init__(self, problem: Problem):
        rows = np.arange(0, problem.n_rows, max(1, problem.n_rows // (ROWS_SPACED * TERMS[0])))
        self.X, self.t = problem.X[:, rows], np.log(np.abs(problem.y[rows]))
        self.held = np.arange(len(self.t)) % 4 == 3
        self.degree = best_degree(len(self.X), int((~self.held).sum()), TERMS[0])
        self.logs = np.log(np.where(self.X > 0, self.X, 1.0))
        self.u = Columns.choices(self.X)[-1].map(self.X)[0]

    def fit(self, u: np.ndarray, linear: list[int]) -> Fit:
        """Return (held-out error, exponents, their standard errors) of ``t = sum p_i log x_i + polynomial(u)``."""
        basis = products(chebyshev(u, self.degree)[0], multi_indices(len(u), self.degree))
        spread = np.std(self.logs[linear], axis=1)
        basis = np.vstack([basis, self.logs[linear] / spread[:, None]])
        solution = least_squares(basis[:, ~self.held], self.t[~self.held])
        error = float(np.quantile(np.abs(basis[:, self.held].T @ solution - self.t[self.held]), TYPICAL))
        return error, solution[len(basis) - len(linear):] / spread, error / (spread * np.sqrt((~self.held).sum()))

    def without(self, linear: list[int]) -> Fit:
        """Return the fit whose polynomial has no columns `linear`."""
        return self.fit(np.delete(self.u, linear, axis=0), linear)

    def joined(self, i: int, j: int, c: float) -> Fit:
        """Return the fit whose polynomial has ``x_i * x_j**c`` for the two columns, and x_i as a factor."""
        v = self.logs[i] + c * self.logs[j]
        v = 2.0 * (v - v.min()) / max(np.ptp(v), 1e-300) - 1.0
        return self.fit(np.vstack([np.delete(self.u, [i, j], axis=0), v]), [i])


def _simple(p: float, error: float) -> float | None:
    """Return the small fraction that an exponent is, 0.0 included, or None."""
    if abs(p) <= 4.0 * error:
        return 0.0
    pq = fraction(p, max(4.0 * error, CLOSE) / abs(p), 4)
    return pq[0] / pq[1] if pq and abs(p) <= LARGEST else None


def power_factors(problem: Problem, surrogate: Surrogate) -> Iterator[Reduction]:
    """Yield the division by all powers that are factors, or else pairs of columns that act through one.

    Parameters
    ----------
    problem : Problem
    surrogate : Surrogate
        Its model, of all columns; nothing is asked where it is good.
    """
    X, y = problem.X, problem.y
    positive = [i for i in range(len(X)) if X[i].min() > 0 and X[i].max() > X[i].min()]
    if len(X) < 2 or not positive or y.min() <= 0 <= y.max() or (np.ptp(X, 1) == 0).any():
        return
    # Over decades another transform is accurate for the largest values only, and so is its gradient.
    wide = surrogate.transform != "log" and np.std(np.log(np.abs(y))) > WIDE
    if surrogate.error < SMOOTH and not wide:
        return
    model = _Logs(problem)
    if model.degree < 1:
        return
    limit = model.without([])[0]
    linear: list[int] = []
    for error, i in sorted((model.without([i])[0], i) for i in positive):
        if error > NO_WORSE * limit or len(linear) == len(X) - 1:
            break
        together = model.without([*linear, i])[0]
        if together <= NO_WORSE * limit:
            linear, limit = [*linear, i], min(limit, together)
    if linear:
        _, exponents, errors = model.without(linear)
        powers = {i: _simple(p, e) for i, p, e in zip(linear, exponents, errors, strict=True)}
        powers = {i: p for i, p in powers.items() if p}
        if powers:
            text = "factor " + " ".join(f"x{i}**{p:g}" for i, p in powers.items())
            yield Reduction("factor", float(max(errors)), COST, tuple(powers), text, lambda: _divided(problem, powers))
            return
    for i in positive:
        for j in (j for j in positive if j > i):
            yield from _joined(problem, model, i, j, limit)


def _joined(problem: Problem, model: _Logs, i: int, j: int, limit: float) -> Iterator[Reduction]:
    """Yield the best way in which columns i and j act through one."""
    fits = [(*model.joined(i, j, c), c) for c in EXPONENTS]
    error, exponents, errors, c = min(fits, key=lambda f: f[0])
    p = _simple(exponents[0], errors[0])
    if error > NO_WORSE * limit or p is None:
        return
    keep, log = [k for k in range(problem.n_variables) if k not in (i, j)], FORMS[0]
    if p == 0.0:
        yield Reduction("merge", float(errors[0]), SCALE_COST, (i, j), f"merge log(x{i}) {c:+g} log(x{j})",
                        lambda: merged(problem, i, j, keep, log, log, c))
    else:
        yield Reduction("scale", float(errors[0]), SCALE_COST, (i, j), f"scale log: p={p:g}, x{i} {c:+g} x{j}",
                        lambda: scaled(problem, i, j, log, c, p))


def _divided(problem: Problem, powers: dict[int, float]) -> Problem | None:
    """Return the problem of y over a product of powers, without these columns."""
    factor = np.prod([problem.X[i] ** p for i, p in powers.items()], axis=0)
    keep = [i for i in range(problem.n_variables) if i not in powers]
    bases = [(variable(problem.library, i), p) for i, p in powers.items()]
    return reduced(problem, keep, [], problem.y / factor, weighted(problem, 1.0 / factor),
                   lambda f: product(problem.library, [*bases, (f, 1.0)]))
