"""Expressions of an episode as text: finished ones with their constants, drafts with holes."""

from typing import NamedTuple

import numpy as np

from rsrm.export import infix
from rsrm.expression import Expression, expand, expanded_length
from rsrm.library import Library, Promoted

HOLE = "?"


class _Written(NamedTuple):
    """What the printer reads of an Expression, without the checks that an episode makes superfluous."""

    expanded: np.ndarray
    constants: np.ndarray
    library: Library


def final_text(tokens, constants, library: Library) -> str:
    """Return the infix form of a complete prefix.

    Parameters
    ----------
    tokens : int16[n]
    constants : float64[>= m]
        From left to right, for the m constants of the written-out expression.
    library : Library
    """
    if tokens.max() >= library.first_promoted:
        written = np.empty(expanded_length(tokens, len(tokens), library.tables), np.int16)
        expand(tokens, len(tokens), library.tables, written)
        tokens = written
    return infix(_Written(tokens, constants[:np.count_nonzero(tokens == library.constant)], library))


def draft_text(tokens, open_slots: int, library: Library) -> str:
    """Return the infix form of a prefix: ``?`` stands for each open slot, ``C`` for a constant not yet fitted."""
    # A library with two more variables prints both, and leaves nothing else to the printer.
    d = library.n_variables

    def shift(token):
        return token if token < d else d + 1 if token == d else token + 2

    promoted = tuple(p and Promoted(p.name, p.arity, tuple(shift(t) for t in p.body)) for p in library.promoted)
    wide = Library(d + 2, variable_names=(*library.variable_names, HOLE, "C"), promoted=promoted,
                   capacity=library.capacity)
    return infix(Expression(np.array([*(shift(int(t)) for t in tokens), *[d] * open_slots]), np.empty(0), wide))
