"""The compiled side of sums with inner constants, against NumPy's functions, finite differences and least squares."""

import numpy as np
import pytest
from scipy.optimize import minimize

from rsrm.families import families
from rsrm.library import Library
from rsrm.mixture_kernels import CODES, fill_function, is_double, refine_sum
from rsrm.mixture_model import Function, Model, Term, columns_of, refine
from rsrm.mixture_products import HEIGHT, Products
from rsrm.problem import Problem

FAMILIES = families(Library(1))


def test_every_family_has_a_kernel():
    assert {family.name for family in FAMILIES} == set(CODES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_functions_agree_with_numpy_and_slopes_with_finite_differences(family):
    code = CODES[family.name]
    for low in (0.3, -1.7):
        u = np.random.default_rng(0).uniform(low, 2.1, 50)
        values, slopes = np.zeros((2, 50)), np.zeros((2, 50))
        grid = family.grid(u)
        for theta in grid[::max(1, len(grid) // 7)]:
            fill_function(code, u, theta, values, slopes)
            expected = family.values(u, theta)
            assert len(expected) == 1 + is_double(code)
            for got, v in zip(values, expected, strict=False):
                np.testing.assert_allclose(got, v, rtol=1e-11, atol=1e-13)
            if family.fixed or theta == 0.0:
                continue
            to_the_pole = np.abs(u**family.shift + theta).min() if family.shift else np.inf
            h = 1e-6 * min(abs(theta), to_the_pole)
            for slope, up, down in zip(slopes, family.values(u, theta + h), family.values(u, theta - h), strict=False):
                difference = (up - down) / (2.0 * h)
                atol = 1e-5 * np.abs(difference).max() + 1e-15 / h  # and rounding where a function is flat
                np.testing.assert_allclose(slope, difference, rtol=1e-4, atol=atol)


def model_of(function, rows=120):
    X = np.random.default_rng(0).uniform(0.5, 3.0, (2, rows))
    return Model(Problem(X, function(*X), Library(2)), 1, np.inf)


def named(model, name, argument, theta):
    return Function(next(k for k, family in enumerate(model.families) if family.name == name), argument, theta)


def _left(A, y):
    """Return the least-squares residual of y."""
    A = A / np.linalg.norm(A, axis=0)
    return y - A @ np.linalg.lstsq(A, y, rcond=1e-12)[0]


def test_without_steps_the_error_is_that_of_least_squares():
    model = model_of(lambda a, b: np.exp(-a * b))
    wave, tanh = named(model, "wave", 0, 2.3), named(model, "tanh", 1, 1.7)
    line, power = named(model, "line", 1, 1.0), named(model, "monomial", 0, -1.0)
    for chosen in ((Term(0, (wave,)),), (Term(2, (wave,)), Term(1, (tanh,))), (Term(1, (wave, line)), Term(0, (tanh,))),
                   (Term(3, (power,)), Term(4, ())), (Term(0, (tanh, power)), Term(0, (wave,)), Term(2, (wave,)))):
        error, same = refine(model, chosen, steps=0)
        expected = np.linalg.norm(_left(np.hstack([model.Q, columns_of(model, chosen)]), model.target))
        assert error == pytest.approx(expected, rel=1e-9)
        assert same == chosen


def test_a_column_that_others_make_up_changes_nothing():
    model = model_of(lambda a, b: np.exp(-a * b))
    tanh = named(model, "tanh", 1, 1.7)
    once, _ = refine(model, (Term(0, (tanh,)),), steps=0)
    twice, _ = refine(model, (Term(0, (tanh,)), Term(0, (tanh,))), steps=0)
    assert twice == pytest.approx(once, rel=1e-9)


def test_an_undefined_sum_has_an_infinite_error_and_is_left_as_it_was():
    model = model_of(lambda a, b: np.exp(-a * b))
    chosen = (Term(0, (named(model, "log", 0, -1.0),)),)
    assert refine(model, chosen) == (np.inf, chosen)


def test_steps_end_where_scipy_finds_no_better_parameters():
    model = model_of(lambda a, b: np.exp(-0.9 * a * b) + 0.3 * np.sin(2.2 * a))
    chosen = (Term(2, (named(model, "exp", 0, -0.6),)), Term(0, (named(model, "wave", 0, 2.0),)))

    def error(thetas):
        moved = tuple(Term(t.multiplier, (t.functions[0]._replace(theta=v),))
                      for t, v in zip(chosen, thetas, strict=True))
        return np.linalg.norm(_left(np.hstack([model.Q, columns_of(model, moved)]), model.target))

    found, after = refine(model, chosen)
    best = minimize(error, [t.functions[0].theta for t in after], method="Nelder-Mead", tol=1e-10)
    assert found == pytest.approx(best.fun, rel=1e-4)
    assert found < 0.99 * error([-0.6, 2.0])


def test_the_order_of_terms_and_the_number_of_steps_do_not_let_the_error_rise():
    model = model_of(lambda a, b: np.exp(-0.9 * a * b) + 0.3 * np.sin(2.2 * a))
    one, two = Term(2, (named(model, "exp", 0, -0.6),)), Term(0, (named(model, "wave", 0, 2.0),))
    errors = [refine(model, (one, two), steps=n)[0] for n in range(6)]
    assert all(b <= a for a, b in zip(errors, errors[1:], strict=False))
    assert refine(model, (two, one))[0] == pytest.approx(refine(model, (one, two))[0], rel=1e-3)


def test_gains_of_many_blocks_are_those_of_each_column():
    rng = np.random.default_rng(0)
    m = HEIGHT + 7
    M, G, H, Q = rng.normal(size=(40, m)), rng.normal(size=(40, 3)), rng.normal(size=(40, 3)), rng.normal(size=(40, 6))
    Q = np.linalg.qr(Q)[0]
    r = rng.normal(size=40)
    r -= Q @ (Q.T @ r)
    r /= np.linalg.norm(r)
    gains = Products.of(M, G, H, Q[:, :2]).gains(Q[:, 2:], r)
    assert gains.shape == (m, 3)
    for i in (0, 1, 83, 84, m - 1):
        alone = Products.of(M[:, [i]], G, H, Q[:, :2]).gains(Q[:, 2:], r)
        np.testing.assert_allclose(gains[i], alone[0], rtol=1e-10)
        for j in range(3):
            left = _left(np.column_stack([Q, M[:, i] * G[:, j], M[:, i] * H[:, j]]), r)
            assert gains[i, j] == pytest.approx(1.0 - left @ left, abs=1e-10)


def test_a_sum_without_terms_leaves_the_target():
    model = model_of(lambda a, b: np.exp(-a * b))
    error = refine_sum(model.basis, model.left, model.multiplier_rows, np.zeros(0, np.int64),
                       np.zeros((0, 2), np.int64), np.zeros(0, np.int64), np.zeros((0, 120)), np.zeros(0), np.zeros(0),
                       np.zeros(0, np.int64), np.zeros(0), 5)
    assert error == pytest.approx(np.linalg.norm(model.left))
