"""Fitting of constants: known laws come back, derivatives agree with finite differences, failures have names."""

import numpy as np
import pytest

from rsrm._jit import njit
from rsrm._simd import pointer
from rsrm.constants import (
    CONVERGED, MAX_ITER, NOT_FINITE, SINGULAR, STALLED, STATUS_TEXT, fit, fit_scaled, start_points, workspace,
)
from rsrm.evaluate import values
from rsrm.expression import Expression, apply, number, variable
from rsrm.levenberg import _prepare
from rsrm.library import Library
from rsrm.primitives import PRIMITIVES
from rsrm.tape import carve, fill_jacobian, fill_values
from tests import naive_evaluate

LIB = Library(2)
NONE = np.empty(0)


@njit(cache=False)
def _columns(tokens, n, constants, X, opcodes, literals, memory, m):
    ws = carve(pointer(memory), n, m, X.shape[1])
    _, count, _ = _prepare(tokens, n, np.zeros(X.shape[1]), np.empty(0), opcodes, ws)
    fill_values(n, constants, X, literals, ws, count, X.shape[1], True)
    fill_jacobian(n, constants, X, literals, ws, count, X.shape[1], 1.0)
    return ws.jacobian[:, :X.shape[1]].copy()


def jacobian(expression, X):
    """Return the kernel's Jacobian, float64[m, R]."""
    n, m, tables = expression.complexity, len(expression.constants), LIB.tables
    memory = workspace(n, m, X.shape[1]).memory
    return _columns(expression.expanded, n, expression.constants, X, tables.opcode, tables.literal, memory, m)


def differences(expression, X):
    """Return the Jacobian by central differences of fourth order."""
    columns = []
    for i, c in enumerate(expression.constants):
        h = 1e-3 * abs(c)
        f = []
        for k in (-2, -1, 1, 2):
            constants = expression.constants.copy()
            constants[i] += k * h
            f.append(values(Expression(expression.tokens, constants, LIB), X.T)[0])
        columns.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h))
    return np.array(columns)


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.name)
@pytest.mark.parametrize("rows", [5, 16, 300])
def test_derivative_of_every_primitive(primitive, rows):
    X = np.random.default_rng(rows).uniform(0.2, 0.9, (2, rows))
    arguments = [apply(LIB, "mul", number(LIB, c), variable(LIB, i)) for i, c in enumerate((0.7, 0.9))]
    expression = apply(LIB, primitive.name, *arguments[:primitive.arity])
    outer = apply(LIB, "add", number(LIB, 0.3), apply(LIB, "mul", number(LIB, 1.4), expression))
    np.testing.assert_allclose(jacobian(outer, X), differences(outer, X), rtol=1e-8, atol=1e-9)


def test_derivatives_left_of_zero():
    X = -np.random.default_rng(1).uniform(0.2, 0.9, (2, 9))
    for name in ("abs", "cube", "sinh", "tanh", "atan", "asin", "tan", "inv"):
        expression = apply(LIB, name, apply(LIB, "mul", number(LIB, 0.8), variable(LIB, 0)))
        np.testing.assert_allclose(jacobian(expression, X), differences(expression, X), rtol=1e-8, err_msg=name)


def damped_wave(c0, c1, c2):
    decay = apply(LIB, "exp", apply(LIB, "mul", number(LIB, c1), variable(LIB, 0)))
    wave = apply(LIB, "sin", apply(LIB, "mul", number(LIB, c2), variable(LIB, 1)))
    return apply(LIB, "add", apply(LIB, "mul", number(LIB, c0), decay), wave)


@pytest.mark.parametrize("rows", [7, 64, 1000])
def test_known_constants_come_back(rows):
    X = np.random.default_rng(0).uniform(0.0, 2.0, (2, rows))
    truth = damped_wave(1.7, -0.8, 1.3)
    y, _ = values(truth, X.T)
    fitted, status = fit(damped_wave(1.0, -1.0, 1.0), X, y)
    assert status == CONVERGED
    np.testing.assert_allclose(fitted.constants, truth.constants, rtol=1e-12)


