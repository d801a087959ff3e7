"""An island: one seeded search over one problem, advanced by compiled rounds.

The state is records of arrays and goes in and comes out of every round, so that an island pickles and runs on threads,
processes or a cluster alike; its results depend on the problem, the seed and the number of evaluations only.
"""

import math
import time
from dataclasses import dataclass

import numpy as np

from rsrm.agents.genetic import Front, Genetic, Settings, evolve, new_front, new_genetic
from rsrm.agents.readout import exact_targets, write_out
from rsrm.agents.rng import new_rng
from rsrm.agents.scoring import Data, new_data, new_scratch
from rsrm.agents.seen import make_rules
from rsrm.agents.variation import Alphabet, new_alphabet
from rsrm.expression import Expression
from rsrm.hall_of_fame import HallOfFame
from rsrm.problem import Problem

HEAD_ROWS = 32
"""Rows on which hopeless expressions are dropped, where there are at least three times as many."""
CHUNK = 4000
"""Expressions scored in one compiled call of a round with a time limit: some 10 ms."""


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
    n_evaluations: int = 0

    @classmethod
    def create(cls, problem: Problem, *, max_size: int = 30, max_depth: int = 10, max_constants: int = 8,
               nested_constraints: dict | None = None, seed=0, fragments=(), population: int = 1000,
               target_nrmse: float = 1e-9) -> "Island":
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
        """
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
        return cls(problem, rng, settings, new_alphabet(library, fragments, length), data, head,
                   new_genetic(length, population, schedule, make_rules(nested_constraints)), new_front(length),
                   HallOfFame(library, 3 * length + 24), length, list(fragments))

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
        while left > 0 and time.perf_counter() < stop:
            scored = evolve(self.rng, self.genetic, self.front, self.alphabet, self.settings, self.data, self.head,
                            self.problem.library.tables, scratch, head_scratch, int(min(left, CHUNK)))
            self.n_evaluations += scored
            left -= scored
            improvements += self._read_front()
            if self.hall.errors.min() < self.settings.exact:
                break
        return [entry for entry in improvements if self._held(*entry)]

    def pareto(self) -> list[tuple[Expression, float]]:
        """Return the island's Pareto front, ``(expression, nrmse)`` by rising complexity."""
        return self.hall.pareto()

    def inject(self, expressions) -> None:
        """Hand expressions over the problem's library to the search: they become fragments for variation."""
        known = set(self.fragments)
        self.fragments += [e for e in expressions if e not in known and e.complexity <= self.max_size]
        self.fragments = self.fragments[-64:]
        self.alphabet = new_alphabet(self.problem.library, self.fragments, self.max_size)

    def _read_front(self) -> list[tuple[Expression, float]]:
        """Write changed rows of the compiled front out as expressions; return those that entered the hall."""
        found = []
        for row in np.flatnonzero(self.front.changed):
            self.front.changed[row] = False
            n, m = self.front.lengths[row], 0
            tokens = self.front.tokens[row, :n]
            m = int((tokens == self.problem.library.constant).sum())
            inner = Expression(tokens.copy(), self.front.constants[row, :m].copy(), self.problem.library)
            for expression, error in write_out(self.problem, inner, int(self.front.modes[row]),
                                               int(self.front.targets[row])):
                if self.hall.add(expression, error):
                    found.append((expression, error))
        return found

    def _held(self, expression: Expression, error: float) -> bool:
        return self.hall.errors[expression.complexity] == error


def make_schedule(n_targets: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return ``(mode, target)`` pairs for successive restarts: the plain target in turn with one inverted target."""
    plain = [(1, 0), (3, 0), (0, 0), (6, 0)]
    others = [(mode, t) for t in range(1, n_targets) for mode in (1, 3)]
    rng.shuffle(others)
    schedule = []
    for i in range(max(len(plain), len(others))):
        schedule.append(plain[i % len(plain)])
        if others:
            schedule.append(others[i % len(others)])
    return schedule
