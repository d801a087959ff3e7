"""The best subsets of a dictionary of terms: all of them up to a size, through the Gram matrix.

Under noise, elimination and greedy choice go wrong where terms are correlated, which few rows make worse; the right
terms are then seldom the best of each step. All sets of one to four terms are looked at instead (a depth-first walk
over Gram matrices with the terms so far projected out; Furnival & Wilson, Technometrics 1974, without their bounds):
the 1.7 million sets of eighty terms take twenty milliseconds or so.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.regression import SPARE_ROWS, Fit, scaled
from rsrm.terms import Terms

INDEPENDENT = 1e-7
"""Share of a term's square that the others of a set must leave."""
LARGEST = 4
"""Terms of a set that is looked for among all."""
MOST = 12
"""Terms of a set that is extended term by term."""


@njit_leaf
def _keep(score, first, second, third, fourth, size, scores, members):
    """Put a set into the list of its size, in order; lists are full from the start, of infinite scores."""
    k = scores.shape[1] - 1
    while k > 0 and scores[size, k - 1] > score:
        scores[size, k] = scores[size, k - 1]
        for m in range(LARGEST):
            members[size, k, m] = members[size, k - 1, m]
        k -= 1
    scores[size, k] = score
    members[size, k, 0], members[size, k, 1] = first, second
    members[size, k, 2], members[size, k, 3] = third, fourth


@njit_leaf
def _project(G, b, j, n, out, rest):
    """Write Gram matrix and products of the columns after `j`, without what column j explains."""
    scale = 1.0 / G[j, j]
    for i in range(j + 1, n):
        share = G[j, i] * scale
        rest[i] = b[i] - share * b[j]
        for k in range(i, n):
            out[i, k] = G[i, k] - share * G[j, k]


@njit
def walk(G, b, square, factors, largest, scores, members):
    """Fill the lists of the best sets of each size.

    Parameters
    ----------
    G : float64[n, n]
        Gram matrix of columns of norm one.
    b : float64[n]
        Their products with the target.
    square : float64
        Of the target.
    factors : float64[n]
        What the square of the residual is multiplied by for each member: the price of its description.
    largest : int
        1 to 4.
    scores : float64[5, K]
        Overwritten, by size: squares of residuals, with their factors, in order.
    members : int64[5, K, 4]
        Overwritten.
    """
    n, last = b.shape[0], scores.shape[1] - 1
    G1, G2, b1, b2 = np.empty((n, n)), np.empty((n, n)), np.empty(n), np.empty(n)
    scores[:] = math.inf
    for i in range(n):
        left = square - b[i] * b[i] / G[i, i]
        if left * factors[i] < scores[1, last]:
            _keep(left * factors[i], i, 0, 0, 0, 1, scores, members)
        if largest == 1:
            continue
        _project(G, b, i, n, G1, b1)
        for j in range(i + 1, n):
            if G1[j, j] < INDEPENDENT:
                continue
            two = left - b1[j] * b1[j] / G1[j, j]
            price = factors[i] * factors[j]
            if two * price < scores[2, last]:
                _keep(two * price, i, j, 0, 0, 2, scores, members)
            if largest == 2:
                continue
            _project(G1, b1, j, n, G2, b2)
            for k in range(j + 1, n):
                if G2[k, k] < INDEPENDENT:
                    continue
                three = two - b2[k] * b2[k] / G2[k, k]
                paid = price * factors[k]
                if three * paid < scores[3, last]:
                    _keep(three * paid, i, j, k, 0, 3, scores, members)
                if largest == 3:
                    continue
                scale = 1.0 / G2[k, k]
                bound = scores[4, last] / paid
                for m in range(k + 1, n):
                    share = G2[k, m] * scale
                    own, c = G2[m, m] - share * G2[k, m], b2[m] - share * b2[k]
                    if (three - bound / factors[m]) * own < c * c and own > INDEPENDENT:
                        _keep((three - c * c / own) * paid * factors[m], i, j, k, m, 4, scores, members)
                        bound = scores[4, last] / paid


