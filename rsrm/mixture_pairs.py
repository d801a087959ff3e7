"""Pairs of terms of a sum, looked at all together: a search term by term does not find two that hide each other.

Every product of a multiplier and a tabulated function spans a plane with its slope by the parameter, beside the
polynomial. For planes with orthonormal bases P and Q (R x 2) and the residual r, what both explain together is::

    |P'r|**2 + z' (I - C'C)**-1 z    with C = P'Q, z = Q'r - C' P'r

so that one matrix product of all bases with each other, and four numbers a pair, tell it for every pair.
"""

import time
from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from rsrm._jit import njit
from rsrm.mixture_model import Model, Set, Term, basis_of, project

MOST_PLANES = 12_000
"""Planes of which all pairs are looked at: about a second."""
ROWS, ROWS_PER_TERM = 64, 3
"""Rows used, at least, and for every term of the polynomial."""
CHUNK = 8
"""Neighbours on a grid, of which the best alone is proposed."""
INDEPENDENT = 1e-8
"""Share of a column's square that has to be left beside the columns before it."""
DETERMINED = 1e-6
"""Determinant below which two planes count as one."""
HEIGHT = 64
"""Planes of a block, a multiple of ``CHUNK``."""


class Planes(NamedTuple):
    """Planes of single terms beside the polynomial.

    Attributes
    ----------
    bases : float64[n, 2, R]
        Orthonormal rows, the second zero where a function has no parameter; n is a multiple of ``CHUNK``.
    shares : float64[n, 2]
        Their products with the residual, which has norm one.
    terms : int64[n, 2]
        Multiplier and function, -1 where a chunk is filled up with zeros.
    """

    bases: np.ndarray
    shares: np.ndarray
    terms: np.ndarray


