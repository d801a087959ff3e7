"""Tables with many columns: which of them the search looks at."""

from collections.abc import Callable

import numpy as np

from rsrm.expression import Expression, substitute, variable
from rsrm.library import Library
from rsrm.problem import Problem

MOST = 12
"""Columns that the search looks at; affine functions of all columns are tried in any case."""
ROWS = 3000


def narrowed(problem: Problem,
             rng: np.random.Generator) -> tuple[Problem, Callable[[Expression | None], Expression | None]]:
    """Return the problem over at most ``MOST`` columns, those that extremely randomized trees use most.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.Generator
        Chooses rows and grows the trees (Geurts, Ernst & Wehenkel, Machine Learning 63:3, 2006).

    Returns
    -------
    problem : Problem
        A user's problem of its own.
    back : callable
        Maps its expressions to those of the given problem.
    """
    if problem.n_variables <= MOST:
        return problem, lambda expression: expression
    from sklearn.ensemble import ExtraTreesRegressor  # heavy, and seldom needed

    few = problem.sample(ROWS, rng)
    trees = ExtraTreesRegressor(200, min_samples_leaf=2, random_state=int(rng.integers(2**31)), n_jobs=1)
    # Ranks: neither one huge value nor the scale of y may decide.
    trees.fit(few.X.T, np.argsort(np.argsort(few.y)) / few.n_rows)
    keep = sorted(np.argsort(-trees.feature_importances_, kind="stable")[:MOST].tolist())
    parent = problem.library
    library = Library(MOST, parent.operators, parent.constants, parent.literals)
    columns = [variable(parent, i) for i in keep]
    chosen = Problem(np.ascontiguousarray(problem.X[keep]), problem.y, library, problem.weights, problem.noise)
    return chosen, lambda expression: None if expression is None else substitute(expression, columns)
