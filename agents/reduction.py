"""Monte Carlo tree search over reductions, guided by double Q-learning.

A node is a reduced problem; its actions are the reductions that its surrogate supports, and the closings. An episode
has the four phases of the method (Browne et al., IEEE TCIAIG 2012):

* *selection*: from the user's problem, the action of the largest ``V_a + c P_a sqrt(1 + T) / (1 + t_a)``. V is the
  average of the mean and the best reward below. T and t are efforts, in nominal seconds, where the usual formula
  (Silver et al., Nature 2017) counts visits: closings differ a hundredfold in price, and time is what is shared out;
* *expansion*: a reduction that was not tried before is confirmed or refused by a surrogate of its own. Selection goes
  on at the same node with what is known now, so that the greedy path is walked first, at one fit or two a step, and
  its alternatives wait in the tree until they are worth a fit (progressive widening);
* *simulation*: a closing;
* *backpropagation*: its reward goes to the actions on the path and, as an episode, to the Q tables.

The reward says how many of the decades between the spread of y and rounding (or the noise) are explained, from 0 to 1.
The prior P is the softmax of minus the cost of an action (for a reduction the spread of its test, how simple it is and,
once it is confirmed, how the error of the surrogate grew) plus what double Q-learning has seen of actions like it at
problems like this one, against the average episode. What is refused, or explains little, at one node is tried later at
the others. Actions that lead to nothing new are closed.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from rsrm.agents.qlearning import learn_path
from rsrm.agents.rng import new_rng
from rsrm.closings import CLOSINGS, EXACT, Closing, closing, decades, lifted
from rsrm.explore import CHILDREN, POOR, certain, confirmed, most_tried, supported, surrogate_of
from rsrm.expression import Expression
from rsrm.folding import folds
from rsrm.forms import KINDS, Reduction
from rsrm.noise import noise_level
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.surrogate import SMOOTH, Surrogate

FIT_ROWS, SCORE_ROWS = 4000, 300
"""Rows that surrogates and closings see, and rows that rewards are computed on."""
HOPELESS, HOPELESS_FEW, MANY_ROWS = 0.9, 0.5, 200
"""Errors of the user's problem at which gradients say nothing, with many and with few rows."""
MAX_NODES = 200
FIT_EFFORT = 0.02
"""Less than a fit takes: one is made for every node, but what it took is no reason to leave its closings untried."""
SPREADS, ERRORS, TRENDS, MAX_VARIABLES = (1e-3, 5e-2), (1e-6, SMOOTH, POOR), (-0.3, 0.3), 5
"""Bounds of the buckets by which the Q tables tell actions and problems apart."""
PER_VARIABLE = 0.05
"""What the cost of a closing rises with every variable that is left: the more of them, the less often one succeeds."""
N_STATES = MAX_VARIABLES * (len(ERRORS) + 1) * (len(TRENDS) + 1)
N_REDUCTIONS = len(KINDS) * (len(SPREADS) + 1)


class Policy(NamedTuple):
    """Numbers that steer an episode."""

    exploration: float = 1.0  # c in selection
    temperature: float = 0.1  # of the prior
    alpha: float = 0.3  # step size of double Q-learning
    weight: float = 3.0  # of a Q value against a cost in the prior
    refused: float = -0.1  # reward of a reduction that its surrogate refuses: a fit for nothing
    uniform: float = 0.01  # added to every prior
    use_q: bool = True  # in the prior
    use_costs: bool = True  # in the prior; with neither all actions are alike


@dataclass(eq=False)
class Action:
    """An edge of the tree: a reduction, whose child is None until it is confirmed, or a closing."""

    column: int  # of the Q tables
    cost: float
    proposal: Reduction | None = None
    closing: str | None = None
    child: "Node | None" = None
    is_open: bool = True  # may be selected
    effort: float = 0.0
    visits: int = 0
    total: float = 0.0
    best: float = 0.0

    @property
    def value(self) -> float:
        """Average of the mean and the best reward below."""
        return 0.5 * (self.total / self.visits + self.best)


@dataclass(eq=False)
class Node:
    """A reduced problem in the tree."""

    problem: Problem
    model: Surrogate | None
    row: int  # of the Q tables
    cost: float
    noise: float | None = None  # None until the node is closed
    actions: list[Action] | None = None  # None until the node is reached
    room: int = CHILDREN  # reductions that may still be confirmed
    effort: float = 0.0
    visits: int = 0
    total: float = 0.0


Path = list[tuple[Node, Action]]


