"""Transitions of an episode: which tokens may come next, and what appending one does.

An episode writes an expression token by token in prefix order. Every token fills the open slot that comes next and
opens ``arity`` new ones; the episode ends when no slot is open. The rules hold for the expression *written out*, that
is with promoted operators expanded, and are checked in constant time for each token because every open slot carries
what the rules need to know of the path above it::

    slot = (row, weight, depth, sibling, room_1 .. room_R)

``row`` says whose argument the slot is: ``3*parent + kind``, kind 0 for a first argument, 1 for a second one after a
first argument that is not a constant, 2 after one that is. ``weight`` is how often the slot occurs once promoted
operators are expanded (a body may use its parameter twice). ``room_r`` is how many more inner operators nesting rule
r allows on a path through the slot, UNBOUND where no outer operator is above it; the topmost outer one decides.

A state is one int32 vector, so that thousands of episodes are one matrix and a tree search saves one by copying it::

    state = (LENGTH, OPEN, SIZE, CONSTANTS, slot_1 .. slot_OPEN, ...)

SIZE counts written-out tokens plus one for every open slot (by weight): what the expression has at least when it ends.
A token is legal if SIZE stays within ``max_size`` with it, so that every open slot can always be closed by a variable,
which no other rule forbids: masks never lead into a dead end.
"""

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.limits import (
    ARITY, GROWTH, INVERSE_PAIRS, IS_CONSTANT, REACH, RULES, TRIGONOMETRIC, UNBOUND, USED, Limits, argument_rows,
    make_limits, mask_rows,
)

__all__ = ["INVERSE_PAIRS", "TRIGONOMETRIC", "Limits", "append", "context", "is_legal", "legal_actions", "make_limits",
           "next_slot", "reset", "state_size"]

EMPTY = -1
"""Parent of the root, and sibling of what has none."""

# Header of a state.
LENGTH, OPEN, SIZE, CONSTANTS, HEADER = 0, 1, 2, 3, 4
# Fields of a slot; the rooms of the nesting rules follow.
ROW, WEIGHT, DEPTH, SIBLING, ROOMS = 0, 1, 2, 3, 4


@njit_leaf
def state_size(limits):
    """Return the length of the int32 vector that holds a state."""
    return HEADER + (limits.max_size + 1) * (ROOMS + limits.n_rules)


@njit_leaf
def reset(state, limits):
    """Begin an episode in place: one open slot, the root."""
    state[LENGTH], state[OPEN], state[SIZE], state[CONSTANTS] = 0, 1, 1, 0
    state[HEADER + ROW] = 3 * limits.n_tokens
    state[HEADER + WEIGHT] = 1
    state[HEADER + DEPTH] = 1
    state[HEADER + SIBLING] = EMPTY
    for r in range(limits.n_rules):
        state[HEADER + ROOMS + r] = UNBOUND


@njit_leaf
def next_slot(state, n_rules):
    """Return where in `state` the slot lies that the next token fills; an episode that ended has none."""
    return HEADER + (state[OPEN] - 1) * (ROOMS + n_rules)


@njit_leaf
def _rooms(state, slot, limits):
    """Return how many (tokens, levels, constants) a token in `slot` may take."""
    weight = state[slot + WEIGHT]
    size, constants = limits.max_size - state[SIZE], limits.max_constants - state[CONSTANTS]
    if weight > 1:  # rarely; two divisions would take as long as the rest
        size, constants = size // weight, constants // weight
    return np.int16(size), np.int16(limits.max_depth - state[slot + DEPTH]), np.int16(constants)


