"""What can be undone around a hole: operators that have an inverse, and sub-trees that may stand beside the hole."""

from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.agents.advice import NUMBER, PROMOTED, SIZES
from rsrm.agents.holes import undo_binary, undo_unary
from rsrm.agents.scoring import MAX_CONSTANTS
from rsrm.evaluate import BLOCK, evaluate
from rsrm.library import Library
from rsrm.primitives import BY_NAME, OP_ABS, OP_ADD, OP_DIV, OP_MUL, OP_NEG, OP_SUB

NO_SIDE = 0
"""Row of :class:`Sides` that stands for none: functions have no side."""
SIDE_WIDTH = 16
"""Tokens of a side at most."""


class Kinds(NamedTuple):
    """Operators that can be undone, and where the hole stands in them; K kinds."""

    opcode: np.ndarray  # int64[K]
    first: np.ndarray  # int64[K], 1 where the hole is the first of two arguments
    sided: np.ndarray  # int64[K], 1 where there is another argument
    token: np.ndarray  # int16[K]
    below: np.ndarray  # uint64[K], bit sets of the opcodes that may not stand anywhere below
    directly: np.ndarray  # uint64[K], and directly below


class Sides(NamedTuple):
    """Sub-trees that stand beside the hole, on S rows; M at most, simplest first, then what was promoted."""

    values: np.ndarray  # float64[M, S]
    tokens: np.ndarray  # int16[M, SIDE_WIDTH], expanded
    lengths: np.ndarray  # int64[M]
    depths: np.ndarray  # int64[M]
    constants: np.ndarray  # float64[M, MAX_CONSTANTS]
    n_constants: np.ndarray  # int64[M]
    contents: np.ndarray  # uint64[M], bit sets of the opcodes in it
    classes: np.ndarray  # int64[M], see rsrm.agents.advice
    count: np.ndarray  # int64[2], rows in use, and how many of these were there from the start


def kinds_of(library: Library, rules: np.ndarray) -> Kinds:
    """Return what of a library can be undone under `rules` (:func:`rsrm.agents.seen.make_rules`).

    Of operations that leave the same hole up to scale and shift, which closings do not mind, one is enough.
    """
    codes = {BY_NAME[name].opcode: library.token(name) for name in library.operators}
    probe = np.full(1, 0.5)
    found = [(op, 0, 0) for op in codes if BY_NAME[library.name(codes[op])].arity == 1
             and op not in (OP_NEG, OP_ABS) and undo_unary(op, probe.copy(), probe.copy())]
    found += [(op, first, 1) for op, first in ((OP_ADD, 0), (OP_SUB, 1), (OP_MUL, 0), (OP_DIV, 1), (OP_DIV, 0))
              if op in codes]
    if OP_SUB in codes and OP_ADD not in codes:
        found.append((OP_SUB, 0, 1))
    table = np.array(found, np.int64).reshape(-1, 3)
    opcode = table[:, 0].copy()
    return Kinds(opcode, table[:, 1].copy(), table[:, 2].copy(), np.array([codes[op] for op in opcode], np.int16),
                 rules[0, opcode], rules[1, opcode])


def new_sides(capacity: int, n_rows: int) -> Sides:
    """Return room for `capacity` sides."""
    m = capacity + 1
    return Sides(np.zeros((m, n_rows)), np.zeros((m, SIDE_WIDTH), np.int16), np.zeros(m, np.int64),
                 np.zeros(m, np.int64), np.zeros((m, MAX_CONSTANTS)), np.zeros(m, np.int64), np.zeros(m, np.uint64),
                 np.zeros(m, np.int64), np.ones(2, np.int64))


