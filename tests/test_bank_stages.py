"""Matches against least squares over everything, and laws of each kind recovered on rows that were not used."""

import time

import numpy as np
import pytest

from rsrm.bank import Bank
from rsrm.bank_stages import Question, bank_candidates, pairs, products, singles
from rsrm.closing import judge
from rsrm.export import infix
from rsrm.library import Library
from rsrm.matching import match_pairs, match_products, orthonormal, residual_direction
from rsrm.primitives import BY_OPCODE
from rsrm.problem import Problem
from tests import naive_bank

OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos")


def problem(law, D, operators=OPERATORS, rows=200, seed=0, low=1.0, high=3.0, noise=0.0, **options):
    rng = np.random.default_rng(seed)
    X = rng.uniform(low, high, (D, rows))
    y = law(*X)
    return Problem(X, y + noise * np.std(y) * rng.standard_normal(rows), Library(D, operators, **options), noise=noise)


def test_pair_scores_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    V, t, w = rng.standard_normal((40, 32)), rng.standard_normal(32), rng.uniform(0.5, 2.0, 32)
    unit = orthonormal(w[None])
    U = V * w - (V * w) @ unit.T @ unit
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    scores, first, second = match_pairs(U, residual_direction(t * w, unit)[0][None], 10)
    every = {(i, j): naive_bank.unexplained([V[i], V[j]], t, w) for i in range(40) for j in range(i + 1, 40)}
    best = sorted(every.items(), key=lambda e: e[1])[:10]
    assert [b[0] for b in best] == list(zip(first[0], second[0], strict=True))
    np.testing.assert_allclose(scores[0], [b[1] for b in best], rtol=1e-9)


def test_product_scores_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    F, H = rng.standard_normal((30, 32)), rng.standard_normal((25, 32))
    t, w = rng.standard_normal(32), rng.uniform(0.5, 2.0, 32)
    scores, first, second = match_products(F, H, t, w, 8, False)
    every = {(i, j): naive_bank.unexplained([F[i] * H[j]], t, w) for i in range(30) for j in range(25)}
    best = sorted(every.items(), key=lambda e: e[1])[:8]
    assert [b[0] for b in best] == list(zip(first[0], second[0], strict=True))
    np.testing.assert_allclose(scores[0], [b[1] for b in best], rtol=1e-9)


LAWS = {
    "affine": (lambda x, y: 2.5 * x * np.sin(y) - 0.7, 2),
    "pair": (lambda x, y: 1.5 * np.exp(x) + 5.0 * np.cos(x * y) - 2.0, 2),
    "inverted": (lambda x, y: np.sqrt(x * x + 3.0 * y + 1.0), 2),
    "power law": (lambda x, y, z: 0.3 * x**1.5 * z**-2.0 * np.sqrt(x + y), 3),
    "exponential": (lambda x, y, z: 2.0 * x / y * np.exp(-0.5 * x * z / y), 3),
    "basis": (lambda x, y, z: 2.0 * x - 3.0 * y + z - 1.2 * np.sin(x * y), 3),
    "product": (lambda x, y: np.sin(x * x) * np.cos(y + x) - 1.0, 2),
}


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_each_kind_are_found_exactly(name):
    law, D = LAWS[name]
    p, held_out = problem(law, D), problem(law, D, seed=1, high=4.0)
    start = time.perf_counter()
    for e in bank_candidates(p, start + 20.0, np.random.default_rng(0), sizes=((4_000, 400),)):
        used = {BY_OPCODE[int(c)].name for c in p.library.tables.opcode[e.tokens] if int(c) in BY_OPCODE}
        assert used <= set(OPERATORS), infix(e)
        if judge(p, e).residual < 1e-9:
            assert judge(held_out, e).residual < 1e-8
            return
    pytest.fail(f"{name} not found")


def test_without_constants_coefficients_are_simple_or_the_match_is_dropped():
    found = problem(lambda x: np.sin(x) / 3.0 + 2.0, 1, constants=False)
    odd = problem(lambda x: 0.12345 * np.sin(x) + 2.0, 1, constants=False)
    rng = np.random.default_rng(0)
    residuals = [judge(p, e).residual for p in (found, odd)
                 for e in list(bank_candidates(p, time.perf_counter() + 5, rng, sizes=((300, 50),)))[:1]]
    assert residuals[0] < 1e-12
    assert len(residuals) == 1 or residuals[1] > 1e-6


def test_noisy_laws_come_close_to_the_noise():
    law = LAWS["affine"][0]
    p = problem(law, 2, noise=0.01, rows=400)
    clean = problem(law, 2, seed=5)
    best = min(judge(clean, e).residual for e in
                bank_candidates(p, time.perf_counter() + 20, np.random.default_rng(0), sizes=((2_000, 100),)))
    assert best < 0.002


def test_cancelling_fits_are_refused():
    # Two nearly equal entries fit anything smooth with huge opposite coefficients.
    p = problem(lambda x: np.cos(x), 1, operators=("add", "mul"), low=1.0, high=1.001)
    bank = Bank.enumerate(p.X, p.library, max_entries=200, rng=np.random.default_rng(0))
    q = Question(p, bank, n_pairs=50)
    for match in [*singles(q), *pairs(q), *products(q)]:
        assert np.abs(match.expression.constants).max(initial=0.0) < 1e7


def test_weights_decide_which_rows_count():
    p = problem(lambda x, y: 2.0 * x + y * y, 2)
    bad = p.y.copy()
    bad[::4] += 5.0
    w = np.ones(p.n_rows)
    w[::4] = 0.0
    p = Problem(p.X, bad, p.library, w, noise=1e-6)
    bank = Bank.enumerate(p.X, p.library, max_entries=500, rng=np.random.default_rng(0))
    assert min(m.residual for m in pairs(Question(p, bank, n_pairs=100))) < 1e-8


def test_the_deadline_holds():
    p = problem(lambda x, y, z: np.tan(x) * y + np.exp(np.sin(z * x)) / 7.7 + np.sin(y * z) ** 3, 3)
    list(bank_candidates(p, time.perf_counter() + 30, np.random.default_rng(0), sizes=((300, 50),)))  # compiles
    start = time.perf_counter()
    list(bank_candidates(p, start + 0.3, np.random.default_rng(0)))
    assert time.perf_counter() - start < 0.8
