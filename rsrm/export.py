"""Expressions as text, sympy, LaTeX and networkx graphs, and a parser for the text form.

The infix form is what :func:`infix` prints and :func:`parse` reads: numbers, ``pi``, variable names, ``+ - * / **``,
parentheses and calls of the primitives by name. Printing, parsing and printing again gives the same text.
"""

import re

import numpy as np

from rsrm.expression import Expression, apply, number, variable
from rsrm.library import Library
from rsrm.primitives import BY_NAME, BY_OPCODE, LITERAL_NAMES, LITERALS, OP_CONSTANT, OP_LITERAL, OP_VARIABLE

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*|[-+*/(),^]))")


def _fold(expression: Expression, variable_, constant_, literal_, primitive_):
    """Fold the expanded expression from right to left; each callback builds a node from its arguments."""
    library, tables = expression.library, expression.library.tables
    stack: list = []
    c = len(expression.constants)
    for t in expression.expanded[::-1]:
        op = int(tables.opcode[t])
        if op == OP_VARIABLE:
            stack.append(variable_(library.variable_names[t]))
        elif op == OP_CONSTANT:
            c -= 1
            stack.append(constant_(float(expression.constants[c])))
        elif op == OP_LITERAL:
            stack.append(literal_(LITERAL_NAMES[LITERALS.index(float(tables.literal[t]))]))
        else:
            p = BY_OPCODE[op]
            stack.append(primitive_(p, [stack.pop() for _ in range(p.arity)]))
    return stack.pop()


def infix(expression: Expression, digits: int = 17) -> str:
    """Return the text of `expression`; numbers carry `digits` significant digits (17 reproduce float64 exactly)."""

    def constant(value):
        text = f"{value:.{digits}g}"
        return (text, 3 if value < 0 else 5)

    def primitive(p, arguments):
        if p.precedence == 5:
            return (p.infix.format(*(a[0] for a in arguments)), 5)
        wrapped = []
        for i, (text, strength) in enumerate(arguments):
            # The right side of - and /, and both sides of a power, need more than equal strength.
            strict = i == 1 or p.name in ("pow", "square", "cube", "neg", "inv")
            weak = strength < p.precedence or (strict and strength == p.precedence)
            # A sign may open a sum or product, and stands in parentheses everywhere else.
            weak = weak or (strength == 3 and (i == 1 or p.precedence >= 3))
            wrapped.append(f"({text})" if weak else text)
        return (p.infix.format(*wrapped), p.precedence)

    return _fold(expression, lambda v: (v, 5), constant, lambda v: (v, 5), primitive)[0]


def to_sympy(expression: Expression, digits: int | None = None):
    """Return the sympy form; variables are real symbols named as the library's variables.

    Integers among the constants become sympy integers; others become floats of `digits` digits (all by default).
    """
    import sympy as sp

    functions = {"asin": sp.asin, "acos": sp.acos, "atan": sp.atan, "abs": sp.Abs}

    def constant(value):
        return _number(value if digits is None else float(f"{value:.{digits}g}"))

    def primitive(p, a):
        match p.name:
            case "add":
                return a[0] + a[1]
            case "sub":
                return a[0] - a[1]
            case "mul":
                return a[0] * a[1]
            case "div":
                return a[0] / a[1]
            case "pow":
                return a[0] ** a[1]
            case "neg":
                return -a[0]
            case "inv":
                return 1 / a[0]
            case "square":
                return a[0] ** 2
            case "cube":
                return a[0] ** 3
        form = functions.get(p.name, getattr(sp, p.name, None))(a[0])
        if p.name in ("sinh", "cosh", "tanh") and a[0].is_real is not True:
            held[sp.Dummy(real=True)] = form
            return next(reversed(held))
        return form

    # Whether a hyperbolic function is real sympy asks of the parts of its argument; where they are nested around a
    # root or a logarithm that takes for ever. Values are real here: symbols stand for such functions until the end.
    held: dict = {}
    form = _fold(expression, lambda v: sp.Symbol(v, real=True), constant,
                 lambda v: sp.pi if v == "pi" else sp.Integer(int(v)), primitive)
    form = form.replace(lambda node: node.is_Add and node.has(sp.cos), _half_angle)
    with sp.evaluate(not held):
        for symbol in reversed(held):
            form = form.xreplace({symbol: held[symbol]})
    return form


def _half_angle(total):
    """Return a sum with ``a f - a f cos(u)`` as ``2 a f sin(u/2)**2``, with plus as the cosine, where that is shorter.

    The default operators have no square, so that the search writes the sum; the eye reads the square.
    """
    import sympy as sp

    parts = [term.as_coeff_Mul() for term in total.args]
    for k, (c, wave) in enumerate(parts):
        for cosine in (f for f in sp.Mul.make_args(wave) if f.func == sp.cos):
            for n, (a, rest) in enumerate(parts):
                if rest == wave / cosine and abs(abs(a) - abs(c)) <= 1e-12 * abs(c):
                    twice = _number(float(2 * a)) if a.is_Float else 2 * a
                    half = (sp.cos if a * c > 0 else sp.sin)(cosine.args[0] / 2)
                    others = [term for m, term in enumerate(total.args) if m not in (k, n)]
                    shorter = sp.Add(twice * rest * half**2, *others)
                    if _nodes(shorter) < _nodes(total):
                        return shorter
    return total


def _number(value: float):
    """Return a sympy integer where `value` is one, else a float."""
    import sympy as sp

    whole = np.isfinite(value) and value == round(value) and abs(value) < 1e15
    return sp.Integer(int(value)) if whole else sp.Float(value)