def test_ten_constants():
    rng = np.random.default_rng(2)
    X = rng.uniform(0.5, 2.0, (2, 200))

    def build(c):
        total = number(LIB, c[0])
        for k in range(3):
            inner = apply(LIB, "mul", number(LIB, c[3 * k + 2]), variable(LIB, k % 2))
            shifted = apply(LIB, "add", inner, number(LIB, c[3 * k + 3]))
            term = apply(LIB, "mul", number(LIB, c[3 * k + 1]), apply(LIB, ("sin", "exp", "tanh")[k], shifted))
            total = apply(LIB, "add", total, term)
        return total

    truth = build(np.array([0.5, 1.2, 2.1, 0.3, 0.7, -0.9, 0.2, 1.5, 1.1, -0.8]))
    y, _ = values(truth, X.T)
    fitted, status = fit(build(truth.constants * rng.uniform(0.9, 1.1, 10)), X, y, max_iter=300)
    got, _ = values(fitted, X.T)
    assert np.sqrt(np.mean((got - y) ** 2)) < 1e-9 * np.std(y)


@pytest.mark.parametrize("size", [1e-34, 1e-6, 1e8, 1e30])
def test_constants_of_any_magnitude(size):
    X = np.random.default_rng(3).uniform(1.0, 3.0, (2, 50))
    truth = apply(LIB, "add", apply(LIB, "mul", number(LIB, 2.5 * size), variable(LIB, 0)), number(LIB, -1.5 * size))
    start = Expression(truth.tokens, np.ones(2), LIB)
    fitted, _ = fit(start, X, values(truth, X.T)[0])
    np.testing.assert_allclose(fitted.constants, truth.constants, rtol=1e-10)


def test_noise_gives_the_weighted_least_squares_line():
    rng = np.random.default_rng(4)
    X = rng.uniform(0.0, 1.0, (2, 30))
    y, w = 2.0 * X[0] + 1.0 + rng.normal(size=30), rng.uniform(0.5, 2.0, 30)
    line = apply(LIB, "add", apply(LIB, "mul", number(LIB, 1.0), variable(LIB, 0)), number(LIB, 1.0))
    fitted, status = fit(line, X, y, weights=w)
    design = np.vstack([X[0], np.ones(30)]).T
    np.testing.assert_allclose(fitted.constants, np.linalg.lstsq(design * w[:, None], y * w, rcond=None)[0], rtol=1e-8)
    assert status == CONVERGED


@pytest.mark.parametrize("rows", [9, 64, 600])
def test_scaled_fit_solves_the_outer_constants(rows):
    X = np.random.default_rng(5).uniform(0.0, 2.0, (2, rows))
    y = 3.0 - 2e-5 * np.exp(-0.8 * X[0]) * X[1]
    f = apply(LIB, "mul", apply(LIB, "exp", apply(LIB, "mul", number(LIB, -0.3), variable(LIB, 0))), variable(LIB, 1))
    result = np.empty(1)
    status, sse, a, b = fit_scaled(f.tokens, f.length, f.constants, X, y, NONE, LIB.tables, 60, result,
                                   workspace(f.length, 1, rows))
    assert status in (CONVERGED, STALLED)
    assert result[0] == pytest.approx(-0.8, rel=1e-6)
    assert (a, b) == (pytest.approx(3.0, rel=1e-12), pytest.approx(-2e-5, rel=1e-6))
    assert sse < 1e-20 * rows


def test_scaled_fit_of_a_constant_is_the_mean():
    X = np.random.default_rng(6).uniform(0.0, 2.0, (2, 11))
    y = X[0] ** 2
    e = number(LIB, 5.0)
    status, sse, a, b = fit_scaled(e.tokens, 1, e.constants, X, y, NONE, LIB.tables, 20, np.empty(1),
                                   workspace(1, 1, 11))
    assert b == 0.0 and a == pytest.approx(y.mean()) and sse == pytest.approx(np.sum((y - y.mean()) ** 2))
    assert status == SINGULAR


