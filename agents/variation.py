"""Variation of expressions: random trees, crossover and mutation on token arrays.

A child is written piece by piece into a buffer: slices of its parents (a sub-tree is a slice) and new tokens, with the
constants that belong to them. Every function returns the new ends ``(n, m)`` of tokens and constants, with ``n = -1``
once a limit is passed.
"""

import math
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.agents.rng import below, normal, uniform
from rsrm.agents.scoring import MAX_CONSTANTS
from rsrm.expression import subtree_end
from rsrm.library import Library


class Alphabet(NamedTuple):
    """What new nodes are drawn from.

    Few arrays, because every array that a kernel takes from a tuple costs two atomic operations a call.
    """

    symbols: np.ndarray  # int16[3, W + 1]: by arity, their number and then the tokens, repeated as weights
    fragments: np.ndarray  # int16[F, W + 1]: length and tokens of expanded sub-trees
    constants: np.ndarray  # float64[F, MAX_CONSTANTS], of the fragments


def new_alphabet(library: Library, fragments=(), width: int = 24) -> Alphabet:
    """Return the :class:`Alphabet` of a library.

    `fragments` are expressions, kept where they fit `width` tokens.
    """
    tables = library.tables
    allowed = np.flatnonzero(tables.allowed[:library.first_promoted])
    terminals, unary, binary = (allowed[tables.arity[allowed] == a] for a in range(3))
    variables = terminals[terminals < library.n_variables]
    others = [t for t in terminals if t >= library.n_variables]
    weights = [1 if t == library.token("pi") else 3 for t in others]
    # Two in three leaves are variables, whatever their number.
    repeat = max(1, math.ceil(2 * sum(weights) / len(variables)))
    leaves = np.concatenate([np.repeat(variables, repeat), np.repeat(np.array(others, int), weights)])
    symbols = np.zeros((3, 1 + max(len(leaves), len(unary), len(binary))), np.int16)
    for row, tokens in zip(symbols, (leaves, unary, binary), strict=True):
        row[0] = len(tokens)
        row[1:1 + len(tokens)] = tokens
    kept = [f for f in fragments if f.complexity <= width and len(f.constants) <= MAX_CONSTANTS]
    packed = np.zeros((len(kept), width + 1), np.int16)
    constants = np.zeros((len(kept), MAX_CONSTANTS))
    for i, f in enumerate(kept):
        packed[i, 0] = f.complexity
        packed[i, 1:1 + f.complexity] = f.expanded
        constants[i, :len(f.constants)] = f.constants
    return Alphabet(symbols, packed, constants)


@njit_leaf
def count_constants(tokens, start, stop, constant):
    """Return how often the token `constant` stands in ``tokens[start:stop]``."""
    count = 0
    for k in range(start, stop):
        if tokens[k] == constant:
            count += 1
    return count


@njit_leaf
def put_slice(tokens, constants, start, stop, constant, child, child_constants, n, m):
    """Append ``tokens[start:stop]`` and its constants to the child."""
    if n < 0 or n + stop - start > child.shape[0]:
        return -1, m
    first = -1
    for k in range(start, stop):
        t = tokens[k]
        child[n] = t
        n += 1
        if t == constant:
            if first < 0:
                first = count_constants(tokens, 0, start, constant)
            if m >= child_constants.shape[0]:
                return -1, m
            child_constants[m] = constants[first]
            first += 1
            m += 1
    return n, m


@njit_leaf
def put_token(token, child, n):
    """Append one token that is no constant."""
    if n < 0 or n >= child.shape[0]:
        return -1
    child[n] = token
    return n + 1