class Columns(NamedTuple):
    """What the choice of columns needs of them and the target."""

    G: np.ndarray  # float64[n, n], Gram matrix of columns of norm one
    b: np.ndarray  # float64[n], their products with the target
    square: float  # of the target
    nodes: np.ndarray  # float64[n], cost of writing a column, in nats
    rows: int

    def length(self, square: float, members) -> float:
        """Return the description length of the target by some columns that leave this square of it."""
        return (0.5 * self.rows * np.log(max(square, 1e-20 * self.square)) + self.nodes[members].sum()
                + 0.5 * len(members) * np.log(self.rows))


def best_subsets(columns: Columns, keep: int) -> list[tuple[float, np.ndarray]]:
    """Return (description length, set) for sets of up to four columns: the best of every size, the second best, ...

    Of each size there are `keep`: under much noise a set that holds one term too many is easily the shortest.
    """
    scores, members = np.empty((LARGEST + 1, keep)), np.zeros((LARGEST + 1, keep, LARGEST), np.int64)
    factors = np.exp(2.0 * columns.nodes / columns.rows)
    largest = min(LARGEST, len(columns.b), columns.rows - SPARE_ROWS)
    if largest < 1:
        return []
    walk(columns.G, columns.b, columns.square, factors, largest, scores, members)
    found = []
    for rank in range(keep):
        sets = [(scores[n, rank], members[n, rank, :n].copy()) for n in range(1, largest + 1)]
        equal = [(columns.length(score / np.prod(factors[chosen]), chosen), chosen)
                 for score, chosen in sets if np.isfinite(score)]
        found += sorted(equal, key=lambda item: item[0])
    return found


def extended(columns: Columns, length: float, chosen: np.ndarray) -> np.ndarray:
    """Return the set with columns added one by one as long as they shorten the description."""
    while len(chosen) < MOST:
        own = columns.G[np.ix_(chosen, chosen)]
        shares = np.linalg.lstsq(own, columns.G[chosen], rcond=1e-12)[0]
        c = columns.b - shares.T @ columns.b[chosen]
        left = np.diag(columns.G) - np.sum(shares * columns.G[chosen], axis=0)
        gain = np.where(left > INDEPENDENT, c * c / np.maximum(left, INDEPENDENT), 0.0)
        gain[chosen] = 0.0
        square = columns.square - columns.b[chosen] @ normal_solution(own, columns.b[chosen])
        k = int(np.argmin(0.5 * columns.rows * np.log(np.maximum(square - gain, 1e-20 * columns.square))
                          + columns.nodes))
        more = np.append(chosen, k)
        longer = columns.length(square - gain[k], more)
        if gain[k] == 0.0 or not longer < length:
            break
        chosen, length = more, longer
    return chosen


@np.errstate(all="ignore")
def fit_subsets(terms: Terms, target: np.ndarray, weights: np.ndarray, keep: int = 1) -> list[Fit]:
    """Return the sparse fits of noisy data that describe them shortest, ordered as in :func:`best_subsets`.

    Parameters
    ----------
    terms : Terms
        At most a hundred or so; a term counts its factors as nodes.
    target, weights : float64[R]
    keep : int
        Fits with the same number of terms; of four terms and more together.
    """
    A, good, scale, b, size = scaled(terms, target, weights)
    rows = len(b)
    if rows < SPARE_ROWS + 1 or size == 0 or not np.isfinite(size):
        return []
    nodes = np.array([1.0 + sum(abs(p) for _, p in terms.factors[g]) for g in good])
    columns = Columns(A.T @ A / rows, A.T @ b / rows, 1.0, nodes, rows)
    fits = []
    for length, chosen in best_subsets(columns, keep):
        if len(chosen) == LARGEST:
            chosen = extended(columns, length, chosen)
        c = normal_solution(columns.G[np.ix_(chosen, chosen)], columns.b[chosen])
        r = b - A[:, chosen] @ c
        fits.append(Fit(good[chosen], c * size / scale[chosen], float(np.sqrt(np.mean(r * r)))))
    return fits


def normal_solution(G: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the coefficients of least squares from the products of columns: what noise leaves of digits is enough."""
    return np.linalg.lstsq(G, b, rcond=1e-12)[0] if np.isfinite(G).all() and np.isfinite(b).all() else np.zeros(len(b))
