"""Columns along a curve: which sets of them explain the target, and laws that are found over those."""

import numpy as np
from scipy.stats import rankdata

from rsrm import RSRM
from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.redundant import _ranks, fewer_columns, thin


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


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=50), rng.integers(0, 7, 50).astype(float), np.zeros(3)):
        np.testing.assert_array_equal(_ranks(x), rankdata(x))


def test_rows_of_a_trajectory_are_thin_and_independent_columns_are_not():
    rng = np.random.default_rng(0)
    t, a = trajectory()

    def is_thin(*columns):
        return thin(Problem(np.array(columns), columns[0], Library(len(columns))))

    assert is_thin(t, a)
    assert is_thin(a, t**3)
    assert is_thin(np.cos(t), t, -np.sin(t))
    u, v = rng.uniform(-1.0, 1.0, (2, 1500))
    assert is_thin(u, v, u * v + v**2)  # a surface in space
    assert not is_thin(u, v)
    assert not is_thin(np.exp(5.0 * u), v, rng.normal(size=1500))
    assert not is_thin(*(c.ravel() for c in np.meshgrid(np.linspace(0.0, 1.0, 30), np.linspace(0.0, 1.0, 30))))
    assert not is_thin(np.round(3.0 * u), np.round(3.0 * v))  # more rows than different ones
    assert not is_thin(t)
    assert not thin(Problem(np.array([t, a])[:, :20], t[:20], Library(2)))


def test_a_law_of_two_terms_that_hide_each_other_is_found_along_a_curve():
    t = np.linspace(0.0, 40.0, 1500)
    a = 2.5 - 2.0 * np.exp(-0.3 * t)
    X = np.column_stack([a, t])
    law = lambda a, t: -0.18 * a + 0.23 * a * np.exp(-0.46 * t) + 0.15 * t * np.exp(-0.12 * t)  # noqa: E731
    model = RSRM(max_time=60, random_state=0).fit(X, law(a, t))
    far = np.random.default_rng(1).uniform(0.5, 50.0, (50, 2))
    np.testing.assert_allclose(model.predict(far), law(*far.T), rtol=1e-6)
