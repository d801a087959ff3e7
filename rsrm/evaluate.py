"""Evaluation of prefix expressions over blocks of rows.

A prefix array scanned from right to left is a stack machine: terminals push, operators pop their arguments (first
argument on top). Each push is one block of rows, so that the interpreter's dispatch is paid once a block.
"""

import math

import numpy as np

from rsrm._jit import njit
from rsrm.expression import Expression
from rsrm.primitives import (
    OP_ABS, OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_CONSTANT, OP_COS, OP_COSH, OP_CUBE, OP_DIV, OP_EXP, OP_INV,
    OP_LITERAL, OP_LOG, OP_MUL, OP_NEG, OP_POW, OP_SIN, OP_SINH, OP_SQRT, OP_SQUARE, OP_SUB, OP_TAN, OP_TANH,
    OP_VARIABLE,
)

BLOCK = 128
"""Rows evaluated at a time; the stack of a 32-deep expression then fits the level-1 cache."""


@njit
def apply_unary(op, a, b):
    """Overwrite ``a[:b]`` with the unary primitive `op` of itself."""
    if op == OP_NEG:
        for i in range(b):
            a[i] = -a[i]
    elif op == OP_INV:
        for i in range(b):
            a[i] = 1.0 / a[i]
    elif op == OP_SQUARE:
        for i in range(b):
            a[i] = a[i] * a[i]
    elif op == OP_CUBE:
        for i in range(b):
            a[i] = a[i] * a[i] * a[i]
    elif op == OP_SQRT:
        for i in range(b):
            a[i] = math.sqrt(a[i])
    elif op == OP_EXP:
        for i in range(b):
            a[i] = math.exp(a[i])
    elif op == OP_LOG:
        for i in range(b):
            a[i] = math.log(a[i])
    elif op == OP_SIN:
        for i in range(b):
            a[i] = math.sin(a[i])
    elif op == OP_COS:
        for i in range(b):
            a[i] = math.cos(a[i])
    elif op == OP_TAN:
        for i in range(b):
            a[i] = math.tan(a[i])
    elif op == OP_ASIN:
        for i in range(b):
            a[i] = math.asin(a[i])
    elif op == OP_ACOS:
        for i in range(b):
            a[i] = math.acos(a[i])
    elif op == OP_ATAN:
        for i in range(b):
            a[i] = math.atan(a[i])
    elif op == OP_SINH:
        for i in range(b):
            a[i] = math.sinh(a[i])
    elif op == OP_COSH:
        for i in range(b):
            a[i] = math.cosh(a[i])
    elif op == OP_TANH:
        for i in range(b):
            a[i] = math.tanh(a[i])
    elif op == OP_ABS:
        for i in range(b):
            a[i] = abs(a[i])


@njit
def apply_binary(op, a, c, b, out):
    """Write the binary primitive `op` of ``a[:b]`` and ``c[:b]`` into ``out[:b]``; `out` may be `a` or `c`."""
    if op == OP_ADD:
        for i in range(b):
            out[i] = a[i] + c[i]
    elif op == OP_SUB:
        for i in range(b):
            out[i] = a[i] - c[i]
    elif op == OP_MUL:
        for i in range(b):
            out[i] = a[i] * c[i]
    elif op == OP_DIV:
        for i in range(b):
            out[i] = a[i] / c[i]
    elif op == OP_POW:
        for i in range(b):
            out[i] = math.pow(a[i], c[i])


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
        One contiguous row per variable.
    tables : Tables
    stack : float64[>=n, BLOCK]
        Scratch.
    out : float64[R]
        Overwritten; its content is unspecified where the result is False.

    Returns
    -------
    ok : bool
    """
    rows = out.shape[0]
    m = 0
    for k in range(n):
        if tables.opcode[tokens[k]] == OP_CONSTANT:
            m += 1
    for lo in range(0, rows, BLOCK):
        b = min(BLOCK, rows - lo)
        top = 0
        c = m
        for k in range(n - 1, -1, -1):
            t = tokens[k]
            op = tables.opcode[t]
            if op == OP_VARIABLE:
                for i in range(b):
                    stack[top, i] = X[t, lo + i]
                top += 1
            elif op == OP_CONSTANT or op == OP_LITERAL:
                if op == OP_CONSTANT:
                    c -= 1
                    v = constants[c]
                else:
                    v = tables.literal[t]
                for i in range(b):
                    stack[top, i] = v
                top += 1
            elif tables.arity[t] == 1:
                apply_unary(op, stack[top - 1], b)
            else:
                top -= 1
                apply_binary(op, stack[top], stack[top - 1], b, stack[top - 1])
        acc = 0.0
        for i in range(b):
            out[lo + i] = stack[0, i]
            acc += stack[0, i] * 0.0
        if not acc == 0.0:
            return False
    return True


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
    tables = expression.library.tables
    stack = np.empty((len(tokens) + 1, BLOCK))
    # A block that is not finite ends the compiled scan early; predictions still want the rows that are defined.
    ok = evaluate(tokens, len(tokens), expression.constants, columns, tables, stack, out)
    if not ok:
        for lo in range(0, len(out), 1):
            evaluate(tokens, len(tokens), expression.constants, columns[:, lo:lo + 1], tables, stack, out[lo:lo + 1])
    return out, bool(ok)
