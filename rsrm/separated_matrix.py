"""Two variables: the factors of a separated representation from the matrix of a polynomial's coefficients.

A polynomial in two columns is linear in its coefficients; their matrix, in orthonormal polynomials of either column,
has as many singular values as the function has products, and its singular vectors span their factors.
"""

from collections.abc import Iterator

import numpy as np

from rsrm.surrogate import chebyshev

COMPARED = ((16, 8), (12, 6), (8, 5), (6, 4), (4, 3), (3, 2))
"""Degrees with which maps of a column are compared, the first that the rows allow, ..."""
DEGREES = ((12, 12), (16, 8), (8, 16), (20, 8), (8, 20), (16, 16), (20, 12), (12, 20))
"""... and those that are tried of the best maps."""
POLYNOMIALS = 3
"""Polynomials of which the factors are taken."""
TRIM = 0.9
"""Share of the rows whose residuals count."""
RCOND = 1e-6
"""Directions of the coefficients that the rows tell less of are left out: they make corners without rows explode."""


def trimmed(r: np.ndarray) -> float:
    """Return the root mean square of all but the largest tenth: in the corners a polynomial goes astray."""
    return float(np.sqrt(np.mean(np.sort(r * r)[: max(1, int(TRIM * len(r)))])))


def matrix_starts(X: np.ndarray, z: np.ndarray, known: np.ndarray,
                  share: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what polynomials in two mapped columns say about their factors, the best ones; none with too few rows.

    Parameters
    ----------
    X : float64[2, N]
    z : float64[N]
    known : bool[N]
        Rows that are fitted; the others choose between maps (the column, its root, its logarithm) and degrees.
    share : float
        Coefficients for each of these rows at most.

    Yields
    ------
    basis : float64[2, N, K]
        Polynomials of the mapped columns.
    c : float64[T, 2, K]
        Coefficients of the factors, those of the largest terms first.
    """
    def fitted(maps, degrees):
        bases = [chebyshev(u, k)[0].T for u, k in zip(maps, degrees, strict=True)]
        design = (bases[0][:, :, None] * bases[1][:, None, :]).reshape(len(z), -1)
        found = np.linalg.lstsq(design[known], z[known], rcond=RCOND)[0]
        error = trimmed((design @ found - z)[~known])
        return error, maps, degrees, bases, found.reshape(bases[0].shape[1], -1)

    def allowed(options):
        return [d for d in options if (d[0] + 1) * (d[1] + 1) <= share * known.sum()]

    compared = allowed(COMPARED)
    if not compared:
        return
    choices = [_maps(x) for x in X]

    def with_maps(maps, j, degrees):
        """Return the fits with every map of column j."""
        return [fitted([u if i == j else v for i, v in enumerate(maps)], degrees) for u in choices[j]]

    def best(fits):
        return min(fits, key=lambda f: f[0])

    high, low = compared[0]
    first = best(with_maps([maps[0] for maps in choices], 0, (high, low)))
    first = best(with_maps(first[1], 1, (low, high)))
    tried = [first, *(fitted(first[1], d) for d in allowed(DEGREES))]
    _, maps, degrees, *_ = best(tried)
    _, maps, *_ = best(with_maps(maps, 0, degrees))
    tried.append(best(with_maps(maps, 1, degrees)))
    for _, _, degrees, bases, C in sorted(tried, key=lambda f: f[0])[:POLYNOMIALS]:
        R = [np.linalg.qr(B[known])[1] for B in bases]
        U, s, V = np.linalg.svd(R[0] @ C @ R[1].T, full_matrices=False)
        k = max(degrees) + 1
        basis, c = np.zeros((2, len(z), k)), np.zeros((len(s), 2, k))
        for j, vectors in enumerate((U, V.T)):  # orthonormal polynomials: steps from here are well conditioned
            basis[j, :, :len(vectors)] = np.linalg.solve(R[j].T, bases[j].T).T
            c[:, j, :len(vectors)] = (vectors * np.sqrt(s)).T
        yield basis, c


def _maps(x: np.ndarray) -> list[np.ndarray]:
    """Return a column, its roots and its logarithm where it has them, mapped to [-1, 1]."""
    found = [x]
    if x.min() > 0:
        found += [np.sqrt(x), x**0.25, np.log(x)]
    return [2.0 * (u - u.min()) / np.ptp(u) - 1.0 for u in found if np.ptp(u) > 0]


def orthogonal(factors: np.ndarray) -> np.ndarray:
    """Return the same function of two variables, float64[T, 2, N], by factors that are orthogonal over the rows."""
    (Q, R), (P, S) = (np.linalg.qr(factors[:, j].T) for j in (0, 1))
    U, s, V = np.linalg.svd(R @ S.T)
    return np.stack([(Q @ U * np.sqrt(s)).T, (P @ V.T * np.sqrt(s)).T], axis=1)
