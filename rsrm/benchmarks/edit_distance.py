"""Edit distance between expression trees, normalized as in SRSD (Matsubara et al., DMLR 2024).

Trees follow sympy's: sums and products with any number of children, powers, functions, variables. All numbers are one
and the same node, so that ``2.1*x`` and ``3*x`` agree. Children of sums and products are put in a canonical order
first; then the distance of ordered trees by Zhang and Shasha (SIAM J. Comput. 18, 1989) applies, each insertion,
deletion and relabelling costing one. Dividing by the size of the law's tree and clipping at one gives 0 for the law
and 1 for nothing in common.
"""

from collections.abc import Callable
from typing import NamedTuple

import sympy as sp

from rsrm.benchmarks.limits import limited

_SIMPLIFY_SECONDS = 0.5
# Nothing makes an equation this many times the size of the law like it.
_HOPELESS = 5
CONSTANT = "constant"


class Node(NamedTuple):
    """A labelled ordered tree."""

    label: str
    children: tuple["Node", ...] = ()


def to_tree(expression: sp.Expr) -> Node:
    """Canonical tree of a sympy expression, all numbers as one kind of leaf."""
    if expression.is_number:
        return Node(CONSTANT)
    if expression.is_Symbol:
        return Node(expression.name)
    if not (expression.is_Add or expression.is_Mul):
        return Node(expression.func.__name__, tuple(to_tree(argument) for argument in expression.args))
    children = [to_tree(argument) for argument in expression.args if not argument.is_number]
    if len(children) < len(expression.args):
        children.append(Node(CONSTANT))
    return Node(expression.func.__name__, tuple(sorted(children, key=_order)))


def _order(node: Node) -> tuple[int, str]:
    return (0 if node.label == CONSTANT else 1, repr(node))


def size(tree: Node) -> int:
    """Number of nodes."""
    return 1 + sum(size(child) for child in tree.children)


def tree_edit_distance(first: Node, second: Node) -> int:
    """Least number of insertions, deletions and relabellings that turn one ordered tree into the other."""
    labels1, leftmost1, roots1 = _postorder(first)
    labels2, leftmost2, roots2 = _postorder(second)
    tree = [[0] * len(labels2) for _ in labels1]
    for root1 in roots1:
        for root2 in roots2:
            _forest_distance(root1, root2, labels1, labels2, leftmost1, leftmost2, tree)
    return tree[-1][-1]


def _forest_distance(
    root1: int, root2: int, labels1: list, labels2: list, leftmost1: list, leftmost2: list, tree: list
) -> None:
    """Fill ``tree[i][j]`` for all sub-trees whose leftmost leaf is that of ``root1`` and ``root2``."""
    start1, start2 = leftmost1[root1], leftmost2[root2]
    previous = list(range(root2 - start2 + 2))
    forest = [previous]
    for i in range(start1, root1 + 1):
        row = [i - start1 + 1]
        for j in range(start2, root2 + 1):
            column = j - start2 + 1
            best = min(previous[column], row[column - 1]) + 1
            if leftmost1[i] == start1 and leftmost2[j] == start2:
                best = min(best, previous[column - 1] + (labels1[i] != labels2[j]))
                tree[i][j] = best
            else:
                best = min(best, forest[leftmost1[i] - start1][leftmost2[j] - start2] + tree[i][j])
            row.append(best)
        forest.append(row)
        previous = row


def _postorder(root: Node) -> tuple[list[str], list[int], list[int]]:
    """Labels in post-order, the leftmost leaf under each node, and the key roots."""
    labels: list[str] = []
    leftmost: list[int] = []

    def visit(node: Node) -> int:
        firsts = [visit(child) for child in node.children]
        labels.append(node.label)
        leftmost.append(firsts[0] if firsts else len(labels) - 1)
        return leftmost[-1]

    visit(root)
    # A key root is the highest node over its leftmost leaf.
    return labels, leftmost, sorted({left: index for index, left in enumerate(leftmost)}.values())


def normalized_edit_distance(law: sp.Expr, found: sp.Expr) -> float:
    """Edit distance between the trees over the size of the law's, at most 1.

    As the same function has many trees, both are also expanded, factored and simplified (within half a second each),
    and the smallest of the distances between like forms is the answer.

    Parameters
    ----------
    law, found : sympy.Expr
        In the same symbols.
    """
    best = _normalized(*_trees(_same, law, found))
    if size(to_tree(found)) > _HOPELESS * size(to_tree(law)):
        return best
    for transform in (sp.expand, sp.together, sp.factor, _split_logarithms, sp.simplify):
        if best == 0.0:
            break
        pair = limited(_SIMPLIFY_SECONDS, _trees, transform, law, found)
        if pair is not None:
            best = min(best, _normalized(*pair))
    return best


def _same(expression: sp.Expr) -> sp.Expr:
    return expression


def _split_logarithms(expression: sp.Expr) -> sp.Expr:
    return sp.expand_log(sp.factor(expression, deep=True), force=True)


def _as_power(exponential: sp.Expr) -> sp.Expr:
    """``exp(a*log(b))`` as ``b**a``, anything else as it is."""
    logarithms = [factor for factor in sp.Mul.make_args(exponential.args[0]) if isinstance(factor, sp.log)]
    return logarithms[0].args[0] ** (exponential.args[0] / logarithms[0]) if logarithms else exponential


def _trees(transform: Callable[[sp.Expr], sp.Expr], law: sp.Expr, found: sp.Expr) -> tuple[Node, Node]:
    law, found = (e.replace(lambda node: isinstance(node, sp.exp), _as_power) for e in (law, found))
    return to_tree(transform(law)), to_tree(transform(found))


def _normalized(law: Node, found: Node) -> float:
    nodes = size(law)
    if abs(size(found) - nodes) >= nodes:  # at least that many insertions
        return 1.0
    return min(1.0, tree_edit_distance(law, found) / nodes)
