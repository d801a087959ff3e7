"""Transitions of an episode: which tokens may come next, and what appending one does.

An episode writes an expression token by token in prefix order. Every token fills the open slot that comes next and
opens ``arity`` new ones; the episode ends when no slot is open. The rules hold for the expression *written out*, that
is with promoted operators expanded, and are checked in constant time for each token because every open slot carries
what the rules need to know of the path above it::

    slot = (row, weight, depth, sibling, counter_1 .. counter_R)

``row`` says whose argument the slot is: ``3*parent + kind``, kind 0 for a first argument, 1 for a second one after a
first argument that is not a constant, 2 after one that is. ``weight`` is how often the slot occurs once promoted
operators are expanded (a body may use its parameter twice). ``counter_r`` is -1 where nesting rule r has no outer
operator above the slot, and else the number of inner operators between the topmost outer one and the slot.

A state is one int32 vector, so that thousands of episodes are one matrix and a tree search saves one by copying it::

    state = (LENGTH, OPEN, SIZE, CONSTANTS, slot_1 .. slot_OPEN, ...)

SIZE counts written-out tokens plus one for every open slot (by weight): what the expression has at least when it ends.
A token is legal if SIZE stays within ``max_size`` with it, so that every open slot can always be closed by a variable,
which no other rule forbids: masks never lead into a dead end.
"""

from typing import NamedTuple

import numpy as np

from rsrm._jit import njit
from rsrm.library import PARAM0, PARAM1, Library
from rsrm.primitives import BY_NAME, OP_CONSTANT, OP_LITERAL

EMPTY = -1
"""Parent of the root, and sibling of what has none."""

# Header of a state.
LENGTH, OPEN, SIZE, CONSTANTS, HEADER = 0, 1, 2, 3, 4
# Fields of a slot; the counters of the nesting rules follow.
ROW, WEIGHT, DEPTH, SIBLING, COUNTERS = 0, 1, 2, 3, 4

TRIGONOMETRIC = ("sin", "cos", "tan")
"""Never nested in each other by default. Inverse ones are left out: Snell's law is ``asin(n*sin(angle))``."""

INVERSE_PAIRS = (
    ("exp", "log"), ("log", "exp"), ("neg", "neg"), ("inv", "inv"), ("square", "sqrt"), ("sqrt", "square"),
    ("sin", "asin"), ("asin", "sin"), ("cos", "acos"), ("acos", "cos"), ("tan", "atan"), ("atan", "tan"),
)
"""(outer, inner): an outer operator directly over its inverse adds length and nothing else."""


class Limits(NamedTuple):
    """What an episode may do; K tokens, R nesting rules. Built by :func:`make_limits`, read by kernels."""

    max_size: int
    max_depth: int
    max_constants: int
    arity: np.ndarray  # int8[K]
    is_constant: np.ndarray  # bool[K]; constant and literals, and promoted terminals that are one of them
    growth: np.ndarray  # int16[K]; written-out tokens minus one, parameters included
    reach: np.ndarray  # int16[K]; levels below its slot that the token takes, parameters included
    n_constants: np.ndarray  # int16[K]; fitted constants in the body
    allowed: np.ndarray  # bool[3K + 1, K]; by row of the slot, the last row being the root's
    multiplicity: np.ndarray  # int16[K, 2]; how often the body uses each parameter
    offset: np.ndarray  # int16[K, 2]; deepest level of each parameter below the token's slot
    rule_limit: np.ndarray  # int16[R]; inner operators that are allowed below an outer one on one path
    rule_reach: np.ndarray  # int16[R, K]; most inner operators on one path through the token
    rule_pass: np.ndarray  # int16[R, K, 2]; inner operators on the way to each parameter
    rule_start: np.ndarray  # int16[R, K, 2]; counter at each parameter if no outer operator is above; -1 inactive


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
    growth, reach, n_constants = (np.zeros(k, np.int16) for _ in range(3))
    multiplicity, offset = np.zeros((k, 2), np.int16), np.zeros((k, 2), np.int16)
    rule_reach = np.zeros((n_rules, k), np.int16)
    rule_pass, rule_start = np.zeros((n_rules, k, 2), np.int16), np.full((n_rules, k, 2), -1, np.int16)
    legal = tables.allowed.copy()
    bodies = [_Body(library, t) for t in range(k)]
    is_constant = np.array([len(b.tokens) == 1 and bool(constant_like[b.tokens[0]]) for b in bodies])
    for t, body in enumerate(bodies):
        growth[t], reach[t] = len(body.tokens) - 1, max(body.depth)
        n_constants[t] = body.tokens.count(library.constant)
        # A promoted identity would let an episode go on for ever; a body that breaks a rule by itself always does.
        legal[t] &= body.tokens[0] >= 0 and not any(pair in pairs for pair in body.pairs())
        legal[t] &= constant_operators or not body.constant_operator(constant_like, ())
        for i in range(tables.arity[t]):
            occurrences = body.occurrences(i)
            multiplicity[t, i] = len(occurrences)
            offset[t, i] = max(body.depth[n] for n in occurrences)
        for r, (outer, inner, limit) in enumerate(rules):
            passed, started = body.count(outer, inner)
            rule_reach[r, t] = max(passed)
            legal[t] &= max(started) <= limit
            for i in range(tables.arity[t]):
                rule_pass[r, t, i] = max(passed[n] for n in body.occurrences(i))
                rule_start[r, t, i] = max(started[n] for n in body.occurrences(i))
    allowed = np.tile(legal, (3 * k + 1, 1))
    for t, body in enumerate(bodies):
        for i in range(tables.arity[t]):
            above = {body.tokens[body.parent[n]] for n in body.occurrences(i)}
            for u, child in enumerate(bodies):
                if any((a, child.tokens[0]) in pairs for a in above):
                    allowed[3 * t + i:3 * t + 2 * i + 1, u] = False
        if not constant_operators:
            for kind, constant_parameters in enumerate(((PARAM0,), (PARAM1,), (PARAM0, PARAM1))):
                if body.constant_operator(constant_like, constant_parameters):
                    allowed[3 * t + kind, is_constant] = False
    return Limits(int(max_size), int(max_depth), int(max_constants), tables.arity, is_constant, growth, reach,
                  n_constants, allowed, multiplicity, offset, np.array([r[2] for r in rules], np.int16), rule_reach,
                  rule_pass, rule_start)


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

    def occurrences(self, i):
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


