"""Triples of plain terms of a sum, looked at all together.

Along a curve anything approximates anything: neither the terms that explain most are the right ones nor the pairs that
do. Terms are planes beside the polynomial, as in :mod:`rsrm.mixture_pairs`. Where one plane has been projected out of
the Gram matrix of all, and a second one is at hand in orthonormal form, what a third one adds takes thirty nanoseconds
or so; all triples of 560 planes take half a second (by a script, on a 2-core AMD EPYC). Which kinds of terms
(multiplier, function, variable) are right shows only when the parameters have been refined, and so the best triple of
every three kinds is.
"""

import time
from collections.abc import Iterator

import numpy as np

from rsrm._jit import njit, njit_leaf
from rsrm.expression import Expression
from rsrm.mixture_model import Model, Set, Term, refine
from rsrm.mixture_pairs import INDEPENDENT, orthonormal
from rsrm.mixtures import CONVERGED, KEPT, composed, degree_of, thinned
from rsrm.problem import Problem
from rsrm.terms import presentable, subset

ROWS, SPARE_ROWS = 100, 16
"""Rows used at most, and those that are needed beyond the coefficients of the polynomial."""
PLAIN = ("wave", "exp", "gauss", "tanh", "pole1", "pole2", "log", "power", "abs")
"""Families of functions, over variables and magnitudes; waves over roots and logarithms as well."""
SLOW_WAVES = 24
"""Waves of a variable, the slowest of the grid: beside two other terms fast ones stand out by themselves."""
PLANES, MOST = 560, 12
"""Planes in all, about, and of a kind at most."""
KINDS = 120
"""Kinds of which all triples are looked at."""
REFINED = 10_000
"""Sets that are refined, at fifty microseconds or so each (by a script)."""
DETERMINED = 1e-12
"""Determinant below which a plane counts as a line."""
BLOCK = 16
"""First planes between two heartbeats."""


