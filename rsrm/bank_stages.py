"""The bank asked about a problem, cheap questions first.

Stages, for the target and its inverses under every allowed outer function:

1. ``a f + b``: one scan of the bank;
2. ``A prod x**p f**q`` and ``A prod x**p exp(b f)``: logarithms of the variables projected out;
3. ``a f + b g + c``: pairs by one matrix product;
4. ``a f g + b``, ``a f / g + b``: products by three matrix products, and by a hash join over the whole bank;
5. a basis of variables (and their products) projected out, then one or two entries;
6. ``A prod x**p f**q g**r exp(b h)`` with two of f, g, h.
"""

import time
from collections.abc import Iterator
from functools import partial

import numpy as np

from rsrm import compose
from rsrm.bank import Bank, variable_powers
from rsrm.closing import MONOMIAL_OUTER, Match, Target, close_linear, close_product, column, product_expression
from rsrm.dictionary import sums_of_products
from rsrm.expression import Expression, variable
from rsrm.matching import match_pairs, match_products, orthonormal, residual_direction, scan_single
from rsrm.matching_kernels import join_products
from rsrm.nested import nested
from rsrm.problem import Problem
from rsrm.question import PROMISING, Question, factors, log_basis, log_targets, logarithm, scan, shapes

JOIN = 20_000
"""Entries joined between two looks at the clock."""
POWER_ENTRIES = 4_000
"""Of the bank that holds powers of one column to another."""


def singles(q: Question, basis: list[Expression] = ()) -> Iterator[Match]:
    """Yield matches of ``a f + b`` plus a linear combination of the basis (stages 1 and 5)."""
    basis = list(basis)
    rows = [np.ones(len(q.bank.rows)), *(column(e, q.bank.columns) for e in basis)]
    if any(row is None for row in rows):  # products of huge values
        return
    found = [(score, lambda i=i, t=t: close_linear(q.problem, t, [q.bank.expression(i), *basis]))
             for score, i, t in scan(q, q.bank.values, rows, q.targets, lambda t, w: (t, w))]
    yield from q.confirm(found)


def exponentials(q: Question) -> Iterator[Match]:
    """Yield matches of ``A prod x**p exp(b f)`` (stage 2)."""
    if compose.outer("exp", compose.constant(q.problem.library, 1.0)) is None:
        return
    columns = log_basis(q.problem)
    xs = [variable(q.problem.library, i) for i in columns]
    rows = [np.ones(len(q.bank.rows)), *(np.log(np.abs(q.bank.columns[i])) for i in columns)]
    chosen = log_targets(q)
    found = [(score, lambda i=i, t=t: close_product(q.problem, t, xs, [q.bank.expression(i)]))
             for score, i, t in scan(q, q.bank.values, rows, chosen, logarithm(q))]
    yield from q.confirm(found)


def pairs(q: Question, basis: list[Expression] = ()) -> Iterator[Match]:
    """Yield matches of ``a f + b g + c`` plus a linear combination of the basis (stages 3 and 5)."""
    basis = list(basis)
    rows = [np.ones(len(q.bank.rows)), *(column(e, q.bank.columns) for e in basis)]
    if any(row is None for row in rows):  # products of huge values
        return
    found = []
    for w, ts, members in q.groups(q.targets):
        unit = orthonormal(np.array(rows) * w)
        T = np.array([residual_direction(t * w, unit)[0] for t in ts])
        U, index = shapes(q, q.bank.values, w, unit, q.n_pairs)
        scores, first, second = match_pairs(U, T, q.k, q.within)
        for row, target in enumerate(members):
            for s, i, j in zip(scores[row], first[row], second[row], strict=True):
                if np.isfinite(s):
                    found.append((float(s), lambda i=index[i], j=index[j], t=target: close_linear(
                        q.problem, t, [q.bank.expression(int(i)), q.bank.expression(int(j)), *basis])))
    yield from q.confirm(found)


