"""Algebraic simplification on prefix expressions, without sympy.

Expressions are read as the nodes of :mod:`rsrm.algebra`, and the shortest of several forms is written back with allowed
operators only. A number may stand for a fitted constant or a literal alike; the caller refits afterwards. The result
is exact where all parts are defined.
"""

from collections.abc import Iterator
from itertools import permutations
from math import copysign, isfinite, sqrt

import numpy as np

from rsrm.algebra import add_up, build, fraction, multiply
from rsrm.compose import constant, linear, outer, product
from rsrm.expression import Expression, apply, variable
from rsrm.primitives import BY_OPCODE, OP_CONSTANT, OP_LITERAL, OP_VARIABLE

LARGEST_NUMERATOR, LARGEST_DENOMINATOR = 4, 3
"""Of ratios of coefficients that are looked for."""
SQUARE = 1e-9
"""Relative error within which three fitted coefficients count as those of a square."""


def simplify(expression: Expression) -> Expression:
    """Return an equal, usually shorter expression over the same library, or `expression` itself if none is shorter."""
    library = expression.library
    with np.errstate(all="ignore"):
        node = _read(expression)
        forms = [node, _distributed(node), _with_roots(node)]
        written = [f for f in (_write(form, library) for form in forms) if f is not None]
    result = min(written, key=lambda f: f.complexity, default=expression)
    return expression if result.complexity > expression.complexity else result


def summands(expression: Expression) -> list[Expression]:
    """Return the terms, without coefficients and numbers, of which an expression is a sum once it is multiplied out."""
    with np.errstate(all="ignore"):
        node = _distributed(_read(expression))
    found = [_write(term, expression.library) for term, _ in node[2]] if node[0] == "sum" else []
    return [term for term in found if term is not None]


def factored(expression: Expression, tolerance: float) -> Iterator[Expression]:
    """Yield equal expressions with a coefficient written once for a sum: ``c*(f + r*g)`` for ``c*f + d*g``.

    Those are yielded whose r is a simple number within a relative `tolerance`, so that it may be recognized; simple
    ratios already are one. So are products all of whose sums begin with a coefficient of one: ``(x + b/a)/(d/c - y)``
    for ``(a*x + b)/(d - c*y)``, where ``a/c`` may be recognized.
    """
    with np.errstate(all="ignore"):
        for form in _factored(_read(expression), tolerance):
            written = _write(form, expression.library)
            if written is not None:
                yield written


def _factored(node, tolerance: float):
    """Yield the node with one of its sums written with a factor in front."""
    kind = node[0]
    if kind == "fn":
        for i, a in enumerate(node[2:], 2):
            for form in _factored(a, tolerance):
                yield build(node[1], [*node[2:i], form, *node[i + 1:]])
    elif kind == "prod":
        monic = multiply([(_monic(base), n) for base, n in node[2]], node[1])
        if monic != node:
            yield monic
        for i, (base, n) in enumerate(node[2]):
            for form in _factored(base, tolerance):
                yield multiply([*node[2][:i], (form, n), *node[2][i + 1:]], node[1])
    elif kind == "sum":
        parts = [*node[2], *([(("num", 1.0), node[1])] if node[1] != 0.0 else [])]
        for unit in {a for (_, a), (_, b) in permutations(parts, 2) if _almost_simple(b / a, tolerance)}:
            yield ("prod", unit, ((add_up([(term, c / unit) for term, c in parts]), 1),))
        for i, (term, c) in enumerate(parts):
            for form in _factored(term, tolerance):
                yield add_up([*parts[:i], (form, c), *parts[i + 1:]])


def _monic(node):
    """Return a sum as a coefficient times a sum of a positive number and a term with factor 1 or -1; others as is."""
    if node[0] != "sum" or node[1] == 0.0:
        return node
    unit = copysign(node[2][0][1], node[1])
    return ("prod", unit, ((("sum", node[1] / unit, tuple((term, c / unit) for term, c in node[2])), 1),))


def _almost_simple(ratio: float, tolerance: float) -> bool:
    """Return whether a ratio is near a small fraction and is none yet."""
    near = fraction(ratio, tolerance, LARGEST_DENOMINATOR) if isfinite(ratio) else None
    return near is not None and abs(near[0]) <= LARGEST_NUMERATOR and fraction(ratio, 1e-12) is None


