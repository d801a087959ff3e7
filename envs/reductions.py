"""Reduced problems as nodes of a game: what can be done at each, and what it looks like as numbers.

Everything is computed once for each node and kept, so that the second episode through the same reductions costs
nothing. Nothing is random and nothing depends on the clock: generators start from the same seed at every node, and
closings end by their own bounds.
"""

from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from rsrm.closings import CLOSINGS, EXACT, closing, decades, lifted
from rsrm.explore import children
from rsrm.expression import Expression
from rsrm.forms import KINDS, Reduction
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.surrogate import Surrogate, fit_surrogate

CLOSING_ROWS = 200
"""Rows that closings see: they bound the number of terms, and with it the time."""
STATE = ("unexplained", "surrogate error", "columns", "depth", "steps left", "y: share above 0", "y: spread",
         "y: skewness")
COLUMN = ("present", "share above 0", "spread", "bounds", "in proposals")
PROPOSAL = (*KINDS, "spread", "cost", "surrogate error", "columns")


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
    closed : dict of str to (Expression or None, float)
        What each closing found in the user's variables, and its NRMSE.
    """

    problem: Problem
    surrogate: Surrogate | None
    proposals: list[tuple[Reduction, Problem, Surrogate | None]]
    closed: dict[str, tuple[Expression | None, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem, surrogate: Surrogate | None, n_slots: int) -> "Node":
        """Return the node of a problem with at most `n_slots` proposals."""
        proposals = []
        if surrogate is not None:
            found = (child for child in children(problem, surrogate, np.random.default_rng(0)) if child is not None)
            proposals = list(islice(found, n_slots))
        return cls(problem, surrogate, proposals)

    def close(self, name: str, objective: Objective) -> tuple[Expression | None, float]:
        """Return the first law that is exact, else the best, that a closing finds, and its NRMSE.

        Parameters
        ----------
        name : str
            One of ``rsrm.closings.CHEAP``.
        objective : Objective
            Of the user's problem.
        """
        if name not in self.closed:
            problem, best = self.problem, (None, np.inf)
            if problem.n_rows > CLOSING_ROWS:
                problem = problem.take(np.linspace(0, problem.n_rows - 1, CLOSING_ROWS).astype(np.int64))
            expressions = closing(problem, CLOSINGS[name], np.inf, np.random.default_rng(0))
            for expression, nrmse in lifted(problem, expressions, objective):
                if nrmse < best[1]:
                    best = expression, nrmse
                if nrmse <= EXACT:
                    break
            self.closed[name] = best
        return self.closed[name]


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
