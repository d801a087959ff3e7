"""Reductions against laws whose gradient is known: proposed where they hold, exact, and undone by the lift."""

import numpy as np
import pytest
import sympy as sp

from rsrm.export import parse, to_sympy
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.proposals import propose, proportion, relation

SYMBOLS = sp.symbols("x0:4")
OPERATORS = ("add", "sub", "mul", "div", "pow", "sqrt", "exp", "log", "sin", "cos")


def given(text, low=0.4, high=1.2, rows=200):
    """Return the problem of a law, and its gradient by sympy."""
    X = np.random.default_rng(7).uniform(low, high, (4, rows))
    law = sp.sympify(text)
    y = sp.lambdify(SYMBOLS, law, "numpy")(*X)
    gradient = np.stack([np.broadcast_to(sp.lambdify(SYMBOLS, law.diff(s), "numpy")(*X), rows) for s in SYMBOLS])
    return Problem(X, y, Library(4, OPERATORS, True)), gradient


def proposals(problem, gradient, loose=0.05):
    return {r.text: r for r in propose(problem, np.arange(problem.n_rows), problem.y, gradient, loose)}


# The law, what is proposed for it, column and target of the smaller problem where they are new, and its law.
CASES = (
    ("x0*x1**2 + sin(x2)", "drop x3", None, None, "x0*x1**2 + sin(x2)"),
    ("x0**2*(x1 + sin(x2*x3))", "factor log(x0)**2", None, "x1 + sin(x2*x3)", "x0 + sin(x1*x2)"),
    ("sin(x0)*exp(x1*x2 + x3**2)", "factor log sin(x0)**1", None, "exp(x1*x2 + x3**2)", "exp(x0*x1 + x2**2)"),
    ("3*x0 + x1*exp(x2 + x3**2)", "term id(y) = 3*id(x0) + f", None, "x1*exp(x2 + x3**2)", "x0*exp(x1 + x2**2)"),
    ("sqrt(2*x0**2 + x1*x2 + sin(x3*x1))", "term square(y) = 2*square(x0) + f", None, "x1*x2 + sin(x3*x1)",
     "x0*x1 + sin(x2*x0)"),
    ("1/(x0 + cos(x1*x2) + x3)", "term inv(y) = 1*id(x0) + f", None, "cos(x1*x2) + x3", "cos(x0*x1) + x2"),
    ("x0*exp(x1*x2) + x3/(1 + x1*x2)", "merge log(x1) +1 log(x2)", "x1*x2", None, "x0*exp(x2) + x1/(1 + x2)"),
    ("x0*sin(x1 - 2*x2) + x3", "merge id(x1) -2 id(x2)", "x1 - 2*x2", None, "x0*sin(x2) + x1"),
    ("x0*sin(x1**2 + x2**2) + x3", "merge square(x1) +1 square(x2)", "x1**2 + x2**2", None, "x0*sin(x2) + x1"),
    ("x0**2*sin(x0*x1) + 0*x2", "scale log: p=2, x0 +1 x1", "x0*x1", "sin(x0*x1)", "sin(x2)"),
    ("3*x0 + exp(x0 - x1) + 0*x2", "scale id: p=3, x0 -1 x1", "x0 - x1", "exp(x0 - x1)", "exp(x2)"),
    ("exp(x0 + cos(x2)*x1) + x3", "shear x0 +1 cos(x2) x1", "x0 + cos(x2)*x1", None, "exp(x2) + x1"),
)


@pytest.mark.parametrize(("law", "text", "column", "target", "small"), CASES)
def test_a_reduction_that_holds_is_proposed_exact_and_undone(law, text, column, target, small):
    problem, gradient = given(law)
    found = proposals(problem, gradient)
    assert text in found and found[text].spread < 1e-6
    child = found[text].make()
    assert child.n_variables == 3

    def values(t):
        return sp.lambdify(SYMBOLS, sp.sympify(t), "numpy")(*problem.X)

    np.testing.assert_allclose(child.y, problem.y if target is None else values(target), rtol=1e-10)
    if column is not None:
        np.testing.assert_allclose(child.X[-1], values(column), rtol=1e-10)
    lifted = sp.lambdify(SYMBOLS, to_sympy(child.lift(parse(small, child.library))), "numpy")(*problem.X)
    np.testing.assert_allclose(lifted, problem.y, rtol=1e-10)


@pytest.mark.parametrize(("law", "absent"), [
    ("x0*x1 + x2*x3", ("drop", "factor", "merge id")),
    ("sin(x0*x1) + exp(x2*x3)", ("drop", "factor", "merge id", "term")),
])
def test_what_does_not_hold_is_not_proposed(law, absent):
    problem, gradient = given(law)
    assert not [t for t in proposals(problem, gradient, 1e-3) if t.startswith(absent)]


def test_proportion_and_relation_agree_with_least_squares():
    rng = np.random.default_rng(1)
    v = rng.normal(size=300)
    u = 2.5 * v + 0.1 * rng.normal(size=300)
    c, spread = proportion(u, v)
    wanted = np.linalg.lstsq(v[:, None], u)[0][0]
    assert c == pytest.approx(wanted) and spread == pytest.approx(
        np.linalg.norm(u - wanted * v) / np.linalg.norm(u), rel=1e-6)
    c, p, spread = relation(v, 3.0 * (v - 0.5))
    assert (c, p) == (pytest.approx(3.0), pytest.approx(0.5)) and spread < 1e-6
    assert proportion(np.full(300, np.nan), v)[1] == np.inf and relation(v, np.ones(300))[2] == np.inf