@njit_leaf
def legal_actions(state, limits, mask):
    """Write 1 into ``mask[t]`` for every legal token t and 0 elsewhere, int8[K]; return how many are legal.

    None is legal once the episode ended; else every variable is.
    """
    if state[OPEN] == 0:
        mask[:] = 0
        return 0
    cells, n_rules = limits.cells, limits.n_rules
    slot = next_slot(state, n_rules)
    size, depth, constants = _rooms(state, slot, limits)
    row = mask_rows(n_rules) + state[slot + ROW]
    count = 0
    for t in range(mask.shape[0]):
        # Narrow types all the way, or the loop does not vectorize.
        legal = (np.int8(cells[row, t]) & np.int8(cells[GROWTH, t] <= size) & np.int8(cells[REACH, t] <= depth)
                 & np.int8(cells[USED, t] <= constants))
        mask[t] = legal
        count += legal
    for r in range(n_rules):
        room = np.int16(state[slot + ROOMS + r])
        if room < UNBOUND:
            count = 0
            for t in range(mask.shape[0]):
                legal = mask[t] & np.int8(cells[RULES + r, t] <= room)
                mask[t] = legal
                count += legal
    return count


@njit_leaf
def is_legal(state, token, limits):
    """Return whether `token` may come next; agrees with :func:`legal_actions` for every token id."""
    cells, n_rules = limits.cells, limits.n_rules
    if state[OPEN] == 0 or token < 0 or token >= limits.n_tokens:
        return False
    slot = next_slot(state, n_rules)
    size, depth, constants = _rooms(state, slot, limits)
    legal = (cells[mask_rows(n_rules) + state[slot + ROW], token] == 1 and cells[GROWTH, token] <= size
             and cells[REACH, token] <= depth and cells[USED, token] <= constants)
    for r in range(n_rules):
        legal = legal and cells[RULES + r, token] <= state[slot + ROOMS + r]
    return legal


@njit_leaf
def append(state, tokens, token, limits):
    """Append a legal `token` in place; return whether the episode is complete.

    Parameters
    ----------
    state : int32[state_size(limits)]
    tokens : int16[>= max_size]
        ``tokens[:state[LENGTH]]`` is the prefix so far.
    token : int
        A token that is legal; this is not checked.
    limits : Limits
    """
    cells, n_rules = limits.cells, limits.n_rules
    stride = ROOMS + n_rules
    slot = next_slot(state, n_rules)
    row, weight, depth = state[slot + ROW], state[slot + WEIGHT], state[slot + DEPTH]
    tokens[state[LENGTH]] = token
    state[LENGTH] += 1
    state[SIZE] += weight * cells[GROWTH, token]
    state[CONSTANTS] += weight * cells[USED, token]
    parent = row // 3
    if row == 3 * parent and parent < limits.n_tokens and cells[ARITY, parent] == 2:
        # The slot of the second argument lies directly below and learns what the first one is.
        second = slot - stride
        state[second + SIBLING] = token
        state[second + ROW] += cells[IS_CONSTANT, token]
    arity = cells[ARITY, token]
    state[OPEN] += arity - 1
    for r in range(n_rules if arity > 0 else 0):
        room = state[slot + ROOMS + r]
        for i in range(arity):
            inherited = argument_rows(n_rules, i) + 2 + 2 * r
            state[slot + (arity - 1 - i) * stride + ROOMS + r] = (
                room - cells[inherited, token] if room < UNBOUND else cells[inherited + 1, token])
    # The filled slot is overwritten by that of the last argument; the first argument ends on top.
    for i in range(arity):
        child = slot + (arity - 1 - i) * stride
        inherited = argument_rows(n_rules, i)
        state[child + ROW] = 3 * token + i
        state[child + WEIGHT] = weight * cells[inherited, token]
        state[child + DEPTH] = depth + cells[inherited + 1, token]
        state[child + SIBLING] = EMPTY
    return state[OPEN] == 0


@njit_leaf
def context(state, limits):
    """Return (parent, sibling, depth, open slots) of the slot that comes next.

    Parent and sibling are token ids or EMPTY; an episode that ended has depth 0.
    """
    if state[OPEN] == 0:
        return EMPTY, EMPTY, 0, 0
    slot = next_slot(state, limits.n_rules)
    row = state[slot + ROW]
    parent = row // 3 if row < 3 * limits.n_tokens else EMPTY
    return parent, state[slot + SIBLING], state[slot + DEPTH], state[OPEN]
