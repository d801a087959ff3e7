"""What plans in an island: tree search over contexts or, without sub-trees, over whole expressions."""

from dataclasses import dataclass

import numpy as np

from rsrm.agents.advice import new_advice
from rsrm.agents.closing import Closer, new_hole_work
from rsrm.agents.context_tree import CLOSED, Contexts, Peeling, new_contexts
from rsrm.agents.mcts import POLICY, Policy, Tree, new_tree, run_round
from rsrm.agents.peeling import new_peeling_work, run_peeling
from rsrm.agents.qlearning import new_tables, new_work
from rsrm.agents.scoring import SCALED
from rsrm.agents.sides import Kinds, Sides, add_sides, kinds_of, new_sides
from rsrm.compose import constant
from rsrm.expression import Expression
from rsrm.grammar import Limits, make_limits
from rsrm.library import Library

TREE_NODES = 20_000
CONTEXTS = 50_000
CONTEXT_SIZE = 16
"""Tokens around a hole at most, with one for the hole."""
N_SIDES, N_PROMOTED = 200, 56
"""Simple and promoted sub-trees that may stand beside a hole."""


@dataclass
class TokenPlanner:
    """Tree search over whole expressions, for an island without sub-trees; picklable."""

    limits: Limits
    policy: Policy
    tree: Tree
    q: np.ndarray
    library: Library

    @classmethod
    def create(cls, library: Library, options: dict, use_q: bool) -> "TokenPlanner":
        """Return a planner with an empty tree; `options` are arguments of :func:`rsrm.grammar.make_limits`."""
        return cls(make_limits(library, **options), POLICY._replace(use_q=use_q), new_tree(len(library), TREE_NODES),
                   new_tables(len(library)), library)

    def round(self, rng, data, front, scratch, episodes: int) -> tuple[int, list[tuple[Expression, float]]]:
        """Run episodes; return how many there were; what is good is in the front."""
        return run_round(rng, self.tree, self.q, self.policy, SCALED, self.limits, self.library.tables, data, scratch,
                         front, new_work(self.limits), episodes), []


@dataclass
class ContextPlanner:
    """Tree search over contexts, closed by value; picklable."""

    policy: Peeling
    kinds: Kinds
    sides: Sides
    tree: Contexts
    q: np.ndarray
    closer: Closer

    @classmethod
    def create(cls, library: Library, rules: np.ndarray, max_size: int, max_depth: int, use_q: bool,
               closer: Closer) -> "ContextPlanner":
        """Return a planner with an empty tree; limits are those of the context, `rules` of :func:`make_rules`."""
        kinds, X = kinds_of(library, rules), closer.shapes.X
        sides = new_sides(N_SIDES + N_PROMOTED, X.shape[1])
        numbers = [constant(library, v) for v in (1.0, 2.0)] if library.constants or library.literals else []
        add_sides(sides, [*numbers, *(closer.bank.expression(int(e)) for e in closer.entries[:N_SIDES - 2])], X,
                  promoted=False)
        sides.count[1] = sides.count[0]
        return cls(Peeling(use_q=use_q, max_size=min(max_size, CONTEXT_SIZE), max_depth=max_depth),
                   kinds, sides, new_contexts(CONTEXTS), new_advice(len(kinds.opcode)), closer)

    def use(self, fragments) -> None:
        """Let promoted fragments stand beside holes, as long as there is room."""
        add_sides(self.sides, fragments, self.closer.shapes.X)
        self.tree.prior[self.tree.prior == CLOSED] = 0.0  # there may be something left to expand again

    def round(self, rng, data, front, scratch, wanted: int) -> tuple[int, list[tuple[Expression, float]]]:
        """Look up so many contexts, or a few more; return how many it were, and the closed ones that were news."""
        rows = self.sides.values.shape[1]
        work = new_hole_work(self.closer.hits.tokens.shape[1], rows)
        scored = 0
        if len(self.kinds.opcode) and self.sides.count[1] > 1:  # there is something to stand beside a hole
            scored = run_peeling(rng, self.tree, self.q, self.policy, self.kinds, self.sides, self.closer.shapes,
                                 self.closer.hits, work, new_peeling_work(self.kinds, self.sides, self.policy.max_size),
                                 wanted)
        return scored, self.closer.read(work)