def _nodes(form) -> int:
    return 1 + sum(_nodes(argument) for argument in form.args)


def to_latex(expression: Expression, digits: int = 4) -> str:
    """Return the LaTeX form with constants rounded to `digits` significant digits."""
    import sympy as sp

    form = to_sympy(expression)
    # Rounded last: sympy computes with numbers, e.g. takes roots of them, while it builds the form.
    rounded = {f: sp.Float(float(f"{float(f):.{digits}g}")) for f in form.atoms(sp.Float)}
    return sp.latex(form.xreplace(rounded), fold_frac_powers=True)


def to_networkx(expression: Expression):
    """Return the tree as a ``networkx.DiGraph``: node k is the k-th token, edges carry the argument's ``position``."""
    import networkx as nx

    tree = nx.DiGraph()
    tables, tokens = expression.library.tables, expression.expanded
    parents: list[list[int]] = []  # [node, arguments still open, position of the next one]
    c = 0
    for k, t in enumerate(tokens):
        label = expression.library.name(int(t))
        if tables.opcode[t] == OP_CONSTANT:
            label = f"{expression.constants[c]:.4g}"
            c += 1
        tree.add_node(k, label=label, token=int(t))
        if parents:
            tree.add_edge(parents[-1][0], k, position=parents[-1][2])
            parents[-1][1] -= 1
            parents[-1][2] += 1
            while parents and parents[-1][1] == 0:
                parents.pop()
        if tables.arity[t]:
            parents.append([k, int(tables.arity[t]), 0])
    return tree


def parse(text: str, library: Library) -> Expression:
    """Return the expression that `text` writes in infix form; ``^`` is read as ``**``.

    Raises
    ------
    ValueError
        With the position of what cannot be read, or the unknown name.
    """
    return _Parser(text, library).run()


class _Parser:
    """Recursive descent over: sum = product (+|- product)*, product = sign (*|/ sign)*, sign = [-] power."""

    def __init__(self, text: str, library: Library):
        self.text, self.library = text, library
        self.items: list[tuple[str, str, int]] = []
        self.names = {name: i for i, name in enumerate(library.variable_names)}
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if not match:
                raise ValueError(f"cannot read {text!r} at position {at}: {text[at:at + 10]!r}")
            kind = ("number", "name", "sign")[match.lastindex - 1]
            self.items.append((kind, match.group(match.lastindex).replace("^", "**"), match.start(match.lastindex)))
            at = match.end()
        self.items.append(("end", "", len(text)))
        self.k = 0

    def run(self) -> Expression:
        result = self.sum()
        if self.items[self.k][0] != "end":
            self.fail("an operator or the end")
        return result

    def fail(self, wanted: str):
        _, item, at = self.items[self.k]
        raise ValueError(f"cannot read {self.text!r} at position {at}: expected {wanted}, found {item or 'the end'!r}")

    def accept(self, *signs: str) -> str | None:
        kind, item, _ = self.items[self.k]
        if kind == "sign" and item in signs:
            self.k += 1
            return item
        return None

    def sum(self) -> Expression:
        left = self.product()
        while sign := self.accept("+", "-"):
            left = apply(self.library, "add" if sign == "+" else "sub", left, self.product())
        return left

    def product(self) -> Expression:
        left = self.sign()
        while sign := self.accept("*", "/"):
            right = self.sign()
            if sign == "/" and self._is_literal(left, "1"):
                left = apply(self.library, "inv", right)
            else:
                left = apply(self.library, "mul" if sign == "*" else "div", left, right)
        return left

    def sign(self) -> Expression:
        if self.accept("-"):
            kind = self.items[self.k][0]
            inner = self.sign()
            if kind == "number" and len(inner.tokens) == 1 and not self._is_power_next():
                value = inner.constants[0] if len(inner.constants) else self.library.tables.literal[inner.tokens[0]]
                return number(self.library, -float(value))
            return apply(self.library, "neg", inner)
        self.accept("+")
        return self.power()

    def _is_power_next(self) -> bool:
        return self.items[self.k][1] == "**"

    def power(self) -> Expression:
        base = self.atom()
        if self.accept("**"):
            exponent = self.sign()
            for name, value in (("square", 2.0), ("cube", 3.0)):
                if self._is_literal(exponent, str(int(value))) or (
                        len(exponent.tokens) == 1 and np.array_equal(exponent.constants, [value])):
                    return apply(self.library, name, base)
            return apply(self.library, "pow", base, exponent)
        return base

    def atom(self) -> Expression:
        kind, item, at = self.items[self.k]
        self.k += 1
        if kind == "number":
            if item in LITERAL_NAMES:
                return apply(self.library, item)
            return number(self.library, float(item))
        if kind == "name":
            if item in self.names:
                return variable(self.library, self.names[item])
            if item == "pi":
                return apply(self.library, "pi")
            if item in BY_NAME and self.accept("("):
                arguments = [self.sum()]
                while self.accept(","):
                    arguments.append(self.sum())
                if not self.accept(")"):
                    self.fail("')'")
                return apply(self.library, item, *arguments)
            raise ValueError(f"unknown name {item!r} at position {at} of {self.text!r}; "
                             f"variables are {', '.join(self.library.variable_names)}")
        if item == "(" and kind == "sign":
            inner = self.sum()
            if not self.accept(")"):
                self.fail("')'")
            return inner
        self.k -= 1
        self.fail("a number, a name or '('")

    @staticmethod
    def _is_literal(expression: Expression, name: str) -> bool:
        return len(expression.tokens) == 1 and expression.library.name(int(expression.tokens[0])) == name
