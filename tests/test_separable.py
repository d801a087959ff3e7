"""Sums and products of functions of different variables; roots of quadratic equations."""

import time

import numpy as np
import pytest

from rsrm.closing import column
from rsrm.implicit import quadratics
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.separable import separable, split
from rsrm.sources import direct_stages
from rsrm.targets import transformed


def rows(n, d, low=0.5, high=3.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (d, n))


def groups(X, y, name="identity"):
    problem = Problem(X, y, Library(len(X)))
    found = split(problem, transformed(problem, name))
    return None if found is None else sorted(inside for inside, _ in found.parts)


def test_parts_are_the_connected_variables():
    X = rows(600, 4)
    assert groups(X, np.sin(X[0] * X[2]) + X[1] ** 2 + np.exp(-X[3])) == [[0, 2], [1], [3]]
    assert groups(X, np.exp(X[0] * X[2]) * (1.0 + X[1] ** 2), "exp") == [[0, 2], [1]]


def test_a_variable_without_effect_belongs_to_no_part():
    X = rows(600, 4)
    assert groups(X, np.sin(2.0 * X[0]) + 0.5 * X[1] ** 3) == [[0], [1]]


def test_what_does_not_split_is_left_alone():
    X = rows(600, 3)
    assert groups(X, np.sin(X[0] * X[1] * X[2])) is None
    assert groups(X, np.sin(X[0] * X[1]) + np.cos(X[1] * X[2])) is None


def best(problem, source, truth, grid):
    errors = [np.inf]
    for e in source:
        values = None if e is None else column(e, grid)
        if values is not None:
            errors.append(np.max(np.abs(values - truth(grid))) / np.ptp(truth(grid)))
    return min(errors)


@pytest.mark.parametrize("law", [
    lambda X: X[0] - X[0] ** 3 - 0.2 * X[1] + 0.3 * np.cos(3.1 * X[2]),
    lambda X: np.exp(-((X[0] - 1.0) ** 2)) / (1.2 + (X[1] - 0.5) ** 2) * X[2] ** 1.5,
])
def test_sums_and_products_are_put_together_exactly(law):
    X = rows(400, 3)
    problem = Problem(X, law(X), Library(3))
    deadline = time.perf_counter() + 60.0
    rng = np.random.default_rng(0)
    source = separable(problem, lambda part: direct_stages(part, deadline, rng, 5.0), deadline, rng)
    assert best(problem, source, law, rows(100, 3, seed=1)) < 1e-8


@pytest.mark.parametrize("law", [
    lambda X: (-X[0] + np.sqrt(X[0] ** 2 + 2.0 * X[1] * X[2])) / X[1],
    lambda X: X[0] * np.cos(X[1]) + np.sqrt(16.0 - X[0] ** 2 * np.sin(X[1]) ** 2),
    lambda X: np.sqrt(1.5 * X[0] + np.sqrt(X[1] ** 2 + X[2])),
])
def test_roots_of_quadratic_equations(law):
    X = rows(300, 3)
    problem = Problem(X, law(X), Library(3))
    source = quadratics(problem, time.perf_counter() + 20.0, np.random.default_rng(0))
    assert best(problem, source, law, rows(100, 3, seed=1)) < 1e-9


def test_roots_of_relations_between_many_variables():
    def law(X):
        return X[7] + np.sqrt(X[0] * X[1] * X[2] / X[8] - (X[3] - X[4]) ** 2 - (X[5] - X[6]) ** 2)

    X = rows(2000, 9)
    X = np.ascontiguousarray(X[:, X[0] * X[1] * X[2] / X[8] - (X[3] - X[4]) ** 2 - (X[5] - X[6]) ** 2 > 0.1])
    problem = Problem(X, law(X), Library(9))
    source = quadratics(problem, time.perf_counter() + 20.0, np.random.default_rng(0))
    assert best(problem, source, law, X[:, :100].copy()) < 1e-9


def test_a_quotient_of_polynomials_is_no_root():
    X = rows(300, 2)
    problem = Problem(X, (1.0 + X[0]) / (X[1] + 2.0), Library(2))
    assert list(quadratics(problem, time.perf_counter() + 20.0, np.random.default_rng(0))) == []
