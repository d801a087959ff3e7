"""What the agents of an island share: the tree search as a planner, and what double Q-learning knows."""

from dataclasses import dataclass

import numpy as np

from rsrm.agents.closing import N_SIMPLE, Closer, new_hole_work
from rsrm.agents.contexts import new_hits
from rsrm.agents.genetic import SIZE, Genetic
from rsrm.agents.holes import no_shapes
from rsrm.agents.mcts import POLICY, Policy, Tree, clear, new_tree, run_round
from rsrm.agents.qlearning import new_tables, new_work, preferences, replay
from rsrm.agents.scoring import SCALED
from rsrm.expression import Expression
from rsrm.grammar import Limits, make_limits
from rsrm.library import Library
from rsrm.problem import Problem

TREE_NODES = 20_000
REPLAYS = 200
"""Individuals of the population that the Q tables learn from after each chunk of genetic refinement."""
ALPHA = 0.1
BIAS = 10.0
"""Logarithm of a token's weight in variation for an advantage of one; weights stay within exp(-2) and exp(2)."""


@dataclass
class Experience:
    """The Q tables of an island and what is needed to learn from expressions that others wrote; picklable.

    Attributes
    ----------
    q : float64[2, S, K]
    visits : float64[S, K]
        How often each pair of state and token was learned from.
    limits : Limits
        Of the expressions.
    """

    q: np.ndarray
    visits: np.ndarray
    limits: Limits

    @classmethod
    def create(cls, library: Library, **limits) -> "Experience":
        """Return empty tables; `limits` are keyword arguments of :func:`rsrm.grammar.make_limits`."""
        q = new_tables(len(library))
        return cls(q, np.zeros(q.shape[1:]), make_limits(library, **limits))

    def learn(self, rng: np.ndarray, state: Genetic, parsimony: float) -> np.ndarray:
        """Learn from a population; return weights of the tokens for its variation, float64[K]."""
        replay(rng, self.q, self.visits, state.tokens, state.lengths, state.fitness, int(state.counters[SIZE]),
               parsimony, self.limits, new_work(self.limits), ALPHA, POLICY.eta, REPLAYS)
        return np.exp(np.clip(BIAS * preferences(self.q, self.visits), -2.0, 2.0))


@dataclass
class Planner:
    """The tree search of an island: its tree, Q tables, and what it closes holes with; picklable."""

    problem: Problem
    library: Library
    options: dict
    limits: Limits
    policy: Policy
    tree: Tree
    q: np.ndarray
    closer: Closer | None

    @classmethod
    def create(cls, problem: Problem, options: dict, use_q: bool, q: np.ndarray, closer: Closer | None) -> "Planner":
        """Return a planner with an empty tree; without a `closer`, episodes go on to complete expressions.

        `options` are keyword arguments of :func:`rsrm.grammar.make_limits`; `q` is changed in place.
        """
        limits = make_limits(problem.library, **options)
        return cls(problem, problem.library, options, limits, POLICY._replace(use_q=use_q),
                   new_tree(len(problem.library), TREE_NODES), q, closer)

    def use(self, library: Library) -> None:
        """Go on with other promoted operators: ids stay, but masks change, so that the tree begins anew."""
        if library != self.library:
            self.library = library
            self.limits = make_limits(library, **self.options)
            clear(self.tree)

    def round(self, rng, data, front, scratch, episodes: int) -> tuple[int, list[tuple[Expression, float]]]:
        """Run episodes; return how many, and the closed contexts that were news."""
        closer = self.closer
        shapes = no_shapes() if closer is None else closer.shapes
        hits = new_hits(self.limits.max_size) if closer is None else closer.hits
        work = new_hole_work(self.limits.max_size, shapes.targets.shape[1])
        scored = run_round(rng, self.tree, self.q, self.policy, closer is not None, SCALED, self.limits,
                           self.library.tables, data, scratch, front, shapes, min(N_SIMPLE, len(shapes.values)), work,
                           hits, new_work(self.limits), episodes)
        return scored, [] if closer is None else closer.read(work)