@np.errstate(all="ignore")
def _planes(model: Model) -> tuple[np.ndarray, list[Term], np.ndarray]:
    """Return bases float64[n, 2, R], the terms, and their kinds int64[n], which rise."""
    functions, tables = model.functions, model.table(np.arange(model.problem.n_rows))
    names = [family.name for family in model.families]
    groups: list[np.ndarray] = []
    for group in np.unique(model.group):
        members = np.flatnonzero(model.group == group)
        name = names[functions[members[0]].family]
        kind = model.arguments[functions[members[0]].argument][1]
        if name in PLAIN and kind != "sum":
            groups.append(members[:SLOW_WAVES] if name == "wave" else members)
    alone = [model.arguments[functions[members[0]].argument][1] == "variable" for members in groups]
    multipliers = [i for i, factors in enumerate(model.factors) if not factors or len(factors) == 1 == factors[0][1]]
    pairs = [(i, members) for i in multipliers for members, plain in zip(groups, alone, strict=True) if plain or i == 0]
    bases, terms, kinds = [np.empty((0, 2, model.problem.n_rows))], [], []
    for kind, (i, members) in enumerate(pairs[:KINDS]):
        most = min(MOST, PLANES // min(len(pairs), KINDS))
        members = members[np.unique(np.linspace(0, len(members) - 1, most).round().astype(int))]
        m = model.multipliers[:, i, None]
        A, B, known = orthonormal(model.Q, m * tables[0][:, members], m * tables[1][:, members])
        bases.append(np.stack([A.T, B.T], axis=1))
        terms += [Term(i, (functions[k],)) for k in members[known]]
        kinds += [kind] * int(known.sum())
    return np.concatenate(bases), terms, np.array(kinds, np.int64)


@njit_leaf
def _keep(share, i, j, k, first, second, third, left, planes):
    """Put a set into the place of its kinds if it leaves less than the one there."""
    share = max(share, 0.0)
    if share < left[first, second, third]:
        left[first, second, third] = share
        planes[first, second, third, 0] = i
        planes[first, second, third, 1] = j
        planes[first, second, third, 2] = k


@njit
def best_of_kinds(G, shares, kinds, first, last, left, planes):
    """Update the best of every one, two and three kinds by the sets whose first plane is one of `first` to `last` - 1.

    Parameters
    ----------
    G : float64[2n, 2n]
        Gram matrix of the bases of n planes.
    shares : float64[2n]
        Their products with the residual, which has norm one.
    kinds : int64[n]
        Rising.
    first, last : int
    left : float32[K + 1, K + 1, K + 1]
        Share of the residual's square that is left, by kinds; K stands for none.
    planes : int16[K + 1, K + 1, K + 1, 3]
        -1 for none.
    """
    n, none = kinds.shape[0], left.shape[0] - 1
    H, s = np.empty((2 * n, 2 * n)), np.empty(2 * n)
    for i in range(first, last):
        p, q = 2 * i, 2 * i + 1
        for a in range(2 * i + 2, 2 * n):
            s[a] = shares[a] - G[a, p] * shares[p] - G[a, q] * shares[q]
            for b in range(a, 2 * n):
                H[a, b] = G[a, b] - G[a, p] * G[p, b] - G[a, q] * G[q, b]
        one = 1.0 - shares[p] * shares[p] - shares[q] * shares[q]
        _keep(one, i, -1, -1, kinds[i], none, none, left, planes)
        for j in range(i + 1, n):
            u, v = 2 * j, 2 * j + 1
            if H[u, u] < INDEPENDENT:
                continue
            root = 1.0 / np.sqrt(H[u, u])  # Cholesky factors of what is left of plane j
            below = H[u, v] * root
            rest = H[v, v] - below * below
            root2 = 1.0 / np.sqrt(rest) if rest > INDEPENDENT else 0.0
            x = s[u] * root
            y = (s[v] - below * x) * root2
            two = one - x * x - y * y
            _keep(two, i, j, -1, kinds[i], kinds[j], none, left, planes)
            for k in range(j + 1, n):
                e, f = 2 * k, 2 * k + 1
                c00, c01 = H[u, e] * root, H[u, f] * root
                c10, c11 = (H[v, e] - below * c00) * root2, (H[v, f] - below * c01) * root2
                s00, s11 = H[e, e] - c00 * c00 - c10 * c10, H[f, f] - c01 * c01 - c11 * c11
                if s00 < INDEPENDENT:
                    continue
                s01 = H[e, f] - c00 * c01 - c10 * c11
                z0, z1 = s[e] - c00 * x - c10 * y, s[f] - c01 * x - c11 * y
                d = s00 * s11 - s01 * s01
                gain = z0 * z0 / s00
                if d > DETERMINED:
                    gain = (s11 * z0 * z0 - 2.0 * s01 * z0 * z1 + s00 * z1 * z1) / d
                _keep(two - gain, i, j, k, kinds[i], kinds[j], kinds[k], left, planes)


def threefold(model: Model, floor: float, deadline: float) -> Iterator[Set | None]:
    """Yield the sets of up to three terms, refined, whose residual falls below `floor`, small sets first.

    None is a heartbeat.

    Parameters
    ----------
    model : Model
        Of a hundred rows or so: all of them are used.
    floor : float
        In units of the target's spread.
    deadline : float
        Of ``time.perf_counter``.
    """
    bases, terms, kinds = _planes(model)
    n, size = len(terms), np.linalg.norm(model.left)
    if n < 3 or size == 0.0:
        return
    flat = bases.reshape(2 * n, -1)
    G, shares = flat @ flat.T, flat @ (model.left / size)
    K = int(kinds[-1]) + 1
    left, planes = np.ones((K + 1, K + 1, K + 1), np.float32), np.zeros((K + 1, K + 1, K + 1, 3), np.int16)
    for first in range(0, n, BLOCK):
        if time.perf_counter() > deadline:
            return
        best_of_kinds(G, shares, kinds, first, min(first + BLOCK, n), left, planes)
        yield None
    seen = np.flatnonzero(left < 1.0)
    sets, left = planes.reshape(-1, 3)[seen], left.ravel()[seen]
    order = np.lexsort((left, np.sum(sets >= 0, axis=1)))
    for rank, chosen in enumerate(sets[order[:REFINED]]):
        if time.perf_counter() > deadline:
            return
        error, refined = refine(model, tuple(terms[k] for k in chosen if k >= 0))
        if error < floor or rank % BLOCK == 0:
            yield refined if error < floor else None


def triples(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield sums of a polynomial and up to three plain terms, on exact data.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    if problem.noise > 0 or problem.n_rows < SPARE_ROWS or np.ptp(problem.y) == 0:
        return
    part, model = subset(problem, ROWS, rng), None
    searches: list[Iterator[Expression | None]] = []
    for degree in sorted({1, degree_of(part)}):
        model = Model(part, degree, deadline, model)
        if model.functions and model.Q.shape[1] + SPARE_ROWS <= part.n_rows:
            searches.append(_composed(model, deadline))
    while searches:  # in turns: small sets beside the one polynomial come before triples beside the other
        for search in tuple(searches):
            try:
                yield next(search)
            except StopIteration:
                searches.remove(search)


def _composed(model: Model, deadline: float) -> Iterator[Expression | None]:
    """Yield the first sums that converge, and None as a heartbeat."""
    written = 0
    for chosen in threefold(model, CONVERGED, deadline):
        candidate = None
        if chosen is not None:
            candidate = presentable(composed(model, thinned(model, chosen, CONVERGED, deadline), True))
        yield candidate
        written += candidate is not None
        if written == KEPT:
            return
