"""Slow twins of the prefix algebra on nested tuples ``(token, child, ...)``, and random expressions to try them on."""

import ast
import operator

import numpy as np
from hypothesis import strategies as st

from rsrm.expression import Expression
from rsrm.library import PARAM0, PARAM1, Library
from rsrm.primitives import PRIMITIVES

NAMES = tuple(p.name for p in PRIMITIVES)


def tree(tokens, library):
    """Return the nested tuples of a complete prefix sequence; parameters of bodies are leaves."""
    root, rest = _tree(list(map(int, tokens)), library)
    assert rest == []
    return root


def _tree(tokens, library):
    head, rest = tokens[0], tokens[1:]
    children = []
    for _ in range(0 if head < 0 else int(library.tables.arity[head])):
        child, rest = _tree(rest, library)
        children.append(child)
    return (head, *children), rest


def flatten(node):
    """Return the prefix sequence of a tree."""
    return [node[0], *(t for child in node[1:] for t in flatten(child))]


def expand(node, library):
    """Return the tree with every promoted operator replaced by its body."""
    children = [expand(child, library) for child in node[1:]]
    if node[0] < library.first_promoted:
        return (node[0], *children)
    body = tree(library.promoted[node[0] - library.first_promoted].body, library)
    return _fill(body, dict(zip((PARAM0, PARAM1), children, strict=False)))


def _fill(body, arguments):
    return arguments[body[0]] if body[0] in arguments else (body[0], *(_fill(b, arguments) for b in body[1:]))


def depth(node):
    """Return the depth of a tree; a leaf has depth 1."""
    return 1 + max((depth(child) for child in node[1:]), default=0)


def size(node):
    """Return the number of nodes."""
    return 1 + sum(size(child) for child in node[1:])


def with_promoted(n_variables=2, **options):
    """Return a library with promoted operators of every arity, nested parameters and repeated ones."""
    lib = Library(n_variables, NAMES, **options)
    t = lib.token
    lib = lib.promote("leaf", 0, [t("mul"), lib.constant, 0])
    lib = lib.promote("double", 1, [t("add"), PARAM0, PARAM0])
    lib = lib.promote("swap", 2, [t("sub"), t("sin"), PARAM1, t("mul"), PARAM0, PARAM1])
    lib = lib.promote("same", 1, [PARAM0])
    return lib.promote("offset", 1, [t("add"), lib.constant, t("cos"), PARAM0])


def trees(library, max_leaves=12, operators=None):
    """Strategy for trees over `library`: all primitives or the named ones, every terminal, promoted operators."""
    terminals = list(range(library.n_variables + 1)) + [library.token(n) for n in ("1", "2", "pi")]
    arity = library.tables.arity
    inner = [library.token(n) for n in (operators or NAMES)]
    inner += [library.first_promoted + i for i, p in enumerate(library.promoted) if p is not None]
    leaves = st.sampled_from(terminals + [t for t in inner if arity[t] == 0]).map(lambda t: (t,))

    def extend(children):
        return st.sampled_from([t for t in inner if arity[t] > 0]).flatmap(
            lambda t: st.tuples(st.just(t), *[children] * int(arity[t])))

    return st.recursive(leaves, extend, max_leaves=max_leaves)


def numbers():
    """Strategy for values of constants: whole, short and full-precision ones of both signs."""
    return st.one_of(st.integers(-9, 9).map(float), st.sampled_from([0.5, -0.25, 1e-3, 2.5e7]),
                     st.floats(-1e3, 1e3, allow_subnormal=False))


@st.composite
def expressions(draw, library, max_leaves=12, operators=None, values=None):
    """Strategy for expressions over `library`."""
    tokens = flatten(draw(trees(library, max_leaves, operators)))
    m = sum(t == library.constant for t in flatten(expand(tree(tokens, library), library)))
    constants = draw(st.lists(numbers() if values is None else values, min_size=m, max_size=m))
    return Expression(np.array(tokens), np.array(constants, float), library)


def evaluate(node, library, X, constants):
    """Return the values of an expanded tree with NumPy; `constants` is an iterator, X has a row per variable."""
    head = node[0]
    if head < library.n_variables:
        return X[head]
    if head == library.constant:
        return np.full(X.shape[1], next(constants))
    literal = library.tables.literal[head]
    if np.isfinite(literal):
        return np.full(X.shape[1], literal)
    arguments = [evaluate(child, library, X, constants) for child in node[1:]]
    return PRIMITIVES[head - library.token(PRIMITIVES[0].name)].function(*arguments)


def numpy_values(expression, X):
    """Return the NumPy values of an expression on X, shape (rows, variables), as users hold it."""
    library = expression.library
    with np.errstate(all="ignore"):
        return evaluate(tree(expression.expanded, library), library, np.asarray(X).T, iter(expression.constants))


_BINARY = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
           ast.Pow: operator.pow}


def python_values(text, columns):
    """Return the values of `text` as Python's own grammar reads it; `columns` maps names to arrays."""
    known = {**columns, "pi": np.float64(np.pi)}

    def visit(node):
        match node:
            case ast.BinOp():
                return _BINARY[type(node.op)](visit(node.left), visit(node.right))
            case ast.UnaryOp():
                assert isinstance(node.op, ast.USub)
                return -visit(node.operand)
            case ast.Call():
                name = node.func.id
                return PRIMITIVES[NAMES.index(name)].function(*(visit(a) for a in node.args))
            case ast.Name():
                return known[node.id]
        return np.float64(node.value)

    with np.errstate(all="ignore"):
        return visit(ast.parse(text, mode="eval").body)
