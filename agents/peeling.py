"""Monte Carlo tree search over contexts, guided by double Q-learning: what stands around the part that is missing?

A node is a context ``y = c(hole)``, known by the values that its hole must take. An action *peels*: it undoes one more
operator, a function (``hole = log t`` under an exponential) or an operation with a *side*, a small sub-tree with known
values (``hole = t - a``, ``t/a``, ``t a``, ``a/t``). Sides are the simplest sub-trees of the bank and what was
promoted. An episode has the four phases of the method (Browne et al., IEEE TCIAIG 2012):

* *selection*: from the root, the child with the largest ``(mean + best)/2 + c sqrt(log N / n)``, as long as a node has
  its share of children, which grows with its visits (progressive widening: actions are many hundreds);
* *expansion*: the double-Q policy proposes an operator and then a side, until the context is one that was not looked
  at before, by value;
* *simulation*: the hole is closed by value (:mod:`rsrm.agents.holes`);
* *backpropagation*: the closeness of the whole goes to the nodes on the path and, as an episode, to the Q tables.

Contexts written token by token were repeats in most episodes (``x + x - x`` beside the hole, and its like), and the
more so the better a policy had learned: Q-learning raised the mean reward and made the search slower to find laws. Of
the simplest sub-trees no two have the same values, which are known already; ``python -m rsrm.benchmarks ablation``
shows what the tree and its policy are worth.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.agents.contexts import note
from rsrm.agents.holes import FIRST, fill, find_exact, nearest_shape, normalise
from rsrm.agents.qlearning import closeness, learn_path
from rsrm.agents.rng import below, mix, uniform
from rsrm.agents.scoring import MAX_CONSTANTS
from rsrm.agents.sides import NO_SIDE, Kinds, peel, write_context

LEVELS = 5
"""Operators above the hole at most."""
TRIES = 8
"""Proposals for a new child before selection goes on without one."""
PROMOTED_SHARE = 0.2
"""Share of proposals from the promoted sides."""
NONE = -1
ROOT = 0
KIND, SIDE, PARENT, CHILD, SIBLING, LEVEL, SIZE, CHILDREN = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of ``Contexts.links``: what was undone last; neighbours; operators and tokens around the hole; children."""


class Contexts(NamedTuple):
    """The search tree; N nodes at most."""

    links: np.ndarray  # int64[N, 8]
    visits: np.ndarray  # int64[N]
    total: np.ndarray  # float64[N], sum of rewards
    best: np.ndarray  # float64[N], best reward
    forbidden: np.ndarray  # uint64[N], bit sets of the opcodes that may not stand in the hole
    count: np.ndarray  # int64[1], nodes in use
    gains: np.ndarray  # float64[2], sum and number of all rewards


class Peeling(NamedTuple):
    """Numbers that steer an episode."""

    exploration: float = 0.3  # c in selection
    width: float = 2.0  # children of a node after its first visit
    growth: float = 0.5  # exponent of their number in the visits
    epsilon: float = 0.2  # share of uniform operators
    temperature: float = 0.1  # of the softmax over Q values
    alpha: float = 0.2  # step size of double Q-learning
    trace: float = 0.8  # lambda of the lambda-return
    caution: float = 0.5  # weight of bad surprises
    eta: float = 0.98  # discount of the reward per token
    candidates: int = 4  # sides among which the Q tables choose
    n_simple: int = 32  # sub-trees that every hole is tried with
    max_size: int = 16  # of a context, in tokens, with one for the hole
    max_depth: int = 10
    use_q: bool = True  # proposals from the Q tables; uniform otherwise


class PeelingWork(NamedTuple):
    """Work arrays of episodes on S rows; K kinds."""

    h: np.ndarray  # float64[S], values of the hole that is proposed
    slope: np.ndarray  # float64[S]
    chances: np.ndarray  # float64[K]
    rows: np.ndarray  # int64[2 LEVELS], Q-table row of each decision
    actions: np.ndarray  # int64[2 LEVELS]
    tokens: np.ndarray  # int16[max_size]
    constants: np.ndarray  # float64[MAX_CONSTANTS]


def new_contexts(capacity: int) -> Contexts:
    """Return a tree that holds the root only."""
    tree = Contexts(np.full((capacity, 8), NONE, np.int64), np.zeros(capacity, np.int64), np.zeros(capacity),
                    np.zeros(capacity), np.zeros(capacity, np.uint64), np.ones(1, np.int64), np.zeros(2))
    tree.links[ROOT, SIDE], tree.links[ROOT, LEVEL:] = NO_SIDE, 0
    return tree


