"""Guessed reductions and powers of columns: right ones are among the best, and all lead back to the target."""

import numpy as np
import pytest

from rsrm.bank import Bank, variable_powers
from rsrm.bank_stages import bank_candidates
from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.guesses import MOST, guesses
from rsrm.library import Library
from rsrm.objective import Objective
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem


def make(law, *ranges, rows=200, seed=0):
    rng = np.random.default_rng(seed)
    X = np.array([rng.uniform(*r, rows) for r in ranges])
    return Problem(X, law(*X), Library(len(X), DEFAULT_OPERATORS))


@pytest.mark.parametrize(("law", "text"), [
    (lambda a, b, c, d: a / (1.0 + (b / c) ** d), "merge log(x1) -1 log(x2)"),
    (lambda a, b, c, d: a + b * np.tan(c) - 5.0 * (b / d / np.cos(c)) ** 2, "term id(y) = 1*id(x0) + f"),
    (lambda a, b, c, d: np.sin(3.0 * (b - c)) + a * np.sqrt(d + a), "merge id(x1) -1 id(x2)"),
    (lambda a, b, c, d: a * d * np.cos(3.0 * (b * b + c * c)) - np.sqrt(d), "merge square(x1) +1 square(x2)"),
    (lambda a, b, c, d: np.sin(2.0 * b * c * c) + a * np.sqrt(d + a), "merge log(x1) +2 log(x2)"),
], ids=["ratio", "term", "difference", "radius", "power"])
def test_a_right_guess_is_among_the_best_where_gradients_are_too_poor(law, text):
    problem = make(law, (0.5, 1.2), (0.5, 1.5), (0.5, 1.4), (1.0, 4.0))
    found = guesses(problem)
    right = next(r for r in found[:3] if r.text == text)
    assert right.make().n_variables == 3
    assert all(r.spread <= MOST for r in found)
    assert [r.cost for r in found] == sorted(r.cost for r in found)


@pytest.mark.parametrize(("law", "text", "left"), [
    ("x0*exp(-x1*x2) + 2*x2", "drop x3", "x0*exp(-x1*x2) + 2*x2"),
    ("exp(-x1*x2)/(x0*x0) + x3/(x0*x0)", "factor log(x0)**-2", "exp(-x0*x1) + x2"),
    ("x0 + exp(-x1*x2)*sqrt(x3)", "term id(y) = 1*id(x0) + f", "exp(-x0*x1)*sqrt(x2)"),
    ("sqrt(x0*x0 + exp(x1*x2)/x3)", "term square(y) = 1*square(x0) + f", "exp(x0*x1)/x2"),
    ("1/(1/x0 + exp(x1*x2)/x3)", "term inv(y) = 1*inv(x0) + f", "exp(x0*x1)/x2"),
    ("1/sqrt(x0*x0 + exp(x1*x2)/x3)", "term invsquare(y) = 1*square(x0) + f", "exp(x0*x1)/x2"),
    ("exp(-x1*x2)*x0 + x3", "merge log(x1) +1 log(x2)", "exp(-x2)*x0 + x1"),
    ("cos(x1*x1 + x2*x2)*x0 + x3", "merge square(x1) +1 square(x2)", "cos(x2)*x0 + x1"),
    ("x0*(exp(-x0*x1) + x2)*x3", "scale log: p=1, x0 +1 x1", "(exp(-x2) + x0)*x1"),
    ("x0 + exp(x0 - x1)*x2/x3", "scale id: p=1, x0 -1 x1", "exp(x2)*x0/x1"),
    ("x0*exp(-x0*x1)*(x0*x2 + x3)", "group x0**1: x1 +1, x2 +1", "exp(-x1)*(x2 + x0)"),
    # A ratio is turned over where its inverse stands out less.
    ("x0*exp(-x1/x0)*(x2/x0 + x3/x0)", "group x0**1: x1 -1, x2 -1, x3 -1", "exp(-1/x0)*(1/x1 + 1/x2)"),
])
def test_a_guess_leads_to_what_is_left_and_back(law, text, left):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, (4, 200))
    library = Library(4, DEFAULT_OPERATORS)
    y = values(parse(law, library), X.T)[0]
    guess = next(g for g in guesses(Problem(X, y, library)) if g.text == text)
    child = guess.make()
    answer = parse(left, child.library)
    np.testing.assert_allclose(values(answer, child.X.T)[0], child.y, rtol=1e-9)
    np.testing.assert_allclose(values(child.lift(answer), X.T)[0], y, rtol=1e-9)


def test_no_root_of_a_negative_column_is_divided_out():
    problem = make(lambda a, b, c: a * np.exp(b / a) + c, (-2.0, 2.0), (0.5, 1.5), (0.5, 1.5))
    assert not [g.text for g in guesses(problem) if "x0**0.5" in g.text or "x0**-0.5" in g.text]


def test_nothing_is_guessed_of_one_column():
    assert guesses(make(lambda a: np.exp(a), (0, 1))) == []


def test_powers_of_columns_have_the_values_of_numpy():
    rng = np.random.default_rng(1)
    X = np.array([rng.uniform(1.5, 3.0, 50), rng.uniform(-0.9, 0.9, 50)])
    library = Library(2, DEFAULT_OPERATORS)
    powers = variable_powers(X, library)
    expected = (X[0] ** X[1], (1.0 + X[1]) ** X[0], (1.0 - X[1]) ** X[0])
    for power, y in zip(powers, expected, strict=True):
        np.testing.assert_allclose(Objective(Problem(X, y, library)).values(power), y, rtol=1e-12)


def test_there_are_no_shortcuts_where_pow_is_an_operator_or_columns_are_many():
    X = np.random.default_rng(0).uniform(1.0, 2.0, (5, 20))
    assert variable_powers(X, Library(5, DEFAULT_OPERATORS)) == []
    assert variable_powers(X[:2], Library(2, (*DEFAULT_OPERATORS, "pow"))) == []
    assert variable_powers(X[:2], Library(2, ("add", "mul", "exp"))) == []


@pytest.mark.parametrize("law", [
    lambda u, n: u**n / (1.0 + u**n),
    lambda r, n: r * (1.0 + r) ** n / ((1.0 + r) ** n - 1.0),
    lambda t, k: 1.0 - np.exp(-t**k),
], ids=["Hill", "annuity", "Weibull"])
def test_a_small_bank_holds_laws_with_variable_exponents(law):
    problem = make(law, (0.1, 0.9), (1.0, 5.0))
    objective = Objective(problem)
    found = bank_candidates(problem, np.inf, np.random.default_rng(0), sizes=((4_000, 400),))
    assert min(objective.score(e)[0] for e in found) < 1e-10


def test_shortcuts_are_entries_of_a_bank():
    X = np.random.default_rng(0).uniform(1.0, 2.0, (2, 40))
    library = Library(2, DEFAULT_OPERATORS)
    bank = Bank.enumerate(X, library, shortcuts=variable_powers(X, library), max_entries=300,
                          rng=np.random.default_rng(0))
    at = bank.find((X[0] ** X[1])[bank.rows])
    assert at >= 0
    assert bank.complexity[at] == 5
