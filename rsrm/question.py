"""A problem put to a bank: targets and weights on the bank's rows, and what several stages need from the entries."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rsrm.bank import Bank
from rsrm.closing import MONOMIAL_OUTER, Match, Target, fit_weights, targets
from rsrm.matching import orthonormal, residual_direction, scan_single
from rsrm.matching_kernels import distinct_projections
from rsrm.problem import Problem

PROMISING = 1e-7
"""Unexplained fraction of variance below which a match of exact data is worth a fit on all rows."""


@dataclass
class Question:
    """A problem and a bank, with what the stages share.

    Attributes
    ----------
    problem : Problem
    bank : Bank
    deadline : float
        ``time.perf_counter()`` at which stages stop.
    n_pairs : int
        Entries that enter pairs.
    k : int
        Matches kept for each target.
    n_loose : int
        Matches of a stage that are fitted although they are not exact.
    """

    problem: Problem
    bank: Bank
    deadline: float = np.inf
    n_pairs: int = 1000
    k: int = 8
    n_loose: int = 3
    targets: list[Target] = field(init=False)

    def __post_init__(self):
        self.targets = targets(self.problem)
        if self.problem.noise > 0.0:
            self.n_loose = 2 * self.k

    def within(self) -> bool:
        """Return whether there is time left."""
        return time.perf_counter() < self.deadline

    def sample(self, target: Target) -> tuple[np.ndarray, np.ndarray]:
        """Return the target and its weights (see :func:`rsrm.closing.fit_weights`) on the bank's rows."""
        rows = self.bank.rows
        w = fit_weights(self.problem, target)[rows]
        with np.errstate(invalid="ignore"):
            return target.values[rows], w / np.sqrt(np.mean(w * w))

    def groups(self, chosen: list[Target], wanted=lambda t, w: (t, w)):
        """Yield (weights, values on the bank's rows, targets) for targets that share weights.

        `wanted` maps values and weights of a target to those of what is to be explained.
        """
        groups: dict[bytes, list] = {}
        for target in chosen:
            t, w = wanted(*self.sample(target))
            # The weights of an inverse may cancel or overflow on these rows: then it says nothing.
            if not np.isfinite(w).all() or not np.isfinite(t).all():
                continue
            groups.setdefault(w.tobytes(), []).append((t, target))
        for key, members in groups.items():
            yield np.frombuffer(key), [t for t, _ in members], [target for _, target in members]

    def each(self, chosen: list[Target], wanted=lambda t, w: (t, w)):
        """Yield (values, weights, target) one by one; see :meth:`groups`."""
        for w, ts, members in self.groups(chosen, wanted):
            for t, target in zip(ts, members, strict=True):
                yield t, w, target

    def confirm(self, found: list) -> Iterator[Match]:
        """Yield matches for (score, build), best first: all promising ones and a few others."""
        found.sort(key=lambda f: f[0])
        for n, (score, build) in enumerate(found):
            if not self.within() or (score > PROMISING and n >= self.n_loose) or score > 0.999:
                return
            match = build()
            if match is not None:
                yield match


def log_basis(problem: Problem) -> list[int]:
    """Return the variables whose logarithm of the absolute value exists on all rows and is not constant."""
    return [i for i, x in enumerate(problem.X) if (x != 0.0).all() and np.ptp(np.abs(x)) > 0.0]


def log_targets(q: Question) -> list[Target]:
    """Return the targets whose logarithm adds something: no powers, nothing that is zero."""
    return [t for t in q.targets if t.outer not in MONOMIAL_OUTER and t.outer != "exp"
            and np.all(t.values[q.bank.rows] != 0.0)]


def logarithm(q: Question):
    """Return the map from a target and its weights to the logarithm and the weights there."""
    def wanted(t, w):
        if q.problem.noise == 0.0:
            return np.log(np.abs(t)), w
        relative = w * (np.abs(t) / np.abs(t).max())
        with np.errstate(invalid="ignore"):
            return np.log(np.abs(t)), relative / np.sqrt(np.mean(relative * relative))
    return wanted


def scan(q: Question, values, basis_rows, chosen: list[Target], wanted) -> Iterator[tuple]:
    """Yield (score, entry, target) for single entries beside a basis; `wanted` maps (t, w) to what to explain."""
    for w, ts, members in q.groups(chosen, wanted):
        unit = orthonormal(np.array(basis_rows) * w)
        directions = [residual_direction(t * w, unit) for t in ts]
        live = [n for n, (_, share) in enumerate(directions) if share > 1e-7]
        if live:
            scores, first, _ = scan_single(values, None if (w == 1.0).all() else w, unit,
                                           np.array([directions[n][0] for n in live]), q.k, q.within)
            for row, n in enumerate(live):
                for score, i in zip(scores[row], first[row], strict=True):
                    if np.isfinite(score):
                        yield float(score), int(i), members[n]


def shapes(q: Question, values, w: np.ndarray, unit: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (U, index): the first `n` distinct directions of weighted entries once a basis is projected out."""
    values = values[:20 * n]
    if (w != 1.0).any():
        values = values * w
    out = np.empty((n, values.shape[1]))
    index = np.empty(n, np.int64)
    n = distinct_projections(values, len(values), unit, q.bank.store.probes, out, index)
    return out[:n], index[:n]


def factors(q: Question):
    """Return (F, numbers of its entries, 1/F where that is tame, numbers of its entries), rows of unit length."""
    n = q.n_pairs // 2
    usable = np.flatnonzero(~q.bank.is_number[:2 * n])[:n]
    F = q.bank.values[usable] / np.linalg.norm(q.bank.values[usable], axis=1, keepdims=True)
    # Squares of what is flushed here would be denormal numbers, which slow matrix products down tenfold.
    F[np.abs(F) < 1e-100] = 0.0
    with np.errstate(divide="ignore"):
        inverse = 1.0 / F
    good = np.flatnonzero(np.isfinite(inverse).all(1) & (np.abs(inverse).max(1) < 1e4))
    H = inverse[good]
    return F, usable, H / np.linalg.norm(H, axis=1, keepdims=True), usable[good]
