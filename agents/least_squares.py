"""Scores of one expression against one target, compiled once and called by symbol.

Rows are padded to whole vectors (:mod:`rsrm._simd`); what is beyond the data has the weight zero. Arrays cross the
border as addresses (:func:`rsrm._jit.external`). Against loops over rows that every caller had a copy of, searches at
20 rows score 1.15 times as many expressions in the modes raw and scaled, 1.2 to 1.4 times with terms.
"""

import math

import numpy as np
from numba import carray
from numba.types import float64, int64

from rsrm import vecmath
from rsrm._jit import external, njit
from rsrm._simd import (
    LANES, any_lane, as_pointer, load, load_one, load_short, splat, store, total, vabs,
)
from rsrm.elementwise import STEP
from rsrm.evaluate import ROWS, scan_block
from rsrm.expression import subtree_end
from rsrm.primitives import OP_ADD, OP_DIV, OP_INV, OP_MUL, OP_NEG, OP_SUB

MAX_TERMS = 6
RAW, SCALED = 0, 1
TARGET, CENTRED, WEIGHT, PROBE, N_ROWS = 0, 1, 2, 3, 4
"""Rows of a target's record; after them stand its mean, variance, and the probe's product with the centred target."""
PROJECTION, COUNT, SLOPES, CENTRES = 0, 1, 2, 2 + MAX_TERMS
"""Places in the head of the work memory; the slopes of terms that do not vary are zero."""
_GRAM = CENTRES + MAX_TERMS
_RHS = _GRAM + MAX_TERMS**2
_ENDS = _RHS + MAX_TERMS
HEAD = _ENDS + 2 * MAX_TERMS


