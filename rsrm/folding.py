"""Mirror symmetry as a reduction: columns that change sign are folded onto their positive half.

A law that is odd or even in a column says nothing new on its other half. Folded, ``|x|`` can be looked at on a
logarithmic scale, the rows are twice as dense, and a target that changed sign with an odd column may keep it: all that
a smooth model needs where columns of both signs span decades. Which parities hold is asked of the model itself, on rows
held out (:mod:`rsrm.symmetry` asks the same of narrow columns, one at a time, and says how sure it is). The idea of
searching one half only is from Xu, Liu & Sun (ICLR 2024), who see the symmetry on a grid of the data.
"""

from collections.abc import Iterator
from itertools import product as choices

import numpy as np

from rsrm.compose import outer, power, product
from rsrm.evaluate import values
from rsrm.expression import Expression, substitute, variable
from rsrm.forms import Reduction
from rsrm.problem import Problem
from rsrm.surrogate import ROWS_SPACED, TERMS, Surrogate, held_out_errors

MOST = 5
"""Columns whose parities are asked for together at most."""
BETTER = 0.5
"""Held-out errors below this multiple of the unfolded model's are worth a fold."""
GOOD = 1e-4
"""Unfolded models better than this need none."""
COST = -1.0
"""Before all else: a fold loses nothing where it holds."""
SAME = 1e-9


def straddling(X: np.ndarray) -> list[int]:
    """Return the columns of X, float64[D, R], without a zero and with a tenth of the rows on either side at least."""
    share = np.mean(X > 0, axis=1)
    return [i for i in range(len(X)) if 0.1 <= share[i] <= 0.9 and (X[i] != 0).all()]


def best_parities(X: np.ndarray, y: np.ndarray, columns: list[int]) -> tuple[float, tuple[int, ...]]:
    """Return the least held-out error over the parities of `columns`, 1 for odd, and these parities.

    Parameters
    ----------
    X : float64[D, R]
    y : float64[R]
    columns : list of int
    """
    rows = np.arange(0, X.shape[1], max(1, X.shape[1] // (ROWS_SPACED * TERMS[0])))
    X, y = X[:, rows].copy(), y[rows]
    signs = np.sign(X[columns])
    X[columns] = np.abs(X[columns])
    parities = list(choices((0, 1), repeat=len(columns)))
    errors = held_out_errors(X, [y * np.prod(signs[np.array(p) == 1], axis=0) for p in parities], TERMS[0])
    best = int(np.argmin(errors))
    return float(errors[best]), parities[best]


def folds(problem: Problem, surrogate: Surrogate) -> Iterator[Reduction]:
    """Yield the fold that makes the law smoother by far, if there is one.

    Parameters
    ----------
    problem : Problem
    surrogate : Surrogate
        Its model, unfolded.
    """
    columns = straddling(problem.X)
    if not columns or surrogate.error < GOOD:
        return
    sets = [columns] if len(columns) <= MOST else []
    sets += [[i] for i in columns if [i] != columns]
    tried = [(*best_parities(problem.X, problem.y, chosen), chosen) for chosen in sets]
    error, parity, chosen = min(tried, key=lambda t: t[0])
    if error < BETTER * min(surrogate.error, 1.0):
        odd = [i for i, p in zip(chosen, parity, strict=True) if p]
        text = ", ".join(f"{'odd' if i in odd else 'even'} in x{i}" for i in chosen)
        yield Reduction("fold", error, COST, tuple(chosen), f"fold: {text}", lambda: folded(problem, chosen, odd))


def folded(problem: Problem, columns: list[int], odd: list[int]) -> Problem | None:
    """Return the problem over ``|x|`` for some columns, with the sign of the odd ones taken off the target."""
    X = problem.X.copy()
    X[columns] = np.abs(X[columns])
    y = problem.y * np.prod(np.sign(problem.X[odd]), axis=0)

    def lift(expression: Expression) -> Expression | None:
        up = unfolded(expression, X, columns, odd)
        return None if up is None else problem.lift(up)

    return Problem(X, y, problem.library, problem.weights, problem.noise, lift)


def unfolded(expression: Expression, X: np.ndarray, columns: list[int], odd: list[int]) -> Expression | None:
    """Return a law of folded columns, X float64[D, R], over the columns as they were.

    A column in which the law has the parity by itself stands as it is; else ``abs`` makes it even and, for an odd one,
    ``x/abs(x)`` brings the sign back. None where the operators cannot write that.
    """
    library = expression.library
    rows = np.arange(0, X.shape[1], max(1, X.shape[1] // 100))
    X = X[:, rows]
    before = values(expression, X.T)[0]
    for i in columns:
        turned = X.copy()
        turned[i] = -X[i]
        after = values(expression, turned.T)[0] * (-1.0 if i in odd else 1.0)
        scale = np.abs(before) + np.abs(after)
        if np.isfinite(after).all() and (np.abs(after - before) <= SAME * scale).all():
            continue
        x = variable(library, i)
        square = power(x, 2.0)
        size = outer("abs", x) or (square and outer("sqrt", square))
        if size is None:
            return None
        expression = substitute(expression, [size if k == i else variable(library, k) for k in range(len(X))])
        if i in odd:
            expression = product(library, [(x, 1.0), (size, -1.0), (expression, 1.0)])
        if expression is None:
            return None
    return expression
