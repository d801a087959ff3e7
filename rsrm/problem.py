"""What a stage of the search sees: a target over columns, and the way back to the user's variables.

A reduction turns a :class:`Problem` into a smaller one by computation on the data; ``lift`` maps an expression for the
smaller problem back. Stages never see test rows, names of problems or the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rsrm.expression import Expression
from rsrm.library import Library


def _same(expression: Expression) -> Expression:
    return expression


@dataclass(frozen=True)
class Problem:
    """A target y over columns of X.

    Attributes
    ----------
    X : float64[D, R]
        One contiguous row per variable.
    y : float64[R]
    library : Library
        Over D variables.
    weights : float64[R] or None
        Multiply residuals of y (for a transformed target: delta-method weights); None means all one.
    noise : float
        Estimated standard deviation of the noise in y divided by std(y); 0 means exact to rounding.
    lift : callable
        Maps an Expression over `library` to one over the user's library; identity for the user's own problem.
    """

    X: np.ndarray
    y: np.ndarray
    library: Library
    weights: np.ndarray | None = None
    noise: float = 0.0
    lift: Callable[[Expression], Expression] = _same

    @property
    def n_variables(self) -> int:
        """D, the number of columns."""
        return self.X.shape[0]

    @property
    def n_rows(self) -> int:
        """R, the number of rows."""
        return self.X.shape[1]

    def sample(self, rows: int, rng: np.random.Generator) -> "Problem":
        """Return the same problem on at most `rows` rows, drawn at random and kept in their order."""
        return self if self.n_rows <= rows else self.take(np.sort(rng.choice(self.n_rows, rows, replace=False)))

    def take(self, rows) -> "Problem":
        """Return the same problem on some rows (an index array or mask)."""
        return Problem(np.ascontiguousarray(self.X[:, rows]), self.y[rows], self.library,
                       None if self.weights is None else self.weights[rows], self.noise, self.lift)