def add_sides(sides: Sides, expressions, X: np.ndarray, promoted: bool = True) -> None:
    """Add expressions that are defined on X, float64[D, S], as long as there is room; what is there keeps its row.

    `promoted` sides are of a class of their own.
    """
    for e in expressions:
        row, tokens = int(sides.count[0]), e.expanded
        if row == len(sides.lengths):
            return
        n, m = len(tokens), len(e.constants)
        if n > SIDE_WIDTH or m > MAX_CONSTANTS:
            continue
        if not evaluate(tokens, n, e.constants, X, e.library.tables, np.empty((n + 1, BLOCK)), sides.values[row]):
            continue
        if (sides.values[1:row] == sides.values[row]).all(axis=1).any():
            continue
        sides.tokens[row, :n], sides.lengths[row], sides.depths[row] = tokens, n, e.depth
        sides.constants[row, :m], sides.n_constants[row] = e.constants, m
        sides.contents[row] = np.bitwise_or.reduce(np.uint64(1) << e.library.tables.opcode[tokens].astype(np.uint64))
        if promoted:
            sides.classes[row] = PROMOTED
        else:
            sides.classes[row] = min(n, SIZES) if np.ptp(sides.values[row]) > 0.0 else NUMBER
        sides.count[0] += 1


@njit_leaf
def peel(kind, side, kinds, sides, h, slope):
    """Undo one operator on the values of the hole and dy/dh, in place; return whether all stays finite."""
    if kinds.sided[kind] == 0:
        undo_unary(kinds.opcode[kind], h, slope)
    else:
        undo_binary(kinds.opcode[kind], kinds.first[kind] == 1, sides.values[side], h, slope)
    total = 0.0
    for i in range(h.shape[0]):
        total += h[i] * 0.0 + slope[i] * 0.0
    return total == 0.0


@njit_leaf
def hole_of(kind, side, kinds, sides, t, h, slope):
    """Write into h the values of the hole that undoing one operator on t leaves; they may be infinite or NaN.

    :func:`peel` without dy/dh, which few of a thousand holes need. `slope` is scratch.
    """
    op = kinds.opcode[kind]
    a = sides.values[side]
    if op == OP_ADD:
        for i in range(h.shape[0]):
            h[i] = t[i] - a[i]
    elif op == OP_MUL:
        for i in range(h.shape[0]):
            h[i] = t[i] / a[i]
    elif op == OP_SUB:
        for i in range(h.shape[0]):
            h[i] = t[i] + a[i] if kinds.first[kind] == 1 else a[i] - t[i]
    elif op == OP_DIV:
        if kinds.first[kind] == 1:
            for i in range(h.shape[0]):
                h[i] = t[i] * a[i]
        else:
            for i in range(h.shape[0]):
                h[i] = a[i] / t[i]
    else:
        for i in range(h.shape[0]):
            h[i] = t[i]
        undo_unary(op, h, slope)


@njit_leaf
def put_side(side, sides, tokens, n, constants, m):
    """Append a side to tokens and constants; return their new ends."""
    for k in range(sides.lengths[side]):
        tokens[n + k] = sides.tokens[side, k]
    for k in range(sides.n_constants[side]):
        constants[m + k] = sides.constants[side, k]
    return n + sides.lengths[side], m + sides.n_constants[side]


@njit_leaf
def write_context(kinds, sides, levels, actions, tokens, constants):
    """Write a path of operators, the root first, into `tokens` and `constants`; return ``(hole, length, constants)``.

    `actions` holds the kind of each of the `levels` operators, followed by its side where it has one. The token at
    `hole` is a variable that stands for what is missing.
    """
    n = m = np.int64(0)
    k = 0
    for _ in range(levels):
        kind = actions[k]
        tokens[n] = kinds.token[kind]
        n += 1
        if kinds.sided[kind] == 1 and kinds.first[kind] == 0:
            n, m = put_side(actions[k + 1], sides, tokens, n, constants, m)
        k += 1 + kinds.sided[kind]
    hole = n
    tokens[n] = 0
    n += 1
    # Sides behind the hole follow from the innermost one outwards; a decision about a side stands behind its operator.
    for back in range(levels - 1, -1, -1):
        k = 0
        for _ in range(back):
            k += 1 + kinds.sided[actions[k]]
        kind = actions[k]
        if kinds.sided[kind] == 1 and kinds.first[kind] == 1:
            n, m = put_side(actions[k + 1], sides, tokens, n, constants, m)
    return hole, n, m
