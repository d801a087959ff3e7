"""What a further term of a sum would explain, for all multipliers and functions at once, from matrix products."""

from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf

INDEPENDENT = 1e-8
"""Share of a column's square that has to be left once the present terms are projected out."""
HEIGHT = 256
"""Rows of a matrix product: tall enough for BLAS, short enough to stay in the cache."""


class Products(NamedTuple):
    """All products of multipliers M with functions G and slopes H, and what is left of their squares beside a basis.

    Attributes
    ----------
    M : float64[m, R]
    GH : float64[R, 2n]
        Functions, and beside them their slopes.
    size, size2 : float64[m, n]
        Squares of ``m*g`` and of ``m*h``.
    gg, hh, gh : float64[m, n]
        Squares and products of ``m*g`` and ``m*h`` once the basis is projected out.
    """

    M: np.ndarray
    GH: np.ndarray
    size: np.ndarray
    size2: np.ndarray
    gg: np.ndarray
    hh: np.ndarray
    gh: np.ndarray

    @classmethod
    def of(cls, M: np.ndarray, G: np.ndarray, H: np.ndarray, Q: np.ndarray) -> "Products":
        """Return the products of the columns of M, G and H beside the orthonormal columns of Q."""
        M, GH = np.ascontiguousarray(M.T), np.hstack([G, H])
        MM = M * M
        size, size2, gh = MM @ (G * G), MM @ (H * H), MM @ (G * H)
        gg, hh = size.copy(), size2.copy()
        if Q.shape[1]:
            for lo, P in _blocks(M, Q.T, GH):
                _deduct(P, Q.shape[1], lo, gg, hh, gh)
        return cls(M, GH, size, size2, gg, hh, gh)

    def gains(self, extra: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return the share of r that every pair of columns ``m*g, m*h`` explains beside the basis and `extra`.

        Parameters
        ----------
        extra : float64[R, k]
            Orthonormal columns, without what the basis explains.
        r : float64[R]
            Of norm one, without what basis and `extra` explain.

        Returns
        -------
        gains : float64[m, n]
        """
        gains = np.empty(self.gg.shape)
        for lo, P in _blocks(self.M, np.vstack([extra.T, r]), self.GH):
            _gain(P, extra.shape[1], lo, self.size, self.size2, self.gg, self.hh, self.gh, gains)
        return gains


def _blocks(M, rows, GH):
    """Yield the first multiplier of a block and ``(row * multipliers) @ GH``, all multipliers row after row."""
    height = max(1, HEIGHT // len(rows))
    for lo in range(0, len(M), height):
        yield lo, (rows[:, None] * M[None, lo:lo + height]).reshape(-1, M.shape[1]) @ GH


@njit_leaf
def _deduct(P, k, lo, gg, hh, gh):
    """Take what k orthonormal columns explain from squares and products, in place."""
    n, m = gg.shape[1], P.shape[0] // k
    for i in range(m):
        for q in range(i, k * m, m):
            for j in range(n):
                g, h = P[q, j], P[q, n + j]
                gg[lo + i, j] -= g * g
                hh[lo + i, j] -= h * h
                gh[lo + i, j] -= g * h


@njit_leaf
def _gain(P, k, lo, size, size2, gg, hh, gh, gains):
    """Fill the gains of a block; the last products in P are those with the residual."""
    n, m = gg.shape[1], P.shape[0] // (k + 1)
    for i in range(m):
        for j in range(n):
            x, y, z = gg[lo + i, j], hh[lo + i, j], gh[lo + i, j]
            for q in range(i, k * m, m):
                g, h = P[q, j], P[q, n + j]
                x -= g * g
                y -= h * h
                z -= g * h
            a, b = P[k * m + i, j], P[k * m + i, n + j]
            first = x > INDEPENDENT * size[lo + i, j]
            t = z / x
            b -= t * a  # h once g is projected out, too
            y -= t * z
            gain = a * a / x if first else 0.0
            gains[lo + i, j] = gain + (b * b / y if first and y > INDEPENDENT * size2[lo + i, j] else 0.0)
