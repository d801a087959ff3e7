"""Genetic refinement: steady-state evolution of token arrays, restarted with rotating scores (the paper's GP block).

A round runs inside one compiled call. Each attempt breeds a child by crossover or mutation, refuses it if it was
scored before (by tokens, then by value), scores it with its outer constants solved, and lets it take the place of the
loser of a small tournament. A population that stalls is dropped, and the next one scores with the next entry of a
schedule of ``(mode, target)`` pairs; the front of best expressions per complexity outlives restarts.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.agents.rng import below, uniform
from rsrm.agents.scoring import MAX_CONSTANTS, RAW, fit_inner, score, score_snapped
from rsrm.agents.seen import fingerprint, refuse
from rsrm.agents.variation import cross, mutate, put_random

# Rows of `Genetic.counters`.
SCORED, ATTEMPTS, STALLED, RESTARTS, SIZE, IMPROVED = 0, 1, 2, 3, 4, 5
N_COUNTERS = 6


class Settings(NamedTuple):
    """Numbers that steer a search, fixed for its life."""

    max_depth: int
    patience: int  # scored expressions without a better best before a restart
    tournament: int
    crossover: float  # share of children bred by crossover
    fragment_rate: float  # share of new leaves drawn from the fragments
    parsimony: float  # fitness added per node; fitness is log(nrmse)
    exact: float  # nrmse at which a target counts as explained
    iterations: int  # of Levenberg-Marquardt for a new expression with constants
    snap: bool  # outer constants must be simple numbers (libraries without fitted constants)
    constant: int  # token id of the fitted constant


class Genetic(NamedTuple):
    """The state of one evolving population; P individuals, L longest expression, Q complexities, S schedule entries."""

    tokens: np.ndarray  # int16[P, L]
    lengths: np.ndarray  # int64[P]
    constants: np.ndarray  # float64[P, MAX_CONSTANTS]
    fitness: np.ndarray  # float64[P], lower is better
    modes: np.ndarray  # int64[S], scoring mode of each restart, in turn
    targets: np.ndarray  # int64[S]
    best: np.ndarray  # float64[1], best fitness since the restart
    counters: np.ndarray  # int64[N_COUNTERS]
    token_keys: np.ndarray  # uint32[2**p]
    value_keys: np.ndarray  # uint32[2**p]
    child: np.ndarray  # int16[L]
    child_constants: np.ndarray  # float64[MAX_CONSTANTS]
    rules: np.ndarray  # uint64[2, 64], see rsrm.agents.seen.make_rules
    hashes: np.ndarray  # uint64[L + 1], scratch
    contents: np.ndarray  # uint64[L + 1], scratch
    depths: np.ndarray  # int64[L + 1], scratch


class Front(NamedTuple):
    """Best expression per complexity, outer constants not yet written out; Q complexities."""

    tokens: np.ndarray  # int16[Q, L]
    lengths: np.ndarray  # int64[Q]; 0 marks an empty row
    constants: np.ndarray  # float64[Q, MAX_CONSTANTS]
    loss: np.ndarray  # float64[Q]
    modes: np.ndarray  # int64[Q]
    targets: np.ndarray  # int64[Q]
    changed: np.ndarray  # bool[Q], set when a row improves, cleared by the reader


def new_genetic(max_length, population, schedule, rules, table_bits=19) -> Genetic:
    """Return an empty state; `schedule` is a sequence of ``(mode, target)`` pairs."""
    schedule = np.array(schedule, np.int64).reshape(-1, 2)
    return Genetic(
        np.zeros((population, max_length), np.int16), np.zeros(population, np.int64),
        np.zeros((population, MAX_CONSTANTS)), np.full(population, np.inf), schedule[:, 0].copy(),
        schedule[:, 1].copy(), np.full(1, np.inf), np.zeros(N_COUNTERS, np.int64),
        np.zeros(1 << table_bits, np.uint32), np.zeros(1 << table_bits, np.uint32), np.zeros(max_length, np.int16),
        np.zeros(MAX_CONSTANTS), rules, np.zeros(max_length + 1, np.uint64), np.zeros(max_length + 1, np.uint64),
        np.zeros(max_length + 1, np.int64))


def new_front(max_length) -> Front:
    """Return an empty front with room for the outer constants' nodes."""
    q = 2 * max_length + 24
    return Front(np.zeros((q, max_length), np.int16), np.zeros(q, np.int64), np.zeros((q, MAX_CONSTANTS)),
                 np.full(q, np.inf), np.zeros(q, np.int64), np.zeros(q, np.int64), np.zeros(q, np.bool_))


