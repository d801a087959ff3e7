"""The vocabulary of reductions: functions A of one column, and invertible functions g of the target.

The paper's forms ``A + f``, ``A * f`` and ``A ** f`` (Xu et al. 2024, sec. 3.3) fix a fragment A and search for f
only. Here A is read off the data instead of mined: see :mod:`rsrm.proposals` for the tests and :mod:`rsrm.reducing` for
the smaller problems.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rsrm.compose import linear, outer, power
from rsrm.problem import Problem

KINDS = ("fold", "drop", "factor", "term", "merge", "scale", "shear")
"""Kinds of reductions."""
SHEARS = ("id", "square", "inv", "sqrt", "cos", "sin")
"""Functions of the third column that shears try."""


@dataclass(frozen=True)
class Form:
    """A function A of one column.

    Attributes
    ----------
    name : str
    logarithmic : bool
        Whether ``slope`` is that of log A: sums of such forms are products.
    value, slope : callable
        On arrays.
    build : callable
        From the column's Expression to that of A, or None where the operators cannot write it.
    cost : float
        Simpler forms are proposed first.
    """

    name: str
    logarithmic: bool
    value: Callable
    slope: Callable
    build: Callable
    cost: float = 0.0


def _shifted(sign: float, inner: Callable) -> Callable:
    """Return a builder of ``1 + sign * inner(f)``."""

    def build(f):
        g = inner(f)
        return None if g is None else linear(f.library, [(sign, g)], 1.0)

    return build


def _square(f):
    return power(f, 2.0)


FORMS = (
    Form("log", True, lambda x: x, lambda x: 1.0 / x, lambda f: f),
    Form("id", False, lambda x: x, np.ones_like, lambda f: f),
    Form("square", False, np.square, lambda x: 2.0 * x, _square, 0.1),
    Form("inv", False, lambda x: 1.0 / x, lambda x: -1.0 / x**2, lambda f: power(f, -1.0), 0.2),
    Form("invsquare", False, lambda x: x**-2.0, lambda x: -2.0 * x**-3.0, lambda f: power(f, -2.0), 0.3),
    Form("cube", False, lambda x: x**3, lambda x: 3.0 * x**2, lambda f: power(f, 3.0), 0.3),
    Form("sqrt", False, np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda f: power(f, 0.5), 0.3),
    Form("cos", False, np.cos, lambda x: -np.sin(x), lambda f: outer("cos", f), 0.3),
    Form("sin", False, np.sin, np.cos, lambda f: outer("sin", f), 0.3),
    Form("exp", False, np.exp, np.exp, lambda f: outer("exp", f), 0.4),
    Form("log sin", True, np.sin, lambda x: np.cos(x) / np.sin(x), lambda f: outer("sin", f), 0.3),
    Form("log cos", True, np.cos, lambda x: -np.tan(x), lambda f: outer("cos", f), 0.3),
    Form("log 1+x", True, lambda x: 1.0 + x, lambda x: 1.0 / (1.0 + x), _shifted(1.0, lambda f: f), 0.4),
    Form("log 1-x", True, lambda x: 1.0 - x, lambda x: -1.0 / (1.0 - x), _shifted(-1.0, lambda f: f), 0.4),
    Form("log 1+xx", True, lambda x: 1.0 + x * x, lambda x: 2 * x / (1.0 + x * x), _shifted(1.0, _square), 0.5),
    Form("log 1-xx", True, lambda x: 1.0 - x * x, lambda x: -2 * x / (1.0 - x * x), _shifted(-1.0, _square), 0.5),
)

# Invertible outer functions g of the target: g(y), g'(y), and the builder of the inverse.
TARGETS = (
    ("id", lambda y: y, np.ones_like, lambda f: f),
    ("square", np.square, lambda y: 2.0 * y, lambda f: power(f, 0.5)),
    ("inv", lambda y: 1.0 / y, lambda y: -1.0 / y**2, lambda f: power(f, -1.0)),
    ("invsquare", lambda y: y**-2.0, lambda y: -2.0 * y**-3.0, lambda f: power(f, -0.5)),
    ("log", np.log, lambda y: 1.0 / y, lambda f: outer("exp", f)),
    ("exp", np.exp, np.exp, lambda f: outer("log", f)),
    ("sqrt", np.sqrt, lambda y: 0.5 / np.sqrt(y), lambda f: power(f, 2.0)),
)


@dataclass(frozen=True)
class Reduction:
    """A proposed step to a smaller problem.

    Attributes
    ----------
    kind : str
        One of KINDS.
    spread : float
        Relative spread of what must be constant; 0 would be a perfect test.
    cost : float
        Spread and complexity in one number; the smallest is tried first.
    columns : tuple of int
        Columns of the parent that are used up.
    text : str
    make : callable
        Returns the reduced Problem, or None where the operators cannot write the step.
    guessed : bool
        Whether a refit, and no gradient, speaks for it: see :mod:`rsrm.guesses`.
    """

    kind: str
    spread: float
    cost: float
    columns: tuple[int, ...]
    text: str
    make: Callable[[], Problem | None]
    guessed: bool = False
