"""Which entries of a bank explain a target: compiled scans, matrix products of normalised columns, and hash joins.

A target t is explained by f when t lies in the span of a small basis (a constant, some variables, logarithms of the
variables) and f. With B the basis and P the projection onto its complement, the unexplained part is
``1 - (u.Pt)**2`` for ``u = Pf/|Pf|`` and Pt normalised, and for two entries with ``g = u.v``::

    1 - ((u.t)**2 + (v.t)**2 - 2 (u.t)(v.t) g) / (1 - g**2),

so all pairs of M entries cost one matrix product U U^T and one pass over it. Scores are unexplained fractions of
variance on the bank's rows; what passes is fitted and judged on all rows by the caller.
"""

import numpy as np

from rsrm.matching_kernels import add_squares, offer_products, offer_singles, scan_pairs

SCAN = 4096
"""Entries scanned at a time."""
BLOCK_ROWS = 128
"""Rows of the Gram matrix that are made at a time; the block stays in the level-2 cache."""


def best_lists(n_targets: int, k: int):
    """Return empty best lists: scores float64[T, k] (infinite), first and second int64[T, k] (-1)."""
    return (np.full((n_targets, k), np.inf), np.full((n_targets, k), -1, np.int64),
            np.full((n_targets, k), -1, np.int64))


def orthonormal(rows_of_basis: np.ndarray) -> np.ndarray:
    """Return orthonormal rows that span the rows of float64[k, S], dependent ones dropped."""
    scaled = rows_of_basis / np.maximum(np.linalg.norm(rows_of_basis, axis=1, keepdims=True), 1e-300)
    _, singular, vt = np.linalg.svd(scaled, full_matrices=False)
    return np.ascontiguousarray(vt[singular > 1e-9])


def residual_direction(target: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the part of `target` outside the basis as a unit vector, and its share of the norm of `target`."""
    rest = target
    for _ in range(2):
        rest = rest - (rest @ basis.T) @ basis
    norm, whole = np.linalg.norm(rest), np.linalg.norm(target)
    if not norm > 0.0 or not np.isfinite(whole):
        return np.zeros_like(target), 0.0
    return rest / norm, float(norm / whole)


def scan_single(values: np.ndarray, weights: np.ndarray | None, basis: np.ndarray, targets: np.ndarray, k: int,
                within=lambda: True):
    """Return the best lists of single entries for all targets.

    Parameters
    ----------
    values : float64[N, S]
    weights : float64[S] or None
        Residual weights; None means all one.
    basis : float64[b, S]
        Orthonormal rows, weighted.
    targets : float64[T, S]
        Unit vectors, weighted, projected off the basis.
    k : int
        Length of the lists.
    within : callable
        Asked between blocks whether to go on.

    Returns
    -------
    scores, first, second : arrays [T, k]
        `second` is -1 throughout.
    """
    lists = best_lists(len(targets), k)
    against = np.ascontiguousarray(np.concatenate([targets, basis]).T)
    for lo in range(0, len(values), SCAN):
        if not within():
            break
        block = values[lo:lo + SCAN]
        if weights is not None:
            block = block * weights
        offer_singles(block, lo, block @ against, len(targets), *lists)
    return lists


def match_pairs(U: np.ndarray, targets: np.ndarray, k: int, within=lambda: True):
    """Return the best lists of pairs for all targets.

    Parameters
    ----------
    U : float64[M, S]
        Unit vectors, projected off the basis.
    targets : float64[T, S]
        Unit vectors, projected off the same basis.
    k : int
        Length of the lists.
    within : callable
        Asked between blocks whether to go on.

    Returns
    -------
    scores, first, second : arrays [T, k]
    """
    lists = best_lists(len(targets), k)
    dots = np.ascontiguousarray(targets @ U.T)
    m = len(U)
    room = np.empty(BLOCK_ROWS * m)
    for lo in range(0, m, BLOCK_ROWS):
        if not within():
            break
        hi = min(m, lo + BLOCK_ROWS)
        gram = room[:(hi - lo) * (m - lo)].reshape(hi - lo, m - lo)
        scan_pairs(np.matmul(U[lo:hi], U[lo:].T, out=gram), lo, lo, dots, *lists)
    return lists


def match_products(F: np.ndarray, H: np.ndarray, target: np.ndarray, weights: np.ndarray, k: int, same: bool,
                   within=lambda: True, basis=()):
    """Return the best lists for ``t = a f h + b + sum c_i basis_i``, f in F, h in H.

    The sums over rows that the fit needs, for all products at once, are matrix products.

    Parameters
    ----------
    F : float64[M, S]
    H : float64[N, S]
    target : float64[S]
    weights : float64[S]
        Residual weights.
    k : int
        Length of the lists.
    same : bool
        Whether F is H, so that half of the products suffice.
    within : callable
        Asked between blocks whether to go on.
    basis : sequence of float64[S]
        Columns beside the constant.
    """
    scores, first, second = best_lists(1, k)
    unit = orthonormal(np.array([np.ones(len(weights)), *basis]) * weights)
    t, _ = residual_direction(target * weights, unit)
    H2 = H * H
    room = np.empty((3, BLOCK_ROWS * len(H)))
    for lo in range(0, len(F), BLOCK_ROWS):
        if not within():
            break
        f = F[lo:lo + BLOCK_ROWS]
        h = lo if same else 0
        shape = (len(f), len(H) - h)
        part, square, inside = (r[:shape[0] * shape[1]].reshape(shape) for r in room)
        inside[:] = 0.0
        for u in unit:
            add_squares(np.matmul(f * (weights * u), H[h:].T, out=part), inside)
        np.matmul((f * weights)**2, H2[h:].T, out=square)
        np.matmul(f * (weights * t), H[h:].T, out=part)
        offer_products(inside, square, part, lo, h, same, scores[0], first[0], second[0])
    return scores, first, second
