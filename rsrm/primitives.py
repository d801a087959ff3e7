"""The one table of operators.

Each :class:`Primitive` carries everything the rest of the package knows about an operator outside compiled code: its
name, arity, opcode, NumPy twin, derivative as sympy builds it, and how it is printed. Kernels switch on the opcode;
``tests/test_primitives.py`` checks that no table misses an operator.
"""

from collections.abc import Callable, Iterable, Set
from typing import NamedTuple

import numpy as np

# Opcodes of tokens that are not primitives.
OP_VARIABLE, OP_CONSTANT, OP_LITERAL, OP_PROMOTED = 0, 1, 2, 3
# Opcodes of primitives: plain module integers, because kernels compile them as literals.
OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_POW = 4, 5, 6, 7, 8
OP_NEG, OP_INV, OP_SQUARE, OP_CUBE, OP_SQRT, OP_EXP, OP_LOG = 9, 10, 11, 12, 13, 14, 15
OP_SIN, OP_COS, OP_TAN, OP_ASIN, OP_ACOS, OP_ATAN = 16, 17, 18, 19, 20, 21
OP_SINH, OP_COSH, OP_TANH, OP_ABS = 22, 23, 24, 25


class Primitive(NamedTuple):
    """One operator.

    Attributes
    ----------
    name : str
        Public name, as in ``RSRM(operators=...)``.
    arity : int
        1 or 2.
    opcode : int
        What kernels switch on.
    function : callable
        NumPy twin, used by tests and by ``lambda_format``.
    infix : str
        Format of the printed form; ``{0}`` and ``{1}`` stand for the arguments.
    precedence : int
        Binding strength of the printed form: 1 sum, 2 product, 3 sign, 4 power, 5 call.
    commutative : bool
        Whether the arguments may be exchanged.
    """

    name: str
    arity: int
    opcode: int
    function: Callable
    infix: str
    precedence: int = 5
    commutative: bool = False


PRIMITIVES = (
    Primitive("add", 2, OP_ADD, np.add, "{0} + {1}", 1, True),
    Primitive("sub", 2, OP_SUB, np.subtract, "{0} - {1}", 1),
    Primitive("mul", 2, OP_MUL, np.multiply, "{0}*{1}", 2, True),
    Primitive("div", 2, OP_DIV, np.divide, "{0}/{1}", 2),
    Primitive("pow", 2, OP_POW, np.power, "{0}**{1}", 4),
    Primitive("neg", 1, OP_NEG, np.negative, "-{0}", 3),
    Primitive("inv", 1, OP_INV, np.reciprocal, "1/{0}", 2),
    Primitive("square", 1, OP_SQUARE, np.square, "{0}**2", 4),
    Primitive("cube", 1, OP_CUBE, lambda a: a * a * a, "{0}**3", 4),
    Primitive("sqrt", 1, OP_SQRT, np.sqrt, "sqrt({0})"),
    Primitive("exp", 1, OP_EXP, np.exp, "exp({0})"),
    Primitive("log", 1, OP_LOG, np.log, "log({0})"),
    Primitive("sin", 1, OP_SIN, np.sin, "sin({0})"),
    Primitive("cos", 1, OP_COS, np.cos, "cos({0})"),
    Primitive("tan", 1, OP_TAN, np.tan, "tan({0})"),
    Primitive("asin", 1, OP_ASIN, np.arcsin, "asin({0})"),
    Primitive("acos", 1, OP_ACOS, np.arccos, "acos({0})"),
    Primitive("atan", 1, OP_ATAN, np.arctan, "atan({0})"),
    Primitive("sinh", 1, OP_SINH, np.sinh, "sinh({0})"),
    Primitive("cosh", 1, OP_COSH, np.cosh, "cosh({0})"),
    Primitive("tanh", 1, OP_TANH, np.tanh, "tanh({0})"),
    Primitive("abs", 1, OP_ABS, np.abs, "abs({0})"),
)

BY_NAME = {p.name: p for p in PRIMITIVES}
BY_OPCODE = {p.opcode: p for p in PRIMITIVES}
LITERALS = (1.0, 2.0, float(np.pi))
LITERAL_NAMES = ("1", "2", "pi")

DEFAULT_OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos", "asin", "acos", "tanh", "abs")


def check_operators(operators) -> tuple[str, ...]:
    """Return `operators` as a tuple of known names, or raise.

    Raises
    ------
    ValueError
        If a name is unknown, given twice, or nothing is given.
    """
    if isinstance(operators, str):
        operators = (operators,)
    if not isinstance(operators, Iterable):
        raise ValueError(f"operators: a sequence of names is needed, got {operators!r}")
    names = tuple(operators)
    if isinstance(operators, Set):  # a set has no order of its own: the table's is the same in every process
        names = tuple(sorted(names, key=lambda name: list(BY_NAME).index(name) if name in BY_NAME else -1))
    unknown = [n for n in names if not isinstance(n, str) or n not in BY_NAME]
    if unknown:
        raise ValueError(f"operators: unknown name(s) {unknown}; choose from {', '.join(BY_NAME)}")
    if len(set(names)) != len(names):
        raise ValueError(f"operators: a name is given twice in {list(names)}")
    if not names:
        raise ValueError("operators: at least one operator is needed")
    return names
