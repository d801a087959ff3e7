"""Evaluation of prefix expressions over blocks of rows.

A prefix array scanned from right to left is a stack machine: terminals push, operators pop their arguments (first
argument on top). Operands are addresses: a variable is read where it lies in X, and only results are written to the
stack, a block of rows at a time, so that the interpreter's dispatch is paid once a block. Blocks are vectors of eight
rows (:mod:`rsrm._simd`); the last vector of the data repeats its first row in the lanes beyond the end, which therefore
never raise a false alarm.
"""

import math

import numpy as np
from numba.types import int64, void

from rsrm import vecmath
from rsrm._jit import external, njit
from rsrm._simd import (
    LANES, load, load_int, load_one, load_some, pointer, splat, store, store_int, store_one, store_some, total, vabs,
    vsqrt,
)
from rsrm.expression import Expression
from rsrm.primitives import (
    OP_ABS, OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_CONSTANT, OP_COS, OP_COSH, OP_CUBE, OP_DIV, OP_EXP, OP_INV, OP_LOG,
    OP_MUL, OP_NEG, OP_POW, OP_SIN, OP_SINH, OP_SQRT, OP_SQUARE, OP_SUB, OP_TAN, OP_TANH, OP_VARIABLE,
)

ROWS = 128
"""Rows evaluated at a time; the stack of a 32-deep expression then fits the level-1 cache."""
BLOCK = ROWS + LANES
"""Width of a row of the stack: the values of a block, and a place for the operand's address."""
_SLOT = 8 * ROWS
_STRIDE = 8 * BLOCK
_STEP = 8 * LANES


@external(void(int64, int64, int64, int64))
def unary(op, source, target, vectors):
    """Write the unary primitive `op` of `vectors` vectors at address `source` to `target`, which may be the same."""
    if op == OP_NEG:
        for i in range(vectors):
            store(target + i * _STEP, 0.0 - load(source + i * _STEP))
    elif op == OP_INV:
        for i in range(vectors):
            store(target + i * _STEP, 1.0 / load(source + i * _STEP))
    elif op == OP_SQUARE:
        for i in range(vectors):
            v = load(source + i * _STEP)
            store(target + i * _STEP, v * v)
    elif op == OP_CUBE:
        for i in range(vectors):
            v = load(source + i * _STEP)
            store(target + i * _STEP, v * v * v)
    elif op == OP_SQRT:
        for i in range(vectors):
            store(target + i * _STEP, vsqrt(load(source + i * _STEP)))
    elif op == OP_EXP:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.exp(load(source + i * _STEP)))
    elif op == OP_LOG:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.log(load(source + i * _STEP)))
    elif op == OP_SIN:
        for i in range(vectors):
            v = load(source + i * _STEP)
            if vecmath.needs_scalar(v):
                for j in range(i * _STEP, (i + 1) * _STEP, 8):
                    store_one(target + j, math.sin(load_one(source + j)))
            else:
                store(target + i * _STEP, vecmath.sin(v))
    elif op == OP_COS:
        for i in range(vectors):
            v = load(source + i * _STEP)
            if vecmath.needs_scalar(v):
                for j in range(i * _STEP, (i + 1) * _STEP, 8):
                    store_one(target + j, math.cos(load_one(source + j)))
            else:
                store(target + i * _STEP, vecmath.cos(v))
    elif op == OP_TAN:
        for i in range(vectors):
            v = load(source + i * _STEP)
            if vecmath.needs_scalar(v):
                for j in range(i * _STEP, (i + 1) * _STEP, 8):
                    store_one(target + j, math.tan(load_one(source + j)))
            else:
                store(target + i * _STEP, vecmath.tan(v))
    elif op == OP_ASIN:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.asin(load(source + i * _STEP)))
    elif op == OP_ACOS:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.acos(load(source + i * _STEP)))
    elif op == OP_ATAN:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.atan(load(source + i * _STEP)))
    elif op == OP_SINH:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.sinh(load(source + i * _STEP)))
    elif op == OP_COSH:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.cosh(load(source + i * _STEP)))
    elif op == OP_TANH:
        for i in range(vectors):
            store(target + i * _STEP, vecmath.tanh(load(source + i * _STEP)))
    elif op == OP_ABS:
        for i in range(vectors):
            store(target + i * _STEP, vabs(load(source + i * _STEP)))


@external(void(int64, int64, int64, int64, int64))
def binary(op, first, second, target, vectors):
    """Write the binary primitive `op` of the vectors at `first` and `second` to `target`, which may be either."""
    if op == OP_ADD:
        for i in range(vectors):
            store(target + i * _STEP, load(first + i * _STEP) + load(second + i * _STEP))
    elif op == OP_SUB:
        for i in range(vectors):
            store(target + i * _STEP, load(first + i * _STEP) - load(second + i * _STEP))
    elif op == OP_MUL:
        for i in range(vectors):
            store(target + i * _STEP, load(first + i * _STEP) * load(second + i * _STEP))
    elif op == OP_DIV:
        for i in range(vectors):
            store(target + i * _STEP, load(first + i * _STEP) / load(second + i * _STEP))
    elif op == OP_POW:
        for j in range(0, vectors * _STEP, 8):
            store_one(target + j, math.pow(load_one(first + j), load_one(second + j)))


