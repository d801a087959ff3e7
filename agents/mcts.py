"""Monte Carlo tree search over tokens, guided by double Q-learning.

An episode has the four phases of the method (Browne et al., IEEE TCIAIG 2012):

* *selection*: from the root, the action with the largest ``(Q_mean + Q_best)/2 + c P(a) sqrt(N)/(1 + n_a)``, where
  ``Q_mean`` and ``Q_best`` are the mean and the best reward below, and the prior P is the softmax of the double-Q
  tables (Silver et al., Nature 2017, with a max-backup beside the mean, because one good expression is what counts);
* *expansion*: the first action without a node gets one;
* *simulation*: the double-Q policy goes on until the expression is complete;
* *backpropagation*: the reward goes to every node on the path and, as an episode, to the Q tables.

A node whose every continuation was judged is exhausted and never selected again, so that the search does not score the
same expression twice. Where there is a bank, islands search contexts instead: :mod:`rsrm.agents.peeling`.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm import grammar
from rsrm._jit import njit, njit_leaf
from rsrm.agents.qlearning import CAUTION, TRACE, abstract, choose, judge, learn_path
from rsrm.metrics import reward

UNVISITED = -1
ROOT = 0


class Tree(NamedTuple):
    """The search tree; N nodes at most, K tokens."""

    children: np.ndarray  # int32[N, K], UNVISITED where there is no node
    visits: np.ndarray  # int64[N]
    total: np.ndarray  # float64[N], sum of rewards
    best: np.ndarray  # float64[N], best reward
    exhausted: np.ndarray  # bool[N]
    count: np.ndarray  # int64[1], nodes in use


class Policy(NamedTuple):
    """Numbers that steer an episode."""

    exploration: float  # c in selection
    epsilon: float  # share of uniform actions in simulation
    temperature: float  # of the softmax over Q values
    alpha: float  # step size of double Q-learning
    eta: float  # discount of the reward per token
    use_q: bool  # prior and simulation from the Q tables; uniform otherwise


POLICY = Policy(2.0, 0.1, 0.2, 0.1, 0.99, True)
"""The usual numbers."""


def new_tree(n_tokens: int, capacity: int) -> Tree:
    """Return a tree that holds the root only."""
    tree = Tree(np.full((capacity, n_tokens), UNVISITED, np.int32), np.zeros(capacity, np.int64), np.zeros(capacity),
                np.zeros(capacity), np.zeros(capacity, np.bool_), np.ones(1, np.int64))
    return tree


@njit_leaf
def clear(tree):
    """Forget everything but the root, in place."""
    for node in range(tree.count[0]):
        for t in range(tree.children.shape[1]):
            tree.children[node, t] = UNVISITED
        tree.visits[node] = 0
        tree.total[node] = 0.0
        tree.best[node] = 0.0
        tree.exhausted[node] = False
    tree.count[0] = 1


@njit_leaf
def select(tree, node, q, row, mask, policy, prior):
    """Selection at one node: return the legal action of the largest upper bound, -1 if all below is exhausted."""
    top = -math.inf
    for t in range(mask.shape[0]):
        if mask[t] == 1:
            prior[t] = 0.5 * (q[0, row, t] + q[1, row, t]) if policy.use_q else 0.0
            top = max(top, prior[t])
    total = 0.0
    for t in range(mask.shape[0]):
        if mask[t] == 1:
            prior[t] = math.exp((prior[t] - top) / policy.temperature) + 0.02
            total += prior[t]
    visits = max(tree.visits[node], 1)
    unknown = tree.total[node] / visits
    root = math.sqrt(np.float64(visits))
    choice = -1
    bound = -math.inf
    for t in range(mask.shape[0]):
        if mask[t] == 0:
            continue
        child = tree.children[node, t]
        n = 0
        value = unknown
        if child != UNVISITED:
            if tree.exhausted[child]:
                continue
            n = tree.visits[child]
            if n > 0:
                value = 0.5 * (tree.total[child] / n + tree.best[child])
        u = value + policy.exploration * prior[t] / total * root / (1.0 + n)
        if u > bound:
            bound = u
            choice = t
    return choice


@njit_leaf
def expand_node(tree, node, action):
    """Expansion: give the child of `node` by `action` a node; return it, or UNVISITED if the tree is full."""
    if tree.count[0] >= tree.visits.shape[0]:
        return UNVISITED
    child = tree.count[0]
    tree.count[0] += 1
    tree.children[node, action] = child
    return child


@njit_leaf
def backpropagate(tree, nodes, n_nodes, gain):
    """Backpropagation: add `gain` to the nodes on the path, root first."""
    for k in range(n_nodes):
        node = nodes[k]
        tree.visits[node] += 1
        tree.total[node] += gain
        tree.best[node] = max(tree.best[node], gain)


@njit_leaf
def close_exhausted(tree, nodes, n_nodes, state, tokens, limits, mask):
    """Mark nodes of the path whose legal children are all exhausted, from the last one up.

    `state` is overwritten: masks are recomputed by replaying the prefix `tokens`.
    """
    for k in range(n_nodes - 2, -1, -1):
        if not tree.exhausted[nodes[k + 1]]:
            return
        grammar.reset(state, limits)
        for j in range(k):
            grammar.append(state, tokens, tokens[j], limits)
        grammar.legal_actions(state, limits, mask)
        for t in range(mask.shape[0]):
            if mask[t] == 1:
                child = tree.children[nodes[k], t]
                if child == UNVISITED or not tree.exhausted[child]:
                    return
        tree.exhausted[nodes[k]] = True


@njit
def run_round(rng, tree, q, policy, mode, limits, tables, data, scratch, front, work, episodes):
    """Run episodes; return how many expressions were judged (one per episode, fewer if all is exhausted).

    Parameters
    ----------
    rng : uint64[1]
    tree : Tree
        Cleared when full; what was learned stays in the Q tables.
    q : float64[2, S, K]
    policy : Policy
    mode : int
        Scoring mode.
    limits : rsrm.grammar.Limits
    tables, data, scratch, front
        As in :func:`rsrm.agents.genetic.evolve`.
    work : rsrm.agents.qlearning.Work
    episodes : int

    All state arrays are changed in place.
    """
    state, tokens, mask, nodes, prior = work.state, work.tokens, work.mask, work.nodes, work.prior
    rows, actions = work.rows, work.actions
    for episode in range(episodes):
        if tree.exhausted[ROOT]:
            return episode
        if tree.count[0] >= tree.visits.shape[0]:
            clear(tree)
        grammar.reset(state, limits)
        nodes[0] = ROOT
        n_nodes, steps = 1, 0
        in_tree, finished = True, False
        while not finished:
            grammar.legal_actions(state, limits, mask)
            parent, sibling, depth, open_slots = grammar.context(state, limits)
            row = abstract(parent, sibling, depth, open_slots, mask.shape[0])
            if in_tree:
                t = select(tree, nodes[n_nodes - 1], q, row, mask, policy, prior)
                if t < 0:
                    break
                child = np.int64(tree.children[nodes[n_nodes - 1], t])
                if child == UNVISITED:
                    child = expand_node(tree, nodes[n_nodes - 1], t)
                    in_tree = False
                if child != UNVISITED:
                    nodes[n_nodes] = child
                    n_nodes += 1
            else:
                t = choose(rng, q, row, mask, policy.epsilon if policy.use_q else 1.0, policy.temperature)
            rows[steps], actions[steps] = row, t
            steps += 1
            finished = grammar.append(state, tokens, t, limits)
        if not finished:
            # Every continuation of this node was judged before.
            tree.exhausted[nodes[n_nodes - 1]] = True
            close_exhausted(tree, nodes, n_nodes, state, tokens, limits, mask)
            continue
        error = judge(tokens, steps, work.expanded, work.constants, mode, tables, data, scratch, front)
        if steps == n_nodes - 1:
            tree.exhausted[nodes[n_nodes - 1]] = True
        gain = reward(steps, error, policy.eta)
        backpropagate(tree, nodes, n_nodes, gain)
        if policy.use_q:
            learn_path(rng, q, rows, actions, steps, gain, policy.alpha, TRACE, CAUTION)
        if steps == n_nodes - 1:
            close_exhausted(tree, nodes, n_nodes, state, tokens, limits, mask)
    return episodes