class ReductionSearch:
    """A search over the reductions of one problem; iterating over it yields laws.

    Parameters
    ----------
    problem : Problem
        Of the user; the caller has closed it already.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    rng : numpy.random.Generator
    reduced : list of (float, Problem)
        Filled with the reduced problems that were closed and their cost: others may search them further.
    closings : mapping of str to Closing
    policy : Policy

    Attributes
    ----------
    root : Node or None
        None where no smooth model says anything about the data.
    q : float64[2, S, K]
        Double-Q tables over :meth:`state` and the columns of actions.
    n_fits : int
        Reductions that were put to a surrogate.
    n_closings : int
        Episodes that were begun.
    """

    def __init__(self, problem: Problem, deadline: float, rng: np.random.Generator,
                 reduced: list[tuple[float, Problem]], closings: Mapping[str, Closing] = CLOSINGS,
                 policy: Policy | None = None):
        problem = problem.sample(FIT_ROWS, rng)
        rows = np.sort(rng.choice(problem.n_rows, min(SCORE_ROWS, problem.n_rows), replace=False))
        self.objective = Objective(problem.take(rows))
        self.deadline, self.reduced, self.closings = deadline, reduced, closings
        self.policy = Policy() if policy is None else policy
        self.noise = problem.noise
        self.seed = int(rng.integers(2**32))
        self.rng = new_rng(self.seed)
        self.q = np.zeros((2, N_STATES, N_REDUCTIONS + len(closings)))
        self.n_fits = self.n_closings = self.n_nodes = self.n_episodes = 0
        self.gains = 0.0
        self._seen: dict[bytes, Surrogate | None] = {}  # models of the confirmed problems, whatever the way to them
        model = surrogate_of(problem, self.noise)
        self.root = None
        hopeless = HOPELESS if problem.n_rows >= MANY_ROWS else HOPELESS_FEW
        if model is not None and (model.error <= hopeless or any(folds(problem, model))):
            self.error = model.error
            self.root = Node(problem, model, self.state(problem, model), 0.0)

    def __iter__(self) -> Iterator[Expression | None]:
        """Yield laws in the user's variables as they are found, and None as a heartbeat."""
        while self.root is not None and time.perf_counter() < self.deadline:
            path = yield from self._select()
            if not path:
                return
            gain = yield from self._simulate(*path[-1])
            self._backpropagate(path, gain)

    def state(self, problem: Problem, model: Surrogate | None) -> int:
        """Return the row of the Q tables: how many variables, how good the surrogate, how its error has changed."""
        good = int(np.searchsorted(ERRORS, 0.0 if model is None else model.error))
        trend = int(np.searchsorted(TRENDS, self._rise(model, self.error)))
        variables = min(problem.n_variables, MAX_VARIABLES) - 1
        return (variables * (len(ERRORS) + 1) + good) * (len(TRENDS) + 1) + trend

    def _rise(self, model: Surrogate | None, before: float) -> float:
        """Return by how much an error grew: in decades, under noise, where a percent means much, in steps of five."""
        ratio = max(before if model is None else model.error, 1e-12) / max(before, 1e-12)
        return max(-1.0, float(np.log10(ratio)) if self.noise == 0 else 20.0 * (ratio - 1.0))

    def _reach(self, node: Node) -> None:
        """List the actions of a node."""
        node.actions = []
        if node.model is not None:
            # Every node asks for the same rows, so that a reduction does not depend on the way to it.
            found = supported(node.problem, node.model, np.random.default_rng(self.seed), self.noise, self.deadline)
            for proposal in found[:most_tried(node.model, self.noise)]:
                bucket = int(np.searchsorted(SPREADS, proposal.spread))
                column = KINDS.index(proposal.kind) * (len(SPREADS) + 1) + bucket
                node.actions.append(Action(column, proposal.cost, proposal=proposal))
        if node is not self.root:
            left = PER_VARIABLE * (node.problem.n_variables - 1)
            node.actions += [Action(N_REDUCTIONS + k, kind.cost + left, closing=name)
                             for k, (name, kind) in enumerate(self.closings.items())]

    def _choose(self, node: Node) -> Action | None:
        """Return the action of the largest upper bound, or None if the node is exhausted."""
        if node.actions is None:
            self._reach(node)
        actions = [a for a in node.actions if a.is_open]
        if not actions:
            return None
        logits = np.array([-a.cost if self.policy.use_costs else 0.0 for a in actions])
        if self.policy.use_q:
            logits += self.policy.weight * self.q[:, node.row, [a.column for a in actions]].mean(0)
        prior = np.exp((logits - logits.max()) / self.policy.temperature)
        prior = prior / prior.sum() + self.policy.uniform
        unknown = node.total / max(node.visits, 1)
        value = np.array([a.value if a.visits else unknown for a in actions])
        effort = np.array([a.effort for a in actions])
        bound = value + self.policy.exploration * prior * np.sqrt(1.0 + node.effort) / (1.0 + effort)
        return actions[int(np.argmax(bound))]

    def _select(self) -> Iterator[None]:
        """Selection and expansion: yield after every fit; return a path that ends in a closing, empty at the end."""
        node, path = self.root, []
        while True:
            action = self._choose(node)
            if action is None:
                if not path:
                    return []
                node, action = path.pop()
                action.is_open = False
            elif action.closing is not None:
                return [*path, (node, action)]
            elif action.child is not None:
                path.append((node, action))
                node = action.child
            else:
                if not self._expand(node, action):
                    self._learn([*path, (node, action)], self.policy.refused)
                yield None

    def _expand(self, node: Node, action: Action) -> bool:
        """Expansion: give a reduction its node; return False if it was refused."""
        child = None if self.n_nodes == MAX_NODES else action.proposal.make()
        mark = None if child is None else _fingerprint(child)
        known = child is None or mark in self._seen
        self.n_fits += not known
        found = None if known else confirmed(action.proposal, child, node.model, self.noise)
        if found is None:
            action.is_open = False
            # A sure step to where another way has led already: the other steps from here lead to nothing else.
            if mark in self._seen and certain((action.proposal, child, self._seen[mark]), node.model):
                _close_alternatives(node)
            return False
        self._seen[mark] = found[2]
        self.n_nodes += 1
        model = found[2]
        cost = child.n_variables + self._rise(model, self.error) + action.proposal.cost
        action.child = Node(child, model, self.state(child, model), cost)
        if not action.proposal.guessed:  # whose cost says so already
            rise = self._rise(model, node.model.error)
            action.cost += rise if rise > 0.0 else 0.3 * rise
        node.room -= 1
        if node.room == 0 or certain(found, node.model):
            _close_alternatives(node)
        return True

    def _simulate(self, node: Node, action: Action) -> Iterator[Expression | None]:
        """Simulation: close the problem; yield what is found and return the reward."""
        action.is_open = False
        self.n_closings += 1
        if not any(problem is node.problem for _, problem in self.reduced):
            self.reduced.append((node.cost, node.problem))
        least = np.inf
        for problem in self._readings(node):
            expressions = closing(problem, self.closings[action.closing], self.deadline,
                                  np.random.default_rng(self.seed))
            for expression, nrmse in lifted(problem, expressions, self.objective):
                yield expression
                least = min(least, nrmse)
        return decades(least, max(EXACT, self.noise))

    def _readings(self, node: Node) -> list[Problem]:
        """Return the problem of a node, and again with noise where there is some that only shows with fewer columns."""
        if node.noise is None:
            node.noise = 0.0
            if self.noise == 0.0 and node.model is not None and node.model.error > SMOOTH:
                found = noise_level(node.problem, np.random.default_rng(self.seed))
                node.noise = found.level if found.certain else 0.0
        return [node.problem, *([replace(node.problem, noise=node.noise)] if node.noise > 0.0 else [])]

    def _backpropagate(self, path: Path, gain: float) -> None:
        """Backpropagation: the reward and the effort of an episode go to what led to it, the reward to the Q tables."""
        node, action = path[-1]
        share = min(node.problem.n_variables, 4) / 4.0
        effort = share * self.closings[action.closing].effort + FIT_EFFORT * (len(path) - 1)
        for node, action in path:
            for place in (node, action):
                place.effort += effort
                place.visits += 1
                place.total += gain
            action.best = max(action.best, gain)
        self.gains += gain
        self.n_episodes += 1
        self._learn(path, gain)

    def _learn(self, path: Path, gain: float) -> None:
        # Against the average episode: zero, which untried actions have, is neither praise nor blame.
        average = self.gains / max(self.n_episodes, 1)
        rows = np.array([node.row for node, _ in path], np.int64)
        columns = np.array([action.column for _, action in path], np.int64)
        learn_path(self.rng, self.q, rows, columns, len(path), gain - average, self.policy.alpha, 0.0, 1.0)


def _close_alternatives(node: Node) -> None:
    for action in node.actions:
        action.is_open &= action.child is not None or action.proposal is None


def _fingerprint(problem: Problem) -> bytes:
    """Return what two reductions share that lead to the same problem: some values to nine digits."""
    mantissa, exponent = np.frexp(np.concatenate([np.sort(problem.X[:, 0]), problem.y[:2]]))
    return np.round(mantissa, 9).tobytes() + exponent.tobytes()
