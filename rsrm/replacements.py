"""What should stand in the place of a sub-tree of a good expression: near-truths are right but for one sub-tree.

With f the values of an expression, r what it leaves of y and s = df/dh the derivative with respect to the values h of
one of its sub-trees, to first order the sub-tree has to take the values ``z = h + r/s``, each with the weight s. Unlike
values that undo the operators around it (:mod:`rsrm.agents.holes`) these exist whatever the operators, and are as good
under noise. All sub-trees g of a bank are compared with z as ``b g`` and as ``a + b g`` by matrix products, and so are
those of the expression itself, which leaves out operators, and a number. The best are put in place, all constants are
fitted, and those are yielded whose description is shorter than the expression's.

So many are compared that some gain by chance: one of E sub-trees has to gain log E nats beyond what it costs. Without
that, of 60 laws of textbooks with noise of 1 % five were lost and three won, with it one and two (drafts, against
9cbc42f, by ``python -m rsrm.benchmarks run textbook --noise 0.01 --time 10 --jobs 2``).
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from rsrm.bank import Bank
from rsrm.compose import constant, linear
from rsrm.constants import fit
from rsrm.expression import Expression, subtree_ends
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.refine import even_weights
from rsrm.selection import NODE, Candidate, Pool
from rsrm.slopes import subtree_slopes, subtree_values
from rsrm.subtree import subtrees
from rsrm.turns import PAUSE

ROWS, ENTRIES = 200, 4000
TRIED, FITTED, YIELDED = 4, 24, 3
"""Sub-trees that are kept for each place and form, replacements that are fitted, and those that are yielded at most."""
LARGEST, NEAR = 40, 0.1
"""Nodes of an expression that is looked at, and its NRMSE, at most."""
NUMBER = 2.0 * NODE + 3.0
"""What a number costs beside a sub-tree, in nats, or so."""
BELIEVED = 1e-4
"""Share of the squares that is left at least: the first order promises more than it keeps."""
ITERATIONS = 30


class Proposal(NamedTuple):
    """``a + b g`` in the place of the tokens from `start` to `stop`; `score` and `chance` are in nats."""

    score: float
    start: int
    stop: int
    part: Callable[[], Expression | None]
    chance: float


class Replacements:
    """Replacements of sub-trees, of expressions that are seen for the first time.

    Parameters
    ----------
    problem : Problem
    shortest : callable
        Returns the expressions of shortest description so far, in the problem's variables.
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses rows.
    """

    def __init__(self, problem: Problem, shortest: Callable[[], list[Expression]], deadline: float,
                 rng: np.random.Generator):
        self.problem, self.shortest, self.deadline, self.rng = problem, shortest, deadline, rng
        self._seen: set = set()

    def __iter__(self) -> Iterator:
        """Yield expressions, None between steps, and PAUSE after each expression that was looked at."""
        if not self.problem.library.constants:
            return
        self.bank = Bank.enumerate(self.problem.X, self.problem.library, max_entries=ENTRIES, n_rows=ROWS, rng=self.rng,
                                   deadline=self.deadline)
        rows, first = np.unique(self.bank.rows, return_index=True)  # some stand twice
        few = self.problem.take(rows)
        self.objective, self.pool = Objective(few), Pool(few.n_rows)
        self.values = np.ascontiguousarray(self.bank.values[:, first])
        self.sizes = np.where(self.bank.is_number, np.inf, self.bank.complexity)
        while time.perf_counter() < self.deadline:
            for expression in self.shortest():
                key = (expression.expanded.tobytes(), np.round(expression.constants, 6).tobytes())
                if key not in self._seen:
                    self._seen.add(key)
                    yield from self._replaced(expression)
                    break
            yield PAUSE

    def _replaced(self, expression: Expression) -> Iterator[Expression | None]:
        """Yield the best replacements of sub-trees of one expression."""
        old = self._scored(expression)
        if not old.nrmse < NEAR or old.complexity > LARGEST:
            return
        weights = even_weights(old, self.objective.problem, self.objective.scale)
        with np.errstate(all="ignore"):
            proposals = self._proposals(expression, weights)
        yield None
        few, base, found = self.objective.problem, self._length(old), []
        for proposal in proposals:
            new = _put(expression, proposal)
            if new is None or not np.isfinite(new.constants).all():
                continue
            fitted, _ = fit(new, few.X, few.y, weights, n_starts=0, max_iter=ITERATIONS)
            length = self._length(self._scored(fitted))
            if length < base - proposal.chance:
                found.append((length, fitted))
            yield None
        for _, new in sorted(found, key=lambda f: f[0])[:YIELDED]:
            yield new

    def _scored(self, expression: Expression) -> Candidate:
        return Candidate(expression, *self.objective.score(expression))

    def _length(self, candidate: Candidate) -> float:
        return self.pool.description_length(candidate, False) if np.isfinite(candidate.nrmse) else np.inf

    def _proposals(self, e: Expression, weights: np.ndarray | None) -> list[Proposal]:
        """Return the most promising replacements, best first."""
        few = self.objective.problem
        values = subtree_values(e, few.X)
        slopes = subtree_slopes(e, values)
        w = np.ones(few.n_rows) if weights is None else weights
        rest = few.y - values[0]
        left = float(np.sum((w * rest) ** 2))
        ends = np.empty(len(values), np.int32)
        subtree_ends(e.expanded, len(values), e.library.tables.arity, ends)
        own = [k for k in range(len(values)) if np.ptp(values[k]) > 0.0]
        parts = [part for k, part in enumerate(subtrees(e)) if k in own]
        V = np.concatenate([self.values, values[own]])
        sizes = np.concatenate([self.sizes, ends[own] - own])
        squares = V * V
        chances = np.log(np.repeat([len(self.values), len(own) + 1.0], [len(self.values), len(own)]))
        found = []

        def propose(loss, size, k, part, chance=0.0):
            gain = 0.5 * few.n_rows * np.log(max(loss / left, BELIEVED))
            score = gain + size + chance - (ends[k] - k)
            if np.isfinite(score):
                found.append(Proposal(float(score), k, int(ends[k]), part, chance))

        for k in range(1, len(values)):
            omega = (w * slopes[k]) ** 2
            z = values[k] + rest / slopes[k]
            omega, z = np.where(np.isfinite(omega * z), [omega, z], 0.0)
            total = omega.sum()
            if not 0.0 < total < np.inf:
                continue
            centre = float(omega @ z / total)
            spread = float(omega @ (z - centre) ** 2)
            mean, square, product = V @ omega / total, squares @ omega, V @ (omega * z)
            variance, covariance = square - total * mean**2, product - total * mean * centre
            variance[variance < 1e-9 * square] = np.nan
            if ends[k] - k > 1:
                propose(spread, NUMBER, k, partial(constant, e.library, centre))
            for loss, slope, intercept, size in (
                    (spread + total * centre**2 - product**2 / square, product / square, np.zeros(len(V)), NUMBER),
                    (spread - covariance**2 / variance, covariance / variance, None, 2.0 * NUMBER)):
                intercept = centre - slope * mean if intercept is None else intercept
                order = np.log(np.maximum(loss / left, BELIEVED)) * 0.5 * few.n_rows + sizes
                if k in own:
                    order[len(self.values) + own.index(k)] = np.nan  # itself
                for i in np.argsort(np.where(np.isfinite(order), order, np.inf))[:TRIED]:
                    propose(loss[i], size + sizes[i], k,
                            partial(self._part, int(i), parts, float(intercept[i]), float(slope[i])),
                            chances[i])
        return sorted(found, key=lambda p: p.score)[:FITTED]

    def _part(self, i: int, parts: list[Expression], a: float, b: float) -> Expression | None:
        """Return ``a + b g`` with g the i-th sub-tree of the bank, or after these of `parts`."""
        n = len(self.values)
        g = self.bank.expression(i) if i < n else parts[i - n]
        return linear(g.library, [(b, g)], a)


def _put(e: Expression, proposal: Proposal) -> Expression | None:
    """Return the expression with a proposal in its place, None if it cannot be written."""
    part, start, stop = proposal.part(), proposal.start, proposal.stop
    if part is None:
        return None
    is_constant = e.expanded == e.library.constant
    before, after = int(is_constant[:start].sum()), int(is_constant[:stop].sum())
    return Expression(np.concatenate([e.expanded[:start], part.expanded, e.expanded[stop:]]),
                      np.concatenate([e.constants[:before], part.constants, e.constants[after:]]), e.library)
