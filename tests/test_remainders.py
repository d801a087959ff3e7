"""Remainders: what a right term leaves is found, and what is wrong, or was seen, is left alone."""

from time import perf_counter

import numpy as np
import pytest

from rsrm.export import parse
from rsrm.expression import variable
from rsrm.library import Library
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.remainders import Remainders
from rsrm.simplify import summands
from rsrm.sources import direct_stages
from rsrm.turns import PAUSE

LIBRARY = Library(2)
RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 3.0, (2, 300))


def remainders(law, *approximations, X=X, library=LIBRARY, error=1e-3):
    y = law(*X)
    problem = Problem(X, y, library)
    found = [(parse(text, library), error) for text in approximations]
    asked = []

    def solve(part):
        asked.append(part)
        return direct_stages(part, perf_counter() + 20.0, np.random.default_rng(1), 5.0)

    return problem, asked, Remainders(problem, lambda: found, solve, np.inf, np.random.default_rng(0))


def until_pause(source):
    for item in source:
        if item is PAUSE:
            return
        yield item


def test_a_right_term_is_kept_and_the_rest_found():
    # The approximation makes up for the cube of the cosine by a parabola.
    problem, asked, source = remainders(lambda a, b: np.cos(b) ** 3 - a * np.log(b), "2 - x0*log(x1) - x1 + 0.1*x1*x1")
    objective = Objective(problem)
    errors = [objective.score(e)[0] for e in until_pause(source) if e is not None]
    assert min(errors) < 1e-9
    assert {part.n_variables for part in asked} == {1}
    np.testing.assert_allclose(asked[0].y - np.cos(X[1]) ** 3, 0.0, atol=1e-6)


@pytest.mark.parametrize("text", ["2 - x0*log(x1 + 1) - x1", "x0*log(x1)", "exp(x0*log(x1) + x1)", "3"])
def test_wrong_terms_and_products_leave_nothing(text):
    _, asked, source = remainders(lambda a, b: np.cos(b) ** 3 - a * np.log(b), text)
    assert [e for e in until_pause(source) if e is not None] == [] and asked == []


def test_what_was_seen_is_not_tried_again():
    _, asked, source = remainders(lambda a, b: np.cos(b) ** 3 - a * np.log(b), "2 - x0*log(x1) - x1")
    iterator = iter(source)
    assert any([e is not None for e in until_pause(iterator)])
    n = len(asked)
    assert list(until_pause(iterator)) == [None]
    assert len(asked) == n > 0


def test_nothing_is_tried_without_constants_or_with_one_column():
    law = lambda a, b=1.0: a + b  # noqa: E731
    assert list(remainders(law, "x0 + x1", library=Library(2, constants=False))[2]) == []
    assert list(remainders(law, "x0 + 1", X=X[:1], library=Library(1))[2]) == []


def test_summands_are_the_terms_of_what_is_multiplied_out():
    found = summands(parse("3*x0*(exp(x1) + 2*x0) - x1/5 + 7", LIBRARY))
    values = sorted(Objective(Problem(X, X[0], LIBRARY)).values(t).tolist() for t in found)
    wanted = sorted(v.tolist() for v in (X[0] * np.exp(X[1]), X[0] * X[0], X[1]))
    np.testing.assert_allclose(values, wanted, rtol=1e-12)
    assert summands(variable(LIBRARY, 0)) == [] == summands(parse("x0*x1", LIBRARY))
