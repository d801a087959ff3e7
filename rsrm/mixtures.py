"""Sums of products of powers and of functions with unknown constants inside, by variable projection.

``y = polynomial + sum_k c_k m_k(x) g_k(u_k; theta_k)``: for fixed theta the coefficients are linear and are projected
out (Golub & Pereyra 1973). The functions are tabulated once on a grid of theta. What a further term explains is then
known for all multipliers and functions at once from a few matrix products::

    gain = (M' diag(r) G)**2 / ((M**2)' G**2 - sum_q (M' diag(q) G)**2)

for the residual r, the multipliers M, the functions G and an orthonormal basis q of the terms that are there already;
the part of the sum that belongs to the polynomial is the same for all sets of terms, and computed once.
A beam of sets of terms is refined by Gauss-Newton steps on all parameters and extended until the fit is exact.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import comb

import numpy as np

from rsrm.compose import snap
from rsrm.expression import Expression
from rsrm.mixture_model import Function, Model, Set, Term, columns_of, functions_of, project, refine
from rsrm.mixture_pairs import likely_pairs
from rsrm.mixture_products import Products
from rsrm.primitives import BY_NAME
from rsrm.problem import Problem
from rsrm.regression import eliminate, exact_fit, snap_fit
from rsrm.targets import relative_weights, transformed
from rsrm.terms import Generator, Terms, compose_sum, presentable, subset, variable_generators

MAX_ROWS = 300
"""Rows used by the fits."""
DEPTH = 4
"""Terms with unknown constants at most."""
REFINED = 300
"""Sets of terms that are refined at every depth ..."""
BEAM = (40, 30, 15, 10)
"""... as the best of so many proposals of functions, or of so many parents ..."""
FOLLOWED = (0, 8, 5, 4)
"""... and so many extensions of each."""
FIRST, ALL = 2, 1000
"""Sets at every depth to which products of two functions are added, in a quick search and in a thorough one."""
PAIRWISE, PAIRS = 0, 4000
"""In the place of ``FIRST``: all pairs of terms at the start, and how many of them are refined."""
PRODUCT_SECONDS = 1.5
"""A scan of all products that would take longer is left out: it is one step, and others wait for their turn."""
WORTH = 0.5
"""Share of the residual that a function has to explain with another multiplier."""
FEW = 3
"""Terms beside an affine function, which is tried before polynomials of higher degree."""
PLAINER = 6
"""Sets of which plainer versions are tried at every depth."""
WRITTEN = 30
"""Sets that are written out at every depth at most."""
SHORT, KEPT = 25, 4
"""Complexity of a sum that ends the search, and how many sums are kept of a number of terms."""
OUTER = ("exp", "inv", "square", "sqrt", "log", "tanh")
"""Functions that the sum may stand in, when it explains nothing by itself ..."""
ALWAYS = ("inv", "square", "sqrt")
"""... and those that can be written whatever the operators."""
CONVERGED = 1e-10
CANCELLED = 300.0
"""Largest term of a sum, in units of y."""


def thinned(model: Model, chosen: Set, floor: float, deadline: float) -> Set:
    """Return the terms without those, and without factors of those, that the others can do without.

    A function that hardly bends over the data is a power, or a constant, in disguise.
    """
    for k, term in enumerate(chosen):
        parts: list[Set] = [()] if len(chosen) > 1 else []
        if len(term.functions) > 1 or term.multiplier:
            parts += [(Term(term.multiplier, tuple(g for g in term.functions if g != f)),) for f in term.functions]
        for f in term.functions:
            if model.slow(f):
                parts += [(Term(0, (power,)),) for power in model.powers(f.argument)]
                parts += [(_replaced(term, f, power),) for power in model.powers(f.argument)]
        for part in parts:
            error, fewer = refine(model, chosen[:k] + part + chosen[k + 1:])
            if error < floor:
                return thinned(model, fewer, floor, deadline)
    return chosen


@np.errstate(all="ignore")
def _scan(model: Model, chosen: Set, keep: int, products: bool) -> list[tuple[float, Set]]:
    """Return the best extensions by one term, of different kinds, with the share of the residual they leave."""
    Q, rows = model.scan_basis, model.scanned
    extra = np.empty((len(rows), 0))
    if chosen:
        A = project(Q, columns_of(model, chosen)[rows])
        A, R = np.linalg.qr(A / np.linalg.norm(A, axis=0))
        extra = A[:, np.abs(np.diag(R)) > 1e-9]
    r = project(extra, project(Q, model.target[rows]))
    r = r / np.linalg.norm(r)
    found: list[tuple[float, Set]] = []
    for f in functions_of(chosen):  # the same function with another multiplier
        columns = np.column_stack(model.values(f, f.theta))[rows]
        columns = columns / np.sqrt(np.mean(columns**2, axis=0))
        slope = columns[:, 1:] if columns.shape[1] > 1 else 0.0 * columns
        gain = Products.of(model.multipliers[rows], columns[:, :1], slope, Q).gains(extra, r)
        found += [(1.0 - float(g), (*chosen, Term(int(i), (f,)))) for i, g in enumerate(gain[:, 0]) if g > WORTH]
    gain = model.with_multipliers.gains(extra, r)
    # Functions that stand alone get places of their own: among so many products one approximates anything.
    for rows, places in ((slice(0, 1), keep // 2), (slice(None), keep)):
        for share, i, j in _best(gain[rows], lambda i, j: (i, model.group[j]), places):
            found.append((share, (*chosen, Term(i, (model.functions[j],)))))
    if products:
        one = model.single
        gain = model.with_functions.gains(extra, r)
        argument = np.array([model.functions[k].argument for k in one])
        gain[argument[:, None] == argument] = 0.0
        for share, i, j in _best(gain, lambda i, j: tuple(sorted((model.group[one[i]], model.group[one[j]]))), keep):
            found.append((share, (*chosen, Term(0, (model.functions[one[i]], model.functions[one[j]])))))
    return list({term: (share, term) for share, term in found}.values())


def _best(gain: np.ndarray, kind: Callable, keep: int) -> list[tuple[float, int, int]]:
    """Return (unexplained share, row, column) of the best of every kind, `keep` of them."""
    order = np.argpartition(-gain, min(60 * keep, gain.size - 1), axis=None)[:60 * keep]
    best: dict = {}
    for k in order[np.argsort(-gain.ravel()[order])]:
        i, j = divmod(int(k), gain.shape[1])
        best.setdefault(kind(i, j), (1.0 - float(gain[i, j]), i, j))
        if len(best) == keep:
            break
    return list(best.values())


def composed(model: Model, chosen: Set, exact: bool) -> Expression | None:
    """Return the expression of the sparse fit with the given terms, their parameters snapped."""
    problem = model.problem
    generators = list(model.generators)
    factors = list(model.base.factors)
    columns = [model.base.values]
    for term in chosen:
        parts: list[tuple[tuple, np.ndarray]] = [(model.factors[term.multiplier],
                                                  model.monomial(model.factors[term.multiplier]))]
        for f in term.functions:
            family, argument = model.families[f.family], model.arguments[f.argument][0]
            theta = snap(f.theta, 1e-7 if exact else 1e-2 * problem.noise)
            with np.errstate(all="ignore"):
                values = family.plain(argument.values, theta)
            members: list[tuple[tuple, np.ndarray]] = []
            for v, e in zip(values, family.build(argument.expression, theta), strict=True):
                if e is None or not np.isfinite(v).all():
                    return None
                generators.append(Generator(v, e))
                members.append((() if (v == 1.0).all() else ((len(generators) - 1, 1.0),), v))
            parts = [((*fs, *g), v * w) for fs, v in parts for g, w in members]
        for fs, v in parts:
            factors.append(tuple(sorted(fs)))
            columns.append(v[:, None])
    terms = Terms(np.hstack(columns), factors, generators)
    if not np.isfinite(terms.values).all():
        return None
    if exact:
        weights = relative_weights(problem.y)
        fit = exact_fit(terms, problem.y, weights)
    else:
        weights = model.weights
        fit = next(iter(eliminate(terms, problem.y, weights, keep=1)), None)
    if fit is None or len(fit.support) > 12:
        return None
    size = np.abs(fit.coefficients) * np.sqrt(np.mean(terms.values[:, fit.support]**2, axis=0))
    if size.max() > CANCELLED * np.sqrt(np.mean(problem.y**2)):
        return None  # a function seen through a keyhole: huge terms that cancel
    fit = snap_fit(terms, fit, problem.y, weights, 1e-7 if exact else 0.1 * problem.noise)
    return compose_sum(terms, fit.support, fit.coefficients)


def degree_of(part: Problem) -> int:
    """Return the degree of the polynomial beside the terms that the rows allow."""
    n = len(variable_generators(part))
    return next(d for d in (3, 2, 1) if d == 1 or part.n_rows > 4 * comb(n + d, d) + 20)


def mixtures(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield what :func:`more_mixtures` does, without its heartbeats."""
    return (expression for expression in more_mixtures(problem, deadline, rng) if expression is not None)