def test_failures_have_names():
    X = np.random.default_rng(7).uniform(1.0, 2.0, (2, 20))
    log = apply(LIB, "log", apply(LIB, "sub", number(LIB, 0.0), variable(LIB, 0)))
    fitted, status = fit(log, X, X[0], n_starts=0)
    assert status == NOT_FINITE and fitted.constants[0] == 0.0
    idle = apply(LIB, "mul", apply(LIB, "sub", variable(LIB, 0), variable(LIB, 0)), number(LIB, 1.0))
    assert fit(idle, X, X[0], n_starts=0)[1] == SINGULAR
    wave = damped_wave(1.0, -1.0, 1.0)
    assert fit(wave, X, X[0] ** 3, n_starts=0, max_iter=1)[1] == MAX_ITER
    assert set(STATUS_TEXT) == {CONVERGED, MAX_ITER, NOT_FINITE, SINGULAR, STALLED}


def test_arguments_are_checked():
    X = np.ones((2, 5))
    for kwargs, name in (({"X": np.ones((3, 5))}, "X"), ({"y": np.ones(4)}, "y"), ({"weights": np.ones(4)}, "weights"),
                         ({"n_starts": -1}, "n_starts"), ({"max_iter": -1}, "max_iter")):
        with pytest.raises(ValueError, match=name):
            fit(number(LIB, 1.0), **{"X": X, "y": np.ones(5), **kwargs})


def test_same_minimum_as_minpack():
    rng = np.random.default_rng(8)
    X = rng.uniform(0.0, 2.0, (2, 40))
    y = values(damped_wave(1.7, -0.8, 1.3), X.T)[0] + 0.1 * rng.normal(size=40)
    start = damped_wave(1.4, -0.6, 1.2)
    fitted, status = fit(start, X, y, n_starts=0)
    want, sse = naive_evaluate.fit(start.tokens, start.constants, X, y, 2)
    assert status == CONVERGED
    np.testing.assert_allclose(fitted.constants, want, rtol=1e-5)
    assert np.sum((values(fitted, X.T)[0] - y) ** 2) <= sse * (1.0 + 1e-9)


def test_several_starts_find_what_one_misses():
    X = np.random.default_rng(9).uniform(0.0, 2.0, (2, 40))
    wave = apply(LIB, "sin", apply(LIB, "mul", number(LIB, 4.5), variable(LIB, 0)))
    start = Expression(wave.tokens, np.array([1.0]), LIB)
    y = values(wave, X.T)[0]
    one, many = (fit(start, X, y, n_starts=k)[0] for k in (0, 24))
    assert abs(one.constants[0] - 4.5) > 0.1
    assert many.constants[0] == pytest.approx(4.5, rel=1e-10)


def test_start_points_are_seeded_and_span_magnitudes():
    a, b = (start_points(3, 200, np.random.default_rng(1), 20.0) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a[0] == 1.0).all() and (a[1] == -1.0).all()
    exponents = np.log10(np.abs(a[3::2]))
    assert exponents.min() < -15.0 and exponents.max() > 15.0 and (a < 0).any()
    assert start_points(0, 4, np.random.default_rng(1)).shape == (4, 0)


def test_a_workspace_that_is_too_small_is_refused():
    X = np.ones((2, 20))
    e = damped_wave(1.0, 1.0, 1.0)
    for sizes in ((e.length - 1, 3, 20), (e.length, 2, 20), (e.length, 3, 19)):
        with pytest.raises(ValueError, match="ws"):
            fit_scaled(e.tokens, e.length, e.constants, X, X[0], NONE, LIB.tables, 5, np.empty(3), workspace(*sizes))
    # A larger one is as good as one made to measure.
    status, sse, _, _ = fit_scaled(e.tokens, e.length, e.constants, X, X[0], NONE, LIB.tables, 5, np.empty(3),
                                   workspace(e.length + 9, 7, 1000))
    assert status == CONVERGED and sse < 1e-20
