"""Derivatives of the primitives over rows of memory: the one switch over opcodes that differentiates.

Reverse mode: from the adjoint of a result, the adjoints of its arguments. Forward tangents would cost one pass for each
constant; a reverse sweep costs as much for ten constants as for one.
"""

import math

from numba.types import int64, void

from rsrm import vecmath
from rsrm._jit import external, njit
from rsrm._simd import LANES, any_lane, load, load_one, select, splat, store, store_one, vsqrt
from rsrm.primitives import (
    OP_ABS, OP_ACOS, OP_ADD, OP_ASIN, OP_ATAN, OP_COS, OP_COSH, OP_CUBE, OP_DIV, OP_EXP, OP_INV, OP_LOG, OP_MUL, OP_NEG,
    OP_POW, OP_SIN, OP_SINH, OP_SQRT, OP_SQUARE, OP_SUB, OP_TAN, OP_TANH,
)

_STEP = 8 * LANES


@njit
def _power_base(u, v, y):
    """Return d(u**v)/du for y = u**v."""
    if u != 0.0:
        return v * y / u
    if v == 0.0:
        return 0.0
    return v * math.pow(u, v - 1.0)


@njit
def _power_exponent(u, y):
    """Return d(u**v)/dv for y = u**v; zero where the exponent cannot move (u < 0) or does not matter (y = 0)."""
    if u < 0.0 or y == 0.0:
        return 0.0
    return y * math.log(u)


@external(void(int64, int64, int64, int64, int64, int64, int64))
def adjoint_first(op, u, v, y, g, target, vectors):
    """Write the adjoint of the first argument of a primitive to `target`.

    Parameters
    ----------
    op : int
        Opcode.
    u, v, y, g : int
        Addresses of the first argument, the second argument (unused by unary primitives), the result and its adjoint.
    target : int
        Address to write to; must differ from `u`, `v` and `y`.
    vectors : int
        Number of vectors of eight rows.
    """
    if op == OP_ADD or op == OP_SUB:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i))
    elif op == OP_MUL:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) * load(v + i))
    elif op == OP_DIV:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) / load(v + i))
    elif op == OP_POW:
        for i in range(0, vectors * _STEP, 8):
            store_one(target + i, load_one(g + i) * _power_base(load_one(u + i), load_one(v + i), load_one(y + i)))
    elif op == OP_NEG:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, 0.0 - load(g + i))
    elif op == OP_INV:
        for i in range(0, vectors * _STEP, _STEP):
            r = load(y + i)
            store(target + i, 0.0 - load(g + i) * r * r)
    elif op == OP_SQUARE:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, 2.0 * load(g + i) * load(u + i))
    elif op == OP_CUBE:
        for i in range(0, vectors * _STEP, _STEP):
            a = load(u + i)
            store(target + i, 3.0 * load(g + i) * a * a)
    elif op == OP_SQRT:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, 0.5 * load(g + i) / load(y + i))
    elif op == OP_EXP:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) * load(y + i))
    elif op == OP_LOG:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) / load(u + i))
    elif op == OP_SIN:
        for i in range(0, vectors * _STEP, _STEP):
            a = load(u + i)
            if any_lane(vecmath.beyond_limit(a)):
                for j in range(i, i + _STEP, 8):
                    store_one(target + j, load_one(g + j) * math.cos(load_one(u + j)))
            else:
                store(target + i, load(g + i) * vecmath.cos(a))
    elif op == OP_COS:
        for i in range(0, vectors * _STEP, _STEP):
            a = load(u + i)
            if any_lane(vecmath.beyond_limit(a)):
                for j in range(i, i + _STEP, 8):
                    store_one(target + j, -load_one(g + j) * math.sin(load_one(u + j)))
            else:
                store(target + i, 0.0 - load(g + i) * vecmath.sin(a))
    elif op == OP_TAN:
        for i in range(0, vectors * _STEP, _STEP):
            r = load(y + i)
            store(target + i, load(g + i) * (1.0 + r * r))
    elif op == OP_ASIN:
        for i in range(0, vectors * _STEP, _STEP):
            a = load(u + i)
            store(target + i, load(g + i) / vsqrt(1.0 - a * a))
    elif op == OP_ACOS:
        for i in range(0, vectors * _STEP, _STEP):
            a = load(u + i)
            store(target + i, 0.0 - load(g + i) / vsqrt(1.0 - a * a))
    elif op == OP_ATAN:
        for i in range(0, vectors * _STEP, _STEP):
            a = load(u + i)
            store(target + i, load(g + i) / (1.0 + a * a))
    elif op == OP_SINH:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) * vecmath.cosh(load(u + i)))
    elif op == OP_COSH:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) * vecmath.sinh(load(u + i)))
    elif op == OP_TANH:
        for i in range(0, vectors * _STEP, _STEP):
            r = load(y + i)
            store(target + i, load(g + i) * (1.0 - r * r))
    elif op == OP_ABS:
        for i in range(0, vectors * _STEP, _STEP):
            a, d = load(u + i), load(g + i)
            store(target + i, select(a > 0.0, d, select(a < 0.0, 0.0 - d, 0.0)))
    else:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, splat(math.nan))  # an operator without a derivative must be seen


@external(void(int64, int64, int64, int64, int64, int64, int64))
def adjoint_second(op, u, v, y, g, target, vectors):
    """Write the adjoint of the second argument of a primitive to `target`; parameters as in :func:`adjoint_first`."""
    if op == OP_ADD:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i))
    elif op == OP_SUB:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, 0.0 - load(g + i))
    elif op == OP_MUL:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, load(g + i) * load(u + i))
    elif op == OP_DIV:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, 0.0 - load(g + i) * load(y + i) / load(v + i))
    elif op == OP_POW:
        for i in range(0, vectors * _STEP, 8):
            store_one(target + i, load_one(g + i) * _power_exponent(load_one(u + i), load_one(y + i)))
    else:
        for i in range(0, vectors * _STEP, _STEP):
            store(target + i, splat(math.nan))