def new_peeling_tables(kinds: Kinds, n_sides: int) -> np.ndarray:
    """Return two Q tables of zeros, float64[2, S, A].

    An operator is chosen by the one above and the level, a side by its operator: what helped beside one hole is tried
    beside others.
    """
    k = len(kinds.opcode)
    return np.zeros((2, (k + 1) * LEVELS + k, max(k, n_sides)))


def new_peeling_work(kinds: Kinds, n_rows: int, max_size: int) -> PeelingWork:
    """Return work arrays."""
    return PeelingWork(np.empty(n_rows), np.empty(n_rows), np.empty(len(kinds.opcode)), np.zeros(2 * LEVELS, np.int64),
                       np.zeros(2 * LEVELS, np.int64), np.zeros(max_size, np.int16), np.zeros(MAX_CONSTANTS))


@njit_leaf
def propose(rng, q, row, side_rows, n_kinds, kinds, sides, policy, chances):
    """Return an operator and a side: by the double-Q policy from its `row` of the tables, or at random."""
    if not policy.use_q or uniform(rng) < policy.epsilon:
        kind = below(rng, n_kinds)
    else:
        top = -math.inf
        for k in range(n_kinds):
            top = max(top, q[0, row, k] + q[1, row, k])
        total = 0.0
        for k in range(n_kinds):
            total += math.exp(0.5 * (q[0, row, k] + q[1, row, k] - top) / policy.temperature)
            chances[k] = total
        level = uniform(rng) * total
        kind = np.int64(0)
        while kind < n_kinds - 1 and chances[kind] <= level:
            kind += 1
    if kinds.sided[kind] == 0:
        return kind, np.int64(NO_SIDE)
    side, best = np.int64(NO_SIDE), -math.inf
    count, base = sides.count[0], sides.count[1]
    for _ in range(policy.candidates if policy.use_q else 1):
        if count > base and uniform(rng) < PROMOTED_SHARE:
            s = base + below(rng, count - base)
        else:  # simple ones first: the rank is log-uniform
            s = min(np.int64(math.exp(uniform(rng) * math.log(np.float64(base)))), base - 1)
        value = q[0, side_rows + kind, s] + q[1, side_rows + kind, s]
        if value > best:
            side, best = s, value
    return kind, side


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
    """Selection: return the child of the largest upper bound, NONE if there is none."""
    bound, choice = -math.inf, np.int64(NONE)
    log_n = math.log(np.float64(tree.visits[node] + 1))
    child = tree.links[node, CHILD]
    while child != NONE:
        n = tree.visits[child]
        u = 0.5 * (tree.total[child] / n + tree.best[child]) + exploration * math.sqrt(log_n / n)
        if u > bound:
            bound, choice = u, child
        child = tree.links[child, SIBLING]
    return choice


@njit_leaf
def add_child(tree, node, kind, side, kinds, sides):
    """Give a node a child and return it; the node itself if the tree is full."""
    child = tree.count[0]
    if child == tree.visits.shape[0]:
        return node
    tree.count[0] += 1
    links, parent = tree.links[child], tree.links[node]
    links[KIND], links[SIDE], links[PARENT] = kind, side, node
    links[CHILD], links[SIBLING], links[CHILDREN] = NONE, parent[CHILD], 0
    links[LEVEL], links[SIZE] = parent[LEVEL] + 1, parent[SIZE] + 1 + sides.lengths[side]
    tree.forbidden[child] = tree.forbidden[node] | kinds.below[kind]
    parent[CHILD] = child
    parent[CHILDREN] += 1
    return child


@njit_leaf
def step(kind, side, row, side_rows, levels, steps, kinds, sides, hole_work, work):
    """Note one more operator on the path of an episode; return the number of decisions."""
    hole_work.spine[levels] = kinds.opcode[kind] + (FIRST if kinds.first[kind] == 1 else 0)
    work.rows[steps], work.actions[steps] = row, kind
    if kinds.sided[kind] == 0:
        return steps + 1
    for i in range(sides.values.shape[1]):
        hole_work.sides[levels, i] = sides.values[side, i]
    work.rows[steps + 1], work.actions[steps + 1] = side_rows + kind, side
    return steps + 2


