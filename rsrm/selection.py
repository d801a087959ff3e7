"""The pool of candidates and the choice among them by description length.

A candidate costs what it takes to write down the formula and, with it, the data (Rissanen's minimum description
length), in nats::

    length = R * (mean log residual, floored)  +  NODE * nodes  +  sum of the constants' costs

where a sub-tree that is repeated counts as one node.

While no candidate is nearly exact the residual term is ``log RMSE`` (Gaussian noise), or its counterpart for noise
proportional to the values where that describes the data better. Once one is, it is the mean
over rows of ``log |residual / y|``: terms too weak to move the RMSE still cost digits on the rows where they matter.
A fitted constant costs half of ``log(R/precision)``, and of its last digits all (:func:`number_cost`); a small fraction
or a multiple of pi costs the size of its integers.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import log, pi

import numpy as np

from rsrm.algebra import fraction
from rsrm.expression import Expression, subtree_ends
from rsrm.objective import FLOOR

NODE = 1.0
UNUSUAL = ("tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "abs")
"""Operators that cost twice as much as others: laws hold them less often."""
LAST = -log(1e-12)
"""Digits of a constant, in nats, from which on they count in full."""
TWO_KINDS = 0.02
"""What a row has to gain, in nats, before noise proportional to the values is believed."""
EXACT = 1e-6
"""Candidates below this NRMSE count as nearly exact: digits are compared, not the RMSE."""


@dataclass(frozen=True)
class Candidate:
    """A scored expression.

    Attributes
    ----------
    expression : Expression
        Over the user's library.
    nrmse : float
        RMSE on all rows divided by the standard deviation of y.
    digits : float
        Mean over rows of ``log |residual / y|``, floored at ``log FLOOR``.
    proportional : float
        As in :class:`rsrm.objective.Score`.
    found_at : float
        Seconds after the start of the search.
    stage : str
        Which part of the search proposed it.
    """

    expression: Expression
    nrmse: float
    digits: float
    proportional: float = np.inf
    found_at: float = 0.0
    stage: str = ""

    @property
    def residual(self) -> float:
        """Log of the noise that the data would have, relative to std(y): the same on all rows, or as their values."""
        return min(log(max(self.nrmse, FLOOR)), self.proportional + TWO_KINDS)

    @property
    def complexity(self) -> int:
        """Number of nodes of the expanded tree."""
        return self.expression.complexity

    @cached_property
    def written(self) -> tuple[float, list[float]]:
        """What it costs to write the tree but for its constants, in nats, and these constants.

        A sub-tree that occurs again is written as a reference to the first one: the square of a ratio is hardly longer
        than the ratio.
        """
        e = self.expression
        tokens, library = e.expanded, e.library
        n, constant = len(tokens), tokens == library.constant
        ends, place = np.empty(n, np.int32), np.cumsum(constant) - constant
        subtree_ends(tokens, n, library.tables.arity, ends)
        nats, constants, known, k = 0.0, [], set(), 0
        while k < n:
            end = ends[k]
            inside = e.constants[place[k]:place[k] + int(constant[k:end].sum())]
            mark = (tokens[k:end].tobytes(), inside.tobytes())
            nats += NODE
            if end - k > 1 and mark in known:
                k = end
                continue
            known.add(mark)
            if constant[k]:
                constants.append(float(inside[0]))
            elif library.name(int(tokens[k])) in UNUSUAL:
                nats += NODE
            k += 1
        return nats, constants

    def cost(self, precision: float, n_rows: int) -> float:
        """Return what it costs in nats to write the formula where `precision` is the relative residual of the fit."""
        nats, constants = self.written
        return nats + sum(number_cost(v, precision, n_rows) for v in constants)


def number_cost(value: float, precision: float, n_rows: int) -> float:
    """Return the cost in nats of writing one constant; `precision` is the relative residual of the fit."""
    digits = max(0.0, -log(max(precision, FLOOR)))
    # The last digits count in full: formulas with as many constants as there are rows must not gain by them.
    fitted = 0.5 * (log(max(n_rows, 2)) + digits + max(0.0, digits - LAST)) + 1.0
    return min(simple_cost(abs(value)), fitted)


@lru_cache(maxsize=1 << 14)
def simple_cost(size: float) -> float:
    """Return the cost of a number as a small fraction, or one of pi; infinite if it is none."""
    if size == 0:
        return 0.0
    for unit, extra in ((1.0, 0.0), (pi, 1.5), (1.0 / pi, 2.0), (pi * pi, 2.5)):
        pq = fraction(size / unit, 1e-14, 64)
        if pq:
            return extra + log(pq[0]) + 2.0 * log(pq[1])
    return np.inf


@dataclass
class Pool:
    """Candidates found so far, best per complexity, with the choice rules.

    Parameters
    ----------
    n_rows : int
        R of the scored data.
    per_complexity : int
        How many candidates are kept at each complexity: under noise a slightly worse one may be the right one.
    """

    n_rows: int
    per_complexity: int = 4
    entries: dict[int, list[Candidate]] = field(default_factory=dict)
    seen: set = field(default_factory=set)
    _best: Candidate | None = None
    _lowest: float = np.inf

    def add(self, candidate: Candidate) -> bool:
        """Keep `candidate` if it is among the best of its complexity; return whether it was kept."""
        key = (candidate.expression.expanded.tobytes(),
               np.round(candidate.expression.constants, 12).tobytes())
        if not np.isfinite(candidate.nrmse) or key in self.seen:
            return False
        row = self.entries.setdefault(candidate.complexity, [])
        # Two candidates of one complexity and one residual are the same function written twice.
        if any(abs(c.nrmse - candidate.nrmse) <= 1e-9 * candidate.nrmse for c in row if candidate.nrmse > FLOOR):
            return False
        self.seen.add(key)
        self._best, self._lowest = None, min(self._lowest, candidate.nrmse)
        row.append(candidate)
        row.sort(key=self._order)
        if len(row) > self.per_complexity:  # the closest stays, and what is worth most of the others
            gone = row.pop(max(range(1, len(row)), key=lambda k: self._rank(row[k])))
            return gone is not candidate
        return True

    def _rank(self, c: Candidate) -> tuple[bool, float]:
        exact = c.nrmse < EXACT
        return not exact, self.description_length(c, exact)

    @staticmethod
    def _order(c: Candidate):
        return (c.digits if c.nrmse < EXACT else 0.0, c.residual)

    def __iter__(self):
        for row in self.entries.values():
            yield from row

    def __len__(self) -> int:
        return sum(len(row) for row in self.entries.values())

    def best_loss(self) -> float:
        """Return the smallest NRMSE, infinite for an empty pool."""
        return self._lowest

    def description_length(self, c: Candidate, exact: bool | None = None) -> float:
        """Return the description length of candidate `c` in nats, relative to a fixed offset of the data."""
        if exact is None:
            exact = self.best_loss() < EXACT
        residual = c.digits if exact else c.residual
        return self.n_rows * residual + c.cost(float(np.exp(min(residual, 0.0))), self.n_rows)

    def best(self) -> Candidate | None:
        """Return the candidate of least description length, or None."""
        if self._best is None:
            exact = self.best_loss() < EXACT
            self._best = min(self, key=lambda c: (self.description_length(c, exact), c.complexity), default=None)
        return self._best

    def front(self) -> list[Candidate]:
        """Return the Pareto front of complexity against loss, simplest first; the chosen candidate is always on it."""
        front: list[Candidate] = []
        chosen = self.best()
        lowest = np.inf
        for n in sorted(self.entries):
            c = self.entries[n][0]
            if chosen is not None and chosen.complexity == n:
                c = chosen
            if c.nrmse < lowest or c is chosen:
                front.append(c)
                lowest = min(lowest, c.nrmse)
        return front
