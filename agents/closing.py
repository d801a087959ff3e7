"""What an island looks holes up in, and how closed contexts are written out as expressions."""

import numpy as np

from rsrm.agents.holes import HoleWork, Shapes, new_shapes, undo
from rsrm.agents.mcts import Hits
from rsrm.agents.readout import error_of, polish
from rsrm.bank import Bank
from rsrm.compose import constant, fraction, linear, snap
from rsrm.evaluate import BLOCK
from rsrm.expression import Expression
from rsrm.problem import Problem

N_SIMPLE = 64
"""Simple sub-trees that every context is tried with."""


def shapes_of(problem: Problem, bank: Bank, rng: np.random.Generator) -> tuple[Shapes, np.ndarray]:
    """Return the sub-trees of a bank as shapes, simplest first, and the bank's entry of each."""
    usable = np.flatnonzero(~bank.is_number)
    entries = usable[np.argsort(bank.complexity[usable], kind="stable")]
    return new_shapes(bank.columns, problem.y[bank.rows], bank.values[entries], rng), entries


def new_hole_work(max_size: int, n_rows: int) -> HoleWork:
    """Return scratch for contexts of up to `max_size` tokens on `n_rows` rows."""
    return HoleWork(np.empty((max_size + 2, BLOCK)), np.empty(n_rows), np.empty(n_rows), np.empty(n_rows), np.empty(0))


def write_hits(problem: Problem, bank: Bank, entries: np.ndarray, shapes: Shapes, hits: Hits, start: int,
               work: HoleWork) -> list[tuple[Expression, float]]:
    """Return the contexts noted since number `start`, closed and written out, with their NRMSE on all rows."""
    found = []
    places = len(hits.lengths)
    for number in range(max(start, int(hits.count[0]) - places), int(hits.count[0])):
        place = number % places
        n, entry = int(hits.lengths[place]), int(hits.entries[place])
        context = hits.tokens[place, :n]
        if not undo(context, n, shapes.X, shapes.y, problem.library.tables, work):
            continue
        hole = _fill(problem, None if entry < 0 else bank.expression(int(entries[entry])),
                     None if entry < 0 else shapes.values[entry], work.hole, work.slope, hits.errors[place] == 0.0)
        if hole is None:
            continue
        tokens = np.concatenate([context, hole.expanded])
        expression = Expression(tokens, hole.constants, problem.library)
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