def _read(expression: Expression):
    """Return an expression as a node; numbers that overflow warn."""
    tables = expression.library.tables
    stack: list = []
    c = len(expression.constants)
    for t in expression.expanded[::-1]:
        op = int(tables.opcode[t])
        if op == OP_VARIABLE:
            stack.append(("var", int(t)))
        elif op == OP_CONSTANT:
            c -= 1
            stack.append(("num", float(expression.constants[c])))
        elif op == OP_LITERAL:
            stack.append(("num", float(tables.literal[t])))
        else:
            p = BY_OPCODE[op]
            stack.append(build(p.name, [stack.pop() for _ in range(p.arity)]))
    return stack.pop()


def _distributed(node):
    """Return a node with products multiplied out over a sum: ``x y (x/y + z)`` gets shorter by that."""
    kind = node[0]
    if kind == "fn":
        return build(node[1], [_distributed(a) for a in node[2:]])
    if kind == "sum":
        return add_up([(_distributed(t), c) for t, c in node[2]] + [(("num", node[1]), 1.0)])
    if kind != "prod":
        return node
    bases = [(_distributed(b), n) for b, n in node[2]]
    sums = [b for b, n in bases if b[0] == "sum" and n == 1]
    if len(sums) != 1 or len(bases) == 1:
        return multiply(bases, node[1])
    others = [(b, n) for b, n in bases if b is not sums[0]]
    parts = [(multiply([(t, 1), *others]), c) for t, c in sums[0][2]] + [(multiply(others), sums[0][1])]
    return multiply([(add_up(parts), 1)], node[1])


def _with_roots(node):
    """Return a node with roots of perfect squares taken: ``sqrt((x*(x - 2*y) + y*y)/z)`` is ``abs(x - y)/sqrt(z)``."""
    kind = node[0]
    if kind == "sum":
        return add_up([(_with_roots(t), c) for t, c in node[2]] + [(("num", node[1]), 1.0)])
    if kind == "prod":
        return multiply([(_with_roots(b), n) for b, n in node[2]], node[1])
    if kind != "fn":
        return node
    if node[:2] != ("fn", "sqrt"):
        return build(node[1], [_with_roots(a) for a in node[2:]])
    c, bases = (node[2][1], node[2][2]) if node[2][0] == "prod" else (1.0, ((node[2], 1),))
    outside, inside = [], []
    for base, n in bases:
        root = _root(add_up([(_distributed(t), k) for t, k in base[2]] + [(("num", base[1]), 1.0)])
                     ) if base[0] == "sum" else None
        if root is None:
            inside.append((base, n))
        else:
            outside.append((("fn", "abs", root), n))
    return multiply([(build("sqrt", [multiply(inside, c)]), 1), *outside]) if outside else node


def _root(node):
    """Return p + q or p - q for a sum of p*p, q*q and 2*p*q or -2*p*q, else None."""
    parts = [*node[2], *([(("num", 1.0), node[1])] if node[1] != 0.0 else [])] if node[0] == "sum" else []
    if len(parts) != 3:
        return None
    for cross, c in parts:
        halves = [(_half(term), k) for term, k in parts if term is not cross]
        if any(half is None or k <= 0.0 for half, k in halves):
            continue
        (p, a), (q, b) = halves
        if multiply([(p, 1), (q, 1)]) == cross and abs(abs(c) - 2.0 * sqrt(a * b)) <= SQUARE * abs(c):
            return add_up([(p, sqrt(a)), (q, copysign(sqrt(b), c))])
    return None


def _half(term):
    """Return the product whose square a term is, or None."""
    if term[0] == "num":
        return term
    bases = term[2] if term[0] == "prod" else ((term, 1),)
    return None if any(n % 2 for _, n in bases) else multiply([(b, n // 2) for b, n in bases])


def _write(node, library) -> Expression | None:
    """Return `node` as an expression of allowed operators, or None where they cannot write it."""
    kind = node[0]
    if kind == "num":
        return constant(library, node[1]) if isfinite(node[1]) else None
    if kind == "var":
        return variable(library, node[1])
    arguments = [_write(part, library) for part in (node[2:] if kind == "fn" else (base for base, _ in node[2]))]
    if any(f is None for f in arguments):
        return None
    if kind == "fn":
        return outer(node[1], *arguments) if len(arguments) == 1 else apply(library, node[1], *arguments)
    numbers = [n for _, n in node[2]]
    if not all(isfinite(n) for n in (node[1], *numbers)):
        return None  # folded beyond float64
    if kind == "sum":
        return linear(library, list(zip(numbers, arguments, strict=True)), node[1])
    return product(library, list(zip(arguments, numbers, strict=True)), node[1])
