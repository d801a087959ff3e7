"""From a candidate to a law: what the data do not ask for is left out."""

import numpy as np
import pytest

from rsrm.evaluate import values
from rsrm.export import infix, parse
from rsrm.library import Library
from rsrm.objective import FLOOR, Objective
from rsrm.problem import Problem
from rsrm.refine import Refiner
from rsrm.selection import Pool


def considered(text, y, low, high):
    x = np.linspace(low, high, 40)
    given = Problem(x[None], y(x), Library(1))
    refiner = Refiner(Objective(given), Pool(40), np.random.default_rng(0))
    return infix(refiner.consider(parse(text, given.library)).expression)


@pytest.mark.parametrize(("text", "law", "low", "high", "wanted"), [
    ("asin(sin(x0))", lambda x: x, 0.2, 1.4, "x0"),
    ("sqrt(abs(x0))", np.sqrt, 0.2, 1.4, "sqrt(x0)"),
    ("tanh(asin(sin(log(x0))))", lambda x: np.tanh(np.log(x)), 0.5, 3.0, "tanh(log(x0))"),
    ("sqrt(abs(2 - exp(x0)/3))", lambda x: np.sqrt(np.exp(x) / 3 - 2), 1.9, 3.0, "sqrt(exp(x0)/3 - 2)"),
    ("abs(5*x0 - 7) - x0", lambda x: 7 - 6 * x, 0.2, 1.3, "7 - 6*x0"),
])
def test_functions_over_their_inverses_go(text, law, low, high, wanted):
    assert considered(text, law, low, high) == infix(parse(wanted, Library(1)))


@pytest.mark.parametrize(("text", "law", "low", "high"), [
    ("asin(sin(x0))", lambda x: np.arcsin(np.sin(x)), 0.2, 3.0),
    ("abs(x0)", np.abs, -1.0, 2.0),
])
def test_functions_over_their_inverses_stay_where_they_tell(text, law, low, high):
    assert considered(text, law, low, high) == infix(parse(text, Library(1)))


@pytest.mark.parametrize(("text", "wanted"), [
    ("x0/sin(x1*cos(x2))", "x0/sin(x1)"),
    ("x0/(x3*tanh(sin(x1)/x3))", "x0/sin(x1)"),
    ("2.5*x0*exp(x2)/x1 + x2", "2.5*x0/x1"),
])
def test_operators_over_columns_of_another_order_of_magnitude_go(text, wanted):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 1.5, (4, 60)) * np.array([[1.0], [1.0], [1e-20], [1e20]])
    library = Library(4)
    given = Problem(X, values(parse(wanted, library), X.T)[0], library)
    refiner = Refiner(Objective(given), Pool(60), np.random.default_rng(0))
    assert infix(refiner.consider(parse(text, library)).expression) == infix(parse(wanted, library))


def test_an_operator_goes_though_what_is_left_could_be_written_in_fewer_nodes_with_a_longer_description():
    rng = np.random.default_rng(0)
    X = 10.0 ** rng.uniform(-2.0, 0.0, (4, 300))
    given = Problem(X, 6.6743e-11 * X[0] * X[1] * (1.0 / X[2] - 1.0 / X[3]), Library(4))
    refiner = Refiner(Objective(given), Pool(300), rng)
    found = refiner.consider(parse("sin(6.6743e-11*(x0*x1/x2 - x0*x1/x3))", given.library))
    assert "sin" not in infix(found.expression) and found.nrmse < 1e-12


def test_constants_are_fitted_again_once_others_are_recognized():
    scale = 7.638151716e-12
    z = np.geomspace(1e-4, 1e-1, 300)
    y = 1.0 / np.expm1(z)
    given = Problem((z / scale)[None], y, Library(1))
    pool = Pool(300)
    refiner = Refiner(Objective(given), pool, np.random.default_rng(0))
    refiner.consider(parse("1.0000000003/(exp(7.63815e-12*x0) - 1.0000000002)", given.library))
    best = pool.best()
    assert infix(best.expression).count("1") >= 2 and best.complexity <= 9 and best.nrmse < FLOOR
    assert values(best.expression, [[1e10]])[0][0] == pytest.approx(1 / np.expm1(scale * 1e10), rel=1e-11)


def test_large_exponents_are_recognized_although_noise_leaves_them_a_percent_off():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.8, 1.3, (2, 200))
    y = 4.0 * X[0] * X[1] ** 6
    given = Problem(X, y + rng.normal(0.0, 0.02 * np.std(y), 200), Library(2))
    refiner = Refiner(Objective(given), Pool(200), rng)
    found = refiner.consider(parse("3.9*x0*exp(6.07*log(x1))", given.library)).expression
    assert 6.0 in found.constants


def test_coefficients_that_noise_leaves_a_percent_apart_are_written_once():
    rng = np.random.default_rng(0)
    X = rng.uniform(1.0, 3.0, (3, 300))
    y = X[0] / (7.3 * (1.0 + (X[1] / X[2]) ** 2))
    given = Problem(X, y + rng.normal(0.0, 0.02 * np.std(y), 300), Library(3))
    refiner = Refiner(Objective(given), Pool(300), rng)
    found = refiner.consider(parse("x0/(7.4 + 7.25*x1*x1/(x2*x2))", given.library)).expression
    assert [c for c in found.constants if c not in (1.0, 2.0)] == [pytest.approx(1.0 / 7.3, rel=0.01)]


def test_the_simplest_number_that_the_noise_allows_is_taken():
    rng = np.random.default_rng(1)
    X = rng.uniform(1.0, 3.0, (2, 200))
    y = X[0] * X[1] / (X[0] + np.exp(X[1]) - 1.0)
    given = Problem(X, y + rng.normal(0.0, 0.02 * np.std(y), 200), Library(2))
    refiner = Refiner(Objective(given), Pool(200), rng)
    found = refiner.consider(parse("x0*x1/(x0 + exp(x1) - 0.955)", given.library)).expression
    assert infix(found) == infix(parse("x0*x1/(x0 + exp(x1) - 1)", given.library))
