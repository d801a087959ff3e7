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

from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.library import PARAM0, PARAM1, Library
from rsrm.primitives import BY_NAME, OP_CONSTANT, OP_LITERAL

EMPTY = -1
"""Parent of the root, and sibling of what has none."""

UNBOUND = np.int16(2**15 - 1)
"""Room of a nesting rule below no outer operator."""

# Header of a state.
LENGTH, OPEN, SIZE, CONSTANTS, HEADER = 0, 1, 2, 3, 4
# Fields of a slot; the rooms of the nesting rules follow.
ROW, WEIGHT, DEPTH, SIBLING, ROOMS = 0, 1, 2, 3, 4
# Rows of Limits.cells. The first two describe a token; the next say what it takes: written-out tokens minus one
# (parameters included), levels below its slot, fitted constants, and for each nesting rule the most inner operators on
# one path through it. Then, for each argument, what its slot inherits (see `_argument_rows`), and the masks by ROW.
ARITY, IS_CONSTANT, GROWTH, REACH, USED, RULES = 0, 1, 2, 3, 4, 5

TRIGONOMETRIC = ("sin", "cos", "tan")
"""Never nested in each other by default. Inverse ones are left out: Snell's law is ``asin(n*sin(angle))``."""

INVERSE_PAIRS = (
    ("exp", "log"), ("log", "exp"), ("neg", "neg"), ("inv", "inv"), ("square", "sqrt"), ("sqrt", "square"),
    ("sin", "asin"), ("asin", "sin"), ("cos", "acos"), ("acos", "cos"), ("tan", "atan"), ("atan", "tan"),
)
"""(outer, inner): an outer operator directly over its inverse adds length and nothing else."""


class Limits(NamedTuple):
    """What an episode may do; K tokens, R nesting rules. Built by :func:`make_limits`, read by kernels.

    All tables share one array, because a call from Python costs about as much as the arrays it is handed.
    """

    max_size: int
    max_depth: int
    max_constants: int
    n_rules: int
    n_tokens: int
    cells: np.ndarray  # int16[5 + R + 2*(2 + 2R) + 3K + 1, K]


@njit_leaf
def _argument_rows(n_rules, i):
    """Return the first row about argument i: multiplicity, depth offset; inner operators passed, room begun by rule."""
    return RULES + n_rules + i * (2 + 2 * n_rules)


@njit_leaf
def _mask_rows(n_rules):
    """Return the row of the masks: 3K by ROW of the slot, and the root's."""
    return RULES + 5 * n_rules + 4


def make_limits(library: Library, *, max_size: int = 30, max_depth: int = 10, max_constants: int = 10,
                nested_constraints: dict | None = None, nested_trigonometry: bool = False,
                inverse_pairs: bool = False, constant_operators: bool = False) -> Limits:
    """Return the tables that :func:`legal_actions` and :func:`append` take.

    Parameters
    ----------
    library : Library
        Make new limits after a promotion.
    max_size : int
        Largest number of tokens, promoted operators written out.
    max_depth : int
        Largest depth of the written-out tree; a single terminal has depth 1.
    max_constants : int
        Largest number of fitted constants.
    nested_constraints : dict, optional
        ``{"sin": {"cos": 0, "exp": 1}}``: on every path below a sin at most no cos and one exp.
    nested_trigonometry : bool
        Whether sin, cos and tan may stand inside each other.
    inverse_pairs : bool
        Whether an operator may stand directly over its inverse, as in ``exp(log(x))``.
    constant_operators : bool
        Whether an operator may have constants and literals only as arguments.

    Raises
    ------
    ValueError
        If a limit leaves no expression, or `nested_constraints` names an unknown operator.
    """
    for name, value, least in (("max_size", max_size, 1), ("max_depth", max_depth, 1),
                               ("max_constants", max_constants, 0)):
        if not _is_whole(value, least):
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    rules = _nesting_rules(library, nested_constraints, nested_trigonometry)
    pairs = frozenset() if inverse_pairs else {
        (library.token(outer), library.token(inner)) for outer, inner in INVERSE_PAIRS}
    k, n_rules, tables = len(library), len(rules), library.tables
    constant_like = (tables.opcode == OP_CONSTANT) | (tables.opcode == OP_LITERAL)
    first_mask = _mask_rows(n_rules)
    cells = np.zeros((first_mask + 3 * k + 1, k), np.int16)
    legal = tables.allowed.copy()
    bodies = [_Body(library, t) for t in range(k)]
    is_constant = np.array([len(b.tokens) == 1 and bool(constant_like[b.tokens[0]]) for b in bodies])
    for t, body in enumerate(bodies):
        cells[:RULES, t] = (tables.arity[t], is_constant[t], len(body.tokens) - 1, max(body.depth),
                            body.tokens.count(library.constant))
        # A promoted identity would let an episode go on for ever; a body that breaks a rule by itself always does.
        legal[t] &= body.tokens[0] >= 0 and not any(pair in pairs for pair in body.pairs())
        legal[t] &= constant_operators or not body.constant_operator(constant_like, ())
        counts = [body.count(outer, inner) for outer, inner, _ in rules]
        for r, (passed, started) in enumerate(counts):
            cells[RULES + r, t] = max(passed)
            legal[t] &= max(started) <= rules[r][2]
        for i in range(tables.arity[t]):
            places = body.places(i)
            row = _argument_rows(n_rules, i)
            cells[row:row + 2, t] = len(places), max(body.depth[n] for n in places)
            for r, (passed, started) in enumerate(counts):
                deepest = max(started[n] for n in places)
                cells[row + 2 + 2 * r, t] = max(passed[n] for n in places)
                cells[row + 3 + 2 * r, t] = rules[r][2] - deepest if deepest >= 0 else UNBOUND
    cells[first_mask:] = legal
    allowed = cells[first_mask:]
    for t, body in enumerate(bodies):
        for i in range(tables.arity[t]):
            above = {body.tokens[body.parent[n]] for n in body.places(i)}
            for u, child in enumerate(bodies):
                if any((a, child.tokens[0]) in pairs for a in above):
                    allowed[3 * t + i:3 * t + 2 * i + 1, u] = 0
        if not constant_operators:
            for kind, constant_parameters in enumerate(((PARAM0,), (PARAM1,), (PARAM0, PARAM1))):
                if body.constant_operator(constant_like, constant_parameters):
                    allowed[3 * t + kind, is_constant] = 0
    return Limits(int(max_size), int(max_depth), int(max_constants), n_rules, k, cells)


