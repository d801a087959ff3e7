"""Reductions that few rows support: guessed one and all, and ranked by what a refit says.

A gradient needs a surrogate that is right to a percent. A few hundred rows of a law of four variables do not give one,
but they are enough to compare: a right reduction leaves fewer columns, over which the same rows carry a polynomial of a
higher degree, so that the held-out error falls; a wrong one loses what the law needs, and it rises.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from rsrm.forms import FORMS, TARGETS, Form, Reduction
from rsrm.problem import Problem
from rsrm.reducing import divided, grouped, merged, peeled, reduced, scaled
from rsrm.surrogate import TERMS, held_out_errors

ROWS = 400
MOST_GROUPED, MOST_COLUMNS = 4, 6
"""Columns up to which pairs in units of a third are guessed, and up to which all in units of one are."""
POWERS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Exponents that are guessed of factors, and of one column of a product of two."""
SIGNS = (1.0, -1.0)
MOST = 1.02
"""Guesses that make the held-out error grow by more than this factor are dropped."""
LEFT = 1.2
"""Spread of what a term may leave, in units of that of the target."""
BASE, STEEP, STEP = -0.25, 0.3, 0.03
"""Cost of a guess that explains all, what is added where the error stays as it was, and for every column."""
_LOG, _PLAIN, _SQUARE, _INVERSE = FORMS[:4]
_TERMS = {"id": _PLAIN, "square": _SQUARE, "inv": _INVERSE, "invsquare": _SQUARE}
"""Functions of a column that are guessed as terms, by the function of the target they stand beside."""


def guesses(problem: Problem, deadline: float = np.inf) -> list[Reduction]:
    """Return the reductions that do not make a polynomial worse, the best of them first.

    Guessed are drops, factors ``x_i**p``, terms under the same function as the target, merges into products, ratios,
    sums and differences (of squares, too), the same beside a factor or a term, and pairs of columns, or all, in units
    of another.

    Parameters
    ----------
    problem : Problem
        Without noise.
    deadline : float
        Of ``time.perf_counter``; what is not tried by then is left out.

    Returns
    -------
    reductions : list of Reduction
        ``spread`` is the held-out error of what is left, divided by that of the problem itself.
    """
    few = problem.take(slice(None, None, -(-problem.n_rows // ROWS)))
    with np.errstate(all="ignore"):  # targets that a transform makes huge are refused by their values
        return _ranked(problem, few, deadline)


def _ranked(problem: Problem, few: Problem, deadline: float) -> list[Reduction]:
    before = float(held_out_errors(few.X, [few.y], TERMS[0])[0])
    if not 0.0 < before < np.inf or problem.n_variables < 2:
        return []
    found = []
    for family in _families(few):
        if time.perf_counter() > deadline:
            break
        made = [(guess, guess.make(few)) for guess in family]
        made = [(guess, child) for guess, child in made if child is not None and np.isfinite(child.y).all()]
        if made:  # all over the same columns: one factorization serves them
            errors = held_out_errors(made[0][1].X, [child.y for _, child in made], TERMS[0])
            found += [(float(e) / before, guess) for (guess, _), e in zip(made, errors, strict=True)
                      if e <= MOST * before]
    guessed = [Reduction(g.kind, ratio, BASE + STEEP * ratio + STEP * len(g.columns), g.columns, g.text,
                         partial(g.make, problem), True) for ratio, g in found]
    return sorted(guessed, key=lambda r: r.cost)


class _Guess(NamedTuple):
    kind: str
    columns: tuple[int, ...]
    text: str
    make: Callable[[Problem], Problem | None]


def _families(problem: Problem) -> Iterator[list[_Guess]]:
    """Yield the guesses, those that leave the same columns together."""
    n = problem.n_variables
    for i in range(n):
        yield list(_about_one(problem, i))
    for i, j in combinations(range(n), 2):
        for c in POWERS:
            yield list(_products(n, i, j, c))
        for form, c in product((_PLAIN, _SQUARE), SIGNS):
            yield list(_sums(problem, i, j, form, c))
    for k in range(n) if n <= MOST_GROUPED else ():
        for i, j in combinations([i for i in range(n) if i != k], 2):
            for c, d in product(SIGNS, SIGNS):
                yield _units(k, {i: c, j: d})
    for k in range(n) if 3 < n <= MOST_COLUMNS else ():
        yield _units(k, {i: -1.0 for i in range(n) if i != k})


def _about_one(problem: Problem, i: int) -> Iterator[_Guess]:
    keep = [k for k in range(problem.n_variables) if k != i]
    yield _Guess("drop", (i,), f"drop x{i}", partial(reduced, keep=keep, extra=[]))
    for p in POWERS:
        yield _Guess("factor", (i,), f"factor log(x{i})**{p:g}", partial(divided, i=i, keep=keep, form=_LOG, p=p))
    for name, g, slope, inverse in TARGETS:
        form = _TERMS.get(name)
        if form is not None and (name in ("id", "inv") or problem.y.min() > 0.0):
            for c in _shares(g(problem.y), form.value(problem.X[i])):
                yield _Guess("term", (i,), f"term {name}(y) = {c:g}*{form.name}(x{i}) + f",
                             partial(peeled, i=i, keep=keep, form=form, c=c, g=g, slope_g=slope, inverse=inverse))


def _products(n: int, i: int, j: int, c: float) -> Iterator[_Guess]:
    keep = [k for k in range(n) if k not in (i, j)]
    yield _Guess("merge", (i, j), f"merge log(x{i}) {c:+g} log(x{j})",
                 partial(merged, i=i, j=j, keep=keep, a=_LOG, b=_LOG, c=c))
    for p in POWERS:
        yield _Guess("scale", (i, j), f"scale log: p={p:g}, x{i} {c:+g} x{j}",
                     partial(scaled, i=i, j=j, form=_LOG, c=c, p=p))


def _sums(problem: Problem, i: int, j: int, form: Form, c: float) -> Iterator[_Guess]:
    keep = [k for k in range(problem.n_variables) if k not in (i, j)]
    name = form.name
    yield _Guess("merge", (i, j), f"merge {name}(x{i}) {c:+g} {name}(x{j})",
                 partial(merged, i=i, j=j, keep=keep, a=form, b=form, c=c))
    for p in _shares(problem.y, form.value(problem.X[i])):
        yield _Guess("scale", (i, j), f"scale {name}: p={p:g}, x{i} {c:+g} x{j}",
                     partial(scaled, i=i, j=j, form=form, c=c, p=p))


def _units(k: int, exponents: dict[int, float]) -> list[_Guess]:
    text = ", ".join(f"x{i} {c:+g}" for i, c in exponents.items())
    return [_Guess("scale", (*exponents, k), f"group x{k}**{p:g}: {text}",
                   partial(grouped, k=k, exponents=exponents, form=_LOG, p=p)) for p in (0.0, *POWERS)]


def _shares(whole: np.ndarray, part: np.ndarray) -> list[float]:
    """Return the signs with which `part` may be a term of `whole`: what it leaves is no larger, and not made of it."""
    return [c for c in SIGNS if np.std(whole - c * part) <= LEFT * np.std(whole)]