def more_mixtures(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression | None]:
    """Yield a polynomial plus up to four terms with unknown inner constants, and functions of such sums.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    if problem.n_rows < 12 or np.ptp(problem.y) == 0:
        return
    part = subset(problem, MAX_ROWS if problem.noise == 0 else 2 * MAX_ROWS, rng)
    if not variable_generators(part):
        return
    degree = degree_of(part)
    # A polynomial of degree three leaves little of smooth functions on a narrow range, which anything explains then.
    passes: list[tuple[str, int | None, int, int]] = [("identity", 1, FEW, 1)] if degree > 1 else []
    passes += [("identity", degree, DEPTH, FIRST)]
    if problem.noise == 0:
        passes += [("identity", d, DEPTH, PAIRWISE) for d in ((1, degree) if degree > 1 else (1,))]
        passes += [("identity", None, DEPTH, ALL), *((name, degree, FEW, FIRST) for name in OUTER)]
        passes += [("identity", degree, DEPTH, ALL)]
    solved, model = False, None
    for name, d, depth, with_products in passes:
        if solved and with_products == ALL:
            continue
        target = transformed(part, name)
        if target is None or (name in BY_NAME and name not in ALWAYS and name not in part.library.operators):
            continue
        inner = replace(part, y=target.values) if name != "identity" else part
        model = Model(inner, d, deadline, model)
        if not model.functions:
            return
        short = False
        for expression in _search(model, depth, with_products, deadline):
            found = None if expression is None else presentable(target.lift(expression))
            yield found
            solved |= found is not None
            short |= found is not None and found.complexity <= SHORT
        if short:
            return


def _search(model: Model, most: int, with_products: int, deadline: float) -> Iterator[Expression | None]:
    """Yield the sums that converge, fewest terms first: a beam search over sets of terms."""
    problem = model.problem
    exact = problem.noise == 0
    floor = CONVERGED if exact else 1.05 * problem.noise
    parents: list[tuple[float, Set]] = [(1.0, ())]
    pairwise = with_products == PAIRWISE
    for depth in range(1 if pairwise else 0, most):
        if model.Q.shape[1] + 4 * (depth + 1) > problem.n_rows - 4:
            return
        proposed: list[tuple[float, Set]] = []
        first = pairwise and depth == 1
        if first:
            proposed = yield from likely_pairs(model, PAIRS, deadline)
        for k, (error, parent) in enumerate(parents if not first else ()):
            if time.perf_counter() > deadline:
                return
            keep = BEAM[0] if depth == 0 else FOLLOWED[depth]
            left = min(deadline - time.perf_counter(), PRODUCT_SECONDS)
            further = _scan(model, parent, keep, k < with_products and model.seconds_of_products < left)
            proposed += [(share * error**2, chosen) for share, chosen in further]
            yield None
        if depth == 0:  # one function with several multipliers: its parameter alone says little
            proposed += [(share, (term, *(Term(1 + i, term.functions) for i in range(len(model.generators))
                                          if i != term.functions[0].argument)))
                         for share, (term,) in proposed if len(term.functions) == 1 and term.multiplier == 0]
        refined, found, written = [], [], 0
        waiting = [chosen for _, chosen in sorted(proposed, key=lambda item: item[0])[:PAIRS if first else REFINED]]
        for plain in (False, True):
            if plain:
                best = sorted(refined, key=lambda item: item[0])[:PLAINER]
                waiting = [] if found else [simple for _, chosen in best for simple in _plainer(model, chosen)]
            for chosen in waiting:
                if time.perf_counter() > deadline:
                    return
                error, chosen = refine(model, chosen)
                refined.append((error, chosen))
                if error < floor and written < WRITTEN:
                    written += 1
                    chosen = thinned(model, chosen, floor, deadline)
                    candidate = presentable(composed(model, chosen, exact))
                    if candidate is not None:
                        found.append(candidate)
                        if candidate.complexity <= SHORT:
                            break
                yield None
        found.sort(key=lambda e: e.complexity)
        yield from found[:KEPT]
        if found and (found[0].complexity <= SHORT or not exact):
            return
        parents = _parents(refined, BEAM[min(depth + 1, DEPTH - 1)])


def _replaced(term: Term, f: Function, by: Function) -> Term:
    """Return the term with another function in the place of f."""
    return term._replace(functions=tuple(by if g == f else g for g in term.functions))


def _plainer(model: Model, chosen: Set) -> Iterator[Set]:
    """Yield the terms with a power in place of one function, which may have come as near to it as rounding allows."""
    for k, term in enumerate(chosen):
        for f in term.functions:
            for power in model.powers(f.argument) if not model.families[f.family].fixed else ():
                yield (*chosen[:k], _replaced(term, f, power), *chosen[k + 1:])


def _parents(refined: list[tuple[float, Set]], most: int) -> list[tuple[float, Set]]:
    """Return the sets to extend, with their errors: two thirds those of least error, the others plain ones."""
    refined.sort(key=lambda item: item[0])
    different, last = [], 0.0
    for error, chosen in refined:
        if error > last * (1.0 + 1e-6):  # equal errors: the same function written in another way
            last = error
            different.append((error, chosen))
    head, rest = different[:2 * most // 3], different[2 * most // 3:]
    plain = [(error, chosen) for error, chosen in rest
             if all(t.multiplier == 0 and len(t.functions) == 1 for t in chosen)]
    return head + plain[:most - len(head)]
