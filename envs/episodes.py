"""Many episodes as one record of arrays, stepped in one compiled call.

The single environment is the case of one episode, so that both shells share every transition and every reward.
"""

from typing import NamedTuple

import numpy as np

from rsrm import grammar
from rsrm._jit import njit, njit_leaf
from rsrm.constants import Workspace, fit_constants_starts, workspace
from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import expand
from rsrm.library import PAD
from rsrm.metrics import nrmse, reward

FLOOR = 0.0
"""Reward of an illegal action, and of an expression that is not finite on every row."""

CONTEXT = ("action", "parent", "sibling", "depth", "open_slots")
"""Columns of the context observation."""

CONTINUES, COMPLETE, ILLEGAL = 0, 1, 2
"""What became of an episode by an action."""


MAX_ITER = 30
"""Most evaluations per start of a fit."""


class Task(NamedTuple):
    """What episodes are scored on."""

    X: np.ndarray  # float64[D, R]
    y: np.ndarray  # float64[R]
    weights: np.ndarray  # float64[0]: all rows count alike
    scale: float
    eta: float
    starts: np.ndarray  # float64[S, C]; where fits of constants begin, none if they stay 1


class Episodes(NamedTuple):
    """N episodes and the results of their last step; L = max_size, K tokens, S state fields, C constants."""

    state: np.ndarray  # int32[N, S]
    tokens: np.ndarray  # int16[N, L], PAD after the prefix: the observation of kind "tokens"
    context: np.ndarray  # int16[N, 5]: the observation of kind "context"
    mask: np.ndarray  # int8[N, K]
    rewards: np.ndarray  # float64[N]
    status: np.ndarray  # int8[N]; CONTINUES, COMPLETE or ILLEGAL by the last step
    final: "Final"


class Final(NamedTuple):
    """About the episode that ended last in each place."""

    error: np.ndarray  # float64[N]; NRMSE, infinite where the expression is not finite or not complete
    complexity: np.ndarray  # int32[N]; 0 if it was not complete
    tokens: np.ndarray  # int16[N, L]
    context: np.ndarray  # int16[N, 5]
    constants: np.ndarray  # float64[N, C]; from left to right


class Scratch(NamedTuple):
    """What scoring an expression writes over."""

    expanded: np.ndarray  # int16[L]
    stack: np.ndarray  # float64[L + 1, BLOCK]
    values: np.ndarray  # float64[R]
    fit: Workspace


def allocate(n: int, limits: grammar.Limits) -> Episodes:
    """Return the arrays of `n` episodes, not yet begun."""
    size, k = limits.max_size, limits.cells.shape[1]
    final = Final(np.full(n, np.inf), np.zeros(n, np.int32), np.full((n, size), PAD, np.int16),
                  np.full((n, len(CONTEXT)), grammar.EMPTY, np.int16), np.ones((n, max(1, limits.max_constants))))
    return Episodes(np.zeros((n, grammar.state_size(limits)), np.int32), np.full((n, size), PAD, np.int16),
                    np.full((n, len(CONTEXT)), grammar.EMPTY, np.int16), np.zeros((n, k), np.int8), np.zeros(n),
                    np.zeros(n, np.int8), final)


def allocate_scratch(limits: grammar.Limits, n_rows: int) -> Scratch:
    """Return what :func:`score` writes over."""
    return Scratch(np.empty(limits.max_size, np.int16), np.empty((limits.max_size + 1, BLOCK)), np.empty(n_rows),
                   workspace(limits.max_size, limits.max_constants, n_rows))


@njit_leaf
def _observe(state, context, mask, action, limits):
    grammar.legal_actions(state, limits, mask)
    context[0] = action
    context[1], context[2], context[3], context[4] = grammar.context(state, limits)


@njit_leaf
def begin(state, tokens, context, mask, limits):
    """Begin one episode anew, in place."""
    for k in range(state[grammar.LENGTH]):
        tokens[k] = PAD
    grammar.reset(state, limits)
    _observe(state, context, mask, grammar.EMPTY, limits)


