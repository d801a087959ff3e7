"""Replacements: near-truths become the truth, the truth stays, and derivatives agree with sympy."""

import numpy as np
import pytest
import sympy as sp

from rsrm.export import parse, to_sympy
from rsrm.expression import apply, variable
from rsrm.library import Library
from rsrm.objective import Objective
from rsrm.primitives import PRIMITIVES
from rsrm.problem import Problem
from rsrm.replacements import Replacements
from rsrm.slopes import subtree_slopes, subtree_values
from rsrm.turns import PAUSE

LIBRARY = Library(3)
X = np.random.default_rng(0).uniform(1.2, 3.0, (3, 200))


def noisy(law, noise, X=X, seed=1):
    y = law(*X)
    return Problem(X, y + noise * np.std(y) * np.random.default_rng(seed).standard_normal(len(y)), LIBRARY)


def replacements(problem, *texts):
    found = [parse(text, problem.library) for text in texts]
    return Replacements(problem, lambda: found, np.inf, np.random.default_rng(0))


def until_pause(source):
    found = []
    for item in source:
        if item is PAUSE:
            return found
        if item is not None:
            found.append(item)
    return found


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("law, near", [
    # One sub-tree is another one.
    (lambda a, b, c: a * np.exp(-b * np.exp(-c)), "x0*exp(-2.24*sqrt(x1 - 1)*exp(-x2))"),
    (lambda a, b, c: 8.3 * c / (a + b) - b / a**2, "8.1*x2/(x0 + x1) - x1/(x0*(x0 + 0.1*x1))"),
    # An operator is one too many.
    (lambda a, b, c: a * np.log(b) - 0.3 * c, "x0*(log(x1) - tanh(0.3*x2/x0))"),
    # A sub-tree is a number.
    (lambda a, b, c: a * b / (c + 2.0), "x0*x1/(x2 + 2*cos(0.05*x0))"),
])
def test_a_near_truth_becomes_the_truth(law, near, noise):
    problem = noisy(law, noise)
    exact = law(*X)
    errors = [np.sqrt(np.mean((subtree_values(e, X)[0] - exact) ** 2)) / np.std(exact)
              for e in until_pause(replacements(problem, near))]
    start = np.sqrt(np.mean((subtree_values(parse(near, LIBRARY), X)[0] - exact) ** 2)) / np.std(exact)
    assert min(errors) < max(0.3 * noise, 1e-9) < 0.5 * start


def test_an_operator_goes_whose_operand_is_in_no_bank():
    law = parse("x0 + log(x1 + 0.37*x2*x0)", LIBRARY)  # a number inside
    exact = subtree_values(law, X)[0]
    problem = noisy(lambda *columns: exact, 2e-3)
    found = until_pause(replacements(problem, "x0 + 5*tanh(log(x1 + 0.37*x2*x0)/5)"))
    right = [e.complexity for e in found if np.std(subtree_values(e, X)[0] - exact) < 1e-3 * np.std(exact)]
    assert right and min(right) <= law.complexity + 2  # a factor and its operator may stand where none is needed


@pytest.mark.parametrize("seed", range(8))
def test_the_truth_is_left_alone_under_noise(seed):
    # Some of the thousands of sub-trees fit the noise of 60 rows better than the right one, by chance.
    problem = noisy(lambda a, b, c: 3.13 * np.sqrt(a / b) * np.tanh(c / b), 0.02, X[:, :60], seed)
    assert until_pause(replacements(problem, "3.13*sqrt(x0/x1)*tanh(x2/x1)")) == []


def test_what_was_seen_or_is_far_or_undefined_is_not_looked_at():
    problem = noisy(lambda a, b, c: a * np.log(b) - 0.3 * c, 0.01)
    source = iter(replacements(problem, "x0*(log(x1) - tanh(0.3*x2/x0))"))
    assert until_pause(source) and not until_pause(source)
    for text in ("x2*x1*x0", "log(x1 - 3)", "1.5"):
        assert not until_pause(replacements(problem, text))


def test_without_constants_nothing_is_replaced():
    problem = noisy(lambda a, b, c: a * np.log(b), 0.01)
    bare = Problem(problem.X, problem.y, Library(3, constants=False))
    assert list(Replacements(bare, lambda: [variable(bare.library, 0)], np.inf, np.random.default_rng(0))) == []


def test_noise_in_proportion_to_the_values_is_weighed():
    rng = np.random.default_rng(3)
    wide = np.exp(rng.uniform(0.0, 6.0, (3, 200)))
    y = wide[0] ** 2 / (wide[1] + wide[2]) * (1.0 + 0.01 * rng.standard_normal(200))
    problem = Problem(wide, y, LIBRARY)
    found = until_pause(replacements(problem, "x0**2/(x1 + 0.9*x2 + 0.02*sqrt(x0))"))
    score = min(Objective(problem).score(e).proportional for e in found)
    assert score < Objective(problem).score(parse("x0**2/(x1 + x2)", LIBRARY)).proportional + 0.05


@pytest.mark.parametrize("text", ["x0*exp(x1*x2)", "sin(x0*x1)/(x2 + 1)", "(x0 - x1)**2/x2", "log(x0 + sqrt(x1))"])
def test_slopes_agree_with_sympy(text):
    expression = parse(text, LIBRARY)
    values = subtree_values(expression, X)
    slopes = subtree_slopes(expression, values)
    symbols = sp.symbols("x0 x1 x2", real=True)
    names = [LIBRARY.name(int(t)) for t in expression.expanded]
    np.testing.assert_allclose(values[0], sp.lambdify(symbols, to_sympy(expression))(*X), rtol=1e-12)
    for name, symbol in zip(("x0", "x1", "x2"), symbols, strict=True):  # a variable that stands once
        places = [k for k, n in enumerate(names) if n == name]
        if len(places) == 1:
            slope = sp.lambdify(symbols, sp.diff(to_sympy(expression), symbol))(*X) * np.ones(X.shape[1])
            np.testing.assert_allclose(slopes[places[0]], slope, rtol=1e-6)


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.name)
def test_slopes_of_every_operator_agree_with_its_derivative(primitive):
    library = Library(2, tuple(p.name for p in PRIMITIVES))
    rows = np.random.default_rng(0).uniform(0.2, 0.8, (2, 50))
    e = apply(library, primitive.name, *(variable(library, i) for i in range(primitive.arity)))
    values = subtree_values(e, rows)
    symbols = sp.symbols("x0 x1", real=True)
    for i in range(primitive.arity):
        expected = sp.lambdify(symbols, sp.diff(to_sympy(e), symbols[i]))(*rows) * np.ones(50)
        np.testing.assert_allclose(subtree_slopes(e, values)[1 + i], expected, rtol=1e-6, atol=1e-9)