@np.errstate(all="ignore")
def planes(model: Model, deadline: float) -> Planes:
    """Return the planes of the products of multipliers and functions, the plainest first, as many as may be paired."""
    width = model.base.values.shape[1]
    rows = np.unique(np.linspace(0, model.problem.n_rows - 1, max(ROWS, ROWS_PER_TERM * width)).round().astype(int))
    Q = basis_of(model.base.values[rows] * model.weights[rows, None])
    r = project(Q, model.target[rows])
    r /= np.linalg.norm(r)
    G, H = model.table(rows)
    groups = [np.flatnonzero(model.group == group) for group in np.unique(model.group)]
    single = [model.arguments[model.functions[members[0]].argument][1] == "variable" for members in groups]
    bases, shares, terms = [np.empty((0, 2, len(rows)))], [np.empty((0, 2))], [np.empty((0, 2), np.int64)]
    left = MOST_PLANES
    for i in range(model.multipliers.shape[1]):
        for members, alone in zip(groups, single, strict=True):
            filled = -(-len(members) // CHUNK) * CHUNK
            if filled > left or (i > 0 and not alone) or time.perf_counter() > deadline:
                continue
            m = model.multipliers[rows, i, None]
            A, B, known = orthonormal(Q, m * G[:, members], m * H[:, members])
            members = members[known]
            filled = -(-len(members) // CHUNK) * CHUNK
            left -= filled
            basis, term = np.zeros((filled, 2, len(rows))), np.full((filled, 2), -1)
            basis[:len(members), 0], basis[:len(members), 1] = A.T, B.T
            term[:len(members)] = np.column_stack([np.full(len(members), i), members])
            bases.append(basis)
            shares.append(basis @ r)
            terms.append(term)
    return Planes(np.concatenate(bases), np.concatenate(shares), np.concatenate(terms))


def orthonormal(Q, A, B):
    """Return the columns of A and B beside Q as orthonormal pairs, and which of A's columns are independent of Q."""
    size, size2 = np.sum(A * A, axis=0), np.sum(B * B, axis=0)
    A = project(Q, project(Q, A))
    rest = np.sum(A * A, axis=0)
    known = rest > INDEPENDENT * size
    A = A[:, known] / np.sqrt(rest[known])
    B = project(Q, project(Q, B[:, known]))
    B -= A * np.sum(A * B, axis=0)
    rest = np.sum(B * B, axis=0)
    B *= np.where(rest > INDEPENDENT * size2[known], 1.0 / np.sqrt(rest), 0.0)
    return A, np.nan_to_num(B), known


@njit
def best_of_block(P, width, shares, first, gains, partner):
    """Fill the best joint gain of every pair of chunks, for the planes of a block and those after them.

    Parameters
    ----------
    P : float64[2h, 2w]
        Products of the bases of h planes, from number `first` on, with those of the planes from `first` to the last.
    width : int
        w.
    shares : float64[n, 2]
    first : int
    gains : float64[h / CHUNK, w / CHUNK]
    partner : int64[h / CHUNK, w / CHUNK]
        Which planes of the two chunks: ``CHUNK * (place in the one) + place in the other``.
    """
    for a in range(gains.shape[0]):
        for b in range(gains.shape[1]):
            gains[a, b] = 0.0
            if b < a:
                continue
            for i in range(CHUNK * a, CHUNK * a + CHUNK):
                p0, p1 = shares[first + i, 0], shares[first + i, 1]
                for j in range(CHUNK * b, CHUNK * b + CHUNK):
                    c00, c01 = P[2 * i, 2 * j], P[2 * i, 2 * j + 1]
                    c10, c11 = P[2 * i + 1, 2 * j], P[2 * i + 1, 2 * j + 1]
                    z0 = shares[first + j, 0] - c00 * p0 - c10 * p1
                    z1 = shares[first + j, 1] - c01 * p0 - c11 * p1
                    s00, s11 = 1.0 - c00 * c00 - c10 * c10, 1.0 - c01 * c01 - c11 * c11
                    s01 = -c00 * c01 - c10 * c11
                    d = s00 * s11 - s01 * s01
                    gain = p0 * p0 + p1 * p1 + (s11 * z0 * z0 - 2.0 * s01 * z0 * z1 + s00 * z1 * z1) / d
                    if d > DETERMINED and gain > gains[a, b]:
                        gains[a, b] = gain
                        partner[a, b] = CHUNK * (i - CHUNK * a) + j - CHUNK * b


def best_pairs(found: Planes, keep: int, deadline: float) -> Generator[None, None, list[tuple[float, int, int]]]:
    """Return the best pair of planes of every two chunks, as (unexplained share, plane, plane), most explained first.

    A generator, which yields after every block of work and returns the list; what is not looked at by the deadline is
    left out.
    """
    n, _, R = found.bases.shape
    flat = found.bases.reshape(2 * n, R)
    best = np.empty((0, 3))
    for first in range(0, n, HEIGHT):
        if time.perf_counter() > deadline:
            break
        h, w = min(HEIGHT, n - first), n - first
        P = flat[2 * first:2 * (first + h)] @ flat[2 * first:].T
        gains, partner = np.empty((h // CHUNK, w // CHUNK)), np.zeros((h // CHUNK, w // CHUNK), np.int64)
        best_of_block(P, w, found.shares, first, gains, partner)
        least = best[-1, 0] if len(best) == keep else 0.0
        a, b = np.nonzero(gains > least)
        i, j = np.divmod(partner[a, b], CHUNK)
        new = np.column_stack([gains[a, b], first + CHUNK * a + i, first + CHUNK * b + j])
        best = np.vstack([best, new])
        best = best[np.argsort(-best[:, 0])[:keep]]
        yield
    return [(max(0.0, 1.0 - gain), int(i), int(j)) for gain, i, j in best]


def likely_pairs(model: Model, keep: int, deadline: float) -> Generator[None, None, list[tuple[float, Set]]]:
    """Return the pairs of terms that explain most beside the polynomial, with the share of the residual they leave.

    A generator, see :func:`best_pairs`.
    """
    found = planes(model, deadline)
    yield
    best = yield from best_pairs(found, keep, deadline)

    def term(k: int) -> Term:
        multiplier, function = found.terms[k]
        return Term(int(multiplier), (model.functions[function],))

    real = found.terms[:, 0] >= 0  # where two planes count as one, zeros that fill a chunk up may be the best partner
    return [(share, (term(i), term(j))) for share, i, j in best if real[i] and real[j]]