def _is_whole(value, least):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and least <= value < 2**15


def _nesting_rules(library, nested_constraints, nested_trigonometry):
    """Return (outer tokens, inner tokens, limit) of each nesting rule."""
    rules = []
    if not nested_trigonometry:
        trigonometric = {library.token(name) for name in TRIGONOMETRIC}
        rules.append((trigonometric, trigonometric, 0))
    for outer, inside in (nested_constraints or {}).items():
        if not isinstance(inside, dict):
            raise ValueError(f"nested_constraints[{outer!r}] must be a dict of limits by operator, got {inside!r}")
        for name in (outer, *inside):
            if name not in BY_NAME:
                raise ValueError(f"nested_constraints: unknown operator {name!r}; choose from {', '.join(BY_NAME)}")
        for inner, limit in inside.items():
            if not _is_whole(limit, 0):
                raise ValueError(f"nested_constraints[{outer!r}][{inner!r}] must be a whole number >= 0, got {limit!r}")
            rules.append(({library.token(outer)}, {library.token(inner)}, int(limit)))
    return rules


class _Body:
    """The tree that a token stands for; a primitive stands for itself over its parameters."""

    def __init__(self, library, token):
        tables = library.tables
        start, length = tables.body_start[token], tables.body_length[token]
        primitive = (token, PARAM0, PARAM1)[:1 + tables.arity[token]]
        self.tokens = [int(t) for t in (tables.bodies[start:start + length] if length else primitive)]
        self.parent, self.depth, open_slots = [], [], [(-1, 0)]
        for n, t in enumerate(self.tokens):
            parent, depth = open_slots.pop()
            self.parent.append(parent)
            self.depth.append(depth)
            open_slots += [(n, depth + 1)] * (tables.arity[t] if t >= 0 else 0)

    def places(self, i):
        """Return the positions of parameter i."""
        return [n for n, t in enumerate(self.tokens) if t == (PARAM0, PARAM1)[i]]

    def pairs(self):
        """Return (parent token, child token) of every edge."""
        return [(self.tokens[p], t) for p, t in zip(self.parent, self.tokens, strict=True) if p >= 0]

    def constant_operator(self, constant_like, parameters):
        """Return whether a node has constants only as arguments if `parameters` are constants."""
        arguments = {}
        for p, t in zip(self.parent, self.tokens, strict=True):
            arguments.setdefault(p, []).append(bool(constant_like[t]) if t >= 0 else t in parameters)
        return any(all(a) for p, a in arguments.items() if p >= 0)

    def count(self, outer, inner):
        """Return the inner operators on the path to each node, from the body's root and from the topmost outer one."""
        passed, started = [], []
        for p, t in zip(self.parent, self.tokens, strict=True):
            before, counter = (passed[p], started[p]) if p >= 0 else (0, -1)
            passed.append(before + (t in inner))
            started.append(counter + (t in inner) if counter >= 0 else (0 if t in outer else -1))
        return passed, started


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
    row = _mask_rows(n_rules) + state[slot + ROW]
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
    legal = (cells[_mask_rows(n_rules) + state[slot + ROW], token] == 1 and cells[GROWTH, token] <= size
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
            inherited = _argument_rows(n_rules, i) + 2 + 2 * r
            state[slot + (arity - 1 - i) * stride + ROOMS + r] = (
                room - cells[inherited, token] if room < UNBOUND else cells[inherited + 1, token])
    # The filled slot is overwritten by that of the last argument; the first argument ends on top.
    for i in range(arity):
        child = slot + (arity - 1 - i) * stride
        inherited = _argument_rows(n_rules, i)
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