@njit_leaf
def copy(source, target, n):
    """Copy the first `n` elements; a slice would be compiled with the texts of its errors."""
    for i in range(n):
        target[i] = source[i]


@njit_leaf
def outer_nodes(mode, target):
    """Return about how many nodes the outer constants and the inverse of the target add to an expression."""
    nodes = 0 if target == 0 else 1
    if mode == RAW:
        return nodes
    return nodes + 4 * max(1, abs(mode)) - (0 if mode == 1 else 3)


@njit_leaf
def offer(front, tokens, n, constants, loss, mode, target):
    """Put an expression into the front if no simpler or equal one is as good; return whether it went in."""
    held = front.loss
    row = min(n + outer_nodes(mode, target), held.shape[0] - 1)
    for q in range(row + 1):
        if held[q] <= loss * 1.0001 + 1e-14:
            return False
    copy(tokens, front.tokens[row], n)
    front.lengths[row] = n
    copy(constants, front.constants[row], constants.shape[0])
    front.loss[row] = loss
    front.modes[row] = mode
    front.targets[row] = target
    front.changed[row] = True
    return True


@njit_leaf
def could_enter(front, n, loss, mode, target):
    """Return whether :func:`offer` would accept; a cheap test before costly refinement."""
    held = front.loss
    row = min(n + outer_nodes(mode, target), held.shape[0] - 1)
    for q in range(row + 1):
        if held[q] <= loss * 1.0001 + 1e-14:
            return False
    return True


@njit_leaf
def compete(rng, fitness, size, rounds, sign):
    """Return the index with the lowest ``sign * fitness`` among `rounds` random ones of the first `size`."""
    winner = below(rng, size)
    for _ in range(rounds - 1):
        i = below(rng, size)
        if sign * fitness[i] < sign * fitness[winner]:
            winner = i
    return winner


@njit_leaf
def breed(rng, tokens, lengths, constants, fitness, size, symbols, fragments, values, arity, settings, child,
          child_constants):
    """Write a child of the population into `child`; return ``(n, m, structural)``.

    Until the population is full, children are random trees.
    """
    rate, constant = settings.fragment_rate, settings.constant
    if size < lengths.shape[0]:
        n, m = put_random(rng, symbols, fragments, values, 2 + below(rng, 11), rate, constant, child, child_constants,
                          0, 0)
        return n, m, True
    i = compete(rng, fitness, size, settings.tournament, 1.0)
    if uniform(rng) < settings.crossover:
        j = compete(rng, fitness, size, settings.tournament, 1.0)
        n, m = cross(rng, tokens[i], lengths[i], constants[i], tokens[j], lengths[j], constants[j], arity, constant,
                     child, child_constants)
        return n, m, True
    return mutate(rng, tokens[i], lengths[i], constants[i], symbols, fragments, values, rate, arity, constant, child,
                  child_constants)


@njit_leaf
def restart(state):
    """Forget the population and go to the next entry of the schedule."""
    state.counters[RESTARTS] += 1
    state.counters[SIZE] = 0
    state.counters[STALLED] = 0
    state.best[0] = math.inf
    for i in range(state.fitness.shape[0]):
        state.fitness[i] = math.inf