@njit_leaf
def advance(state, tokens, context, mask, action, limits):
    """Append `action` to one episode, in place; return CONTINUES, COMPLETE or ILLEGAL.

    The action may be any integer; `mask` is the mask before it.
    """
    if action < 0 or action >= limits.n_tokens or mask[action] == 0:
        state[grammar.OPEN] = 0
        _observe(state, context, mask, grammar.EMPTY, limits)
        return ILLEGAL
    complete = grammar.append(state, tokens, action, limits)
    _observe(state, context, mask, action, limits)
    return COMPLETE if complete else CONTINUES


@njit
def score(tokens, length, constants, task, tables, scratch):
    """Score the complete expression ``tokens[:length]``.

    Parameters
    ----------
    tokens : int16[>= length]
    length : int
    constants : float64[C]
        Overwritten by the fitted values from left to right; 1 without a fit.
    task : Task
    tables : Tables
    scratch : Scratch

    Returns
    -------
    reward : float
    error : float
        NRMSE; infinite where the expression is not finite.
    complexity : int
    """
    promoted, n_constants, n = False, 0, length
    for k in range(length):
        promoted |= tables.body_length[tokens[k]] > 0
    if promoted:
        n = expand(tokens, length, tables, scratch.expanded)
    else:
        for k in range(n):
            scratch.expanded[k] = tokens[k]
    for k in range(n):
        n_constants += scratch.expanded[k] == tables.n_variables
    for c in range(constants.shape[0]):
        constants[c] = 1.0
    if n_constants > 0 and task.starts.shape[0] > 0:
        fit_constants_starts(scratch.expanded, n, task.starts, task.X, task.y, task.weights, tables, MAX_ITER,
                             constants, scratch.fit)
    ok = evaluate(scratch.expanded, n, constants, task.X, tables, scratch.stack, scratch.values)
    error = nrmse(scratch.values, task.y, task.scale) if ok else np.inf
    if not error < np.inf:  # squares may overflow although the values are finite
        error = np.inf
    return reward(length, error, task.eta), error, n


@njit_leaf
def begin_all(episodes, which, limits):
    """Begin every episode i with ``which[i]``, in place; what the last steps returned stays."""
    for i in range(which.shape[0]):
        if which[i]:
            begin(episodes.state[i], episodes.tokens[i], episodes.context[i], episodes.mask[i], limits)


@njit_leaf
def refresh_masks(episodes, limits):
    """Write the masks anew, for limits that have changed, in place."""
    for i in range(episodes.mask.shape[0]):
        grammar.legal_actions(episodes.state[i], limits, episodes.mask[i])


@njit_leaf
def advance_all(episodes, actions, restart, limits):
    """Advance every episode by its action, int64[N], in place; :func:`finish_all` writes the rewards.

    With `restart`, an episode that ended before begins anew and ignores its action.
    """
    status = episodes.status
    for i in range(actions.shape[0]):
        state, tokens, context, mask = episodes.state[i], episodes.tokens[i], episodes.context[i], episodes.mask[i]
        if restart and status[i] != CONTINUES:
            begin(state, tokens, context, mask, limits)
            status[i] = CONTINUES
        else:
            status[i] = advance(state, tokens, context, mask, actions[i], limits)


@njit
def finish_all(episodes, task, tables, scratch):
    """Write the rewards of a step, and all about the episodes that it ended, in place; return how many those are."""
    final, rewards = episodes.final, episodes.rewards
    ended = 0
    for i in range(rewards.shape[0]):
        rewards[i] = 0.0
        if episodes.status[i] == CONTINUES:
            continue
        ended += 1
        # Loops, because assigning rows takes two seconds to compile.
        for k in range(final.tokens.shape[1]):
            final.tokens[i, k] = episodes.tokens[i, k]
        for k in range(final.context.shape[1]):
            final.context[i, k] = episodes.context[i, k]
        if episodes.status[i] == ILLEGAL:
            rewards[i], final.error[i], final.complexity[i] = FLOOR, np.inf, 0
        else:
            length = np.int64(episodes.state[i, grammar.LENGTH])
            rewards[i], final.error[i], final.complexity[i] = score(
                episodes.tokens[i], length, final.constants[i], task, tables, scratch)
    return ended