@njit_leaf
def expand(rng, tree, node, row, side_rows, q, policy, kinds, sides, shapes, keys, hole_work, work):
    """Expansion: return ``(kind, side, mean, norm, projection)`` of a context that is news; kind NONE if none is found.

    Its hole is in ``work.h`` and ``work.slope``, described as by :func:`rsrm.agents.holes.normalise`.
    """
    h, slope = work.h, work.slope
    for _ in range(TRIES):
        kind, side = propose(rng, q, row, side_rows, kinds.opcode.shape[0], kinds, sides, policy, work.chances)
        if not is_allowed(tree, node, kind, side, kinds, sides, policy):
            continue
        for i in range(h.shape[0]):
            h[i], slope[i] = hole_work.hole[i], hole_work.slope[i]
        if not peel(kind, side, kinds, sides, h, slope):
            continue
        mean, norm, projection = normalise(h, shapes.probe)
        key = mix(np.uint64(np.int64(projection * 1e9))) | np.uint64(1)
        place = key & np.uint64(keys.shape[0] - 1)
        if keys[place] != key:
            keys[place] = key
            return kind, side, mean, norm, projection
    return np.int64(NONE), np.int64(NO_SIDE), 0.0, 0.0, 0.0


@njit
def run_peeling(rng, tree, q, policy, kinds, sides, shapes, hits, hole_work, work, episodes):
    """Run episodes; return how many contexts were looked up (one per episode, fewer where proposals are no news).

    Parameters
    ----------
    rng : uint64[1]
    tree : Contexts
        Once it is full, contexts are looked up and learned from, but no longer kept.
    q : float64[2, S, A]
    policy : Peeling
    kinds : Kinds
    sides : Sides
    shapes : Shapes
        What holes are looked up in.
    hits : Hits
        Where closings and what was looked up are noted.
    hole_work : HoleWork
    work : PeelingWork
    episodes : int

    All state arrays are changed in place.
    """
    n_kinds = kinds.opcode.shape[0]
    side_rows = (n_kinds + 1) * LEVELS
    y, scale = shapes.targets[0], shapes.scales[0]
    fresh = 0
    for _ in range(episodes):
        node, levels, steps, gain = np.int64(ROOT), np.int64(0), np.int64(0), 0.0
        for i in range(y.shape[0]):
            hole_work.hole[i], hole_work.slope[i] = y[i], 1.0
        kind, side, mean, norm, projection = np.int64(NONE), np.int64(NO_SIDE), 0.0, 0.0, 0.0
        while levels < LEVELS:
            row = (tree.links[node, KIND] + 1) * LEVELS + levels
            if tree.links[node, CHILDREN] < policy.width * (tree.visits[node] + 1.0) ** policy.growth:
                kind, side, mean, norm, projection = expand(
                    rng, tree, node, row, side_rows, q, policy, kinds, sides, shapes, hits.keys, hole_work, work)
                if kind != NONE:
                    steps = step(kind, side, row, side_rows, levels, steps, kinds, sides, hole_work, work)
                    levels += 1
                    break
            child = choose_child(tree, node, policy.exploration)
            if child == NONE:
                break
            steps = step(tree.links[child, KIND], tree.links[child, SIDE], row, side_rows, levels, steps, kinds, sides,
                         hole_work, work)
            peel(tree.links[child, KIND], tree.links[child, SIDE], kinds, sides, hole_work.hole, hole_work.slope)
            levels += 1
            node = child
        if kind != NONE:
            fresh += 1
            entry, a, b = find_exact(work.h, mean, norm, projection, shapes)
            if entry == -1:
                entry, a, b = nearest_shape(work.h, work.slope, shapes, policy.n_simple)
            error = math.inf
            if entry != -1:
                error = fill(shapes.values[max(entry, 0)], a, b, levels, y, scale, hole_work)
            size = tree.links[node, SIZE] + 1 + sides.lengths[side]
            gain = policy.eta ** size * closeness(error)
            if error < hits.best[size]:
                at, n, m = write_context(kinds, sides, levels, work.actions, work.tokens, work.constants)
                note(hits, work.tokens, at, at + 1, n, work.constants[:m], entry, 0, error)
            node = add_child(tree, node, kind, side, kinds, sides)
            tree.gains[0] += gain
            tree.gains[1] += 1.0
            if policy.use_q:
                # Against the average episode: zero, which untried actions have, is neither praise nor blame.
                learn_path(rng, q, work.rows, work.actions, steps, gain - tree.gains[0] / tree.gains[1], policy.alpha,
                           policy.trace, policy.caution)
        while node != NONE:  # backpropagation
            tree.visits[node] += 1
            tree.total[node] += gain
            tree.best[node] = max(tree.best[node], gain)
            node = tree.links[node, PARENT]
    return fresh
