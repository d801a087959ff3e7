"""Reduced problems as nodes of a game: what can be done at each, and what it looks like as numbers.

Everything is computed once for each node and kept, so that the second episode through the same reductions costs
nothing. Nothing is random and nothing depends on the clock: generators start from the same seed at every node, and
closings end by their own bounds.
"""

from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np

from rsrm.bank import Bank
from rsrm.bank_stages import pairs, singles
from rsrm.direct import elementary, power_law
from rsrm.exponential import exponentials
from rsrm.explore import children
from rsrm.forms import Reduction
from rsrm.polynomial import rational
from rsrm.problem import Problem
from rsrm.question import Question
from rsrm.refine import Refiner
from rsrm.selection import Candidate, Pool
from rsrm.sparse import projected
from rsrm.surrogate import Surrogate, fit_surrogate

KINDS = ("drop", "factor", "term", "merge", "scale", "shear")
CLOSINGS = ("power law", "rational", "sums", "bank")
BANK_ENTRIES, BANK_PAIRS = 2_000, 200
CLOSING_ROWS = 200
"""Rows that closings see: they bound the number of terms, and with it the time."""
CANDIDATES = 12
"""Most expressions looked at of one closing."""
EXACT = 1e-10
"""NRMSE at which a law explains all that rounding leaves."""
STATE = ("unexplained", "surrogate error", "columns", "depth", "steps left", "y: share above 0", "y: spread",
         "y: skewness")
COLUMN = ("present", "share above 0", "spread", "bounds", "in proposals")
PROPOSAL = (*KINDS, "spread", "cost", "surrogate error", "columns")


def decades(value: float) -> float:
    """Return -log10(value) / 10 within [0, 1]: 0 says nothing is explained, 1 that only rounding is left."""
    return float(np.clip(-np.log10(max(value, EXACT)) / -np.log10(EXACT), 0.0, 1.0))


@dataclass
class Node:
    """A reduced problem.

    Attributes
    ----------
    problem : Problem
    surrogate : Surrogate or None
        None where no smooth model fits: such a problem can be closed but not reduced.
    proposals : list of (Reduction, Problem, Surrogate or None)
        Most convincing first.
    closed : dict of str to Candidate or None
        What each closing found, in the user's variables.
    """

    problem: Problem
    surrogate: Surrogate | None
    proposals: list[tuple[Reduction, Problem, Surrogate | None]]
    closed: dict[str, Candidate | None] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem, surrogate: Surrogate | None, n_slots: int) -> "Node":
        """Return the node of a problem with at most `n_slots` proposals."""
        proposals = []
        if surrogate is not None:
            found = (child for child in children(problem, surrogate, np.random.default_rng(0)) if child is not None)
            proposals = list(islice(found, n_slots))
        return cls(problem, surrogate, proposals)

    def close(self, name: str, pool: Pool, refiner: Refiner) -> Candidate | None:
        """Return the best that a closing finds, refined on all rows; `pool` and `refiner` are used up."""
        if name not in self.closed:
            for expression in islice(closing(self.problem, name), CANDIDATES):
                lifted = None if expression is None else self.problem.lift(expression)
                if lifted is not None:
                    refiner.consider(lifted, name)
            self.closed[name] = pool.best()
        return self.closed[name]


def closing(problem: Problem, name: str):
    """Return the expressions by which one of CLOSINGS explains a problem, simplest first."""
    rng = np.random.default_rng(0)
    if problem.n_rows > CLOSING_ROWS:
        problem = problem.take(np.linspace(0, problem.n_rows - 1, CLOSING_ROWS).astype(np.int64))
    if name == "bank":
        bank = Bank.enumerate(problem.X, problem.library, max_entries=BANK_ENTRIES, rng=rng)
        question = Question(problem, bank, np.inf, BANK_PAIRS)
        return (match.expression for match in chain(singles(question), pairs(question)))
    stages = {"power law": (elementary, power_law), "rational": (rational,), "sums": (projected, exponentials)}[name]
    return chain.from_iterable(stage(problem, np.inf, rng) for stage in stages)


def observe_state(node: Node, unexplained: float, depth: int, left: float, n_columns: int) -> np.ndarray:
    """Return the numbers named in STATE, float32[8]; `left` is the share of the budget that is left."""
    y = node.problem.y
    centred = y - y.mean()
    scale = max(float(np.std(y)), 1e-300)
    error = 1.0 if node.surrogate is None else node.surrogate.error
    return np.array([1.0 - decades(unexplained), 1.0 - decades(error), node.problem.n_variables / n_columns,
                     depth / (depth + 4.0), left, np.mean(y > 0), _spread(y),
                     np.tanh(np.mean((centred / scale) ** 3))], np.float32)


def observe_columns(node: Node, n_columns: int) -> np.ndarray:
    """Return the numbers named in COLUMN for every column, float32[D, 5]; zeros where there is none any more."""
    out = np.zeros((n_columns, len(COLUMN)), np.float32)
    for i, x in enumerate(node.problem.X):
        size = np.abs(x).max()
        out[i] = 1.0, np.mean(x > 0), _spread(x), size / (1.0 + size), 0.0
    for proposal, _, _ in node.proposals:
        out[list(proposal.columns), -1] += 1.0 / len(node.proposals)
    return out


def observe_proposals(node: Node, n_slots: int) -> np.ndarray:
    """Return the numbers named in PROPOSAL for every slot, float32[K, 10]; zeros where there is none."""
    out = np.zeros((n_slots, len(PROPOSAL)), np.float32)
    for k, (proposal, child, model) in enumerate(node.proposals):
        out[k, KINDS.index(proposal.kind)] = 1.0
        error = EXACT if model is None else model.error  # without a model the target has become a number
        out[k, len(KINDS):] = (np.clip(proposal.spread, 0.0, 1.0), np.clip(proposal.cost, -1.0, 1.0),
                               1.0 - decades(error), child.n_variables / node.problem.n_variables)
    return out


def _spread(values: np.ndarray) -> float:
    """Return how many decades the magnitudes span, as a number in [0, 1)."""
    size = np.abs(values)
    low, high = np.quantile(size, [0.05, 0.95])
    return float(np.tanh(np.log10(max(high, 1e-300) / max(low, 1e-12 * high, 1e-300)) / 4.0))


def root_node(problem: Problem, n_slots: int) -> Node:
    """Return the node of the user's problem."""
    return Node.of(problem, fit_surrogate(problem.X, problem.y), n_slots)