@njit_leaf
def put_leaf(rng, symbols, fragments, values, fragment_rate, constant, child, child_constants, n, m):
    """Append a random terminal, or with probability `fragment_rate` a fragment."""
    if fragments.shape[0] > 0 and uniform(rng) < fragment_rate:
        i = below(rng, fragments.shape[0])
        return put_slice(fragments[i, 1:], values[i], 0, fragments[i, 0], constant, child, child_constants, n, m)
    t = symbols[0, 1 + below(rng, symbols[0, 0])]
    n = put_token(t, child, n)
    if n >= 0 and t == constant:
        if m >= child_constants.shape[0]:
            return -1, m
        child_constants[m] = 2.0 * normal(rng)
        m += 1
    return n, m


@njit_leaf
def put_random(rng, symbols, fragments, values, size, fragment_rate, constant, child, child_constants, n, m):
    """Append a random tree of about `size` nodes: operators while the open slots stay below the nodes left."""
    open_slots = 1
    used = 0
    n_unary, n_binary = symbols[1, 0], symbols[2, 0]
    while open_slots > 0 and n >= 0:
        left = size - used - open_slots
        used += 1
        wants_leaf = uniform(rng) < 0.15 and open_slots > 1
        if left >= 2 and n_binary > 0 and not wants_leaf and (n_unary == 0 or uniform(rng) < 0.65):
            n = put_token(symbols[2, 1 + below(rng, n_binary)], child, n)
            open_slots += 1
        elif left >= 1 and n_unary > 0 and not wants_leaf:
            n = put_token(symbols[1, 1 + below(rng, n_unary)], child, n)
        else:
            n, m = put_leaf(rng, symbols, fragments, values, fragment_rate, constant, child, child_constants, n, m)
            open_slots -= 1
    return n, m


@njit_leaf
def pick_node(rng, tokens, n, arity):
    """Return a random position, nine times in ten an operator's if there is one (Koza's rule)."""
    position = below(rng, n)
    if arity[tokens[position]] == 0 and uniform(rng) < 0.6:
        position = below(rng, n)
    return position


@njit_leaf
def cross(rng, a, na, ca, b, nb, cb, arity, constant, child, child_constants):
    """Write `a` with a random sub-tree replaced by one of `b` into the child; return ``(n, m)``."""
    i = pick_node(rng, a, na, arity)
    j = pick_node(rng, b, nb, arity)
    if b[j] == a[i] and arity[a[i]] == 0:
        j = pick_node(rng, b, nb, arity)  # the child would be its parent
    n, m = put_slice(a, ca, 0, i, constant, child, child_constants, 0, 0)
    n, m = put_slice(b, cb, j, subtree_end(b, j, arity), constant, child, child_constants, n, m)
    return put_slice(a, ca, subtree_end(a, i, arity), na, constant, child, child_constants, n, m)


@njit_leaf
def mutate_token(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant, child, child_constants):
    """Replace one token by another of its arity."""
    i = below(rng, na)
    kind = arity[a[i]]
    n, m = put_slice(a, ca, 0, i, constant, child, child_constants, 0, 0)
    if kind == 0:
        n, m = put_leaf(rng, symbols, fragments, values, fragment_rate, constant, child, child_constants, n, m)
    elif symbols[kind, 0] > 0:
        t = symbols[kind, 1 + below(rng, symbols[kind, 0])]
        if t == a[i]:
            t = symbols[kind, 1 + below(rng, symbols[kind, 0])]
        n = put_token(t, child, n)
    else:
        return -1, 0
    return put_slice(a, ca, i + 1, na, constant, child, child_constants, n, m)