@njit
def state_size(limits):
    """Return the length of the int32 vector that holds a state."""
    return HEADER + (limits.max_size + 1) * (COUNTERS + limits.rule_limit.shape[0])


@njit
def reset(state, limits):
    """Begin an episode in place: one open slot, the root."""
    state[LENGTH], state[OPEN], state[SIZE], state[CONSTANTS] = 0, 1, 1, 0
    state[HEADER + ROW] = limits.allowed.shape[0] - 1
    state[HEADER + WEIGHT] = 1
    state[HEADER + DEPTH] = 1
    state[HEADER + SIBLING] = EMPTY
    for r in range(limits.rule_limit.shape[0]):
        state[HEADER + COUNTERS + r] = -1


@njit
def next_slot(state, limits):
    """Return where in `state` the slot lies that the next token fills; an episode that ended has none."""
    return HEADER + (state[OPEN] - 1) * (COUNTERS + limits.rule_limit.shape[0])


@njit
def legal_actions(state, limits, mask):
    """Write 1 into ``mask[t]`` for every legal token t and 0 elsewhere, int8[K]; return how many are legal.

    None is legal once the episode ended; else every variable is.
    """
    k = mask.shape[0]
    if state[OPEN] == 0:
        mask[:] = 0
        return 0
    slot = next_slot(state, limits)
    weight = state[slot + WEIGHT]
    size_room = np.int16((limits.max_size - state[SIZE]) // weight)
    depth_room = np.int16(limits.max_depth - state[slot + DEPTH])
    constants_room = np.int16((limits.max_constants - state[CONSTANTS]) // weight)
    allowed = limits.allowed[state[slot + ROW]]
    for t in range(k):
        mask[t] = (allowed[t] & (limits.growth[t] <= size_room) & (limits.reach[t] <= depth_room)
                   & (limits.n_constants[t] <= constants_room))
    for r in range(limits.rule_limit.shape[0]):
        counter = state[slot + COUNTERS + r]
        if counter >= 0:
            room = np.int16(limits.rule_limit[r] - counter)
            for t in range(k):
                mask[t] &= limits.rule_reach[r, t] <= room
    count = 0
    for t in range(k):
        count += mask[t]
    return count


@njit
def is_legal(state, token, limits):
    """Return whether `token` may come next; agrees with :func:`legal_actions` for every token id."""
    if state[OPEN] == 0 or token < 0 or token >= limits.arity.shape[0]:
        return False
    slot = next_slot(state, limits)
    weight = state[slot + WEIGHT]
    if not (limits.allowed[state[slot + ROW], token]
            and state[SIZE] + weight * limits.growth[token] <= limits.max_size
            and state[slot + DEPTH] + limits.reach[token] <= limits.max_depth
            and state[CONSTANTS] + weight * limits.n_constants[token] <= limits.max_constants):
        return False
    for r in range(limits.rule_limit.shape[0]):
        counter = state[slot + COUNTERS + r]
        if counter >= 0 and counter + limits.rule_reach[r, token] > limits.rule_limit[r]:
            return False
    return True


@njit
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
    stride = COUNTERS + limits.rule_limit.shape[0]
    slot = HEADER + (state[OPEN] - 1) * stride
    row, weight, depth = state[slot + ROW], state[slot + WEIGHT], state[slot + DEPTH]
    tokens[state[LENGTH]] = token
    state[LENGTH] += 1
    state[SIZE] += weight * limits.growth[token]
    state[CONSTANTS] += weight * limits.n_constants[token]
    if row % 3 == 0 and row < limits.allowed.shape[0] - 1 and limits.arity[row // 3] == 2:
        # The slot of the second argument lies directly below and learns what the first one is.
        second = slot - stride
        state[second + SIBLING] = token
        if limits.is_constant[token]:
            state[second + ROW] += 1
    # The filled slot is overwritten by that of the last argument; the first argument ends on top.
    arity = limits.arity[token]
    state[OPEN] += arity - 1
    for r in range(stride - COUNTERS):
        counter = state[slot + COUNTERS + r]
        for i in range(arity):
            child = slot + (arity - 1 - i) * stride
            state[child + COUNTERS + r] = (
                counter + limits.rule_pass[r, token, i] if counter >= 0 else limits.rule_start[r, token, i])
    for i in range(arity):
        child = slot + (arity - 1 - i) * stride
        state[child + ROW] = 3 * token + i
        state[child + WEIGHT] = weight * limits.multiplicity[token, i]
        state[child + DEPTH] = depth + limits.offset[token, i]
        state[child + SIBLING] = EMPTY
    return state[OPEN] == 0


@njit
def context(state, limits):
    """Return (parent, sibling, depth, open slots) of the slot that comes next.

    Parent and sibling are token ids or EMPTY; an episode that ended has depth 0.
    """
    if state[OPEN] == 0:
        return EMPTY, EMPTY, 0, 0
    slot = next_slot(state, limits)
    row = state[slot + ROW]
    parent = row // 3 if row < limits.allowed.shape[0] - 1 else EMPTY
    return parent, state[slot + SIBLING], state[slot + DEPTH], state[OPEN]
