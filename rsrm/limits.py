"""The rules of an episode as tables: what a token takes, what its arguments inherit, what may stand where.

The rules hold for the expression written out, so every token is described by the tree that it stands for: a promoted
operator by its body, a primitive by itself over its parameters. :mod:`rsrm.grammar` reads the tables.
"""

from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.library import PARAM0, PARAM1, Library
from rsrm.primitives import BY_NAME, OP_CONSTANT, OP_LITERAL

UNBOUND = np.int16(2**15 - 1)
"""Room of a nesting rule below no outer operator."""

# Rows of Limits.cells. The first two describe a token; the next say what it takes: written-out tokens minus one
# (parameters included), levels below its slot, fitted constants, and for each nesting rule the most inner operators on
# one path through it. Then, for each argument, what its slot inherits (see `argument_rows`), and the masks by ROW.
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
def argument_rows(n_rules, i):
    """Return the first row about argument i: multiplicity, depth offset; inner operators passed, room begun by rule."""
    return RULES + n_rules + i * (2 + 2 * n_rules)


@njit_leaf
def mask_rows(n_rules):
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
            raise ValueError(f"{name} must be a whole number from {least} to {2**15 - 1}, got {value!r}")
    rules = _nesting_rules(library, nested_constraints, nested_trigonometry)
    pairs = frozenset() if inverse_pairs else {
        (library.token(outer), library.token(inner)) for outer, inner in INVERSE_PAIRS}
    k, n_rules, tables = len(library), len(rules), library.tables
    constant_like = (tables.opcode == OP_CONSTANT) | (tables.opcode == OP_LITERAL)
    first_mask = mask_rows(n_rules)
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
            row = argument_rows(n_rules, i)
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
    if nested_constraints is not None and not isinstance(nested_constraints, dict):
        raise ValueError("nested_constraints must be a dict such as {'sin': {'cos': 0}}, "
                         f"got {nested_constraints!r}")
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
