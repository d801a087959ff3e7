"""Compiled parts of the matching: best lists, distinct directions, passes over matrix products, hash joins.

Scores are unexplained fractions of variance; the formulas stand in :mod:`rsrm.matching`.
"""

import math

import numpy as np

from rsrm._jit import njit
from rsrm.bank_store import find_key, slot_of, value_key

EXACT_SCORE = 1e-11
"""Scores below this are rounding errors and count as equal, so that the first, i.e. simplest, entry wins."""
KEPT = 1e-7
"""An entry is refused if the basis explains all but this fraction of its sum of squares: what is left is rounding."""
COLLINEAR = 1e-6
"""Pairs with ``1 - g**2`` below this are refused: their fit would live on cancellation."""


@njit
def offer(scores, first, second, score, i, j):
    """Insert (score, i, j) into the ascending list if it is among the best; return nothing."""
    k = scores.shape[0] - 1
    if not score < scores[k]:
        return
    while k > 0 and score < scores[k - 1]:
        scores[k] = scores[k - 1]
        first[k] = first[k - 1]
        second[k] = second[k - 1]
        k -= 1
    scores[k] = score
    first[k] = i
    second[k] = j


@njit
def offer_singles(values, start, dots, n_targets, scores, first, second):
    """Offer entries; `dots` are their products with the targets and then with the basis."""
    for i in range(values.shape[0]):
        square = 0.0
        for s in range(values.shape[1]):
            square += values[i, s] * values[i, s]
        left = square
        for k in range(n_targets, dots.shape[1]):
            left -= dots[i, k] * dots[i, k]
        if not left > KEPT * square:
            continue
        for t in range(n_targets):
            score = 1.0 - dots[i, t] * dots[i, t] / left
            if score < scores[t, scores.shape[1] - 1]:
                offer(scores[t], first[t], second[t], max(score, 0.0) if score > EXACT_SCORE else 0.0, start + i, -1)


@njit
def distinct_projections(values, hi, basis, probes, out, index):
    """Project entries below `hi` off the basis, normalise, and keep the first of each direction.

    Parameters
    ----------
    values : float64[N, S]
        NaN in the first row marks an entry to be left out.
    basis : float64[k, S]
        Orthonormal rows.
    probes : float64[2, S]
        As in the bank.
    out : float64[M, S]
        Overwritten with unit vectors.
    index : int64[M]
        Overwritten with the entries they come from.

    Returns
    -------
    m : int
        Number of directions found.
    """
    rows = values.shape[1]
    size = 16
    while size < 4 * out.shape[0]:
        size *= 2
    table = np.zeros(size, np.int32)
    keys = np.empty(out.shape[0], np.int64)
    v = np.empty(rows)
    m = 0
    for i in range(hi):
        if m == out.shape[0]:
            break
        square = 0.0
        for s in range(rows):
            v[s] = values[i, s]
            square += v[s] * v[s]
        if not square < np.inf:
            continue
        for _ in range(2):
            for k in range(basis.shape[0]):
                dot = 0.0
                for s in range(rows):
                    dot += v[s] * basis[k, s]
                for s in range(rows):
                    v[s] -= dot * basis[k, s]
        left = 0.0
        for s in range(rows):
            left += v[s] * v[s]
        if not left > KEPT * square:
            continue
        scale = 1.0 / math.sqrt(left)
        for s in range(rows):
            # Cancellation leaves fewer digits than the bank's keys assume; coarser values keep copies together.
            v[s] = v[s] * scale
            out[m, s] = v[s]
        key, ok = value_key(out[m], probes)
        if not ok:
            continue
        slot = slot_of(key, size)
        known = False
        while table[slot] != 0:
            if keys[table[slot] - 1] == key:
                known = True
                break
            slot = (slot + 1) & (size - 1)
        if known:
            continue
        table[slot] = m + 1
        keys[m] = key
        index[m] = i
        m += 1
    return m


@njit
def scan_pairs(gram, row, col, dots, scores, first, second):
    """Offer the pairs i < j of a block of the Gram matrix, ``gram[i, j] = U[row + i] . U[col + j]``.

    `dots` is float64[T, M], the products of the unit vectors with the targets.
    """
    for t in range(dots.shape[0]):
        worst = min(scores[t, scores.shape[1] - 1], 1.0)
        for i in range(gram.shape[0]):
            a = dots[t, row + i]
            start = max(0, row + i + 1 - col)
            # A pass without branches, which vectorizes, and a second one for the few rows where something is there.
            n = 0
            for j in range(start, gram.shape[1]):
                g = gram[i, j]
                b = dots[t, col + j]
                room = 1.0 - g * g
                n += room - a * a - b * b + 2.0 * a * b * g < worst * room
            if n == 0:
                continue
            for j in range(start, gram.shape[1]):
                g = gram[i, j]
                b = dots[t, col + j]
                room = 1.0 - g * g
                if room - a * a - b * b + 2.0 * a * b * g < worst * room and room > COLLINEAR:
                    score = 1.0 - (a * a + b * b - 2.0 * a * b * g) / room
                    if score < EXACT_SCORE:
                        score = 0.0
                    offer(scores[t], first[t], second[t], score, row + i, col + j)
                    worst = min(scores[t, scores.shape[1] - 1], 1.0)


@njit
def offer_products(explained, square, dot, row, col, triangular, scores, first, second):
    """Offer products ``p = f*h``: sums of squares in `square`, their part inside the basis in `explained`."""
    worst = min(scores[scores.shape[0] - 1], 1.0)
    for i in range(dot.shape[0]):
        start = i if triangular else 0
        n = 0
        for j in range(start, dot.shape[1]):
            left = square[i, j] - explained[i, j]
            n += left - dot[i, j] * dot[i, j] < worst * left
        if n == 0:
            continue
        for j in range(start, dot.shape[1]):
            left = square[i, j] - explained[i, j]
            d = dot[i, j]
            if left - d * d < worst * left and left > KEPT * square[i, j]:
                score = 1.0 - d * d / left
                if score < EXACT_SCORE:
                    score = 0.0
                offer(scores, first, second, score, row + i, col + j)
                worst = min(scores[scores.shape[0] - 1], 1.0)


@njit
def add_squares(part, total):
    """Add the squares of `part` to `total`."""
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            total[i, j] += part[i, j] * part[i, j]


@njit
def join_products(values, lo, hi, target, keys, table, probes, out):
    """Look up ``target / f`` and ``target * f`` for entries lo..hi-1; write (i, j, sign) to `out`, return how many.

    Sign 1 says target = a f g, sign -1 target = a g / f.
    """
    v = np.empty(values.shape[1])
    n = 0
    for i in range(lo, hi):
        for sign in (1, -1):
            for s in range(v.shape[0]):
                v[s] = target[s] / values[i, s] if sign == 1 else target[s] * values[i, s]
            key, ok = value_key(v, probes)
            if not ok:
                continue
            j = find_key(key, keys, table)
            if j >= 0 and n < out.shape[0]:
                out[n, 0] = i
                out[n, 1] = j
                out[n, 2] = sign
                n += 1
    return n
