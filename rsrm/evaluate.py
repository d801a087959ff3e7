"""Evaluation of prefix expressions over blocks of rows.

A prefix array scanned from right to left is a stack machine: terminals push, operators pop their arguments (first
argument on top). Operands are addresses: a variable is read where it lies in X, and only results are written to the
stack, a block of rows at a time, so that the interpreter's dispatch is paid once a block. What does not depend on the
row is computed for one vector only; the lowest bit of an operand's address, which is free, marks it. Blocks are vectors
of eight rows (:mod:`rsrm._simd`); the lanes beyond the end of the data repeat a row of the last vector, so that they
never raise a false alarm.
"""

import numpy as np
from numba.types import int64

from rsrm._jit import external, njit, njit_leaf
from rsrm._simd import (
    LANES, load, load_one, load_int, load_short, load_some, pointer, splat, store, store_int, store_some, total,
)
from rsrm.elementwise import STEP, operate
from rsrm.expression import Expression
from rsrm.primitives import OP_CONSTANT, OP_LITERAL, OP_POW, OP_VARIABLE

ROWS = 512
"""Rows evaluated at a time: 512 beat 128 by a tenth from 200 rows on; a few rows still fit the level-1 cache."""
BLOCK = ROWS + LANES
"""Width of a row of the stack: the values of a block, and a place for the operand's address."""
_SLOT = 8 * ROWS
_STRIDE = 8 * BLOCK


@njit
def _count_constants(tokens, n, constant):
    count = 0
    for k in range(n):
        count += tokens[k] == constant
    return count


@njit
def _spread(operand, vectors):
    """Copy the first vector of a row that is marked as the same everywhere over the row."""
    row = operand - 1
    v = load(row)
    for i in range(STEP, vectors * STEP, STEP):
        store(row + i, v)


@external(int64(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64))
def scan_block(tokens, n, constants, m, columns, stride, b, opcodes, literals, base):
    """Evaluate an expression on `b` rows, 1 to ROWS; return the address of the result.

    Parameters
    ----------
    tokens, n : int
        Address of int16[n].
    constants, m : int
        Address of float64[m].
    columns, stride : int
        Address of the block's first row in the first variable, and bytes from one variable to the next.
    b : int
    opcodes, literals : int
        Addresses of the columns int16[K] and float64[K] of the library's tables.
    base : int
        Address of the stack, float64[>=n, BLOCK].
    """
    whole = b // LANES
    rest = b - whole * LANES
    vectors = whole + (rest > 0)
    top = base - _STRIDE
    for at in range(tokens + 2 * (n - 1), tokens - 2, -2):
        t = load_short(at)
        op = load_short(opcodes + 2 * t)
        if op == OP_VARIABLE:
            top += _STRIDE
            source = columns + t * stride
            if rest == 0:
                store_int(top + _SLOT, source)
            else:
                for i in range(0, whole * STEP, STEP):
                    store(top + i, load(source + i))
                store(top + whole * STEP, load_some(source + whole * STEP, rest))
                store_int(top + _SLOT, top)
            continue
        if op == OP_CONSTANT or op == OP_LITERAL:
            m -= op == OP_CONSTANT
            v = splat(load_one(constants + 8 * m) if op == OP_CONSTANT else load_one(literals + 8 * t))
            top += _STRIDE
            store(top, v)
            store_int(top + _SLOT, top + 1)
            continue
        first = load_int(top + _SLOT)
        second = first
        if op <= OP_POW:
            top -= _STRIDE
            second = load_int(top + _SLOT)
            if (first ^ second) & 1:
                _spread(first if first & 1 else second, vectors)
                first &= -2
                second &= -2
        same = first & 1
        operate(op, first - same, second - same, top, 1 if same else vectors)
        store_int(top + _SLOT, top + same)
    result = load_int(base + _SLOT)
    if result & 1:
        _spread(result, vectors)
    return result & -2


