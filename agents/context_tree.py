"""The tree of contexts that :mod:`rsrm.agents.peeling` searches: nodes, the bound they are chosen by, new children."""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.agents.sides import NO_SIDE

NONE = -1
ROOT = 0
KIND, SIDE, PARENT, CHILD, SIBLING, LEVEL, SIZE, KNOWN = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of ``Contexts.links``: what was undone last; neighbours; operators and tokens around the hole; the number of
sides when it was expanded last."""
CLOSED = -1.0
"""Prior of a node below which nothing is left to expand."""


class Contexts(NamedTuple):
    """The search tree; N nodes at most."""

    links: np.ndarray  # int32[N, 8]
    visits: np.ndarray  # int32[N]
    total: np.ndarray  # float32[N], sum of rewards
    best: np.ndarray  # float32[N], best reward
    prior: np.ndarray  # float32[N]
    forbidden: np.ndarray  # uint64[N], bit sets of the opcodes that may not stand in the hole
    count: np.ndarray  # int64[1], nodes in use


class Peeling(NamedTuple):
    """Numbers that steer an episode."""

    exploration: float = 1.0  # c in selection
    alpha: float = 0.1  # step size of double Q-learning
    eta: float = 0.98  # discount of the reward per token
    n_simple: int = 32  # sub-trees that every hole of a child is tried with
    max_size: int = 16  # of a context, in tokens, with one for the hole
    max_depth: int = 10
    use_q: bool = True  # Q tables in the prior


def new_contexts(capacity: int) -> Contexts:
    """Return a tree that holds the root only."""
    tree = Contexts(np.full((capacity, 8), NONE, np.int32), np.zeros(capacity, np.int32),
                    np.zeros(capacity, np.float32), np.zeros(capacity, np.float32), np.ones(capacity, np.float32),
                    np.zeros(capacity, np.uint64), np.ones(1, np.int64))
    tree.links[ROOT, SIDE], tree.links[ROOT, LEVEL:] = NO_SIDE, 0
    return tree


@njit_leaf
def is_allowed(tree, node, kind, side, kinds, sides, policy):
    """Return whether an operator and a side may stand around the hole of a node: rules of nesting, size, depth."""
    bit = np.uint64(1) << np.uint64(kinds.opcode[kind])
    links, contents = tree.links[node], sides.contents[side]
    above = links[KIND]
    broken = ((bit | contents) & tree.forbidden[node]) | (contents & kinds.below[kind])
    if above != NONE:
        broken |= bit & kinds.directly[above]
    return (broken == np.uint64(0) and links[SIZE] + 2 + sides.lengths[side] <= policy.max_size
            and links[LEVEL] + 1 + sides.depths[side] <= policy.max_depth)


@njit_leaf
def choose_child(tree, node, exploration):
    """Selection: return the child of the largest upper bound, NONE if there is none with anything left to expand."""
    bound, choice = -math.inf, np.int64(NONE)
    root_n = exploration * math.sqrt(np.float64(tree.visits[node] + 1))
    child = np.int64(tree.links[node, CHILD])
    while child != NONE:
        n = np.float64(tree.visits[child])
        u = 0.5 * (tree.total[child] / n + tree.best[child]) + root_n * tree.prior[child] / n
        if tree.prior[child] >= 0.0 and u > bound:
            bound, choice = u, child
        child = np.int64(tree.links[child, SIBLING])
    return choice


@njit_leaf
def add_child(tree, node, kind, side, kinds, sides, prior, gain):
    """Give a node a child that was rewarded with `gain` and return it; NONE if the tree is full."""
    child = tree.count[0]
    if child == tree.visits.shape[0]:
        return np.int64(NONE)
    tree.count[0] += 1
    links, parent = tree.links[child], tree.links[node]
    links[KIND], links[SIDE], links[PARENT] = kind, side, node
    links[CHILD], links[SIBLING], links[KNOWN] = NONE, parent[CHILD], 0
    links[LEVEL], links[SIZE] = parent[LEVEL] + 1, parent[SIZE] + 1 + sides.lengths[side]
    tree.forbidden[child] = tree.forbidden[node] | kinds.below[kind]
    tree.prior[child] = prior
    tree.visits[child] = 1
    tree.total[child] = tree.best[child] = gain
    parent[CHILD] = child
    return np.int64(child)
