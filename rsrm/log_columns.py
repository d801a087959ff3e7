"""Logarithms of factors as columns of a linear fit: screened, and scanned for their inner constants.

In ``log|y|`` the constant and the powers of the variables are linear and are projected out, of the target as of the
columns ``log|h(k*M)|`` of shapes h over monomials M. What a column explains of the rest is then one product.
"""

import time
from typing import NamedTuple

import numpy as np

from rsrm.problem import Problem
from rsrm.regression import solve
from rsrm.shapes import Shape

TRIED = 12
"""Candidates of one screening that are confirmed."""


class Column(NamedTuple):
    """A dictionary entry: shape, index of the argument, inner constant."""

    shape: Shape
    argument: int
    inner: float


def logarithms(shape: Shape, u: np.ndarray) -> np.ndarray:
    """Return what a factor adds to log|y|, for arguments of any shape of array."""
    with np.errstate(all="ignore"):
        return u if shape.name == "exp" else np.log(np.abs(shape.values(u)))


class Projection:
    """log|y| and dictionary columns with the constant and the logarithms of the variables projected out."""

    @np.errstate(all="ignore")
    def __init__(self, problem: Problem, source=slice(None), level: float | None = None):
        self.source = source  # rows of the whole problem that this one holds
        y = problem.y
        # Rows where y is lost in the noise have no logarithm worth fitting.
        self.level = 3.0 * problem.noise * np.std(y) if level is None else level
        self.rows = np.abs(y) > self.level
        self.variables = [i for i, x in enumerate(problem.X) if np.all(x != 0) and np.ptp(np.log(np.abs(x))) > 1e-9]
        X = problem.X[:, self.rows]
        self.z = np.log(np.abs(y[self.rows]))
        self.w = np.abs(y[self.rows]) if problem.noise > 0 else np.ones(len(self.z))
        if problem.noise > 0 and problem.weights is not None:
            self.w = self.w * problem.weights[self.rows]
        self.w = self.w / self.w.max()
        self.L = np.column_stack([np.ones(len(self.z))] + [np.log(np.abs(X[i])) for i in self.variables])
        self.Q = np.linalg.qr(self.L * self.w[:, None])[0]
        self.left = self.project(self.z)

    @np.errstate(all="ignore")
    def project(self, columns: np.ndarray) -> np.ndarray:
        """Return weighted columns minus their part in the span; columns are float64[R] or float64[R, n]."""
        c = columns * (self.w if columns.ndim == 1 else self.w[:, None])
        return c - self.Q @ (self.Q.T @ c)

    @np.errstate(all="ignore")
    def column(self, shape: Shape, u: np.ndarray) -> np.ndarray:
        """Return the logarithm of a factor on the rows of the projection; `u` is float64[R] on all rows."""
        return logarithms(shape, u[self.rows])

    @np.errstate(all="ignore")
    def residual(self, columns: list[np.ndarray]) -> tuple[np.ndarray, float]:
        """Return (coefficients, weighted root mean square) of the fit of log|y| with further columns."""
        A = np.column_stack([self.L, *columns]) * self.w[:, None]
        if not np.isfinite(A).all():
            return np.zeros(A.shape[1]), np.inf
        b, r = solve(A, self.z * self.w)
        return b, float(np.sqrt(np.mean(r * r) / np.mean(self.w**2)))


