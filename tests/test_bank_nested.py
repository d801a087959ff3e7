"""Nested power laws: chains invert what they write, and laws of the family are recovered exactly on other rows."""

import numpy as np
import pytest

from rsrm.closing import column, judge
from rsrm.expression import variable
from rsrm.library import Library
from rsrm.nested import chains, nested, small_monomials
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos", "tanh")


def test_chains_solve_what_they_write():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 0.9, (1, 50))
    p = Problem(X, X[0], Library(1, OPERATORS))
    written = 0
    for chain in chains(p):
        v = column(chain.write(variable(p.library, 0)), X)
        if v is None:
            continue
        with np.errstate(all="ignore"):
            u = chain.solve(v)
        # A square hides the sign of what is squared.
        if chain.outside != "square" or np.array_equal(np.sqrt(v), np.abs(np.sqrt(v))) and np.isfinite(u).all():
            close = np.allclose(u, X[0], rtol=1e-9)
            assert close or chain.outside == "square" or chain.inside in ("asin", "acos"), chain
            written += close
    assert written > 40


def test_small_monomials_are_distinct_and_simple_first():
    found = [tuple(m) for m in small_monomials(4)]
    assert len(set(found)) == len(found) and found[0] == (0, 0, 0, 0)
    assert {(1, 0, 0, 0), (0, 2, -1, 0), (1, 1, -1, 0)} <= set(found)
    assert found.index((1, 1, 0, 0)) < found.index((3, -3, 0, 0))
    assert len(small_monomials(9)) == len(small_monomials(5)) == 1200 and len(small_monomials(1)) == 7


LAWS = {
    "Bose": (lambda x, y, z: x / (np.exp(0.3 * x * y / z) - 1.0), 3),
    "Lorentz": (lambda x, y, z: x * y / np.sqrt(1.0 - (y / (4.0 * z)) ** 2), 3),
    "quadratic below": (lambda x, y, z: x * y / (x * x + 3.0 * z * z - y * z + 1.5), 3),
    "saturation": (lambda x, y, z: 2.0 * x * np.tanh(y * x / z), 3),
    "phase": (lambda x, y: x * x * np.cos(0.2 * y + 0.1 * x + 0.05), 2),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_the_family(name):
    law, D = LAWS[name]
    rng = np.random.default_rng(1)
    X = rng.uniform(1.0, 3.0, (D, 100))
    other = rng.uniform(0.8, 3.2, (D, 100))
    lib = Library(D, OPERATORS)
    match = next(nested(Problem(X, law(*X), lib), np.inf, rng))
    assert match.residual < 1e-12
    assert judge(Problem(other, law(*other), lib), match.expression).residual < 1e-10


def test_what_does_not_belong_is_not_claimed():
    rng = np.random.default_rng(1)
    X = rng.uniform(1.0, 3.0, (2, 60))
    lib = Library(2, OPERATORS)
    smooth = np.sin(3.0 * X[0]) + np.exp(X[1]) * X[0] ** 1.7
    assert not list(nested(Problem(X, smooth, lib), np.inf, rng))
    noisy = Problem(X, X[0] * X[1], lib, noise=0.01)
    assert not list(nested(noisy, np.inf, rng))
    # Too few rows to test anything.
    assert not list(nested(Problem(X[:, :6], smooth[:6], lib), np.inf, rng))
