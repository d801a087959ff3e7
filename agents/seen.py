"""What was already scored: bounded tables of hashes.

Two keys refuse a repeat. The *token key* is canonical over commutative operators; the *value key* describes the
residual that an expression leaves, so that algebraic twins meet. A table is a direct-mapped uint32 array: a new key
overwrites the old one in its slot, which bounds memory and never refuses an expression that was not scored (up to a
collision of 24 hash bits in the same slot, one in ten million looks). Small entries keep the tables in the cache: a
look costs half of what it does with 64 bits.
"""

import numpy as np

from rsrm._jit import njit_leaf
from rsrm.agents.rng import mix
from rsrm.grammar import INVERSE_PAIRS, TRIGONOMETRIC
from rsrm.primitives import BY_NAME, OP_ADD, OP_MUL, OP_VARIABLE

LENGTH_BITS = np.uint32(255)
_SHIFT = np.uint64(32)
ILLEGAL = 1 << 20
"""Depth reported for an expression that breaks a rule: deeper than any limit."""
_ONE = np.uint64(1)
_HAS_VARIABLE = np.uint64(1 << OP_VARIABLE)


def make_rules(nested_constraints: dict | None = None, nested_trigonometry: bool = False,
               inverse_pairs: bool = False) -> np.ndarray:
    """Return uint64[2, 64]: by opcode, bit sets of the opcodes that may not stand anywhere below, and directly below.

    Arguments as in :func:`rsrm.grammar.make_limits`; of `nested_constraints` only limits of zero can be expressed.
    """
    below, directly = [0] * 64, [0] * 64
    trigonometric = [BY_NAME[name].opcode for name in TRIGONOMETRIC]
    if not nested_trigonometry:
        for op in trigonometric:
            below[op] |= sum(1 << inner for inner in trigonometric)
    for outer, inside in (nested_constraints or {}).items():
        below[BY_NAME[outer].opcode] |= sum(1 << BY_NAME[inner].opcode for inner, n in inside.items() if n == 0)
    if not inverse_pairs:
        for outer, inner in INVERSE_PAIRS:
            directly[BY_NAME[outer].opcode] |= 1 << BY_NAME[inner].opcode
    return np.array([below, directly], np.uint64)


@njit_leaf
def stir(z):
    """Return a bijection of a uint64 whose high bits depend on all input bits: half of :func:`rsrm.agents.rng.mix`."""
    z = (z ^ (z >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return z ^ (z >> np.uint64(29))


@njit_leaf
def fingerprint(tokens, n, rules, tables, hashes, contents, depths):
    """Return ``(hash, depth)`` of ``tokens[:n]``; the hash ignores the order of arguments of add and mul.

    The depth is ILLEGAL where `rules` are broken or an operator has constants only below it. `hashes`, `contents`
    (uint64[>=n + 1]) and `depths` (int64[>=n + 1]) are scratch.
    """
    top = 0
    illegal = False
    for k in range(n - 1, -1, -1):
        t = tokens[k]
        own = stir(np.uint64(t + 1) * np.uint64(0x9E3779B97F4A7C15))
        arity = tables.arity[t]
        op = np.int64(tables.opcode[t])
        bit = _ONE << np.uint64(op)
        if arity == 0:
            hashes[top] = own
            contents[top] = bit
            depths[top] = 1
            top += 1
            continue
        inside = contents[top - 1]
        child = _ONE << np.uint64(tables.opcode[tokens[k + 1]])
        if arity == 1:
            hashes[top - 1] = stir(hashes[top - 1] + own)
            depths[top - 1] += 1
        else:
            first, second = hashes[top - 1], hashes[top - 2]
            if op == OP_ADD or op == OP_MUL:
                h = stir((first + second) ^ own)
            else:
                h = stir(stir(first + own) + second)
            depth = max(depths[top - 1], depths[top - 2]) + 1
            inside |= contents[top - 2]
            top -= 1
            hashes[top - 1] = h
            depths[top - 1] = depth
        illegal |= ((inside & rules[0, op]) | (child & rules[1, op])) != np.uint64(0)
        illegal |= (inside & _HAS_VARIABLE) == np.uint64(0)
        contents[top - 1] = inside | bit
    return mix(hashes[0]), ILLEGAL if illegal else depths[0]


@njit_leaf
def refuse(table, key, n):
    """Return whether `key` was stored with a length of at most `n`; store it with `n` otherwise.

    table : uint32[2**p], changed in place; 0 marks an empty slot. `key` is a uint64.
    """
    slot = key & np.uint64(table.shape[0] - 1)
    held = table[slot]
    tag = np.uint32(key >> _SHIFT) & ~LENGTH_BITS
    length = np.uint32(min(n, 255))
    if held != np.uint32(0) and (held & ~LENGTH_BITS) == tag and (held & LENGTH_BITS) <= length:
        return True
    table[slot] = tag | length
    return False