def _useful(projection: Projection, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the projected columns, their norms, and which of them say something: not only rounding is left."""
    P = projection.project(raw)
    size = np.linalg.norm(P, axis=0)
    return P, size, size > 1e-6 * np.linalg.norm(raw * projection.w[:, None], axis=0)


@np.errstate(all="ignore")
def screen(projection: Projection, shapes: list[Shape], U: np.ndarray, inner) -> tuple[list[Column], np.ndarray]:
    """Return the useful columns of all shapes over ``inner * U``, and their projected and normalized values.

    U is float64[R, m], on the rows of the projection; `inner` holds one constant per column of U.
    """
    columns, blocks = [], []
    inner = np.broadcast_to(inner, U.shape[1])
    for shape in shapes:
        with np.errstate(all="ignore"):
            raw = logarithms(shape, U * inner)
            index = np.flatnonzero(np.isfinite(raw).all(axis=0))
            raw = raw[:, index]
            P, size, useful = _useful(projection, raw)
        blocks.append(P[:, useful] / size[useful])
        columns += [Column(shape, int(m), float(inner[m])) for m in index[useful]]
    return columns, np.hstack(blocks)


@np.errstate(all="ignore")
def _polish(projection: Projection, shape: Shape, u: np.ndarray, log_k: float) -> tuple[float, float]:
    """Return (log k, residual norm) after Gauss-Newton steps on the inner constant k and the exponent of the factor."""
    step = 1e-5
    best = (log_k, np.inf)
    for _ in range(6):
        here, above, below = (projection.column(shape, np.exp(log_k + d) * u) for d in (0.0, step, -step))
        A = projection.project(np.column_stack([here, (above - below) / (2.0 * step)]))
        if not np.isfinite(A).all():
            break
        length = np.linalg.norm(A, axis=0)
        if not (length > 0).all():
            break
        size = length[0] ** 2
        r = projection.left - A[:, 0] * (A[:, 0] @ projection.left / size)
        norm = float(np.sqrt(r @ r))
        if norm >= best[1]:
            break
        best = (log_k, norm)
        b = np.linalg.lstsq(A / length, projection.left, rcond=1e-12)[0] / length
        if b[0] == 0 or not abs(b[1] / b[0]) < 1.0:
            break
        log_k += b[1] / b[0]
    return best


@np.errstate(all="ignore")
def _settle(projection: Projection, shape: Shape, u: np.ndarray, log_k: float) -> float:
    """Return log k for the exponent rounded to a half: nearly collinear columns trade one for the other."""
    step = 1e-5
    power = None
    for _ in range(5):
        here, above, below = (projection.column(shape, np.exp(log_k + d) * u) for d in (0.0, step, -step))
        A = projection.project(np.column_stack([here, (above - below) / (2.0 * step)]))
        size = A[:, 0] @ A[:, 0]
        if not np.isfinite(A).all() or not size > 0:
            break
        if power is None:
            free = A[:, 0] @ projection.left / size
            power = np.round(2.0 * free) / 2.0
            if power == 0 or abs(power - free) > 1e-2:
                break
        slope = power * A[:, 1]
        change = slope @ (projection.left - power * A[:, 0]) / max(slope @ slope, 1e-300)
        if not abs(change) < 0.3:
            break
        log_k += change
    return log_k


@np.errstate(all="ignore")
def _gains(projection: Projection, shape: Shape, U: np.ndarray, inners: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the share of the target that a shape explains, float64[m, n], for n inner constants of m arguments.

    Zero where it is not defined on all rows, or lies in the span of the logarithms up to rounding.
    """
    raw = logarithms(shape, (U[:, :, None] * inners).reshape(len(U), -1))
    raw[:, ~np.isfinite(raw).all(axis=0)] = 0.0
    P, size, useful = _useful(projection, raw)
    return np.where(useful, (target @ P / size) ** 2, 0.0).reshape(inners.shape)


def scan(whole: Projection, screened: Projection, shapes, monomials_, U: np.ndarray, deadline) -> list[Column]:
    """Return columns with a fitted inner constant, best first; U holds the arguments on the screening rows."""
    grid = 10.0 ** np.arange(-5.0, 2.01, 0.2)
    target = screened.left / np.linalg.norm(screened.left)
    tuned = []
    medians = np.median(np.abs(U), axis=0)
    chosen = np.flatnonzero(medians > 0)
    inners = grid / medians[chosen, None]
    for shape in shapes:
        if shape.name == "exp":
            continue
        if time.perf_counter() > deadline:
            return []
        gains = _gains(screened, shape, U[:, chosen], inners, target)
        place = np.argmax(gains, axis=1)
        best = [(float(gain[j]), int(k), float(inner[j]))
                for gain, k, inner, j in zip(gains, chosen, inners, place, strict=True)]
        best.sort(reverse=True)
        for gain, k, inner in best[:TRIED]:
            if gain > 0.3:
                log_k, norm = _polish(screened, shape, monomials_[k].values[screened.source], np.log(inner))
                tuned.append((norm, Column(shape, k, float(np.exp(log_k)))))
    tuned.sort(key=lambda item: item[0])
    found = []
    for _, c in tuned[:TRIED]:
        log_k, norm = _polish(whole, c.shape, monomials_[c.argument].values, np.log(c.inner))
        log_k = _settle(whole, c.shape, monomials_[c.argument].values, log_k)
        found.append((norm, c._replace(inner=float(np.exp(log_k)))))
    found.sort(key=lambda item: item[0])
    return [c for _, c in found]