def padded(rows: int) -> int:
    """Return `rows` rounded up to whole vectors."""
    return -(-rows // LANES) * LANES


def record_size(rows: int) -> int:
    """Return the number of doubles of a target's record."""
    return N_ROWS * padded(rows) + 3


def work_size(rows: int) -> int:
    """Return the number of doubles that :func:`score_external` works in."""
    return HEAD + (MAX_TERMS + 1) * padded(rows)


@njit
def split_terms(tokens, n, opcode, arity, limit, product, starts, stops):
    """Find up to `limit` top-level terms (factors if `product`) of ``tokens[:n]``; return their number.

    Signs (inverses) in front of a term are dropped: its coefficient (exponent) makes up for them.
    """
    count = 1
    starts[0], stops[0] = 0, n
    k = 0
    while k < count:
        op = opcode[tokens[starts[k]]]
        if product:
            splits, drops = op == OP_MUL or op == OP_DIV, op == OP_INV or op == OP_NEG
        else:
            splits, drops = op == OP_ADD or op == OP_SUB, op == OP_NEG
        if drops:
            starts[k] += 1
        elif splits and count < limit:
            middle = subtree_end(tokens, starts[k] + 1, arity)
            starts[count], stops[count] = middle, stops[k]
            starts[k] += 1
            stops[k] = middle
            count += 1
        else:
            k += 1
    return count


@njit
def _count(start, stop, token):
    found = 0
    for at in range(start, stop, 2):
        found += load_short(at) == token
    return found


@njit
def _fill(start, stop, constants, m, X, stride, rows, opcodes, literals, stack, out, logs):
    """Write the values of the term between two addresses, or the logs of their sizes; return whether all are finite."""
    for lo in range(0, rows, ROWS):
        b = min(ROWS, rows - lo)
        result = scan_block(start, (stop - start) // 2, constants, m, X + 8 * lo, stride, b, opcodes, literals, stack)
        check = splat(0.0)
        for i in range(0, (b + LANES - 1) // LANES * STEP, STEP):
            v = load(result + i)
            if logs:
                v = vecmath.log(vabs(v))
            check = check + v * 0.0
            store(out + 8 * lo + i, v)
        if any_lane(check != 0.0):
            return False
    return True


@njit
def _dot(a, b, size):
    acc = splat(0.0)
    for i in range(0, size, STEP):
        acc = acc + load(a + i) * load(b + i)
    return total(acc)


@njit
def _weighted(w, a, b, size):
    acc = splat(0.0)
    for i in range(0, size, STEP):
        acc = acc + load(w + i) * load(a + i) * load(b + i)
    return total(acc)


@njit
def solve_normal(gram, rhs, count):
    """Solve ``gram x = rhs`` for a positive semidefinite matrix by Cholesky, in place; return the rank.

    A column that depends on earlier ones gets the coefficient zero. `gram` is overwritten with the factor (its upper
    triangle keeps the matrix), `rhs` with the solution.
    """
    rank = 0
    for j in range(count):
        diagonal = gram[j, j]
        pivot = diagonal
        for k in range(j):
            pivot -= gram[j, k] * gram[j, k]
        if pivot > 1e-11 * diagonal and diagonal > 0.0:
            pivot = math.sqrt(pivot)
            rank += 1
        else:
            pivot = 0.0
        gram[j, j] = pivot
        for i in range(j + 1, count):
            s = gram[j, i]
            for k in range(j):
                s -= gram[i, k] * gram[j, k]
            gram[i, j] = s / pivot if pivot > 0.0 else 0.0
    solve_factored(gram, rhs, count)
    return rank


@njit
def solve_factored(factor, rhs, count):
    """Overwrite `rhs` with the solution, given the lower factor that :func:`solve_normal` left."""
    for j in range(count):
        s = rhs[j]
        for k in range(j):
            s -= factor[j, k] * rhs[k]
        rhs[j] = s / factor[j, j] if factor[j, j] > 0.0 else 0.0
    for j in range(count - 1, -1, -1):
        s = rhs[j]
        for k in range(j + 1, count):
            s -= factor[k, j] * rhs[k]
        rhs[j] = s / factor[j, j] if factor[j, j] > 0.0 else 0.0


@njit
def _score_raw(f, record, size, variance, head):
    """Return the nrmse of the target less f."""
    y, w, probe = record + TARGET * size, record + WEIGHT * size, record + PROBE * size
    loss, projection = splat(0.0), splat(0.0)
    for i in range(0, size, STEP):
        r = load(y + i) - load(f + i)
        loss = loss + load(w + i) * r * r
        projection = projection + load(probe + i) * r
    head[PROJECTION] = total(projection)
    return math.sqrt(total(loss) / variance)


@njit
def _score_scaled(f, record, size, variance, head):
    """Return the nrmse of the target less its fit by ``a + b f``; f is centred in place."""
    y, w, probe = record + CENTRED * size, record + WEIGHT * size, record + PROBE * size
    centre = _dot(w, f, size)
    sff, sfy, pf = splat(0.0), splat(0.0), splat(0.0)
    for i in range(0, size, STEP):
        d = load(f + i) - centre
        store(f + i, d)
        wd = load(w + i) * d
        sff = sff + wd * d
        sfy = sfy + wd * load(y + i)
        pf = pf + load(probe + i) * d
    square, product = total(sff), total(sfy)
    if not square > 1e-24 * centre * centre or not square < 1e280:
        return math.inf
    b = product / square
    loss = variance - b * product
    if loss < 1e-5 * variance:
        # The difference has lost its digits: sum the squares themselves.
        acc = splat(0.0)
        for i in range(0, size, STEP):
            r = load(y + i) - b * load(f + i)
            acc = acc + load(w + i) * r * r
        loss = total(acc)
    head[CENTRES] = centre
    head[SLOPES] = b
    head[PROJECTION] = load_one(record + N_ROWS * size + 16) - b * total(pf)
    return math.sqrt(loss / variance)


@njit
def _score_terms(count, f, r, record, size, variance, head, gram, rhs):
    """Return the nrmse of the target less its fit by `count` rows at `f` and an intercept; rows are centred in place.

    The residual goes to `r`. A second sweep corrects the digits that the normal equations lose near an exact fit.
    """
    y, w, probe = record + CENTRED * size, record + WEIGHT * size, record + PROBE * size
    for k in range(count):
        row = f + k * size
        centre = _dot(w, row, size)
        acc = splat(0.0)
        for i in range(0, size, STEP):
            d = load(row + i) - centre
            store(row + i, d)
            acc = acc + load(w + i) * d * d
        square = total(acc)
        if not square < 1e280:
            return math.inf
        if not square > 1e-24 * centre * centre:
            square = centre = 0.0
            for i in range(0, size, STEP):
                store(row + i, splat(0.0))
        gram[k, k] = square
        head[CENTRES + k] = centre
        head[SLOPES + k] = 0.0
        for j in range(k):
            gram[j, k] = _weighted(w, f + j * size, row, size)
    for i in range(0, size, STEP):
        store(r + i, load(y + i))
    loss = variance
    for sweep in range(2):
        for k in range(count):
            rhs[k] = _weighted(w, f + k * size, r, size)
        if sweep == 0:
            if solve_normal(gram, rhs, count) == 0:
                return math.inf
        else:
            solve_factored(gram, rhs, count)
        for k in range(count):
            row, b = f + k * size, rhs[k]
            head[SLOPES + k] += b
            for i in range(0, size, STEP):
                store(r + i, load(r + i) - b * load(row + i))
        loss = _weighted(w, r, r, size)
        if loss > 1e-6 * variance:
            break
    head[PROJECTION] = _dot(probe, r, size)
    return math.sqrt(loss / variance)


@external(float64(*(int64,) * 15))
def score_external(tokens, n, constants, constant, mode, X, stride, rows, record, opcodes, literals, arities, n_tokens,
                   stack, work):
    """Return the nrmse of an expression under `mode`, infinite where it is not defined.

    Parameters
    ----------
    tokens, constants, X, record, opcodes, literals, arities, stack, work : int
        Addresses: int16[n], float64[m], float64[D, rows], the target's record, the columns of the library's tables,
        float64[>=n, BLOCK], float64[work_size(rows)].
    n, rows, n_tokens : int
    constant : int
        Token of the fitted constant.
    mode : int
        See :mod:`rsrm.agents.scoring`.
    stride : int
        Bytes from one variable to the next.
    """
    size = (rows + LANES - 1) // LANES * STEP
    head = carray(as_pointer(work), (HEAD,), np.float64)
    r = work + 8 * HEAD
    f = r + size
    variance = load_one(record + N_ROWS * size + 8)
    if mode == RAW or mode == SCALED:
        head[COUNT] = 1.0
        m = _count(tokens, tokens + 2 * n, constant)
        if not _fill(tokens, tokens + 2 * n, constants, m, X, stride, rows, opcodes, literals, stack, f, False):
            return math.inf
        if mode == RAW:
            return _score_raw(f, record, size, variance, head)
        return _score_scaled(f, record, size, variance, head)
    starts = carray(as_pointer(work + 8 * _ENDS), (MAX_TERMS,), np.int64)
    stops = carray(as_pointer(work + 8 * (_ENDS + MAX_TERMS)), (MAX_TERMS,), np.int64)
    count = split_terms(carray(as_pointer(tokens), (n,), np.int16), n,
                        carray(as_pointer(opcodes), (n_tokens,), np.int16),
                        carray(as_pointer(arities), (n_tokens,), np.int8), abs(mode), mode < 0, starts, stops)
    head[COUNT] = count
    for k in range(count):
        start, stop = tokens + 2 * starts[k], tokens + 2 * stops[k]
        skipped, m = _count(tokens, start, constant), _count(start, stop, constant)
        if not _fill(start, stop, constants + 8 * skipped, m, X, stride, rows, opcodes, literals, stack, f + k * size,
                     mode < 0):
            return math.inf
    if count == 1:
        return _score_scaled(f, record, size, variance, head)
    gram = carray(as_pointer(work + 8 * _GRAM), (MAX_TERMS, MAX_TERMS), np.float64)
    rhs = carray(as_pointer(work + 8 * _RHS), (MAX_TERMS,), np.float64)
    return _score_terms(count, f, r, record, size, variance, head, gram, rhs)
