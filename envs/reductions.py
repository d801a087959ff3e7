"""Reduced problems as nodes of a game: what can be done at each, and what it looks like as numbers.

Everything is computed once for each node and kept, so that the second episode through the same reductions costs
nothing. Nothing is random and nothing depends on the clock: generators start from the same seed at every node, and
closings end by their own bounds.
"""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from rsrm.closings import CLOSINGS, EXACT, closing, decades, lifted
from rsrm.explore import children
from rsrm.expression import Expression
from rsrm.forms import KINDS, Reduction
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.surrogate import Surrogate, fit_surrogate

SEEN = 4096
"""Reduced problems kept in memory."""
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
    closed: dict[str, tuple[Expression | None, float]]

    @classmethod
    def of(cls, problem: Problem, surrogate: Surrogate | None, n_slots: int, closed: dict) -> "Node":
        """Return the node of a problem with at most `n_slots` proposals; what closings find is noted in `closed`."""
        proposals = []
        if surrogate is not None:
            found = (child for child in children(problem, surrogate, np.random.default_rng(0)) if child is not None)
            proposals = list(islice(found, n_slots))
        return cls(problem, surrogate, proposals, closed)

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
            with np.errstate(all="ignore"):  # candidates that overflow are judged by their values
                for expression, nrmse in lifted(problem, expressions, objective):
                    if nrmse < best[1]:
                        best = expression, nrmse
                    if nrmse <= EXACT:
                        break
            self.closed[name] = best
        return self.closed[name]


class Nodes:
    """Nodes by path, the numbers of the proposals that lead to them; each is computed when it is first asked for.

    Copies share them, as they are functions of the problem alone. A pickle holds what closings found, and the rest is
    computed again: functions that reductions hold cannot be pickled.

    Parameters
    ----------
    problem : Problem
        That of the root, path ``()``.
    n_slots : int
    """

    def __init__(self, problem: Problem, n_slots: int):
        self._problem, self._n_slots = problem, n_slots
        self._nodes: dict[tuple[int, ...], Node] = {}
        self._closed: dict[tuple[int, ...], dict] = {}

    def __getitem__(self, path: tuple[int, ...]) -> Node:
        if path not in self._nodes:
            with np.errstate(all="ignore"):
                if path:
                    _, problem, model = self[path[:-1]].proposals[path[-1]]
                else:
                    problem, model = self._problem, fit_surrogate(self._problem.X, self._problem.y)
                self._nodes[path] = Node.of(problem, model, self._n_slots, self._closed.setdefault(path, {}))
        return self._nodes[path]

    def trim(self) -> None:
        """Forget all but the root if there are many."""
        if len(self._nodes) > SEEN:
            self._nodes, self._closed = {(): self[()]}, {(): self[()].closed}

    def __getstate__(self):
        return {"problem": self._problem, "n_slots": self._n_slots, "closed": self._closed}

    def __setstate__(self, state):
        self.__init__(state["problem"], state["n_slots"])
        self._closed = state["closed"]

    def __deepcopy__(self, memo):
        return self


def observe_state(node: Node, unexplained: float, depth: int, left: float, n_columns: int) -> np.ndarray:
    """Return the numbers named in STATE, float32[8]; `left` is the share of the budget that is left."""
    y = node.problem.y
    y = np.ldexp(y, -np.frexp(np.abs(y).max())[1])  # a power of two, lest cubes overflow or vanish
    centred = y - y.mean()
    scale = max(float(np.std(y)), 1e-300)
    error = _error(node.surrogate, 1.0)
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
    """Return the numbers named in PROPOSAL for every slot, float32[K, 11]; zeros where there is none."""
    out = np.zeros((n_slots, len(PROPOSAL)), np.float32)
    for k, (proposal, child, model) in enumerate(node.proposals):
        out[k, KINDS.index(proposal.kind)] = 1.0
        error = _error(model, EXACT)  # without a model the target has become a number
        out[k, len(KINDS):] = (np.clip(proposal.spread, 0.0, 1.0), np.clip(proposal.cost, -1.0, 1.0),
                               1.0 - decades(error), child.n_variables / node.problem.n_variables)
    return out


def _spread(values: np.ndarray) -> float:
    """Return how many decades the magnitudes span, as a number in [0, 1)."""
    size = np.abs(values)
    low, high = np.quantile(size, [0.05, 0.95])
    return float(np.tanh(np.log10(max(high, 1e-300) / max(low, 1e-12 * high, 1e-300)) / 4.0))


def _error(model: Surrogate | None, otherwise: float) -> float:
    """Return the held-out error of a model, 1 if it is not finite."""
    if model is None:
        return otherwise
    return model.error if np.isfinite(model.error) else 1.0
