"""The dictionary: columns are what their expressions say, and sums of products are found exactly on other rows."""

import numpy as np
import pytest

from rsrm.closing import column, judge
from rsrm.dictionary import Dictionary, sums_of_products
from rsrm.library import Library
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos")


def problem(law, D, seed=1, rows=100, noise=0.0):
    X = np.random.default_rng(seed).uniform(1.0, 3.0, (D, rows))
    return Problem(X, law(*X), Library(D, OPERATORS), noise=noise)


def test_columns_are_their_expressions():
    p = problem(lambda x, y, z: x * y * z, 3)
    words = Dictionary(p, np.random.default_rng(0))
    rng = np.random.default_rng(2)
    for i in [*range(20), *rng.integers(0, len(words.values), 60)]:
        if np.isfinite(words.values[i]).all():
            v = column(words.expression(int(i)), words.bank.columns)
            np.testing.assert_allclose(v, words.values[i], rtol=1e-10)
    assert len({(a, b) for a, b in zip(words.shape, words.monomial, strict=True)}) == len(words.values)


LAWS = {
    "two products": (lambda x, y, z, u: 2.5 * x * y / z - 0.3 * u * x * np.sin(z), 4),
    "root of a sum": (lambda x, y, z, u: np.sqrt(8.4 * x * y - x * (z / (u + 0.0)) ** 2 * 0.1), 4),
    "factor and basis": (lambda x, y, z: (2.0 * x - 3.0 * y - 0.5 / (x * z * z)) / z, 3),
    "cosine law": (lambda x, y, z: 1.0 / np.sqrt(x * x + y * y - 1.9 * x * y * np.cos(z)), 3),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_the_family(name):
    law, D = LAWS[name]
    match = next(sums_of_products(problem(law, D), np.inf, np.random.default_rng(0)))
    assert match.residual < 1e-10
    assert judge(problem(law, D, seed=7), match.expression).residual < 1e-9


def test_nothing_is_claimed_of_noise_or_too_few_rows():
    law = LAWS["two products"][0]
    rng = np.random.default_rng(0)
    assert not list(sums_of_products(problem(law, 4, noise=0.01), np.inf, rng))
    assert not list(sums_of_products(problem(law, 4, rows=8), np.inf, rng))
    random = problem(lambda x, y: np.random.default_rng(3).standard_normal(len(x)), 2)
    assert not list(sums_of_products(random, np.inf, rng))
