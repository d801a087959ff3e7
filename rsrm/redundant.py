"""Columns that tell the same: along a curve, a law over some of the columns can be written with others as well.

A trajectory and its time are the usual case: ``dP/dt`` may be a function of P alone, but any function of t explains it,
and so do mixtures of both. A search over all columns then finds long approximations first, and no reduction can tell
which columns the law contains. Sets of few columns that explain the target to a smooth model become problems of their
own, where only functions of these columns compete.
"""

from itertools import combinations

import numpy as np
from scipy.linalg import lstsq

from rsrm.problem import Problem
from rsrm.reducing import reduced
from rsrm.surrogate import Columns, best_degree, chebyshev, multi_indices, products

MAX_VARIABLES = 6
MAX_TERMS = 120
ROWS = 1500
SMOOTH = 3e-3
"""Held-out error, in standard deviations of y, up to which a smooth model counts as an explanation."""
MOST = 3
"""Sets of columns that are followed."""
NEIGHBOURS, DIMENSION_ROWS, FILLED = 10, 2000, 0.8
"""Neighbours and rows from which the dimension of the data is estimated, and its share of the columns' number that
independent columns exceed."""


def thin(problem: Problem) -> bool:
    """Return whether the rows fill fewer dimensions than there are columns, as those of a trajectory do.

    The dimension is estimated from the distances of neighbours (Levina & Bickel 2004, equation 8).
    """
    n = problem.n_variables
    if n < 2 or problem.n_rows < 10 * NEIGHBOURS:
        return False
    from scipy.spatial import KDTree  # loading takes longer than what the laws found before this take

    few = problem.take(slice(None, None, -(-problem.n_rows // DIMENSION_ROWS)))
    points = np.array([_ranks(x) for x in few.X]).T
    distances = KDTree(points).query(points, NEIGHBOURS + 1)[0][:, 1:]
    distances = distances[distances[:, 0] > 0.0]
    if len(distances) < len(points) // 2:
        return False
    return float(1.0 / np.mean(np.log(distances[:, -1:] / distances[:, :-1]))) < FILLED * n


def _ranks(x: np.ndarray) -> np.ndarray:
    """Return the rank of every value from 1 on, the mean of the ranks where values are equal.

    As ``scipy.stats.rankdata``, which takes longer to load than what the laws found before this take.
    """
    ordered = np.sort(x)
    return 0.5 * (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right") + 1)


def fewer_columns(problem: Problem) -> list[Problem]:
    """Return the problems over the smallest sets of columns that explain the target, most accurate first.

    Parameters
    ----------
    problem : Problem
        Without noise; of more than ``MAX_VARIABLES`` columns nothing is asked.

    Returns
    -------
    problems : list of Problem
        ``MOST`` at most; empty where every column is needed, as with independent columns it is.
    """
    n = problem.n_variables
    if not 1 < n <= MAX_VARIABLES or not np.std(problem.y) > 0:
        return []
    few = problem.take(slice(None, None, -(-problem.n_rows // ROWS)))
    found: list[tuple[int, float, tuple[int, ...]]] = []
    for size in range(1, min(3, n)):
        for chosen in combinations(range(n), size):
            if not any(set(smaller) <= set(chosen) for _, _, smaller in found):
                error = _error(few.X[list(chosen)], few.y)
                if error < SMOOTH:
                    found.append((size, error, chosen))
    problems = [reduced(problem, list(chosen), []) for _, _, chosen in sorted(found)[:MOST]]
    return [p for p in problems if p is not None]


def _error(X: np.ndarray, y: np.ndarray) -> float:
    """Return the held-out error of a polynomial in the columns X, float64[D, R]."""
    held = np.arange(len(y)) % 4 == 3
    degree = best_degree(len(X), int((~held).sum()), MAX_TERMS)
    if degree < 1 or (X.max(1) <= X.min(1)).any():
        return np.inf
    best = np.inf
    for columns in Columns.choices(X):
        basis = products(chebyshev(columns.map(X)[0], degree)[0], multi_indices(len(X), degree))
        # Orthogonal factors, cut off where rounding begins: normal equations do not survive redundant columns.
        c = lstsq(basis[:, ~held].T, y[~held], cond=1e-11, lapack_driver="gelsy", check_finite=False)[0]
        best = min(best, float(np.sqrt(np.mean((c @ basis[:, held] - y[held]) ** 2)) / np.std(y)))
    return best
