"""The tape of a fit: values of all nodes of one expression, and from them the Jacobian by one reverse sweep.

Rows are independent, so the adjoint of a node is one number a row, and the adjoint of a constant leaf is its column of
the Jacobian; prefix order lists parents before children, so the sweep is a scan from left to right. Only nodes with a
constant below them take part; what does not depend on constants is evaluated once per fit if the rows fit one block.
"""

from typing import NamedTuple

import numpy as np
from numba import carray

from rsrm._jit import njit
from rsrm._simd import LANES, as_pointer, load, load_some, pointer, splat, store
from rsrm.derivatives import adjoint_first, adjoint_second
from rsrm.elementwise import STEP, operate_external
from rsrm.primitives import OP_ADD, OP_CONSTANT, OP_LITERAL, OP_POW, OP_VARIABLE

SPAN = 256
"""Rows evaluated at a time: the tape of a long expression then stays in the level-2 cache."""


class Arrays(NamedTuple):
    """Scratch of a fit; L longest expression, C most constants, P rows rounded up to vectors."""

    tape: np.ndarray  # float64[2 L, min(P, SPAN)]: values of nodes, then adjoints of nodes
    program: np.ndarray  # int64[L, 5]: opcode, first argument, second argument, depends on constants, index of operand
    order: np.ndarray  # int64[L]: inner nodes that depend on constants, parents first
    jacobian: np.ndarray  # float64[C, P]
    rows: np.ndarray  # float64[4, P]: target, weights, values, weighted residuals
    normal: np.ndarray  # float64[2, C, C]: scaled normal matrix, its factor
    small: np.ndarray  # float64[5, C]: constants, trial, gradient, scale, step


