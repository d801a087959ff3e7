"""Prefix algebra: an expression is a vector of tokens, and a sub-tree is a slice of it.

The arrays hold prefix (Polish) order: ``x0*(x1 + C)`` is ``[mul, x0, add, x1, C]``. With
``open(k) = 1 + sum(arity - 1)`` over the first k tokens, ``open`` is zero at the end and never earlier; everything here
follows from that invariant.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.library import PAD, PARAM0, PARAM1, Library


@njit
def subtree_end(tokens, start, arity):
    """Return one past the last token of the sub-tree that begins at `start`; `arity` is int8[K].

    Parameters of promoted bodies (negative ids) count as terminals.
    """
    need = 1
    k = start
    while need > 0:
        t = tokens[k]
        if t >= 0:
            need += arity[t]
        need -= 1
        k += 1
    return k


@njit
def subtree_ends(tokens, n, arity, ends):
    """Fill ``ends[k]`` with one past the end of the sub-tree at k, for k < n, in one scan from the right."""
    for k in range(n - 1, -1, -1):
        e = k + 1
        t = tokens[k]
        if t >= 0:
            for _ in range(arity[t]):
                e = ends[e]
        ends[k] = e


@njit
def expanded_length(tokens, n, tables):
    """Return the length that ``tokens[:n]`` has once promoted operators are written out."""
    total = 0
    ends = np.empty(n, np.int32)
    sizes = np.empty(n, np.int32)
    subtree_ends(tokens, n, tables.arity, ends)
    for k in range(n - 1, -1, -1):
        t = tokens[k]
        first = k + 1
        size = 1
        if tables.body_length[t] == 0:
            for _ in range(tables.arity[t]):
                size += sizes[first]
                first = ends[first]
        else:
            start = tables.body_start[t]
            second = ends[first] if tables.arity[t] == 2 else 0
            size = 0
            for b in range(start, start + tables.body_length[t]):
                if tables.bodies[b] == PARAM0:
                    size += sizes[first]
                elif tables.bodies[b] == PARAM1:
                    size += sizes[second]
                else:
                    size += 1
        sizes[k] = size
    total = sizes[0]
    return total


@njit
def expand(tokens, n, tables, out):
    """Write ``tokens[:n]`` with promoted operators replaced by their bodies into `out`; return its length or -1.

    -1 says that `out` is too short. Constants of a body used twice become two constants.
    """
    limit = out.shape[0]
    # Frames of an explicit stack: (position, end, first argument, second argument); arguments are positions in tokens.
    depth = 0
    src = np.empty(limit + n + 2, np.int32)  # >= 0: position in tokens; < 0: -1 - position in bodies
    arg0 = np.empty(limit + n + 2, np.int32)
    arg1 = np.empty(limit + n + 2, np.int32)
    src[0], arg0[0], arg1[0] = 0, -1, -1
    depth = 1
    m = 0
    while depth > 0:
        depth -= 1
        s, a0, a1 = src[depth], arg0[depth], arg1[depth]
        t = np.int64(tokens[s]) if s >= 0 else np.int64(tables.bodies[-1 - s])
        if t == PARAM0 or t == PARAM1:
            src[depth], arg0[depth], arg1[depth] = (a0 if t == PARAM0 else a1), -1, -1
            depth += 1
            continue
        if tables.body_length[t] > 0:
            first = s + 1
            second = subtree_end(tokens, first, tables.arity) if tables.arity[t] == 2 else -1
            src[depth], arg0[depth], arg1[depth] = -1 - tables.body_start[t], first, second
            depth += 1
            continue
        if m >= limit:
            return -1
        out[m] = t
        m += 1
        # Children are pushed last first, so that the first is written next.
        if tables.arity[t] == 2:
            if s >= 0:
                second = subtree_end(tokens, s + 1, tables.arity)
            else:
                second = -1 - subtree_end(tables.bodies, -s, tables.arity)
            if depth + 1 >= src.shape[0]:
                return -1
            src[depth], arg0[depth], arg1[depth] = second, a0, a1
            depth += 1
        if tables.arity[t] >= 1:
            if depth >= src.shape[0]:
                return -1
            src[depth], arg0[depth], arg1[depth] = (s + 1 if s >= 0 else s - 1), a0, a1
            depth += 1
    return m


@njit
def tree_depth(tokens, n, arity):
    """Return the depth of ``tokens[:n]``; a single terminal has depth 1."""
    depths = np.empty(n, np.int32)
    ends = np.empty(n, np.int32)
    subtree_ends(tokens, n, arity, ends)
    for k in range(n - 1, -1, -1):
        d = 0
        child = k + 1
        for _ in range(arity[tokens[k]]):
            d = max(d, depths[child])
            child = ends[child]
        depths[k] = d + 1
    return depths[0]


_UNKNOWN_ID, _EMPTY_SLOT, _INCOMPLETE = 1, 2, 3


@njit_leaf
def find_fault(tokens, arity, body_length, first_promoted):
    """Return ``(fault, position)`` of what makes `tokens`, int16[n], no expression; 0 if they are one.

    Searches make and check expressions by the thousand; in NumPy that took a tenth of their time.
    """
    n = tokens.shape[0]
    if n == 0:
        return _UNKNOWN_ID, 0
    for k in range(n):
        if tokens[k] < 0 or tokens[k] >= arity.shape[0]:
            return _UNKNOWN_ID, k
    for k in range(n):
        if tokens[k] >= first_promoted and body_length[tokens[k]] == 0:
            return _EMPTY_SLOT, k
    need = 1
    for k in range(n):
        if need == 0:
            return _INCOMPLETE, k
        need += arity[tokens[k]] - 1
    return (_INCOMPLETE, n) if need != 0 else (0, n)


@dataclass(frozen=True)
class Expression:
    """An expression: tokens, the values of its constants, and the shared library.

    Parameters
    ----------
    tokens : int16[n]
        Prefix order.
    constants : float64[m]
        One value per constant token, from left to right (after expansion, if tokens are promoted).
    library : Library

    Raises
    ------
    ValueError
        If the tokens are no complete prefix expression, or the constants do not fit them.
    """

    tokens: np.ndarray
    constants: np.ndarray
    library: Library

    def __post_init__(self):
        tokens = np.ascontiguousarray(self.tokens, np.int16)
        constants = np.ascontiguousarray(self.constants, np.float64)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "constants", constants)
        library = self.library
        tables = library.tables
        fault, at = find_fault(tokens, tables.arity, tables.body_length, library.first_promoted)
        if fault == _UNKNOWN_ID:
            raise ValueError(f"tokens: ids must lie in 0..{len(library) - 1}, got {tokens.tolist()}")
        if fault == _EMPTY_SLOT:
            raise ValueError(f"tokens: {library.name(int(tokens[at]))} holds no promoted operator")
        if fault == _INCOMPLETE:
            raise ValueError(f"tokens: {tokens.tolist()} is not one complete prefix expression")
        wanted = np.count_nonzero(self.expanded == library.constant)
        if wanted != len(constants):
            raise ValueError(f"constants: {len(constants)} values for {wanted} constant tokens")

    @cached_property
    def expanded(self) -> np.ndarray:
        """Tokens with promoted operators written out, int16[complexity]."""
        if self.tokens.max() < self.library.first_promoted:
            return self.tokens
        tables = self.library.tables
        out = np.full(expanded_length(self.tokens, len(self.tokens), tables), PAD, np.int16)
        expand(self.tokens, len(self.tokens), tables, out)
        return out

    @property
    def length(self) -> int:
        """Number of tokens, promoted operators counted as one."""
        return len(self.tokens)

    @property
    def complexity(self) -> int:
        """Number of nodes once promoted operators are written out."""
        return len(self.expanded)

    @property
    def depth(self) -> int:
        """Depth of the expanded tree; a single terminal has depth 1."""
        return int(tree_depth(self.expanded, len(self.expanded), self.library.tables.arity))

    def __eq__(self, other):
        return (isinstance(other, Expression) and np.array_equal(self.tokens, other.tokens)
                and np.array_equal(self.constants, other.constants) and self.library == other.library)

    def __hash__(self):
        # Equal constants must hash equal: adding zero turns -0.0 into 0.0.
        return hash((self.tokens.tobytes(), (self.constants + 0.0).tobytes()))


def variable(library: Library, column: int) -> Expression:
    """Return the expression of one column of X."""
    return Expression(np.array([column]), np.empty(0), library)


def number(library: Library, value: float) -> Expression:
    """Return the expression of one constant with `value`."""
    return Expression(np.array([library.constant]), np.array([value]), library)


def apply(library: Library, name: str, *arguments: Expression) -> Expression:
    """Return the primitive or literal `name` over `arguments`, e.g. ``apply(lib, "add", f, g)``.

    Raises
    ------
    ValueError
        If the number of arguments is not the arity of `name`.
    """
    token = library.token(name)
    if int(library.tables.arity[token]) != len(arguments):
        raise ValueError(f"{name}: takes {library.tables.arity[token]} arguments, got {len(arguments)}")
    tokens = np.concatenate([np.array([token], np.int16), *(a.expanded for a in arguments)])
    constants = np.concatenate([np.empty(0), *(a.constants for a in arguments)])
    return Expression(tokens, constants, library)


def substitute(expression: Expression, replacements: list[Expression]) -> Expression:
    """Return `expression` with every variable i replaced by ``replacements[i]``, over the replacements' library.

    This lifts an expression found for a reduced problem, whose variables stand for sub-expressions, to the library of
    the problem it came from. The two libraries may differ in their variables only; promoted operators are written out.

    Raises
    ------
    ValueError
        If the number of replacements is not the number of variables of the expression's library.
    """
    inner = expression.library
    if len(replacements) != inner.n_variables:
        raise ValueError(f"replacements: {len(replacements)} given for {inner.n_variables} variables")
    outer = replacements[0].library
    shift = outer.n_variables - inner.n_variables
    tokens: list[np.ndarray] = []
    constants: list[np.ndarray] = []
    c = 0
    for t in expression.expanded:
        if t < inner.n_variables:
            tokens.append(replacements[t].expanded)
            constants.append(replacements[t].constants)
            continue
        tokens.append(np.array([t + shift], np.int16))
        if t == inner.constant:
            constants.append(expression.constants[c:c + 1])
            c += 1
    return Expression(np.concatenate(tokens), np.concatenate(constants or [np.empty(0)]), outer)
