"""Parity of variables on scattered data: right where it claims, silent where it cannot know."""

import numpy as np
import pytest

from rsrm.symmetry import detect_symmetries

ONE = {
    "even": (np.square, np.cos, np.cosh, lambda x: np.sin(x * x) * np.cos(x) - 1, lambda x: 3 * x**4 - x * x + 2),
    "odd": (np.sin, np.tanh, lambda x: x**3 + x, lambda x: x / (1 + x * x / 2)),
    "none": (np.exp, lambda x: x**4 + x**3, lambda x: x + 0.01 * x * x, lambda x: x * x + 1e-4 * x,
             lambda x: (x - 1) ** 2),
}


@pytest.mark.parametrize("kind, law", [(kind, law) for kind, laws in ONE.items() for law in laws])
@pytest.mark.parametrize("seed", range(3))
def test_one_variable(kind, law, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.5, 1.3, (1, 80))  # no mirrored pairs, and no symmetric range
    (found,) = detect_symmetries(X, law(X[0]), rng)
    assert found.kind == kind and found.confidence > 0.6


@pytest.mark.parametrize("law, kinds", [
    (lambda x, y: x * y, ("odd", "odd")),
    (lambda x, y: x**2 * np.sin(y), ("even", "odd")),
    (lambda x, y: x * np.exp(y), ("odd", "none")),
    (lambda x, y: (x - y) ** 2, ("none", "none")),
    (lambda x, y: np.cos(x) + y, ("even", "none")),
])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_two_variables(law, kinds, noise):
    rng = np.random.default_rng(5)
    X = rng.uniform(-1, 1, (2, 150))
    X[1] += 0.5 * (kinds[1] == "none")  # a shifted column tells of itself only
    y = law(*X)
    y = y + noise * np.std(y) * rng.normal(size=150)
    assert tuple(s.kind for s in detect_symmetries(X, y, rng)) == kinds


@pytest.mark.parametrize("seed", range(20))
def test_random_laws_without_parity_are_never_claimed(seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (2, int(rng.integers(20, 200))))
    a, b, c = rng.uniform(0.3, 2.0, 3)
    y = np.exp(a * X[0]) + b * np.sin(2 * X[0] * X[1] + c) + X[1] ** 3
    for s in detect_symmetries(X, y, rng):
        assert s.kind in ("none", "unknown") or s.confidence < 0.5


def test_silent_without_both_sides_of_zero(rng):
    for low, high in ((0.1, 2.0), (-3.0, 0.0), (-0.01, 2.0)):
        X = rng.uniform(low, high, (1, 100))
        assert detect_symmetries(X, X[0] ** 2, rng)[0].kind == "unknown"


def test_silent_on_noise_few_rows_and_constants(rng):
    X = rng.uniform(-1, 1, (2, 60))
    assert {s.kind for s in detect_symmetries(X, rng.normal(size=60), rng)} == {"unknown"}
    assert {s.kind for s in detect_symmetries(X[:, :6], X[0, :6] ** 2, rng)} == {"unknown"}
    assert {s.kind for s in detect_symmetries(X, np.full(60, 3.0), rng)} == {"unknown"}


def test_scale_does_not_matter(rng):
    X = rng.uniform(-1, 1, (1, 60))
    for scale in (1e-200, 1.0, 1e200):
        assert detect_symmetries(X * 1e6, scale * np.cos(X[0]), np.random.default_rng(0))[0].kind == "even"


def test_same_seed_same_answer(rng):
    X = rng.uniform(-1, 1, (2, 700))
    y = X[0] ** 2 + np.sin(X[1])
    first, second = (detect_symmetries(X, y, np.random.default_rng(3)) for _ in range(2))
    assert first == second