@njit
def memory_size(length, constants, rows):
    """Return how many doubles :func:`carve` needs."""
    padded = -(-rows // LANES) * LANES
    return 2 * length * min(padded, SPAN) + 6 * length + (constants + 4) * padded + 2 * constants**2 + 5 * constants


@njit
def carve(memory, length, constants, rows):
    """Return the :class:`Arrays` that lie in the memory at address `memory`."""
    padded = -(-rows // LANES) * LANES
    span = min(padded, SPAN)
    program = memory + 16 * length * span
    order = program + 40 * length
    jacobian = order + 8 * length
    values = jacobian + 8 * constants * padded
    normal = values + 32 * padded
    small = normal + 16 * constants * constants
    return Arrays(carray(as_pointer(memory), (2 * length, span), np.float64),
                  carray(as_pointer(program), (length, 5), np.int64),
                  carray(as_pointer(order), (length,), np.int64),
                  carray(as_pointer(jacobian), (constants, padded), np.float64),
                  carray(as_pointer(values), (4, padded), np.float64),
                  carray(as_pointer(normal), (2, constants, constants), np.float64),
                  carray(as_pointer(small), (5, constants), np.float64))


@njit
def compile_program(tokens, n, opcodes, program, order, stack):
    """Fill `program` and `order`; return the numbers of constants and of inner nodes that depend on them."""
    top = 0
    m = 0
    for k in range(n - 1, -1, -1):
        t = tokens[k]
        op = opcodes[t]
        program[k, 0] = op
        program[k, 3] = 0
        if op == OP_CONSTANT:
            program[k, 3] = 1
            program[k, 4] = m  # counted from the right; put right below
            m += 1
        elif op == OP_LITERAL:
            program[k, 4] = t
        elif op == OP_VARIABLE:
            program[k, 4] = t
        else:
            top -= 1
            first = stack[top]
            program[k, 1] = program[k, 2] = first
            program[k, 3] = program[first, 3]
            if op <= OP_POW:
                top -= 1
                program[k, 2] = stack[top]
                program[k, 3] |= program[stack[top], 3]
        stack[top] = k
        top += 1
    count = 0
    for k in range(n):
        if program[k, 0] == OP_CONSTANT:
            program[k, 4] = m - 1 - program[k, 4]
        elif program[k, 3] == 1:
            order[count] = k
            count += 1
    return m, count


@njit
def _forward(n, constants, X, literals, ws, count, lo, b, everything):
    """Evaluate rows lo..lo+b-1 onto the tape; without `everything`, only what depends on constants."""
    base = pointer(ws.tape)
    stride = 8 * ws.tape.shape[1]
    whole = b // LANES
    rest = b - whole * LANES
    vectors = whole + (rest > 0)
    program = ws.program
    if everything:
        for k in range(n - 1, -1, -1):
            op = program[k, 0]
            row = base + k * stride
            if op == OP_VARIABLE:
                source = pointer(X) + 8 * (program[k, 4] * X.shape[1] + lo)
                for i in range(whole):
                    store(row + i * STEP, load(source + i * STEP))
                if rest > 0:
                    store(row + whole * STEP, load_some(source + whole * STEP, rest))
            elif op < OP_ADD:
                v = splat(constants[program[k, 4]] if op == OP_CONSTANT else literals[program[k, 4]])
                for i in range(vectors):
                    store(row + i * STEP, v)
            else:
                operate_external(op, base + program[k, 1] * stride, base + program[k, 2] * stride, row, vectors)
    else:
        for k in range(n):
            if program[k, 0] == OP_CONSTANT:
                v = splat(constants[program[k, 4]])
                row = base + k * stride
                for i in range(vectors):
                    store(row + i * STEP, v)
        for j in range(count - 1, -1, -1):
            k = ws.order[j]
            operate_external(program[k, 0], base + program[k, 1] * stride, base + program[k, 2] * stride,
                             base + k * stride, vectors)


@njit
def _target(k, program, adjoints, stride, jacobian, jstride, lo):
    """Return where the adjoint of node k goes: a constant's column of the Jacobian, or the node's own row."""
    if program[k, 0] == OP_CONSTANT:
        return jacobian + program[k, 4] * jstride + 8 * lo
    return adjoints + k * stride


@njit
def _reverse(n, ws, count, lo, vectors, factor):
    """Fill columns lo.. of the Jacobian from the tape; every entry is multiplied by weight and `factor`."""
    base = pointer(ws.tape)
    stride = 8 * ws.tape.shape[1]
    adjoints = base + (ws.tape.shape[0] // 2) * stride
    jacobian = pointer(ws.jacobian)
    jstride = 8 * ws.jacobian.shape[1]
    program = ws.program
    seed = pointer(ws.rows) + jstride + 8 * lo
    root = _target(0, program, adjoints, stride, jacobian, jstride, lo)
    for i in range(vectors):
        store(root + i * STEP, factor * load(seed + i * STEP))
    for j in range(count):
        k = ws.order[j]
        op, first, second = program[k, 0], program[k, 1], program[k, 2]
        u, v, y = base + first * stride, base + second * stride, base + k * stride
        g = adjoints + k * stride
        if program[first, 3] == 1:
            adjoint_first(op, u, v, y, g, _target(first, program, adjoints, stride, jacobian, jstride, lo), vectors)
        if op <= OP_POW and program[second, 3] == 1:
            adjoint_second(op, u, v, y, g, _target(second, program, adjoints, stride, jacobian, jstride, lo), vectors)


@njit
def fill_values(n, constants, X, literals, ws, count, rows, first_time):
    """Evaluate all rows; the values go to row 2 of ``ws.rows``. With one block the tape stays valid."""
    span = ws.tape.shape[1]
    everything = first_time or rows > span
    for lo in range(0, rows, span):
        b = min(span, rows - lo)
        _forward(n, constants, X, literals, ws, count, lo, b, everything)
        source = pointer(ws.tape)
        target = pointer(ws.rows) + 8 * (2 * ws.rows.shape[1] + lo)
        for i in range((b + LANES - 1) // LANES):
            store(target + i * STEP, load(source + i * STEP))


@njit
def fill_jacobian(n, constants, X, literals, ws, count, rows, factor):
    """Fill the Jacobian for the constants that :func:`fill_values` was last called with."""
    span = ws.tape.shape[1]
    for lo in range(0, rows, span):
        b = min(span, rows - lo)
        if rows > span:
            _forward(n, constants, X, literals, ws, count, lo, b, True)
        _reverse(n, ws, count, lo, (b + LANES - 1) // LANES, factor)
