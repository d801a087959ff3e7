"""An island: one seeded search over one problem, advanced by compiled rounds.

The state is records of arrays and goes in and comes out of every round, so that an island pickles and runs on threads,
processes or a cluster alike; its results depend on the problem, the seed and the number of evaluations only.
"""

import math
import time
from dataclasses import dataclass, field

import numpy as np

from rsrm.agents.closing import Closer
from rsrm.agents.genetic import Front, Genetic, Settings, evolve, new_front, new_genetic
from rsrm.agents.planner import ContextPlanner, TokenPlanner
from rsrm.agents.readout import exact_targets, write_out
from rsrm.agents.rng import new_rng
from rsrm.agents.scoring import RAW, SCALED, Data, new_data, new_scratch
from rsrm.agents.seen import make_rules
from rsrm.agents.variation import Alphabet, new_alphabet
from rsrm.bank import Bank
from rsrm.expression import Expression
from rsrm.hall_of_fame import HallOfFame
from rsrm.problem import Problem
from rsrm.subtree import SubtreeDiscovery

HEAD_ROWS = 32
"""Rows on which hopeless expressions are dropped, where there are at least three times as many."""
CHUNK = 4000
"""Expressions scored in one compiled call of a round with a time limit: some 10 ms."""
LOOK_UPS = 8000
"""Contexts that tree search looks up after each chunk of genetic refinement."""
DRAWS = 1000
"""Sub-trees of the population that are asked for after each chunk what should stand in their place."""
DISCOVERY = 200_000
"""Expressions scored between two looks at which sub-trees to promote."""


