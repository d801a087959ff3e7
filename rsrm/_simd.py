"""Explicit vectors of eight doubles for compiled code.

LLVM's own vectorizer leaves the last rows of a block to a scalar loop, needs overlap checks for every pair of pointers
and, on some processors, uses half of the width; a data set of 20 rows is nearly all last rows. Here a vector is a type:
a value of type ``f64x8`` supports ``+ - * /``, comparisons (which give a mask), :func:`select` and, through
:func:`bits`, integer operations. LLVM lowers it to one AVX-512 register, two AVX2 registers, or what the machine has.

Arithmetic on vectors allows fused multiply-add ("contract") and nothing else: the argument reductions and rounding
tricks of :mod:`rsrm.vecmath` would not survive reassociation.

Memory is addressed by plain integers (:func:`pointer`), cheaper to pass than array records. Whoever
takes a pointer must hold the array until the pointer's last use; kernels take both as arguments.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
FLAGS = ("contract",)
_DOUBLE, _INT = ir.DoubleType(), ir.IntType(64)


class _Vector(types.Type):
    """A numba type that is one LLVM vector."""

    def __init__(self, name, element):
        self.element = element
        super().__init__(name)


f64x8 = _Vector("f64x8", types.float64)
i64x8 = _Vector("i64x8", types.int64)
mask8 = _Vector("mask8", types.boolean)
_LLVM = {f64x8: ir.VectorType(_DOUBLE, LANES), i64x8: ir.VectorType(_INT, LANES),
         mask8: ir.VectorType(ir.IntType(1), LANES)}


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _LLVM[fe_type])


def _splat(builder, value, vector):
    """Return `value` in every lane; a value that is a vector already is returned as it is."""
    if isinstance(value.type, ir.VectorType):
        return value
    kind = _LLVM[vector]
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _define(function, vector, result, emit):
    """Give `function` a meaning on two vectors, or a vector and a scalar on either side."""
    scalar = vector.element
    pairs = ((vector, vector), (vector, scalar), (scalar, vector))

    @infer_global(function)
    class _Template(ConcreteTemplate):
        cases = [signature(result, *pair) for pair in pairs]

    def lower(context, builder, sig, args):
        return emit(builder, _splat(builder, args[0], vector), _splat(builder, args[1], vector))

    for pair in pairs:
        lower_builtin(function, *pair)(lower)


def _float_op(name):
    return lambda builder, a, b: getattr(builder, name)(a, b, flags=FLAGS)


def _int_op(name):
    return lambda builder, a, b: getattr(builder, name)(a, b)


def _compare(sign):
    # "ordered" comparisons are False for NaN; != is the opposite of ==.
    return lambda builder, a, b: (builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered)(sign, a, b)


for _function, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"),
                         (operator.truediv, "fdiv")):
    _define(_function, f64x8, f64x8, _float_op(_name))
for _function, _sign in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="),
                         (operator.eq, "=="), (operator.ne, "!=")):
    _define(_function, f64x8, mask8, _compare(_sign))
# Right shifts fill with zeros.
for _function, _name in ((operator.add, "add"), (operator.sub, "sub"), (operator.and_, "and_"), (operator.or_, "or_"),
                         (operator.xor, "xor"), (operator.lshift, "shl"), (operator.rshift, "lshr")):
    _define(_function, i64x8, i64x8, _int_op(_name))
for _function, _name in ((operator.and_, "and_"), (operator.or_, "or_")):
    _define(_function, mask8, mask8, _int_op(_name))


@intrinsic
def splat(typingctx, value):
    """Return the vector with the float64 `value` in every lane."""
    def codegen(context, builder, sig, args):
        return _splat(builder, args[0], f64x8)
    return f64x8(types.float64), codegen


@intrinsic
def select(typingctx, mask, a, b):
    """Return, lane by lane, `a` where `mask` is set and `b` elsewhere; `a` and `b` may be float64."""
    def codegen(context, builder, sig, args):
        return builder.select(args[0], _splat(builder, args[1], f64x8), _splat(builder, args[2], f64x8))
    pair = [t if t == f64x8 else types.float64 for t in (a, b)]
    return f64x8(mask8, *pair), codegen


@intrinsic
def any_lane(typingctx, mask):
    """Return whether any lane of `mask` is set."""
    def codegen(context, builder, sig, args):
        lanes = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", lanes, ir.Constant(ir.IntType(LANES), 0))
    return types.boolean(mask8), codegen


@intrinsic
def bits(typingctx, x):
    """Return the bit patterns of a float vector as integers."""
    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], _LLVM[i64x8])
    return i64x8(f64x8), codegen


@intrinsic
def from_bits(typingctx, n):
    """Return the float vector with the bit patterns `n`."""
    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], _LLVM[f64x8])
    return f64x8(i64x8), codegen


def _function_of_vector(name):
    def codegen(context, builder, sig, args):
        kind = _LLVM[f64x8]
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), f"llvm.{name}.v8f64")
        return builder.call(function, args)
    return f64x8(f64x8), codegen


@intrinsic
def vabs(typingctx, x):
    """Return absolute values."""
    return _function_of_vector("fabs")


@intrinsic
def vsqrt(typingctx, x):
    """Return square roots, correctly rounded; NaN below zero."""
    return _function_of_vector("sqrt")


@intrinsic
def vfloor(typingctx, x):
    """Return the largest integers not above `x`."""
    return _function_of_vector("floor")


@intrinsic
def lane(typingctx, x, index):
    """Return one lane of a vector."""
    def codegen(context, builder, sig, args):
        return builder.extract_element(args[0], args[1])
    return types.float64(f64x8, types.int64), codegen


@intrinsic
def total(typingctx, x):
    """Return the sum over the lanes, added in pairs."""
    def codegen(context, builder, sig, args):
        v = args[0]
        width = LANES
        while width > 1:
            width //= 2
            kind = ir.VectorType(ir.IntType(32), width)
            halves = [builder.shuffle_vector(v, v, ir.Constant(kind, list(range(s, s + width)))) for s in (0, width)]
            v = builder.fadd(*halves, flags=FLAGS)
        return builder.extract_element(v, ir.Constant(ir.IntType(32), 0))
    return types.float64(f64x8), codegen


@intrinsic
def pointer(typingctx, array):
    """Return the address of the first element of a C-contiguous array; others do not compile."""
    if not isinstance(array, types.Array) or array.layout != "C":
        raise TypingError(f"expected a C-contiguous array, got {array}")

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _INT)
    return types.int64(array), codegen


@intrinsic
def as_pointer(typingctx, address):
    """Return an address as a pointer that ``numba.carray`` takes."""
    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))
    return types.voidptr(types.int64), codegen


def _at(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def load(typingctx, address):
    """Return the eight doubles at `address`."""
    def codegen(context, builder, sig, args):
        return builder.load(_at(builder, args[0], _LLVM[f64x8]), align=8)
    return f64x8(types.int64), codegen


@intrinsic
def store(typingctx, address, x):
    """Write eight doubles to `address`."""
    def codegen(context, builder, sig, args):
        builder.store(args[1], _at(builder, args[0], _LLVM[f64x8]), align=8)
        return context.get_dummy_value()
    return types.void(types.int64, f64x8), codegen


@intrinsic
def load_one(typingctx, address):
    """Return the double at `address`."""
    def codegen(context, builder, sig, args):
        return builder.load(_at(builder, args[0], _DOUBLE), align=8)
    return types.float64(types.int64), codegen


@intrinsic
def store_one(typingctx, address, value):
    """Write a double to `address`."""
    def codegen(context, builder, sig, args):
        builder.store(args[1], _at(builder, args[0], _DOUBLE), align=8)
        return context.get_dummy_value()
    return types.void(types.int64, types.float64), codegen


@intrinsic
def load_int(typingctx, address):
    """Return the int64 at `address`."""
    def codegen(context, builder, sig, args):
        return builder.load(_at(builder, args[0], _INT), align=8)
    return types.int64(types.int64), codegen


@intrinsic
def load_short(typingctx, address):
    """Return the int16 at `address` as int64."""
    def codegen(context, builder, sig, args):
        short = builder.load(_at(builder, args[0], ir.IntType(16)), align=2)
        return builder.sext(short, _INT)
    return types.int64(types.int64), codegen


@intrinsic
def store_int(typingctx, address, value):
    """Write an int64 to `address`."""
    def codegen(context, builder, sig, args):
        builder.store(args[1], _at(builder, args[0], _INT), align=8)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64), codegen


def _lanes_below(builder, count):
    """Return the mask of the lanes 0..count-1."""
    lane = ir.Constant(_LLVM[i64x8], list(range(LANES)))
    return builder.icmp_signed("<", lane, _splat(builder, count, i64x8))


@intrinsic
def load_some(typingctx, address, count):
    """Return the first `count` of eight doubles at `address`; the lanes beyond repeat the first one."""
    def codegen(context, builder, sig, args):
        kind = _LLVM[f64x8]
        first = _splat(builder, builder.load(_at(builder, args[0], _DOUBLE), align=8), f64x8)
        target = _at(builder, args[0], kind)
        fnty = ir.FunctionType(kind, [target.type, ir.IntType(32), _LLVM[mask8], kind])
        function = cgutils.get_or_insert_function(builder.module, fnty, "llvm.masked.load.v8f64.p0")
        return builder.call(function, [target, ir.Constant(ir.IntType(32), 8), _lanes_below(builder, args[1]), first])
    return f64x8(types.int64, types.int64), codegen


@intrinsic
def store_some(typingctx, address, x, count):
    """Write the first `count` of eight doubles to `address`."""
    def codegen(context, builder, sig, args):
        kind = _LLVM[f64x8]
        target = _at(builder, args[0], kind)
        fnty = ir.FunctionType(ir.VoidType(), [kind, target.type, ir.IntType(32), _LLVM[mask8]])
        function = cgutils.get_or_insert_function(builder.module, fnty, "llvm.masked.store.v8f64.p0")
        builder.call(function, [args[1], target, ir.Constant(ir.IntType(32), 8), _lanes_below(builder, args[2])])
        return context.get_dummy_value()
    return types.void(types.int64, f64x8, types.int64), codegen
