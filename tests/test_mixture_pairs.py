"""Joint gains of pairs of terms, against least squares, and pairs that a search term by term cannot see."""

import time

import numpy as np
import pytest

from rsrm.library import Library
from rsrm.mixture_model import Model
from rsrm.mixture_pairs import CHUNK, HEIGHT, best_pairs, likely_pairs, planes
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "exp", "log", "sqrt")


def model_of(X, y, operators=OPERATORS, degree=1):
    return Model(Problem(X, y, Library(len(X), operators)), degree, np.inf)


def returned(steps):
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def curve():
    """A trajectory: two columns that are smooth functions of one another."""
    t = np.linspace(0.0, 12.0, 200)
    return np.array([4.0 * np.exp(-0.2 * t) + 1.0, t])


@pytest.fixture(scope="module")
def decay():
    X = curve()
    return model_of(X, 0.6 * X[0] ** 0.4 - 0.5 * X[0] / (X[0] + 0.7) + 0.2 * X[1])


def test_gains_are_those_of_least_squares(decay):
    found = planes(decay, np.inf)
    share, i, j = returned(best_pairs(found, 50, np.inf))[7]
    rows = np.unique(np.linspace(0, 199, found.bases.shape[2]).round().astype(int))
    columns = [decay.base.values[rows]]
    for k in (i, j):
        multiplier, function = found.terms[k]
        m, f = decay.multipliers[rows, multiplier], decay.functions[function]
        for v in (decay.tables[0][function], decay.tables[1][function]):
            columns.append((m * v[rows])[:, None])
        assert f.argument in (0, 1)

    def left(A):
        A = A / np.linalg.norm(A, axis=0)
        r = decay.target[rows]
        return r - A @ np.linalg.lstsq(A, r, rcond=1e-13)[0]

    before = left(columns[0])
    assert np.linalg.norm(left(np.hstack(columns))) ** 2 / (before @ before) == pytest.approx(share, abs=1e-9)


def test_the_best_of_every_two_chunks_is_what_trying_all_of_them_gives():
    rng = np.random.default_rng(0)
    n, R = HEIGHT + 3 * CHUNK, 12
    bases = np.array([np.linalg.qr(rng.standard_normal((R, 2)))[0].T for _ in range(n)])
    bases[5, 1] = 0.0  # a function without a parameter
    r = rng.standard_normal(R)
    r /= np.linalg.norm(r)
    found = planes(model_of(curve(), curve()[0] ** 2), np.inf)._replace(bases=bases, shares=bases @ r)
    expected = {}
    for i in range(n):
        for j in range(i + 1, n):
            if i // CHUNK != j // CHUNK:
                A = np.vstack([bases[i], bases[j]]).T
                share = np.sum((r - A @ np.linalg.lstsq(A, r, rcond=1e-12)[0]) ** 2)
                key = i // CHUNK, j // CHUNK
                expected[key] = min(expected.get(key, (2.0,)), (share, i, j))
    got = {(i // CHUNK, j // CHUNK): (share, i, j) for share, i, j in returned(best_pairs(found, 10**6, np.inf))
           if i // CHUNK != j // CHUNK}
    assert got.keys() == expected.keys()
    for key, (share, i, j) in expected.items():
        assert got[key][1:] == (i, j)
        assert got[key][0] == pytest.approx(share, abs=1e-12)


def test_two_terms_that_hide_each_other_are_found_together(decay):
    chosen = [terms for _, terms in returned(likely_pairs(decay, 200, np.inf))]
    names = [{(decay.families[f.family].name, f.argument) for t in terms for f in t.functions} for terms in chosen]
    assert {("power", 0), ("pole1", 0)} in names
    assert all(t.multiplier >= 0 for terms in chosen for t in terms)


def test_nothing_is_looked_at_after_the_deadline(decay):
    assert returned(best_pairs(planes(decay, np.inf), 10, time.perf_counter() - 1.0)) == []