def products(q: Question) -> Iterator[Match]:
    """Yield matches of ``a f g + b`` and ``a f / g + b`` (stage 4)."""
    F, upper, H, lower = factors(q)
    found = []
    for t, w, target in q.each(q.targets):
        for other, index, sign in ((F, upper, 1), (H, lower, -1)):
            scores, first, second = match_products(F, other, t, w, q.k, sign == 1, q.within)
            for s, i, j in zip(scores[0], first[0], second[0], strict=True):
                if np.isfinite(s):
                    found.append((float(s), lambda i=upper[i], j=index[j], sign=sign, t=target: _close_pair(
                        q, t, int(j), int(i), sign, True)))
    yield from q.confirm(found)


def product_exponentials(q: Question) -> Iterator[Match]:
    """Yield matches of ``A prod x**p exp(b f g)`` and of ``A prod x**p exp(b f / g)`` (stage 4)."""
    if "exp" not in q.problem.library.operators:
        return
    columns = log_basis(q.problem)
    xs = [variable(q.problem.library, i) for i in columns]
    basis = [np.log(np.abs(q.bank.columns[i])) for i in columns]
    F, upper, H, lower = factors(q)
    found = []
    for t, w, target in q.each(log_targets(q), logarithm(q)):
        for other, index, sign in ((F, upper, 1), (H, lower, -1)):
            scores, first, second = match_products(F, other, t, w, q.k, sign == 1, q.within, basis)
            for s, i, j in zip(scores[0], first[0], second[0], strict=True):
                p = None
                if np.isfinite(s) and (s < PROMISING or q.problem.noise > 0.0):
                    p = product_expression(q.bank.expression(int(index[j])), q.bank.expression(int(upper[i])), sign)
                if p is not None:
                    found.append((float(s), lambda p=p, t=target: close_product(q.problem, t, xs, [p])))
    yield from q.confirm(found)


def joins(q: Question, limit: int = 16) -> Iterator[Match]:
    """Yield matches of ``a f g`` and ``a f / g`` for exact data, by hash over the whole bank (stage 4)."""
    if q.problem.noise > 0.0:
        return
    store = q.bank.store
    for target in q.targets:
        if target.outer in MONOMIAL_OUTER:
            continue
        t = target.values[q.bank.rows]
        for lo in range(0, len(q.bank), JOIN):
            if not q.within():
                return
            hits = np.empty((limit, 3), np.int64)
            n = join_products(q.bank.values, lo, min(len(q.bank), lo + JOIN), t, store.key, store.table,
                              store.probes, hits)
            for i, j, sign in hits[:n]:
                match = _close_pair(q, target, int(i), int(j), int(sign), False)
                if match is not None:
                    yield match
            if n:
                break


def _close_pair(q: Question, target: Target, i: int, j: int, sign: int, intercept: bool) -> Match | None:
    """Return the fit of ``a f_j * f_i**sign (+ b)``."""
    p = product_expression(q.bank.expression(i), q.bank.expression(j), sign)
    return None if p is None else close_linear(q.problem, target, [p], intercept)