@njit_leaf
def insert_operator(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant, child, child_constants):
    """Wrap a sub-tree (one in three times the whole) in a new operator, whose other argument is a small tree."""
    i = 0 if uniform(rng) < 0.33 else below(rng, na)
    stop = subtree_end(a, i, arity)
    n, m = put_slice(a, ca, 0, i, constant, child, child_constants, 0, 0)
    n_unary, n_binary = symbols[1, 0], symbols[2, 0]
    if n_unary > 0 and (n_binary == 0 or uniform(rng) < 0.3):
        n = put_token(symbols[1, 1 + below(rng, n_unary)], child, n)
        n, m = put_slice(a, ca, i, stop, constant, child, child_constants, n, m)
    elif n_binary > 0:
        n = put_token(symbols[2, 1 + below(rng, n_binary)], child, n)
        size = 1 + below(rng, 4) if uniform(rng) < 0.5 else 1
        left = uniform(rng) < 0.5
        if left:
            n, m = put_slice(a, ca, i, stop, constant, child, child_constants, n, m)
        n, m = put_random(rng, symbols, fragments, values, size, fragment_rate, constant, child, child_constants, n, m)
        if not left:
            n, m = put_slice(a, ca, i, stop, constant, child, child_constants, n, m)
    else:
        return -1, 0
    return put_slice(a, ca, stop, na, constant, child, child_constants, n, m)


@njit_leaf
def delete_operator(rng, a, na, ca, arity, constant, child, child_constants):
    """Replace a random operator by one of its arguments."""
    i = below(rng, na)
    for _ in range(4):
        if arity[a[i]] > 0:
            break
        i = below(rng, na)
    if arity[a[i]] == 0:
        return -1, 0
    stop = subtree_end(a, i, arity)
    first = i + 1
    if arity[a[i]] == 2 and uniform(rng) < 0.5:
        first = subtree_end(a, first, arity)
    n, m = put_slice(a, ca, 0, i, constant, child, child_constants, 0, 0)
    n, m = put_slice(a, ca, first, subtree_end(a, first, arity), constant, child, child_constants, n, m)
    return put_slice(a, ca, stop, na, constant, child, child_constants, n, m)


@njit_leaf
def replace_subtree(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant, child, child_constants):
    """Replace a random sub-tree by a small random one."""
    i = below(rng, na)
    n, m = put_slice(a, ca, 0, i, constant, child, child_constants, 0, 0)
    n, m = put_random(rng, symbols, fragments, values, 1 + below(rng, 6), fragment_rate, constant,
                      child, child_constants, n, m)
    return put_slice(a, ca, subtree_end(a, i, arity), na, constant, child, child_constants, n, m)


@njit_leaf
def hoist(rng, a, na, ca, arity, constant, child, child_constants):
    """Keep a random sub-tree only."""
    i = pick_node(rng, a, na, arity)
    return put_slice(a, ca, i, subtree_end(a, i, arity), constant, child, child_constants, 0, 0)


@njit_leaf
def perturb(rng, a, na, ca, constant, child, child_constants):
    """Copy the parent and move its constants: by a relative step, or rounded, or with the sign turned."""
    n, m = put_slice(a, ca, 0, na, constant, child, child_constants, 0, 0)
    if m <= 0:
        return -1, 0
    j = below(rng, m)
    kind = uniform(rng)
    if kind < 0.7:
        child_constants[j] *= math.exp(normal(rng) * (1.0 if uniform(rng) < 0.3 else 0.1))
    elif kind < 0.8:
        child_constants[j] = -child_constants[j]
    else:
        child_constants[j] += normal(rng)
    return n, m


@njit_leaf
def mutate(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant, child, child_constants):
    """Write a mutant of `a` into the child; return ``(n, m, structural)``, False for moved constants only."""
    kind = uniform(rng)
    structural = True
    if kind < 0.25:
        n, m = mutate_token(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant,
                            child, child_constants)
    elif kind < 0.55:
        n, m = insert_operator(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant,
                               child, child_constants)
    elif kind < 0.68:
        n, m = delete_operator(rng, a, na, ca, arity, constant, child, child_constants)
    elif kind < 0.90:
        n, m = replace_subtree(rng, a, na, ca, symbols, fragments, values, fragment_rate, arity, constant,
                               child, child_constants)
    elif kind < 0.94:
        n, m = hoist(rng, a, na, ca, arity, constant, child, child_constants)
    else:
        structural = False
        n, m = perturb(rng, a, na, ca, constant, child, child_constants)
    return n, m, structural
