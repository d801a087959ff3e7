"""Trees of functions over products of real powers: ``m * F(m' * F'(m'') ...)``, every m a monomial of all variables.

A node is a monomial ``k * prod x_i**a_i`` times factors, each a function of another node: ``(1 + u)**p``, ``sin u``,
``exp(-u)``, ... Sums are among them (``m + n = m*(1 + n/m)``), and so are quotients and roots of sums. With real
exponents the choice of variables is no choice among many any more, but a point in a space in which a fit can move:
:mod:`rsrm.monomial_search` fits all exponents of a tree at once and rounds them afterwards.
"""

from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, outer, product
from rsrm.expression import Expression
from rsrm.library import Library


class Factor(NamedTuple):
    """A function of a node, raised to a power."""

    base: str
    power: float


Node = tuple[tuple["Factor", "Node"], ...]  # type: ignore[misc]
"""The factors of a monomial, each with the node it is a function of."""

COMMON, USUAL, RARE = 4.0, 2.0, 1.0
WEIGHTS = {
    **{Factor(base, p): COMMON for base in ("1 + u", "1 - u") for p in (1.0, -1.0, 2.0, 0.5)},
    **{Factor(base, p): RARE for base in ("1 + u", "1 - u") for p in (-2.0, -0.5, 1.5, -1.5)},
    **{Factor(base, 1.0): USUAL for base in ("sin", "cos", "exp", "exp(-u)", "1 - cos")},
    **{Factor(base, p): RARE for base in ("sin", "cos", "1 - cos") for p in (-1.0, 2.0, -2.0, 0.5)},
    **{Factor(base, p): RARE for base in ("exp(u) - 1", "log(1 + u)", "tanh") for p in (1.0, -1.0)},
    **{Factor(base, 1.0): RARE for base in ("1 - exp(-u)", "log", "asin")}}
FACTORS = tuple(WEIGHTS)
"""All factors that are tried, and how often."""
FITTED = ("add", "sub", "mul", "inv", "neg", "square", "cube", "sqrt", "exp", "log", "sin", "cos", "asin", "tanh")
"""Operators that trees are fitted with."""
_PREFIX = {"1 + u": ("add", "1"), "1 - u": ("sub", "1"), "sin": ("sin",), "cos": ("cos",), "exp": ("exp",),
           "exp(-u)": ("exp", "neg"), "exp(u) - 1": ("sub", "exp"), "1 - exp(-u)": ("sub", "1", "exp", "neg"),
           "log(1 + u)": ("log", "add", "1"), "log": ("log",), "tanh": ("tanh",), "asin": ("asin",),
           "1 - cos": ("sub", "1", "cos")}
_SUFFIX = {"exp(u) - 1": ("1",)}
_POWER = {1.0: (), -1.0: ("inv",), 2.0: ("square",), -2.0: ("inv", "square"), 0.5: ("sqrt",), -0.5: ("inv", "sqrt"),
          1.5: ("sqrt", "cube"), -1.5: ("inv", "sqrt", "cube")}


def allowed(library: Library) -> tuple[Factor, ...]:
    """Return the factors that a library may write."""
    names = set(library.operators)
    needs = {"sin": "sin", "cos": "cos", "1 - cos": "cos", "log": "log", "log(1 + u)": "log", "tanh": "tanh",
             "asin": "asin"}
    return tuple(f for f in FACTORS if needs.get(f.base, "exp" if "exp" in f.base else "") in names | {""}
                 and (f.power % 1.0 == 0.0 or "sqrt" in names))


def weight(node: Node) -> float:
    """Return how often a tree is tried, in relation to others."""
    return float(np.prod([WEIGHTS[factor] * weight(inner) for factor, inner in node]))


@cache
def trees(factors: tuple[Factor, ...], leaves: int) -> tuple[Node, ...]:
    """Return all trees with one, two or three monomials."""
    if leaves == 1:
        return ((),)
    if leaves == 2:
        return tuple(((f, ()),) for f in factors)
    nested = [((f, ((g, ()),)),) for f in factors for g in factors]
    beside = [((f, ()), (g, ())) for f, g in combinations_with_replacement(factors, 2)]
    return (*nested, *beside)


