"""From a candidate to a law: what the data do not ask for is left out."""

import numpy as np
import pytest

from rsrm.export import infix, parse
from rsrm.library import Library
from rsrm.objective import Objective
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
])
def test_functions_over_their_inverses_go(text, law, low, high, wanted):
    assert considered(text, law, low, high) == infix(parse(wanted, Library(1)))


@pytest.mark.parametrize(("text", "law", "low", "high"), [
    ("asin(sin(x0))", lambda x: np.arcsin(np.sin(x)), 0.2, 3.0),
    ("abs(x0)", np.abs, -1.0, 2.0),
])
def test_functions_over_their_inverses_stay_where_they_tell(text, law, low, high):
    assert considered(text, law, low, high) == infix(parse(text, Library(1)))
