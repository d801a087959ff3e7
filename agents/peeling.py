"""Monte Carlo tree search over contexts, guided by double Q-learning: what stands around the part that is missing?

A node is a context ``y = c(hole)``, known by the values that its hole must take. An action *peels*: it undoes one more
operator, a function (``hole = log t`` under an exponential) or an operation with a *side*, a small sub-tree with known
values (``hole = t - a``, ``t/a``, ``t a``, ``a/t``). Sides are the simplest sub-trees of the bank and what was
promoted. An episode has the four phases of the method (Browne et al., IEEE TCIAIG 2012):

* *selection*: from the root, the child with the largest ``(mean + best)/2 + c P sqrt(N)/(1 + n)`` (the bound of
  AlphaZero, Silver et al., Science 2018), until a node that was not expanded, or not with all sides that there are;
* *expansion*: all actions of the node at once, a thousand or so. Every context that was not looked at before, by
  value, is looked up in the bank; those with the largest ``P = softmax(tiles)/rank`` become children: what double
  Q-learning (:mod:`rsrm.agents.advice`) thinks of them, the simplest sides first;
* *simulation*: the holes of the children are closed by the nearest of a few simple sub-trees
  (:mod:`rsrm.agents.holes`); the reward is the closeness of the whole;
* *backpropagation*: the best reward goes to the nodes on the path, and whether a look-up closed goes to the Q tables.

A look-up costs a third of a microsecond when it is one of a thousand, thirty times as much when every context is an
episode of its own.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.agents.advice import CLASSES, GAMMA, LEVELS, advised, chance, learn
from rsrm.agents.context_tree import (
    CLOSED, KIND, KNOWN, NONE, PARENT, ROOT, SIDE, SIZE, add_child, choose_child, is_allowed,
)
from rsrm.agents.contexts import EXACT, is_known, note
from rsrm.agents.holes import FIRST, fill, find_exact, nearest_shape, normalise
from rsrm.agents.qlearning import closeness
from rsrm.agents.rng import below
from rsrm.agents.scoring import MAX_CONSTANTS
from rsrm.agents.sides import NO_SIDE, Kinds, Sides, hole_of, peel, write_context

SIDED = 1.7
"""Log of the sum of 1/rank over the simple sides."""
LEAST_NEWS = 100
"""What an episode counts at least, so that a call ends in time where hardly anything is news."""
WIDTHS = np.array([512, 48, 16, 8, 0])
"""Children of a node at most, by its level."""


class PeelingWork(NamedTuple):
    """Work arrays of episodes on S rows; C actions of a node at most."""

    h: np.ndarray  # float64[S], values of a hole
    slope: np.ndarray  # float64[S]
    values: np.ndarray  # float64[C], of the actions of a node
    kinds: np.ndarray  # int64[C]
    sides: np.ndarray  # int64[C]
    advice: np.ndarray  # float64[2, K, CLASSES]
    actions: np.ndarray  # int64[2 LEVELS], operators on the path and their sides
    tokens: np.ndarray  # int16[max_size]
    constants: np.ndarray  # float64[MAX_CONSTANTS]


def new_peeling_work(kinds: Kinds, sides: Sides, max_size: int) -> PeelingWork:
    """Return work arrays."""
    n_rows, actions = sides.values.shape[1], len(kinds.opcode) * len(sides.lengths)
    return PeelingWork(np.empty(n_rows), np.empty(n_rows), np.empty(actions), np.zeros(actions, np.int64),
                       np.zeros(actions, np.int64), np.empty((2, len(kinds.opcode), CLASSES)),
                       np.zeros(2 * LEVELS, np.int64), np.zeros(max_size, np.int16), np.zeros(MAX_CONSTANTS))


@njit_leaf
def step(kind, side, levels, steps, kinds, sides, hole_work, work):
    """Note one more operator on the path of an episode; return the number of decisions."""
    hole_work.spine[levels] = kinds.opcode[kind] + (FIRST if kinds.first[kind] == 1 else 0)
    work.actions[steps] = kind
    if kinds.sided[kind] == 0:
        return steps + 1
    for i in range(sides.values.shape[1]):
        hole_work.sides[levels, i] = sides.values[side, i]
    work.actions[steps + 1] = side
    return steps + 2


@njit_leaf
def value_actions(q, policy, above, level, kinds, advice):
    """Fill `advice` with what both tables think of each kind with each class of side."""
    n_kinds = kinds.opcode.shape[0]
    for k in range(n_kinds):
        for c in range(CLASSES):
            for table in range(2):
                advice[table, k, c] = advised(q, table, k, above, level, c, n_kinds) if policy.use_q else 0.0


@njit
def look_up(tree, node, levels, steps, policy, kinds, sides, shapes, hits, hole_work, work):
    """Look up all contexts one operator below a node that are news; return ``(news, actions, closed)``.

    The actions that may become children are in ``work.kinds``, ``work.sides`` and ``work.values``. `closed` tells
    whether one of the contexts closes exactly.
    """
    y, scale = shapes.targets[0], shapes.scales[0]
    known, h = tree.links[node, KNOWN], work.h
    news, n, closed = np.int64(0), np.int64(0), False
    count = sides.count[0]
    for kind in range(kinds.opcode.shape[0]):
        sided = kinds.sided[kind] == 1
        if not sided and known > 0:
            continue
        start = max(np.int64(known), np.int64(1)) if sided else np.int64(NO_SIDE)
        for side in range(start, count if sided else NO_SIDE + 1):
            if not is_allowed(tree, node, kind, side, kinds, sides, policy):
                continue
            hole_of(kind, side, kinds, sides, hole_work.hole, h, work.slope)
            mean, norm, projection = normalise(h, shapes.probe)
            if not norm < math.inf:
                continue
            if is_known(hits.keys, projection, np.uint64(0)):
                continue
            news += 1
            entry, a, b = find_exact(h, mean, norm, projection, shapes)
            if entry != -1:
                step(kind, side, levels, steps, kinds, sides, hole_work, work)
                error = fill(shapes.values[max(entry, 0)], a, b, levels + 1, y, scale, hole_work)
                if error < EXACT:
                    closed = True
                    at, size, m = write_context(kinds, sides, levels + 1, work.actions, work.tokens, work.constants)
                    note(hits, work.tokens, at, at + 1, size, work.constants[:m], entry, 0, error)
                continue
            c = sides.classes[side]
            value = 0.5 * (work.advice[0, kind, c] + work.advice[1, kind, c])
            if sided:  # as much for all sides together as for a function
                value -= math.log(np.float64(side)) + SIDED
            work.kinds[n], work.sides[n], work.values[n] = kind, side, value
            n += 1
    tree.links[node, KNOWN] = count
    return news, n, closed


@njit_leaf
def least_of_best(values, n, width, top):
    """Return a bound that `width` of n values reach, and hardly any more; `top` is the largest of them."""
    low, high = top - 50.0, top
    for _ in range(30):
        middle = 0.5 * (low + high)
        reached = 0
        for k in range(n):
            if values[k] >= middle:
                reached += 1
        if reached >= width:
            low = middle
        else:
            high = middle
    return low


@njit
def add_children(tree, node, levels, steps, n, policy, kinds, sides, shapes, hits, hole_work, work):
    """Make children of the most valued of `n` actions, closed by simple sub-trees; return the best reward."""
    y, scale = shapes.targets[0], shapes.scales[0]
    width = min(n, WIDTHS[levels])
    best = 0.0
    if width == 0:
        return best
    values = work.values
    top = -math.inf
    for k in range(n):
        top = max(top, values[k])
    total = 0.0
    for k in range(n):
        total += math.exp(values[k] - top)
    least = least_of_best(values, n, width, top)
    h, slope = work.h, work.slope
    made = np.int64(0)
    for k in range(n):
        if values[k] < least or made == width:
            continue
        kind, side = work.kinds[k], work.sides[k]
        for i in range(h.shape[0]):
            h[i], slope[i] = hole_work.hole[i], hole_work.slope[i]
        if not peel(kind, side, kinds, sides, h, slope):
            continue
        made += 1
        step(kind, side, levels, steps, kinds, sides, hole_work, work)
        entry, a, b = nearest_shape(h, slope, shapes, policy.n_simple)
        error = math.inf
        if entry != -1:
            error = fill(shapes.values[entry], a, b, levels + 1, y, scale, hole_work)
        size = tree.links[node, SIZE] + 1 + sides.lengths[side]
        gain = policy.eta ** size * closeness(error)
        if error < hits.best[size]:
            at, length, m = write_context(kinds, sides, levels + 1, work.actions, work.tokens, work.constants)
            note(hits, work.tokens, at, at + 1, length, work.constants[:m], entry, 0, error)
        best = max(best, gain)
        if add_child(tree, node, kind, side, kinds, sides, math.exp(values[k] - top) / total, gain) == NONE:
            break
    return best


@njit_leaf
def value_of_best(table, n, sides, work):
    """Return what the other table thinks of the action that `table` values most, of the n in `work`; 0 without any."""
    top, value = -math.inf, 0.0
    for k in range(n):
        kind, c = work.kinds[k], sides.classes[work.sides[k]]
        if work.advice[table, kind, c] > top:
            top = work.advice[table, kind, c]
            value = chance(work.advice[1 - table, kind, c])
    return value


@njit
def run_peeling(rng, tree, q, policy, kinds, sides, shapes, hits, hole_work, work, wanted):
    """Run episodes until `wanted` contexts were looked up; return how many were.

    Parameters
    ----------
    rng : uint64[1]
    tree : Contexts
        Once it is full, contexts are looked up and learned from, but no longer kept.
    q : float64[2, N]
        See :func:`rsrm.agents.advice.new_advice`.
    policy : Peeling
    kinds : Kinds
    sides : Sides
    shapes : Shapes
        What holes are looked up in.
    hits : Hits
        Where closings and what was looked up are noted.
    hole_work : HoleWork
    work : PeelingWork
    wanted : int

    All state arrays are changed in place. A search that has nothing left to expand, or hardly anything that is news,
    returns less than `wanted`: no call takes many times longer than others.
    """
    y = shapes.targets[0]
    fresh = effort = np.int64(0)
    while fresh < wanted and effort < wanted and tree.prior[ROOT] >= 0.0:
        effort += LEAST_NEWS
        node, levels, steps = np.int64(ROOT), np.int64(0), np.int64(0)
        for i in range(y.shape[0]):
            hole_work.hole[i], hole_work.slope[i] = y[i], 1.0
        while tree.links[node, KNOWN] >= sides.count[0]:
            child = choose_child(tree, node, policy.exploration)
            if child == NONE:
                tree.prior[node] = CLOSED
                break
            kind, side = np.int64(tree.links[child, KIND]), np.int64(tree.links[child, SIDE])
            steps = step(kind, side, levels, steps, kinds, sides, hole_work, work)
            peel(kind, side, kinds, sides, hole_work.hole, hole_work.slope)
            levels += 1
            node = child
        if tree.prior[node] == CLOSED:
            continue
        value_actions(q, policy, np.int64(tree.links[node, KIND]), levels, kinds, work.advice)
        news, n, closed = look_up(tree, node, levels, steps, policy, kinds, sides, shapes, hits, hole_work, work)
        fresh += news
        gain = add_children(tree, node, levels, steps, n, policy, kinds, sides, shapes, hits, hole_work, work)
        if policy.use_q and node != ROOT:
            table = below(rng, 2)
            goal = 1.0 if closed else GAMMA * value_of_best(table, n, sides, work)
            kind, side, parent = tree.links[node, KIND], tree.links[node, SIDE], tree.links[node, PARENT]
            learn(q, table, kind, np.int64(tree.links[parent, KIND]), levels - 1, sides.classes[side],
                  kinds.opcode.shape[0], goal, policy.alpha)
        while node != NONE:  # backpropagation
            tree.visits[node] += 1
            tree.total[node] += gain
            tree.best[node] = max(tree.best[node], gain)
            node = np.int64(tree.links[node, PARENT])
    return fresh
