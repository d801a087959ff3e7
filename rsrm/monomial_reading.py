"""Laws from fitted trees over monomials: exponents that are simple numbers, exactly or as well as noise shows."""

from collections.abc import Generator

import numpy as np

from rsrm.compose import snap
from rsrm.evaluate import values
from rsrm.expression import Expression
from rsrm.monomial_fit import Fits
from rsrm.monomial_rounding import rounded
from rsrm.monomial_trees import Node, count
from rsrm.terms import presentable

EXACT = 1e-18
"""Mean square of relative residuals of an exact fit."""
LARGEST = 8.0
"""An exponent beyond is none of a law."""
ROUND = 1e-4
"""Distance from simple exponents that rounding and curved valleys account for."""
CLOSE = 1.3
"""Under noise, fits are read whose mean square is at most this many times that of the best of trees no larger."""
SAME = 0.05
"""Fits of one tree whose mean squares differ by a smaller share are the same."""
STEP = 1e-5
SINGULAR = 1e-7
"""Singular values of the normalized Jacobian are not taken for smaller than this share of the largest."""
DOUBT = 3.0
"""Standard errors within which an outer constant counts as zero."""

Reading = Generator[Expression | None, None, bool]
"""Yields expressions, and returns whether the tree explains everything."""


class ExactReader:
    """Writes trees that fit exactly.

    Parameters
    ----------
    fits : Fits
        Of a problem without noise.
    """

    def __init__(self, fits: Fits):
        self.fits = fits

    def read(self, node: Node, error: float, constants: np.ndarray, a: float, b: float) -> Reading:
        """Yield the tree; parameters as :meth:`rsrm.monomial_fit.Fits.fit` returns them."""
        if not error < EXACT:
            return False
        yield presentable(self.write(node, constants, a, b))
        return True

    def write(self, node: Node, constants: np.ndarray, a: float, b: float) -> Expression | None:
        """Return a fitted tree over the problem's columns, its exponents simple numbers; None if they are not."""
        table = np.concatenate([[0.0], constants]).reshape(-1, len(self.fits.columns) + 1)
        for row in table[:, 1:]:
            simple = [min((round(q * e) / q for q in (1, 2, 3, 4)), key=lambda s, e=e: (abs(s - e) > ROUND, abs(s - e)))
                      for e in row]
            if np.abs(row - simple).max() > ROUND or np.abs(simple).max() > LARGEST:
                return None
            row[:] = simple
        a = 0.0 if abs(a) < 1e-9 * np.abs(self.fits.y).max() else snap(a, 1e-9)
        return self.fits.compose(table, node, a, b)


class NoisyReader:
    """Writes trees that fit as well as any, with exponents rounded as the noise allows.

    Parameters
    ----------
    fits : Fits
        Of a problem with noise.
    """

    def __init__(self, fits: Fits):
        self.fits = fits
        self.least: dict[int, float] = {}
        self.known: set[tuple[Node, int]] = set()
        self.unit = float(np.abs(fits.y).max())

    def read(self, node: Node, error: float, constants: np.ndarray, a: float, b: float) -> Reading:
        """Yield the tree; parameters as :meth:`rsrm.monomial_fit.Fits.fit` returns them."""
        leaves = count(node)
        if not 0.0 < error < CLOSE * min(self.least.get(k, np.inf) for k in range(1, leaves + 1)):
            return False
        self.least[leaves] = min(self.least.get(leaves, np.inf), error)
        mark = (node, round(float(np.log(error)) / SAME))
        if mark not in self.known:
            self.known.add(mark)
            error, constants, a, b = self.fits.fit(node, constants, whole=True)
            yield from self._rounded(node, error, constants, a, b)
        return False

    def _rounded(self, node: Node, error: float, constants: np.ndarray, a: float, b: float):
        J, m, d = self._jacobian(node, constants, b), len(constants) + 2, len(self.fits.columns)
        spare = len(self.fits.y) - m
        if J is None or spare <= 0:
            return
        size = np.sqrt(np.square(J).sum(axis=0))
        size = np.maximum(size, SINGULAR * size.max())
        _, s, V = np.linalg.svd(J / size, full_matrices=False)
        C = (V.T / np.maximum(s, SINGULAR * s[0]) ** 2) @ V * (error * len(self.fits.y) / spare)
        C /= np.outer(size, size)
        mean, exponents = np.concatenate([[a / self.unit, 0.0], constants]), np.ones(m, bool)
        exponents[:2] = exponents[d + 2::d + 1] = False  # outer constants, and logarithms of coefficients
        if plain := abs(mean[0]) < DOUBT * np.sqrt(C[0, 0]):
            gain = C[:, 0] / C[0, 0]
            mean, C = mean - mean[0] * gain, C - np.outer(gain, C[0])
        for way in rounded(mean, C, exponents):
            table = np.concatenate([[0.0], way[2:]]).reshape(-1, d + 1)
            with np.errstate(over="ignore"):
                scale = b * float(np.exp(way[1]))
            yield presentable(self.fits.compose(table, node, 0.0 if plain else float(way[0]) * self.unit, scale))

    def _jacobian(self, node: Node, constants: np.ndarray, b: float) -> np.ndarray | None:
        """Return the weighted derivatives by a in units of y, log(b), and the rest, float64[R, C + 2], if finite."""
        text, library, X = self.fits.known[node], self.fits.library, self.fits.logs.T

        def value(k: int, step: float) -> np.ndarray:
            moved = constants.copy()
            moved[k] += step
            return values(Expression(text, moved, library), X)[0]

        with np.errstate(all="ignore"):
            slopes = [b * (value(k, STEP) - value(k, -STEP)) / (2.0 * STEP) for k in range(len(constants))]
            J = np.array([np.full(len(X), self.unit), b * value(0, 0.0), *slopes]) * self.fits.weights
        return J.T if np.isfinite(J).all() else None
