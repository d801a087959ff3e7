"""Double Q-learning over an abstraction of the prefix (van Hasselt, NeurIPS 2010), and episodes that follow it.

A state is not a prefix but what matters of it for the next token: the parent of the open slot, its sibling, how deep it
lies and how many slots are open, so that what is learned in one prefix serves in all like it. Two tables are kept; one
of them, drawn at random, moves toward the other's value at its own best action::

    Q_A(s, a) += alpha * (G - Q_A(s, a)),     G = (1 - lambda) Q_B(s', argmax_a' Q_A(s', a')) + lambda G',
                                              at the end G = R

Rewards come at the end only, so that an episode is learned backwards: one episode informs all its steps. G is Peng's
lambda-return: with lambda = 0 the best action of the next state repairs whatever was done before, so that all first
tokens came out alike. Bad surprises count less than good ones (an expectile, Newey & Powell, Econometrica 1987),
because of all expressions only the best matters.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm import grammar
from rsrm._jit import njit, njit_leaf
from rsrm.agents.genetic import offer
from rsrm.agents.rng import below, mix, uniform
from rsrm.agents.scoring import MAX_CONSTANTS, fit_inner, score
from rsrm.agents.seen import refuse
from rsrm.expression import expand
from rsrm.metrics import reward

DEPTHS, SLOTS = 3, 3
"""Buckets of depth (two levels each) and of open slots (1, 2, more)."""
TRACE = 0.8
"""Lambda of the lambda-return."""
CAUTION = 0.2
"""Weight of bad surprises where expressions are written token by token: of many, the one best counts."""


class Work(NamedTuple):
    """Work arrays of episodes; L longest expression, K tokens."""

    state: np.ndarray  # int32[grammar.state_size]
    tokens: np.ndarray  # int16[L], the prefix
    mask: np.ndarray  # int8[K], legal actions
    expanded: np.ndarray  # int16[L], promoted operators written out
    constants: np.ndarray  # float64[MAX_CONSTANTS]
    rows: np.ndarray  # int64[L], Q-table row of each step
    actions: np.ndarray  # int64[L]
    nodes: np.ndarray  # int64[L + 1], tree nodes passed in selection
    prior: np.ndarray  # float64[K]
    written: np.ndarray  # uint64[2**p], expressions of earlier episodes, see :func:`is_news`


def new_work(limits: grammar.Limits) -> Work:
    """Return work arrays for episodes under `limits`."""
    size, k = limits.max_size, limits.cells.shape[1]
    return Work(np.zeros(grammar.state_size(limits), np.int32), np.zeros(size, np.int16), np.zeros(k, np.int8),
                np.zeros(size, np.int16), np.zeros(MAX_CONSTANTS), np.zeros(size, np.int64), np.zeros(size, np.int64),
                np.zeros(size + 1, np.int64), np.zeros(k), np.zeros(1 << 15, np.uint64))


def new_tables(n_tokens: int) -> np.ndarray:
    """Return two Q tables of zeros, float64[2, S, K], for an alphabet of K tokens."""
    return np.zeros((2, (n_tokens + 1) ** 2 * DEPTHS * SLOTS, n_tokens))


@njit_leaf
def abstract(parent, sibling, depth, open_slots, n_tokens):
    """Return the row of the Q tables for the slot that comes next; tokens are -1 where there is none."""
    d = min((depth - 1) // 2, DEPTHS - 1)
    o = min(open_slots, SLOTS) - 1
    return np.int64((((parent + 1) * (n_tokens + 1) + sibling + 1) * DEPTHS + d) * SLOTS + o)


@njit_leaf
def choose(rng, q, row, mask, epsilon, temperature):
    """Return a legal action: uniform with probability `epsilon`, else drawn from the softmax of the mean Q value.

    Two numbers of `rng` are used whatever the outcome.
    """
    first, second = uniform(rng), uniform(rng)
    n = mask.shape[0]
    top = -math.inf
    if first >= epsilon:
        for t in range(n):
            if mask[t] == 1:
                top = max(top, q[0, row, t] + q[1, row, t])
    total = 0.0
    scale = 0.5 / temperature
    for t in range(n):
        if mask[t] == 1:
            total += 1.0 if first < epsilon else math.exp((q[0, row, t] + q[1, row, t] - top) * scale)
    level = second * total
    last = -1
    for t in range(n):
        if mask[t] == 1:
            last = t
            level -= 1.0 if first < epsilon else math.exp((q[0, row, t] + q[1, row, t] - top) * scale)
            if level < 0.0:
                break
    return last


@njit_leaf
def learn_path(rng, q, rows, actions, steps, gain, alpha, trace, caution):
    """Learn one episode backwards, in place.

    Parameters
    ----------
    rng : uint64[1]
    q : float64[2, S, K]
    rows, actions : int64[>=steps]
        States and what was done there.
    gain : float
        The reward at the end.
    alpha : float
        Step size.
    trace : float
        Lambda of the lambda-return: 0 learns from the next state's value alone, 1 from the reward alone.
    caution : float
        Weight of bad surprises: at 1 the tables tend to means, below it to high expectiles.
    """
    back = gain
    for k in range(steps - 1, -1, -1):
        a = below(rng, 2)
        goal = gain
        if k < steps - 1:
            # The action that was taken next is among those that were legal; others may not be, and their zeros lose
            # against any learned value.
            row = rows[k + 1]
            best = actions[k + 1]
            for t in range(q.shape[2]):
                if q[a, row, t] > q[a, row, best]:
                    best = t
            goal = (1.0 - trace) * q[1 - a, row, best] + trace * back
        back = goal
        surprise = goal - q[a, rows[k], actions[k]]
        q[a, rows[k], actions[k]] += alpha * surprise * (1.0 if surprise > 0.0 else caution)


@njit_leaf
def is_news(written, actions, steps):
    """Return whether an expression was not written before, as far as the table `written` remembers, and note it."""
    key = np.uint64(0)
    for k in range(steps):
        key = mix(key + np.uint64(actions[k] + 1))
    return not refuse(written, key, steps)


@njit  # no leaf: what writes out promoted operators allocates
def run_episodes(rng, q, learn, epsilon, temperature, alpha, eta, mode, limits, tables, data, scratch, front, work,
                 gains):
    """Run ``len(gains)`` episodes; write their rewards into `gains`.

    With ``epsilon=1`` and no learning this is the random agent. `work` is :class:`Work`; the reward is
    ``eta**length / (1 + NRMSE)``, with the NRMSE of the scoring mode.
    """
    state, tokens, mask, expanded, constants = work.state, work.tokens, work.mask, work.expanded, work.constants
    rows, actions = work.rows, work.actions
    for episode in range(gains.shape[0]):
        grammar.reset(state, limits)
        steps = 0
        done = False
        while not done:
            grammar.legal_actions(state, limits, mask)
            parent, sibling, depth, open_slots = grammar.context(state, limits)
            row = abstract(parent, sibling, depth, open_slots, mask.shape[0])
            t = choose(rng, q, row, mask, epsilon, temperature)
            rows[steps], actions[steps] = row, t
            steps += 1
            done = grammar.append(state, tokens, t, limits)
        error = judge(tokens, steps, expanded, constants, mode, tables, data, scratch, front)
        gains[episode] = reward(steps, error, eta)
        if learn:
            # The same expression again is worth nothing: without this the policy repeats its best for ever.
            news = is_news(work.written, actions, steps)
            learn_path(rng, q, rows, actions, steps, gains[episode] if news else 0.0, alpha, TRACE, CAUTION)


@njit
def write_expanded(tokens, n, tables, out):
    """Write ``tokens[:n]`` with promoted operators written out into `out`; return the length, -1 if it does not fit."""
    plain = True
    for k in range(n):
        out[k] = tokens[k]
        plain &= tables.body_length[tokens[k]] == 0
    return n if plain else np.int64(expand(tokens, n, tables, out))


@njit
def judge(tokens, n, expanded, constants, mode, tables, data, scratch, front):
    """Return the NRMSE of a finished episode, after fitting its constants, and offer it to the front."""
    size = write_expanded(tokens, n, tables, expanded)
    m = 0
    for k in range(size):
        if expanded[k] == tables.n_variables:
            constants[min(m, constants.shape[0] - 1)] = 1.0
            m += 1
    if size <= 0 or m > constants.shape[0]:
        return math.inf
    if m > 0 and not fit_inner(expanded, size, m, constants, mode, 0, 6, data, tables, scratch):
        return math.inf
    error, _ = score(expanded, size, constants, mode, 0, data, tables, scratch)
    if error < math.inf:
        offer(front, expanded, size, constants, error, mode, 0)
    return error


@njit_leaf
def closeness(error):
    """Return the reward of an NRMSE between 0 and 1 on a logarithmic scale: 0.5 at 0.09, 0.85 at 0.01."""
    return max(0.0, 1.0 - math.log(1.0 + 100.0 * error) / math.log(101.0))
