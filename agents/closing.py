"""What an island looks holes up in, and how closed contexts are written out as expressions."""

from dataclasses import dataclass

import numpy as np

from rsrm.agents.contexts import EXACT, Hits, complete, new_hits
from rsrm.agents.genetic import RESTARTS, SIZE, Genetic
from rsrm.agents.holes import HoleWork, Shapes, new_shapes, undo
from rsrm.agents.readout import error_of, exact_targets, polish
from rsrm.bank import Bank
from rsrm.compose import constant, fraction, linear, snap
from rsrm.evaluate import BLOCK
from rsrm.expression import Expression
from rsrm.problem import Problem

BANK_ENTRIES, BANK_ROWS = 50_000, 16
"""Size of the bank that an island enumerates for itself."""


def shapes_of(problem: Problem, bank: Bank, rng: np.random.Generator) -> tuple[Shapes, np.ndarray]:
    """Return the sub-trees of a bank as shapes, simplest first, and the bank's entry of each."""
    usable = np.flatnonzero(~bank.is_number)
    entries = usable[np.argsort(bank.complexity[usable], kind="stable")]
    targets = np.array([t.values[bank.rows] for t in exact_targets(problem)])
    return new_shapes(bank.columns, targets, bank.values[entries], rng), entries


@dataclass
class Closer:
    """What an island looks holes up in, and where closings are noted; picklable."""

    problem: Problem
    bank: Bank
    entries: np.ndarray
    shapes: Shapes
    hits: Hits
    n_read: int = 0

    @classmethod
    def create(cls, problem: Problem, max_size: int, bank: Bank | None, rng: np.random.Generator) -> "Closer":
        """Return a closer for expressions of up to `max_size` tokens; enumerates a small bank if none is given."""
        if bank is None:
            bank = Bank.enumerate(problem.X, problem.library, max_entries=BANK_ENTRIES, rng=rng, n_rows=BANK_ROWS)
        shapes, entries = shapes_of(problem, bank, rng)
        return cls(problem, bank.without_values(), entries, shapes, new_hits(max_size))

    def read(self, work: HoleWork) -> list[tuple[Expression, float]]:
        """Return the closings noted since the last call, written out, with their NRMSE on the problem's rows."""
        found = write_hits(self.problem, self.bank, self.entries, self.shapes, self.hits, self.n_read, work)
        self.n_read = int(self.hits.count[0])
        return found

    def complete(self, rng: np.ndarray, state: Genetic, draws: int) -> tuple[int, list[tuple[Expression, float]]]:
        """Complete random individuals of a population; return how many look-ups that took, and what was found."""
        target = int(state.targets[state.counters[RESTARTS] % len(state.targets)])
        work = new_hole_work(state.tokens.shape[1], self.shapes.targets.shape[1])
        asked = complete(rng, state.tokens, state.lengths, state.constants, int(state.counters[SIZE]), target,
                         self.problem.library.tables, self.shapes, work, self.hits, draws)
        return asked, self.read(work)


def new_hole_work(max_size: int, n_rows: int) -> HoleWork:
    """Return scratch for contexts of up to `max_size` tokens on `n_rows` rows."""
    return HoleWork(np.empty((max_size + 2, BLOCK)), np.empty(n_rows), np.empty(n_rows),
                    np.empty((max_size + 2, n_rows)), np.zeros(max_size + 2, np.int64), np.empty(n_rows), np.empty(0))


def write_hits(problem: Problem, bank: Bank, entries: np.ndarray, shapes: Shapes, hits: Hits, start: int,
               work: HoleWork) -> list[tuple[Expression, float]]:
    """Return the contexts noted since number `start`, closed and written out, with their NRMSE on all rows."""
    found = []
    goals, tables = exact_targets(problem), problem.library.tables
    places = len(hits.lengths)
    for number in range(max(start, int(hits.count[0]) - places), int(hits.count[0])):
        place = number % places
        start, stop, n = int(hits.starts[place]), int(hits.stops[place]), int(hits.lengths[place])
        entry, target, tokens = int(hits.entries[place]), int(hits.targets[place]), hits.tokens[place]
        constants = hits.constants[place]
        if undo(tokens, start, constants, shapes.X, shapes.targets[target], tables, work) < 0:
            continue
        hole = _fill(problem, None if entry < 0 else bank.expression(int(entries[entry])),
                     None if entry < 0 else shapes.values[entry], work.hole, work.slope, hits.errors[place] < EXACT)
        if hole is None:
            continue
        before, after = (int((part == problem.library.constant).sum()) for part in (tokens[:start], tokens[stop:n]))
        dropped = int((tokens[start:stop] == problem.library.constant).sum())
        expression = goals[target].lift(Expression(
            np.concatenate([tokens[:start], hole.expanded, tokens[stop:n]]),
            np.concatenate([constants[:before], hole.constants, constants[before + dropped:before + dropped + after]]),
            problem.library))
        if expression is None:
            continue
        expression = polish(problem, expression)
        error = error_of(problem, expression)
        if np.isfinite(error):
            found.append((expression, error))
    return found


def _fill(problem: Problem, g: Expression | None, values, hole, slope, exact: bool) -> Expression | None:
    """Return ``a + b g`` for a hole, with simple numbers where the match is exact; None if it cannot be written."""
    library = problem.library
    if g is None:
        numbers = np.array([0.0, float(np.mean(hole))])
    else:
        w = np.ones(len(hole)) if exact else np.abs(slope)
        A = np.array([values, np.ones(len(hole))]).T * w[:, None]
        scale = np.abs(A).max(axis=0)
        if not (scale.all() and np.isfinite(A).all() and np.abs(hole * w).max() < 1e150):
            return None
        numbers = np.linalg.lstsq(A / scale, hole * w, rcond=None)[0] / scale
        if abs(numbers[1]) < 1e-9 * np.abs(hole).max():
            numbers[1] = 0.0
    if exact:
        numbers = np.array([snap(v, 1e-8) for v in numbers])
    if not library.constants:
        simple = [fraction(v, 12, 1e-8) if v else (0, 1) for v in numbers]
        if any(s is None for s in simple):
            return None
        numbers = np.array([p / q for p, q in simple])
    if g is None:
        return constant(library, float(numbers[1]))
    return linear(library, [(float(numbers[0]), g)], float(numbers[1]))