@njit
def apply_unary(op, a, b):
    """Overwrite ``a[:b]`` with the unary primitive `op` of itself; `a` is contiguous float64."""
    full = b // LANES
    unary(op, pointer(a), pointer(a), full)
    rest = b - full * LANES
    if rest > 0:
        last = np.empty(LANES)
        at = pointer(last)
        end = pointer(a) + full * _STEP
        store(at, load_some(end, rest))
        unary(op, at, at, 1)
        store_some(end, load(at), rest)
        last[0] = 0.0  # holds the array until here


@njit
def apply_binary(op, a, c, b, out):
    """Write the binary primitive `op` of ``a[:b]`` and ``c[:b]`` into ``out[:b]``; `out` may be `a` or `c`."""
    full = b // LANES
    binary(op, pointer(a), pointer(c), pointer(out), full)
    rest = b - full * LANES
    if rest > 0:
        last = np.empty((2, LANES))
        at = pointer(last)
        skip = full * _STEP
        store(at, load_some(pointer(a) + skip, rest))
        store(at + _STEP, load_some(pointer(c) + skip, rest))
        binary(op, at, at + _STEP, at, 1)
        store_some(pointer(out) + skip, load(at), rest)
        last[0, 0] = 0.0  # holds the array until here


@njit
def _count_constants(tokens, n, constant):
    count = 0
    for k in range(n):
        count += tokens[k] == constant
    return count


@njit
def scan_block(tokens, n, constants, m, columns, stride, b, tables, base):
    """Evaluate ``tokens[:n]`` on `b` rows; return the address of the result.

    Parameters
    ----------
    tokens : int16[>=n]
    n : int
    constants : float64[>=m]
    m : int
        Number of constant tokens.
    columns, stride : int
        Address of the first row of the block in the first variable, and bytes from one variable to the next.
    b : int
        1 .. ROWS
    tables : Tables
    base : int
        Address of the stack, float64[>=n, BLOCK].
    """
    whole = b // LANES
    rest = b - whole * LANES
    vectors = whole + (rest > 0)
    row = base - _STRIDE  # the top of the stack
    for k in range(n - 1, -1, -1):
        t = np.int64(tokens[k])
        op = tables.opcode[t]
        if op == OP_VARIABLE:
            row += _STRIDE
            source = columns + t * stride
            if rest == 0:
                store_int(row + _SLOT, source)
            else:
                for i in range(whole):
                    store(row + i * _STEP, load(source + i * _STEP))
                store(row + whole * _STEP, load_some(source + whole * _STEP, rest))
                store_int(row + _SLOT, row)
        elif op < OP_ADD:
            if op == OP_CONSTANT:
                m -= 1
                v = splat(constants[m])
            else:
                v = splat(tables.literal[t])
            row += _STRIDE
            for i in range(vectors):
                store(row + i * _STEP, v)
            store_int(row + _SLOT, row)
        elif op <= OP_POW:
            second = load_int(row - _STRIDE + _SLOT)
            first = load_int(row + _SLOT)
            row -= _STRIDE
            binary(op, first, second, row, vectors)
            store_int(row + _SLOT, row)
        else:
            unary(op, load_int(row + _SLOT), row, vectors)
            store_int(row + _SLOT, row)
    return load_int(base + _SLOT)


@njit
def _evaluate(tokens, n, constants, X, tables, stack, out, stop):
    """Evaluate on all rows, or with `stop` until the first block that is not finite; return whether all are finite."""
    rows = out.shape[0]
    m = _count_constants(tokens, n, tables.n_variables)
    base, columns, target = pointer(stack), pointer(X), pointer(out)
    stride = 8 * X.shape[1]
    ok = True
    for lo in range(0, rows, ROWS):
        b = min(ROWS, rows - lo)
        result = scan_block(tokens, n, constants, m, columns + 8 * lo, stride, b, tables, base)
        whole = b // LANES
        rest = b - whole * LANES
        check = splat(0.0)
        at = target + 8 * lo
        for i in range(whole):
            v = load(result + i * _STEP)
            check = check + v * 0.0
            store(at + i * _STEP, v)
        if rest > 0:
            v = load(result + whole * _STEP)
            check = check + v * 0.0
            store_some(at + whole * _STEP, v, rest)
        if not total(check) == 0.0:
            ok = False
            if stop:
                break
    return ok


@njit
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


@njit
def evaluate_rows(tokens, n, constants, X, tables, stack, out):
    """Like :func:`evaluate`, but every row is computed even where others are not finite."""
    return _evaluate(tokens, n, constants, X, tables, stack, out, False)


@njit
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
