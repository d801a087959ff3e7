"""The best expression of every complexity, and the Pareto front among them.

State is arrays only, one row per complexity, so that a hall of fame pickles, travels between workers and merges by
value. Expressions are stored expanded.
"""

import math

import numpy as np

from rsrm.expression import Expression
from rsrm.library import PAD, Library

SELECTIONS = ("accuracy", "score", "best")


class HallOfFame:
    """Best expression per complexity.

    Parameters
    ----------
    library : Library
        Over which all expressions are written (promoted operators may change: rows are expanded).
    max_complexity : int
        Q; more complex expressions are refused.

    Attributes
    ----------
    tokens : int16[Q + 1, Q]
        Padded with PAD.
    constants : float64[Q + 1, Q]
        Padded with NaN.
    errors : float64[Q + 1]
        Infinite where a row is empty.
    """

    def __init__(self, library: Library, max_complexity: int = 60):
        if max_complexity < 1:
            raise ValueError(f"max_complexity must be at least 1, got {max_complexity}")
        self.library = library
        self.tokens = np.full((max_complexity + 1, max_complexity), PAD, np.int16)
        self.constants = np.full((max_complexity + 1, max_complexity), np.nan)
        self.errors = np.full(max_complexity + 1, np.inf)

    @property
    def max_complexity(self) -> int:
        """Q, the largest complexity kept."""
        return len(self.errors) - 1

    def add(self, expression: Expression, error: float) -> bool:
        """Keep `expression` if it has a lower error than the one held with its complexity; return whether it was kept.

        Parameters
        ----------
        expression : Expression
        error : float
            Lower is better; NaN and infinity are refused.
        """
        n = expression.complexity
        if n > self.max_complexity or not error < self.errors[n]:
            return False
        m = len(expression.constants)
        self.tokens[n, :n] = expression.expanded
        self.constants[n] = np.nan
        self.constants[n, :m] = expression.constants
        self.errors[n] = error
        return True

    def get(self, complexity: int) -> Expression | None:
        """Return the expression held with `complexity`, or None."""
        if not 1 <= complexity <= self.max_complexity or not self.errors[complexity] < math.inf:
            return None
        tokens = self.tokens[complexity, :complexity]
        m = int((tokens == self.library.constant).sum())
        return Expression(tokens.copy(), self.constants[complexity, :m].copy(), self.library)

    def pareto(self, tolerance: float = 0.0) -> list[tuple[Expression, float]]:
        """Return ``(expression, error)`` by rising complexity, each with a lower error than all simpler ones.

        An error must fall below ``(1 - tolerance)`` times the best one so far to count as lower.
        """
        front = []
        best = math.inf
        for n in np.flatnonzero(np.isfinite(self.errors)):
            if self.errors[n] < best * (1.0 - tolerance):
                best = float(self.errors[n])
                front.append((self.get(int(n)), best))
        return front

    def best(self) -> tuple[Expression, float] | None:
        """Return the expression of lowest error (the simplest of equals), or None if the hall is empty."""
        n = int(np.argmin(self.errors))
        expression = self.get(n)
        return None if expression is None else (expression, float(self.errors[n]))

    def select(self, rule: str = "best", floor: float = 1e-12) -> tuple[Expression, float] | None:
        """Return one entry of the Pareto front, or None if the hall is empty.

        Parameters
        ----------
        rule : {"accuracy", "score", "best"}
            ``accuracy``: lowest error. ``score``: largest fall of log(error) per node. ``best``: largest score among
            the entries with an error of at most 1.5 times the lowest.
        floor : float
            Errors below count as equal: they are rounding.
        """
        if rule not in SELECTIONS:
            raise ValueError(f"rule: unknown {rule!r}; choose from {', '.join(SELECTIONS)}")
        front = self.pareto()
        if not front:
            return None
        errors = np.maximum([error for _, error in front], floor)
        if rule == "accuracy":
            return front[int(np.argmin(errors))]
        scores = front_scores(front, floor)
        if rule == "best":
            scores = np.where(errors <= 1.5 * errors.min(), scores, -np.inf)
        return front[int(np.argmax(scores))]

    def __len__(self) -> int:
        return int(np.isfinite(self.errors).sum())

    def __eq__(self, other):
        return (isinstance(other, HallOfFame) and np.array_equal(self.tokens, other.tokens)
                and np.array_equal(self.constants, other.constants, equal_nan=True)
                and np.array_equal(self.errors, other.errors))

    __hash__ = None


def front_scores(front: list[tuple[Expression, float]], floor: float = 1e-12) -> np.ndarray:
    """Return the fall of log(error) per added node along a Pareto front, float64[len(front)]; 0 for its first entry."""
    errors = np.log(np.maximum([error for _, error in front], floor))
    nodes = np.array([expression.complexity for expression, _ in front], float)
    scores = np.zeros(len(front))
    scores[1:] = (errors[:-1] - errors[1:]) / (nodes[1:] - nodes[:-1])
    return scores
