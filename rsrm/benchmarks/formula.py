"""Formulas of the catalogue: text to sympy without ``eval``, and evaluation of sympy trees on columns.

The catalogue stores a law as plain text (``"x0 * exp(-x1 / 2)"``). :func:`parse` turns it into sympy through Python's
own syntax tree, admitting arithmetic and a closed list of functions and nothing else. :func:`evaluate` walks a sympy
tree with NumPy; against ``sympy.lambdify`` it starts at once and needs no generated code. :func:`compile_scalar`
nests closures for the many scalar calls of an integrator.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import sympy as sp

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}

# name in the text: (sympy form, scalar form)
_FUNCTIONS = {
    "sin": (sp.sin, math.sin),
    "cos": (sp.cos, math.cos),
    "tan": (sp.tan, math.tan),
    "exp": (sp.exp, math.exp),
    "log": (sp.log, math.log),
    "sqrt": (sp.sqrt, math.sqrt),
    "abs": (sp.Abs, abs),
    "asin": (sp.asin, math.asin),
    "acos": (sp.acos, math.acos),
    "atan": (sp.atan, math.atan),
    "sinh": (sp.sinh, math.sinh),
    "cosh": (sp.cosh, math.cosh),
    "tanh": (sp.tanh, math.tanh),
    # Steps occur on the right-hand side of a few dynamical systems, never in a law to be found.
    "HEAVISIDE": (lambda a: sp.Heaviside(a, 0), lambda a: 1.0 if a > 0 else 0.0),
    "SIGN": (sp.sign, lambda a: math.copysign(1.0, a) if a else 0.0),
    "MIN": (sp.Min, min),
}

_NUMPY = {
    sp.sin: np.sin,
    sp.cos: np.cos,
    sp.tan: np.tan,
    sp.cot: lambda a: 1 / np.tan(a),
    sp.sec: lambda a: 1 / np.cos(a),
    sp.csc: lambda a: 1 / np.sin(a),
    sp.exp: np.exp,
    sp.log: np.log,
    sp.Abs: np.abs,
    sp.asin: np.arcsin,
    sp.acos: np.arccos,
    sp.atan: np.arctan,
    sp.sinh: np.sinh,
    sp.cosh: np.cosh,
    sp.tanh: np.tanh,
    sp.coth: lambda a: 1 / np.tanh(a),
    sp.asinh: np.arcsinh,
    sp.acosh: np.arccosh,
    sp.atanh: np.arctanh,
    sp.sign: np.sign,
    sp.re: np.real,
}


def feature_symbols(names: Sequence[str]) -> list[sp.Symbol]:
    """Real symbols of these names, as the scores use them."""
    return [sp.Symbol(name, real=True) for name in names]


def parse(text: str, symbols: Mapping[str, sp.Expr]) -> sp.Expr:
    """Formula text as a sympy expression.

    Parameters
    ----------
    text : str
        Arithmetic in Python's syntax with ``pi`` and the functions sin, cos, tan, exp, log, sqrt, abs, asin, acos,
        atan, sinh, cosh, tanh. Integers stay exact: ``1 / 3`` is a rational.
    symbols : mapping of str to sympy.Expr
        What each name stands for.

    Raises
    ------
    ValueError
        If ``text`` contains anything else.
    """

    def walk(node: ast.AST) -> sp.Expr:
        match node:
            case ast.Constant(value=int(value)):
                return sp.Integer(value)
            case ast.Constant(value=float(value)):
                return sp.Float(value)
            case ast.Name(id=name) if name in symbols:
                return symbols[name]
            case ast.Name(id="pi"):
                return sp.pi
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](walk(left), walk(right))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name][0](*map(walk, args))
        raise ValueError(f"text: cannot read {ast.unparse(node)!r} in {text!r}")

    return walk(ast.parse(text, mode="eval").body)


def compile_scalar(text: str, names: Sequence[str]) -> Callable[[Sequence[float]], float]:
    """Formula text as a function of one sequence of floats, ordered as ``names``; nested closures, no ``eval``."""
    index = {name: position for position, name in enumerate(names)}

    def walk(node: ast.AST) -> Callable[[Sequence[float]], float]:
        match node:
            case ast.Constant(value=int() | float() as value):
                constant = float(value)
                return lambda state: constant
            case ast.Name(id=name) if name in index:
                return operator.itemgetter(index[name])
            case ast.Name(id="pi"):
                return lambda state: math.pi
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = walk(operand)
                return lambda state: -inner(state)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                function, first, second = _BINARY[type(op)], walk(left), walk(right)
                return lambda state: function(first(state), second(state))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                function, inner = _FUNCTIONS[name][1], walk(argument)
                return lambda state: function(inner(state))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                function, inners = _FUNCTIONS[name][1], [walk(argument) for argument in args]
                return lambda state: function(*[inner(state) for inner in inners])
        raise ValueError(f"text: cannot read {ast.unparse(node)!r} in {text!r}")

    return walk(ast.parse(text, mode="eval").body)


def apply(expression: sp.Expr, arguments: Sequence[np.ndarray | float]) -> np.ndarray | float:
    """Value of the top node of ``expression``, given the values of its arguments.

    Raises
    ------
    ValueError
        If the node is not a sum, product, power or known function.
    """
    if expression.is_Add:
        return sum(arguments[1:], arguments[0])
    if expression.is_Mul:
        return math.prod(arguments[1:], start=arguments[0])
    if expression.is_Pow:
        base, exponent = arguments
        if expression.exp == sp.S.Half:
            return np.sqrt(base)
        if expression.exp.is_Integer and abs(int(expression.exp)) <= 64:
            # np.power with an integer exponent is exact for negative bases and faster than pow().
            power = np.power(np.asarray(base, dtype=float), abs(int(expression.exp)))
            return power if expression.exp > 0 else 1 / power
        return np.power(np.asarray(base, dtype=float), exponent)
    function = _NUMPY.get(expression.func)
    if function is None:
        raise ValueError(f"expression: no numeric form of {expression.func}")
    return function(arguments[0])


def evaluate(expression: sp.Expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Values of a sympy expression on columns of data.

    Parameters
    ----------
    expression : sympy.Expr
        Symbols are matched by name, whatever their assumptions.
    columns : mapping of str to ndarray of shape (R,)

    Returns
    -------
    ndarray of shape (R,)
        NaN or infinite where the expression has no real value.

    Raises
    ------
    ValueError
        If a symbol has no column or a function no numeric form.
    """

    def walk(node: sp.Expr) -> np.ndarray | float:
        if node.is_Symbol:
            if node.name not in columns:
                raise ValueError(f"columns: no column for {node.name!r}")
            return columns[node.name]
        if node.is_number and not node.args:
            return to_float(node)
        return apply(node, [walk(argument) for argument in node.args])

    rows = len(next(iter(columns.values())))
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(walk(expression), dtype=float), (rows,))


def has_numeric_form(expression: sp.Expr) -> bool:
    """Whether :func:`evaluate` knows every function in ``expression``."""
    return all(function.func in _NUMPY for function in expression.atoms(sp.Function))


def to_float(number: sp.Expr) -> float:
    """A sympy number as a float; NaN for complex numbers and the complex infinity."""
    if number in (sp.oo, -sp.oo):
        return math.copysign(math.inf, 1 if number == sp.oo else -1)
    return float(number) if number.is_real else math.nan


def rename(expression: sp.Expr, symbols: Mapping[str, sp.Expr]) -> sp.Expr:
    """``expression`` with each symbol replaced, by name, by ``symbols[name]``."""
    return expression.xreplace({s: symbols[s.name] for s in expression.free_symbols if s.name in symbols})