def monomials(q: Question, pairwise: bool) -> Iterator[Match]:
    """Yield matches of ``A prod x**p`` times one or two of ``f**q``, ``exp(b h)`` (stages 2 and 6)."""
    columns = log_basis(q.problem)
    xs = [variable(q.problem.library, i) for i in columns]
    chosen = log_targets(q)
    rows = np.array([np.ones(len(q.bank.rows)), *(np.log(np.abs(q.bank.columns[i])) for i in columns)])
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(q.bank.values[:20 * q.n_pairs]))
    inside = pairwise and "exp" in q.problem.library.operators
    found = []
    for w, ts, members in q.groups(chosen, logarithm(q)):
        unit = orthonormal(rows * w)
        directions = [residual_direction(t * w, unit) for t in ts]
        for target, (_, share) in zip(members, directions, strict=True):
            if share < 1e-9:
                found.append((0.0, lambda t=target: close_product(q.problem, t, xs, [])))
        live = [n for n, (_, share) in enumerate(directions) if share >= 1e-9]
        U, index = shapes(q, logs, w, unit, q.n_pairs)
        kind = np.zeros(len(U), bool)
        if inside:
            V, more = shapes(q, q.bank.values, w, unit, q.n_pairs // 3)
            U, index = np.concatenate([U, V]), np.concatenate([index, more])
            kind = np.concatenate([kind, np.ones(len(V), bool)])
        if not len(U) or not live:
            continue
        T = np.array([directions[n][0] for n in live])
        if pairwise:
            lists = match_pairs(U, T, q.k, q.within)
        else:
            lists = scan_single(U, None, unit[:0], T, q.k, q.within)
        for row, n in enumerate(live):
            for s, *which in zip(*(part[row] for part in lists), strict=True):
                if np.isfinite(s):
                    which = [i for i in which if i >= 0]
                    found.append((float(s), lambda b=index[[i for i in which if not kind[i]]],
                                  e=index[[i for i in which if kind[i]]], t=members[n]: close_product(
                        q.problem, t, xs + [q.bank.expression(int(i)) for i in b],
                        [q.bank.expression(int(i)) for i in e])))
    yield from q.confirm(found)


def bases(problem: Problem, n_rows: int) -> list[list[Expression]]:
    """Return the additive bases to project out: the variables; the variables and their products."""
    lib = problem.library
    xs = [variable(lib, i) for i in range(problem.n_variables)]
    found = [xs] if 2 * len(xs) < n_rows else []
    if "mul" in lib.operators:
        second = [compose.product(lib, [(a, 1.0), (b, 1.0)]) if i != j else compose.power(a, 2.0)
                  for i, a in enumerate(xs) for j, b in enumerate(xs) if i <= j]
        if 2 * (len(xs) + len(second)) < n_rows:
            found.append(xs + second)
    return found


def ask(q: Question) -> Iterator[Match]:
    """Yield the matches of all stages, cheap stages first."""
    yield from monomials(q, False)
    yield from singles(q)
    yield from exponentials(q)
    yield from joins(q)
    yield from pairs(q)
    yield from monomials(q, True)
    yield from products(q)
    yield from product_exponentials(q)
    for basis in bases(q.problem, len(set(q.bank.rows))):
        yield from singles(q, basis)
        yield from pairs(q, basis)


def power_matches(problem: Problem, deadline: float, rng: np.random.Generator,
                  entries: int = POWER_ENTRIES) -> Iterator[Match]:
    """Yield the matches of single entries of a bank that holds powers of one column to another.

    Such powers are rare, and would take the place of what is common in the short lists that pairs are made of.
    """
    powers = variable_powers(problem.X, problem.library)
    if powers:
        bank = Bank.enumerate(problem.X, problem.library, shortcuts=powers, max_entries=entries, deadline=deadline,
                              rng=rng)
        q = Question(problem, bank, deadline)
        for stage in (partial(monomials, pairwise=False), singles, exponentials, joins):
            yield from stage(q)


def bank_candidates(problem: Problem, deadline: float, rng: np.random.Generator,
                    sizes=((4_000, 400), (200_000, 2_000)), extra=()) -> Iterator[Expression]:
    """Yield expressions that the bank finds for a problem, cheap stages first.

    Parameters
    ----------
    problem : Problem
    deadline : float
        ``time.perf_counter()`` at which to stop; looked at several times in 50 ms.
    rng : numpy.random.Generator
    sizes : sequence of (int, int)
        Entries and entries in pairs of the banks that are asked one after the other.
    extra : sequence of Expression
        Sub-trees of good expressions, used as leaves beside the variables.
    """
    for n, (entries, n_pairs) in enumerate(sizes):
        if time.perf_counter() > deadline:
            return
        leaves = [variable(problem.library, i) for i in range(problem.n_variables)] + list(extra)
        bank = Bank.enumerate(problem.X, problem.library, leaves=leaves, max_entries=entries, deadline=deadline,
                              rng=rng)
        for match in ask(Question(problem, bank, deadline, n_pairs)):
            yield match.expression
        if n == 0:
            for stage in (nested, sums_of_products, power_matches):
                for match in stage(problem, deadline, rng):
                    yield match.expression