def extensions(node: Node, factors: tuple[Factor, ...]) -> Iterator[tuple[Node, int, Factor]]:
    """Yield trees with one factor more at a monomial, how many monomials stand before the new one, and the factor."""
    for f in factors:
        yield (*node, (f, ())), count(node), f
    before = 1
    for k, (g, inner) in enumerate(node):
        for longer, place, f in extensions(inner, factors):
            yield (*node[:k], (g, longer), *node[k + 1:]), before + place, f
        before += count(inner)


def count(node: Node) -> int:
    """Return how many monomials a tree has."""
    return 1 + sum(count(inner) for _, inner in node)


def tokens(node: Node, library: Library) -> np.ndarray:
    """Return the tree as prefix tokens over logarithms of the variables.

    Constants stand monomial by monomial, from left to right: the logarithm of its coefficient, which the first monomial
    lacks, and the exponents of the variables.
    """
    body: list[int] = []
    for i in range(library.n_variables):
        term = [library.token("mul"), library.constant, i]
        body = [library.token("add"), *body, *term] if body else term

    def written(node: Node, leaf: list[int]) -> list[int]:
        out = leaf
        for factor, inner in node:
            names = (*_POWER[factor.power], *_PREFIX[factor.base])
            function = [library.token(name) for name in names]
            function += written(inner, [library.token("exp"), library.token("add"), library.constant, *body])
            function += [library.token(name) for name in _SUFFIX.get(factor.base, ())]
            out = [library.token("mul"), *out, *function]
        return out

    return np.array(written(node, [library.token("exp"), *body]), np.int16)


def _function(base: str, u: Expression) -> Expression | None:
    """Return the base of a factor over u, which is negative where the base says so."""
    library = u.library
    if base in ("1 + u", "1 - u"):
        return linear(library, [(1.0, u)], 1.0)
    if base == "log(1 + u)":
        inside = linear(library, [(1.0, u)], 1.0)
        return None if inside is None else outer("log", inside)
    name = next(name for name in ("exp", "cos", "log", "tanh", "asin", "sin") if name in base)
    f = outer(name, u)
    if f is None or base in ("sin", "cos", "exp", "exp(-u)", "log", "tanh", "asin"):
        return f
    return linear(library, [(1.0, f)], -1.0) if base == "exp(u) - 1" else linear(library, [(-1.0, f)], 1.0)


@np.errstate(all="ignore")
def _number(base: str, u: float) -> float:
    """Return what :func:`_function` does, of a number."""
    name = base.split("(")[0]
    if base in ("1 + u", "1 - u", "log(1 + u)"):
        return float(np.log(1.0 + u)) if base == "log(1 + u)" else 1.0 + u
    if base in ("exp(u) - 1", "1 - exp(-u)"):
        return float(np.expm1(u)) if base == "exp(u) - 1" else -float(np.expm1(u))
    return 1.0 - float(np.cos(u)) if base == "1 - cos" else float({"asin": np.arcsin}.get(name, getattr(np, name))(u))


def write(node: Node, coefficients: list[float], exponents: list[np.ndarray],
          variables: list[Expression]) -> Expression | float | None:
    """Return a tree as an expression, or as a number where no variable is left, or None if it cannot be written.

    Parameters
    ----------
    node : Node
    coefficients, exponents : list
        Of its monomials, from left to right; read and removed.
    variables : list of Expression
    """
    coefficient, powers = coefficients.pop(0), exponents.pop(0)
    members = [(x, float(p)) for x, p in zip(variables, powers, strict=True) if p != 0.0]
    for factor, inner in node:
        if "- u" in factor.base or "-u" in factor.base:
            coefficients[0] = -coefficients[0]
        u = write(inner, coefficients, exponents, variables)
        if isinstance(u, float):
            with np.errstate(all="ignore"):  # what has no root or no inverse is refused below
                coefficient *= float(np.power(_number(factor.base, u), factor.power))
            continue
        f = None if u is None else _function(factor.base, u)
        if f is None:
            return None
        members.append((f, factor.power))
    if not (np.isfinite(coefficient) and coefficient != 0.0):
        return None
    return product(variables[0].library, members, coefficient) if members else float(coefficient)
