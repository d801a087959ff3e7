"""Columns along a curve: which sets of them explain the target, and laws that are found over those."""

import numpy as np

from rsrm import RSRM
from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.redundant import fewer_columns


def trajectory(rows=600):
    t = np.sort(np.random.default_rng(0).uniform(0.0, 30.0, rows))
    return t, 8.0 * np.exp(-0.2 * t) + 0.05


def test_either_of_two_columns_along_a_curve_explains_the_target():
    t, a = trajectory()
    X = np.stack([t, np.sin(40.0 * t), a])
    y = np.sqrt(a) + a * np.exp(-a)
    parts = fewer_columns(Problem(X, y, Library(3)))
    assert sorted(float(p.X[0, 0]) for p in parts) == sorted([t[0], a[0]])
    over_a = next(p for p in parts if p.X[0, 0] == a[0])
    lifted = over_a.lift(parse("sqrt(x0) + x0*exp(-x0)", over_a.library))
    np.testing.assert_allclose(values(lifted, X.T)[0], y, rtol=1e-12)


def test_independent_columns_are_all_needed():
    X = np.random.default_rng(0).uniform(0.5, 2.0, (3, 500))
    assert fewer_columns(Problem(X, X[0] * np.exp(X[1]) + 0.3 * X[2], Library(3))) == []


def test_a_law_of_one_column_is_found_beside_its_time():
    t, a = trajectory()
    y = 0.12 * np.sqrt(a) + 0.15 * a * np.exp(-a / 0.6)
    model = RSRM(max_time=30, random_state=0).fit(np.column_stack([t, a]), y)
    far = np.column_stack([np.full(50, 3.0), np.linspace(10.0, 100.0, 50)])
    np.testing.assert_allclose(model.predict(far), 0.12 * np.sqrt(far[:, 1]) + 0.15 * far[:, 1] * np.exp(
        -far[:, 1] / 0.6), rtol=1e-6)
