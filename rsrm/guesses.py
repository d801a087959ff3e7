"""Reductions that few rows support: guessed one and all, and ranked by what a refit says.

A gradient needs a surrogate that is right to a percent. A few hundred rows of a law of four variables do not give one,
but they are enough to compare: a right reduction leaves fewer columns, over which the same rows carry a polynomial of a
higher degree, so that the held-out error falls; a wrong one loses what the law needs, and it rises.
"""

from collections.abc import Callable, Iterator

import numpy as np

from rsrm.forms import FORMS, TARGETS, Reduction
from rsrm.problem import Problem
from rsrm.reducing import divided, merged, peeled, reduced
from rsrm.surrogate import TERMS, held_out_errors

ROWS = 600
POWERS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Exponents of the factors that are guessed."""
SIGNS = (1.0, -1.0)
MOST = 1.02
"""Guesses that make the held-out error grow by more than this factor are dropped."""
BASE, STEEP = -0.2, 0.3
"""Cost of a guess that explains all, and what is added where the error stays as it was."""
_LOG, _PLAIN = FORMS[0], FORMS[1]


def guesses(problem: Problem) -> list[Reduction]:
    """Return the factors, terms, merges and drops that do not make a polynomial worse, the best of them first.

    Parameters
    ----------
    problem : Problem
        Without noise.

    Returns
    -------
    reductions : list of Reduction
        ``spread`` is the held-out error of what is left, divided by that of the problem itself.
    """
    few = problem.take(slice(None, None, -(-problem.n_rows // ROWS)))
    with np.errstate(all="ignore"):  # targets that a transform makes huge are refused by their values
        return _ranked(problem, few)


def _ranked(problem: Problem, few: Problem) -> list[Reduction]:
    before = float(held_out_errors(few.X, [few.y], TERMS[0])[0])
    if not 0.0 < before < np.inf or problem.n_variables < 2:
        return []
    found = []
    for columns in _columns(problem.n_variables):
        made = [(guess, guess[2](few)) for guess in _guesses(problem.n_variables, columns)]
        made = [(guess, child) for guess, child in made if child is not None and np.isfinite(child.y).all()]
        # Guesses about one column leave the same columns: one factorization serves them all.
        if len(columns) == 1:
            errors = held_out_errors(made[0][1].X, [child.y for _, child in made], TERMS[0]) if made else []
        else:
            errors = [held_out_errors(child.X, [child.y], TERMS[0])[0] for _, child in made]
        for (guess, _), error in zip(made, errors, strict=True):
            if error <= MOST * before:
                found.append((float(error) / before, columns, *guess))
    return [Reduction(kind, ratio, BASE + STEEP * ratio, columns, text, lambda make=make: make(problem), True)
            for ratio, columns, kind, text, make in sorted(found, key=lambda f: f[0])]


def _columns(n: int) -> Iterator[tuple[int, ...]]:
    """Yield the columns and the pairs of columns that a guess may use up."""
    for i in range(n):
        yield (i,)
        for j in range(i + 1, n):
            yield i, j


def _guesses(n: int, columns: tuple[int, ...]) -> Iterator[tuple[str, str, Callable[[Problem], Problem | None]]]:
    """Yield (kind, text, map of the problem to the smaller one) for one or two of `n` columns."""
    keep = [k for k in range(n) if k not in columns]
    i = columns[0]
    if len(columns) == 1:
        yield "drop", f"drop x{i}", lambda p: reduced(p, keep, [])
        for q in POWERS:
            yield "factor", f"factor log(x{i})**{q:g}", lambda p, q=q: divided(p, i, keep, _LOG, q)
        for c in SIGNS:
            yield "term", f"term id(y) = {c:g}*id(x{i}) + f", lambda p, c=c: peeled(p, i, keep, _PLAIN, c,
                                                                                   *TARGETS[0][1:])
        return
    j = columns[1]
    for form in (_LOG, _PLAIN):
        for c in SIGNS:
            yield "merge", f"merge {form.name}(x{i}) {c:+g} {form.name}(x{j})", lambda p, form=form, c=c: merged(
                p, i, j, keep, form, form, c)