@dataclass
class Island:
    """One search; make it with :meth:`create`.

    Attributes
    ----------
    problem : Problem
    rng : uint64[1]
    hall : HallOfFame
        Expressions over the problem's library, with their NRMSE on the problem's rows.
    n_evaluations : int
        Distinct expressions scored so far.
    """

    problem: Problem
    rng: np.ndarray
    settings: Settings
    alphabet: Alphabet
    data: Data
    head: Data
    genetic: Genetic
    front: Front
    hall: HallOfFame
    max_size: int
    fragments: list[Expression]
    use_genetic: bool
    use_mcts: bool
    discovery: SubtreeDiscovery | None = None
    planner: ContextPlanner | TokenPlanner | None = None
    closer: Closer | None = None
    n_evaluations: int = 0
    n_discoveries: int = 0
    news: list[tuple[Expression, float]] = field(default_factory=list)

    @classmethod
    def create(cls, problem: Problem, *, max_size: int = 30, max_depth: int = 10, max_constants: int = 8,
               nested_constraints: dict | None = None, seed=0, fragments=(), population: int = 1000,
               target_nrmse: float = 1e-9, use_genetic: bool = True, use_mcts: bool = True, use_q: bool = True,
               use_subtrees: bool = True, bank: Bank | None = None) -> "Island":
        """Return an island with nothing scored yet.

        Parameters
        ----------
        problem : Problem
            At most about a thousand rows; more only slow the search down.
        max_size, max_depth, max_constants : int
            Limits on the expression built by the agents; outer constants and an outer inverse come on top.
        nested_constraints : dict, optional
            As in :func:`rsrm.grammar.make_limits`.
        seed : int, SeedSequence or Generator
        fragments : sequence of Expression
            Sub-trees that variation may use as leaves.
        population : int
            Individuals of the genetic agent.
        target_nrmse : float
            A round ends early once an expression is this good.
        use_genetic, use_mcts, use_q : bool
            Which agents search; without `use_q` the tree search proposes operators and sides at random.
        use_subtrees : bool
            Whether sub-trees are discovered: holes are closed from a bank of them, the tree search puts its simplest
            ones around the hole, and those of the best expressions are promoted as the search goes on. Without them
            the tree search writes whole expressions.
        bank : rsrm.bank.Bank, optional
            Sub-trees that holes are closed with; a small one is enumerated by default.
        """
        if not (use_genetic or use_mcts):
            raise ValueError("use_genetic, use_mcts: at least one agent is needed")
        rng = new_rng(seed)
        probe = np.random.default_rng(rng[0])
        targets = exact_targets(problem)
        values, weights = np.array([t.values for t in targets]), np.array([t.weights for t in targets])
        data = new_data(problem.X, values, weights, probe)
        head = data
        if problem.n_rows >= 3 * HEAD_ROWS:
            rows = probe.permutation(problem.n_rows)[:HEAD_ROWS]
            head = new_data(problem.X[:, rows], values[:, rows], weights[:, rows], probe)
        library = problem.library
        length = max(3, max_size)
        settings = Settings(max_depth, 30000, 3, 0.45, 0.15, 0.05, target_nrmse, 4, not library.constants,
                            library.constant)
        schedule = make_schedule(len(targets), probe)
        closer = Closer.create(problem, length, bank, probe) if use_subtrees else None
        planner = None
        if use_mcts and closer is not None:
            planner = ContextPlanner.create(library, make_rules(nested_constraints), length, max_depth, use_q, closer)
        elif use_mcts:
            options = dict(max_size=length, max_depth=max_depth, max_constants=max_constants,
                           nested_constraints=nested_constraints)
            planner = TokenPlanner.create(library, options, use_q)
        return cls(problem, rng, settings, new_alphabet(library, fragments, length), data, head,
                   new_genetic(length, population, schedule, make_rules(nested_constraints)), new_front(length),
                   HallOfFame(library, 3 * length + 24), length, list(fragments), use_genetic, use_mcts,
                   SubtreeDiscovery(library) if use_subtrees else None, planner, closer)

    def round(self, seconds: float | None = None, evaluations: int | None = None) -> list[tuple[Expression, float]]:
        """Search on, for `seconds` of wall clock or for a number of `evaluations`; return what was improved.

        Returns
        -------
        improvements : list of (Expression, float)
            Entries of the Pareto front that are new since the last call, with their NRMSE on the problem's rows.

        Raises
        ------
        ValueError
            If neither limit is given, or one is negative.
        """
        if seconds is None and evaluations is None:
            raise ValueError("seconds, evaluations: one limit is needed")
        if (seconds or 0) < 0 or (evaluations or 0) < 0:
            raise ValueError("seconds, evaluations: limits must not be negative")
        stop = math.inf if seconds is None else time.perf_counter() + seconds
        left = math.inf if evaluations is None else evaluations
        scratch = new_scratch(self.max_size, self.problem.n_rows)
        head_scratch = new_scratch(self.max_size, self.head.X.shape[1])
        improvements: list[tuple[Expression, float]] = []
        solved = False
        while left > 0 and time.perf_counter() < stop and not solved:
            if self.discovery is not None and self.n_evaluations >= DISCOVERY * (self.n_discoveries + 1):
                self._discover()
            if self.use_genetic:
                scored = evolve(self.rng, self.genetic, self.front, self.alphabet, self.settings, self.data, self.head,
                                self.problem.library.tables, scratch, head_scratch, int(min(left, CHUNK)))
                self.n_evaluations += scored
                left -= scored
                improvements += self._keep(self._read_front())
                solved = self.hall.errors.min() < self.settings.exact
                if self.closer is not None and left > 0 and not solved:
                    scored, found = self.closer.complete(self.rng, self.genetic, DRAWS)
                    self.n_evaluations += scored
                    left -= scored
                    improvements += self._keep(found)
                    solved = self.hall.errors.min() < self.settings.exact
            if self.use_mcts and left > 0 and not solved:
                scored, found = self.planner.round(self.rng, self.data, self.front, scratch,
                                                   int(min(left, LOOK_UPS if self.use_genetic else CHUNK)))
                self.n_evaluations += scored
                left -= scored
                improvements += self._keep(found + self._read_front())
                solved = self.hall.errors.min() < self.settings.exact
                if scored == 0 and not self.use_genetic:
                    break
        return [entry for entry in improvements if self._held(*entry)]

    def pareto(self) -> list[tuple[Expression, float]]:
        """Return the island's Pareto front, ``(expression, nrmse)`` by rising complexity."""
        return self.hall.pareto()

    def _discover(self) -> None:
        """Promote and demote sub-trees: fragments for variation, tokens for the tree search."""
        self.n_discoveries = self.n_evaluations // DISCOVERY
        chosen = self.discovery.update(self.problem, self.hall.pareto(), self.news)
        self.news = []
        self.alphabet = new_alphabet(self.problem.library, self.fragments + chosen, self.max_size)
        if self.planner is not None:
            self.planner.use(chosen)

    def _keep(self, found) -> list[tuple[Expression, float]]:
        """Add expressions to the hall; return those that it kept."""
        kept = [(expression, error) for expression, error in found if self.hall.add(expression, error)]
        self.news += kept
        return kept

    def _read_front(self) -> list[tuple[Expression, float]]:
        """Return changed rows of the compiled front, written out."""
        found = []
        for row in np.flatnonzero(self.front.changed):
            self.front.changed[row] = False
            tokens = self.front.tokens[row, :self.front.lengths[row]]
            m = int((tokens == self.problem.library.constant).sum())
            inner = Expression(tokens.copy(), self.front.constants[row, :m].copy(), self.problem.library)
            found += write_out(self.problem, inner, int(self.front.modes[row]), int(self.front.targets[row]))
        return found

    def _held(self, expression: Expression, error: float) -> bool:
        return self.hall.errors[expression.complexity] == error


def make_schedule(n_targets: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return ``(mode, target)`` pairs for successive restarts: after two modes of the plain target an inverted one.

    Half and half, the plain target came too late: on eleven problems, two seeds and 300,000 evaluations each, this
    order recovered 13 of 22, half and half 7.
    """
    plain = [(SCALED, 0), (6, 0), (3, 0), (RAW, 0)]
    others = [(mode, t) for t in range(1, n_targets) for mode in (SCALED, 3)]
    rng.shuffle(others)
    schedule = []
    for i in range(2 * max(len(others), 2)):
        schedule.append(plain[i % len(plain)])
        if i % 2 and others:
            schedule.append(others[(i // 2) % len(others)])
    return schedule
