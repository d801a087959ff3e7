"""Primitives over rows of memory: the one switch over opcodes that evaluates.

Rows are whole vectors (:mod:`rsrm._simd`) at plain addresses; :func:`apply_unary` and :func:`apply_binary` are the
faces for arrays of any length.
"""

import math

import numpy as np
from numba.types import int64, void

from rsrm import vecmath
from rsrm._jit import external, njit
from rsrm._simd import (
    LANES, any_lane, lane, load, load_some, pointer, store, store_one, store_some, vabs, vsqrt,
)
from rsrm.primitives import (
    OP_ABS, OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_COS, OP_COSH, OP_CUBE, OP_DIV, OP_EXP, OP_INV, OP_LOG, OP_MUL, OP_NEG,
    OP_POW, OP_SIN, OP_SINH, OP_SQRT, OP_SQUARE, OP_SUB, OP_TAN, OP_TANH,
)

STEP = 8 * LANES
"""Bytes of a vector."""


@njit
def _any_beyond_limit(source, vectors):
    """Return whether a row holds an angle beyond the argument reduction of :mod:`rsrm.vecmath`."""
    found = vecmath.beyond_limit(load(source))
    for i in range(STEP, vectors * STEP, STEP):
        found = found | vecmath.beyond_limit(load(source + i))
    return any_lane(found)


@njit
def _large_angles(op, source, target, vectors):
    """Do sin, cos or tan with the C library in the lanes that are beyond the limit."""
    for i in range(0, vectors * STEP, STEP):
        v = load(source + i)
        if op == OP_SIN:
            store(target + i, vecmath.sin(v))
        elif op == OP_COS:
            store(target + i, vecmath.cos(v))
        else:
            store(target + i, vecmath.tan(v))
        if any_lane(vecmath.beyond_limit(v)):
            for j in range(LANES):
                a = lane(v, j)
                if abs(a) > vecmath.TRIG_LIMIT:
                    store_one(target + i + 8 * j, math.sin(a) if op == OP_SIN else
                              math.cos(a) if op == OP_COS else math.tan(a))


@njit
def operate(op, first, second, target, vectors):
    """Write a primitive of rows in memory to `target`, which may be one of the arguments.

    Parameters
    ----------
    op : int
        Opcode of a primitive.
    first, second, target : int
        Addresses of rows of `vectors` vectors; `second` is not read for unary primitives.
    vectors : int
        At least 1.
    """
    if op == OP_ADD:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, load(first + i) + load(second + i))
    elif op == OP_SUB:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, load(first + i) - load(second + i))
    elif op == OP_MUL:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, load(first + i) * load(second + i))
    elif op == OP_DIV:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, load(first + i) / load(second + i))
    elif op == OP_POW:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.pow(load(first + i), load(second + i)))
    elif op == OP_NEG:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, 0.0 - load(first + i))
    elif op == OP_INV:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, 1.0 / load(first + i))
    elif op == OP_SQUARE:
        for i in range(0, vectors * STEP, STEP):
            v = load(first + i)
            store(target + i, v * v)
    elif op == OP_CUBE:
        for i in range(0, vectors * STEP, STEP):
            v = load(first + i)
            store(target + i, v * v * v)
    elif op == OP_SQRT:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vsqrt(load(first + i)))
    elif op == OP_SIN:
        if _any_beyond_limit(first, vectors):
            _large_angles(op, first, target, vectors)
        else:
            for i in range(0, vectors * STEP, STEP):
                store(target + i, vecmath.sin(load(first + i)))
    elif op == OP_COS:
        if _any_beyond_limit(first, vectors):
            _large_angles(op, first, target, vectors)
        else:
            for i in range(0, vectors * STEP, STEP):
                store(target + i, vecmath.cos(load(first + i)))
    elif op == OP_TAN:
        if _any_beyond_limit(first, vectors):
            _large_angles(op, first, target, vectors)
        else:
            for i in range(0, vectors * STEP, STEP):
                store(target + i, vecmath.tan(load(first + i)))
    elif op == OP_EXP:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.exp(load(first + i)))
    elif op == OP_LOG:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.log(load(first + i)))
    elif op == OP_ASIN:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.asin(load(first + i)))
    elif op == OP_ACOS:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.acos(load(first + i)))
    elif op == OP_ATAN:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.atan(load(first + i)))
    elif op == OP_SINH:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.sinh(load(first + i)))
    elif op == OP_COSH:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.cosh(load(first + i)))
    elif op == OP_TANH:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vecmath.tanh(load(first + i)))
    elif op == OP_ABS:
        for i in range(0, vectors * STEP, STEP):
            store(target + i, vabs(load(first + i)))


@external(void(int64, int64, int64, int64, int64))
def operate_external(op, first, second, target, vectors):
    """:func:`operate`, called by symbol."""
    operate(op, first, second, target, vectors)


@njit
def apply_unary(op, a, b):
    """Overwrite ``a[:b]`` with the unary primitive `op` of itself; `a` is contiguous float64."""
    full = b // LANES
    if full > 0:
        operate_external(op, pointer(a), 0, pointer(a), full)
    rest = b - full * LANES
    if rest > 0:
        last = np.empty(LANES)
        at = pointer(last)
        end = pointer(a) + full * STEP
        store(at, load_some(end, rest))
        operate_external(op, at, 0, at, 1)
        store_some(end, load(at), rest)
        last[0] = 0.0  # holds the array until here


@njit
def apply_binary(op, a, c, b, out):
    """Write the binary primitive `op` of ``a[:b]`` and ``c[:b]`` into ``out[:b]``; `out` may be `a` or `c`."""
    full = b // LANES
    if full > 0:
        operate_external(op, pointer(a), pointer(c), pointer(out), full)
    rest = b - full * LANES
    if rest > 0:
        last = np.empty((2, LANES))
        at = pointer(last)
        skip = full * STEP
        store(at, load_some(pointer(a) + skip, rest))
        store(at + STEP, load_some(pointer(c) + skip, rest))
        operate_external(op, at, at + STEP, at, 1)
        store_some(pointer(out) + skip, load(at), rest)
        last[0, 0] = 0.0  # holds the array until here
