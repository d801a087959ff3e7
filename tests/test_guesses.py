import numpy as np
import pytest

from rsrm.bank import Bank, variable_powers
from rsrm.bank_stages import bank_candidates
from rsrm.expression import number, variable
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


def test_guesses_lead_back_to_the_target():
    # A child whose target is its first column: lifting that column must give the parent's target.
    problem = make(lambda a, b, c, d: a * (1.0 - np.exp(-b * (c - d))) ** 2, (1, 8), (0.8, 2.5), (0.6, 4), (0.7, 2))
    for guess in guesses(problem):
        child = guess.make()
        expressions = child.lift(variable(child.library, 0)), child.lift(number(child.library, 2.0))
        a, b = (Objective(problem).values(e) for e in expressions)
        slope, offset = (a - b) / (child.X[0] - 2.0), b
        if guess.text.startswith("term inv"):
            slope, offset = (1.0 / a - 1.0 / b) / (child.X[0] - 2.0), 1.0 / b
        elif guess.text.startswith(("term square", "term invsquare")):
            continue  # their lifts take roots, which need not exist
        # All other steps are affine: y = offset + slope * (child's y - 2).
        wanted = 1.0 / problem.y if guess.text.startswith("term inv") else problem.y
        np.testing.assert_allclose(offset + slope * (child.y - 2.0), wanted, rtol=1e-6, atol=1e-8)


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