@njit_leaf
def evolve(rng, state, front, alphabet, settings, data, head, tables, scratch, head_scratch, budget):
    """Score `budget` new expressions, or fewer if an exact one is found; return how many were scored.

    Parameters
    ----------
    rng : uint64[1]
    state : Genetic
    front : Front
    alphabet : rsrm.agents.variation.Alphabet
    settings : Settings
    data, head : rsrm.agents.scoring.Data
        All rows, and the first of them for early rejection (the same object where rows are few).
    tables : rsrm.library.Tables
    scratch, head_scratch : rsrm.agents.scoring.Scratch
    budget : int

    All state arrays are changed in place; nothing else is kept between calls.
    """
    arity, counters = tables.arity, state.counters
    child, child_constants, fitness = state.child, state.child_constants, state.fitness
    tokens, lengths, constants = state.tokens, state.lengths, state.constants
    symbols, fragments, values = alphabet.symbols, alphabet.fragments, alphabet.constants
    capacity = lengths.shape[0]
    rules, hashes, contents, depths = state.rules, state.hashes, state.contents, state.depths
    token_keys, value_keys = state.token_keys, state.value_keys
    slot = np.int64(-1)
    mode, target, salt = 0, 0, np.uint64(0)
    split = head.X.shape[1] < data.X.shape[1]
    scored = 0
    idle = 0
    while scored < budget:
        if counters[STALLED] > settings.patience or idle > 20000:
            restart(state)
            idle = 0
        if counters[RESTARTS] % state.modes.shape[0] != slot:
            slot = counters[RESTARTS] % state.modes.shape[0]
            mode, target = state.modes[slot], state.targets[slot]
            salt = np.uint64(slot + 1) * np.uint64(0xD1B54A32D192ED03)
        idle += 1
        counters[ATTEMPTS] += 1
        size = counters[SIZE]
        n, m, structural = breed(rng, tokens, lengths, constants, fitness, size, symbols, fragments, values, arity,
                                 settings, child, child_constants)
        if n <= 0:
            continue
        key, depth = fingerprint(child, n, rules, tables, hashes, contents, depths)
        if depth > settings.max_depth or (structural and refuse(token_keys, key ^ salt, n)):
            continue
        victim = size
        if size == capacity:
            victim = compete(rng, fitness, size, 3, -1.0)
        worst = fitness[victim]
        scored += 1
        counters[STALLED] += 1
        if m > 0 and not fit_inner(child, n, m, child_constants, mode, target, settings.iterations,
                                   head, tables, head_scratch):
            continue
        if split:
            loss, value = score(child, n, child_constants, mode, target, head, tables, head_scratch)
            # The first rows flatter an expression whose outer constants are fitted to them, so a loss there that is
            # well above the victim's is decisive.
            if not math.log(loss + 1e-16) + settings.parsimony * n < worst + 0.7:
                continue
        loss, value = score(child, n, child_constants, mode, target, data, tables, scratch)
        if not loss < math.inf or refuse(value_keys, value ^ salt, n):
            continue
        idle = 0
        quality = math.log(loss + 1e-16) + settings.parsimony * n
        if could_enter(front, n, loss, mode, target):
            if m > 0 and fit_inner(child, n, m, child_constants, mode, target, 8 * settings.iterations, data, tables,
                                   scratch):
                loss, _ = score(child, n, child_constants, mode, target, data, tables, scratch)
                quality = math.log(loss + 1e-16) + settings.parsimony * n
            entry = loss
            if settings.snap and mode != RAW:
                entry = score_snapped(target, data, scratch)
            if offer(front, child, n, child_constants, entry, mode, target):
                counters[IMPROVED] += 1
                if entry < settings.exact:
                    break
        if quality < worst:
            copy(child, tokens[victim], n)
            lengths[victim] = n
            copy(child_constants, constants[victim], child_constants.shape[0])
            fitness[victim] = quality
            if size < capacity:
                counters[SIZE] += 1
            if quality < state.best[0] - 1e-9:
                state.best[0] = quality
                counters[STALLED] = 0
    counters[SCORED] += scored
    return scored