@njit_leaf
def _evaluate(tokens, n, constants, X, tables, stack, out, stop):
    """Evaluate on all rows, or with `stop` until the first block that is not finite; return whether all are finite."""
    rows = out.shape[0]
    m = _count_constants(tokens, n, tables.n_variables)
    base, columns, target = pointer(stack), pointer(X), pointer(out)
    stride = 8 * X.shape[1]
    opcodes, literals = pointer(tables.opcode), pointer(tables.literal)
    ok = True
    for lo in range(0, rows, ROWS):
        b = min(ROWS, rows - lo)
        result = scan_block(pointer(tokens), n, pointer(constants), m, columns + 8 * lo, stride, b, opcodes, literals,
                            base)
        whole = b // LANES
        rest = b - whole * LANES
        check = splat(0.0)
        at = target + 8 * lo
        for i in range(whole):
            v = load(result + i * STEP)
            check = check + v * 0.0
            store(at + i * STEP, v)
        if rest > 0:
            v = load(result + whole * STEP)
            check = check + v * 0.0
            store_some(at + whole * STEP, v, rest)
        if not total(check) == 0.0:
            ok = False
            if stop:
                break
    return ok


@njit_leaf
def evaluate(tokens, n, constants, X, tables, stack, out):
    """Evaluate ``tokens[:n]`` on all rows into `out`; return whether every value is finite.

    Parameters
    ----------
    tokens : int16[>=n]
        Expanded prefix tokens (no promoted operator).
    n : int
    constants : float64[>=m]
        Left-to-right values of the constant tokens.
    X : float64[D, R]
        C-contiguous: one contiguous row per variable.
    tables : Tables
    stack : float64[>=n, BLOCK]
        Scratch, C-contiguous.
    out : float64[R]
        Overwritten; its content is unspecified where the result is False.

    Returns
    -------
    ok : bool
    """
    return _evaluate(tokens, n, constants, X, tables, stack, out, True)


@njit_leaf
def evaluate_rows(tokens, n, constants, X, tables, stack, out):
    """Like :func:`evaluate`, but every row is computed even where others are not finite."""
    return _evaluate(tokens, n, constants, X, tables, stack, out, False)


@njit_leaf
def evaluate_batch(tokens, lengths, constants, X, tables, stack, out, ok):
    """Evaluate many expressions on all rows.

    Parameters
    ----------
    tokens : int16[N, L]
        Expanded prefix tokens, padded at the end.
    lengths : integer[N]
    constants : float64[N, C]
    X : float64[D, R]
        C-contiguous.
    tables : Tables
    stack : float64[>=L, BLOCK]
        Scratch, C-contiguous.
    out : float64[N, R]
        Overwritten; rows that are not defined hold NaN or infinity.
    ok : bool[N]
        Overwritten: whether every value of an expression is finite.
    """
    for i in range(tokens.shape[0]):
        ok[i] = _evaluate(tokens[i], lengths[i], constants[i], X, tables, stack, out[i], False)


def values(expression: Expression, X) -> tuple[np.ndarray, bool]:
    """Evaluate `expression` on data.

    Parameters
    ----------
    expression : Expression
    X : array_like, shape (R, D)
        One row per sample, as users hold it.

    Returns
    -------
    values : float64[R]
        NaN or infinite where the expression is not defined.
    ok : bool
        Whether every value is finite.

    Raises
    ------
    ValueError
        If X has not as many columns as the library has variables.
    """
    X = np.asarray(X, np.float64)
    if X.ndim != 2 or X.shape[1] != expression.library.n_variables:
        raise ValueError(f"X: expected shape (rows, {expression.library.n_variables}), got {X.shape}")
    columns = np.ascontiguousarray(X.T)
    out = np.empty(X.shape[0])
    tokens = expression.expanded
    stack = np.empty((len(tokens), BLOCK))
    ok = evaluate_rows(tokens, len(tokens), expression.constants, columns, expression.library.tables, stack, out)
    return out, bool(ok)
