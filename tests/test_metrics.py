"""The error and the reward, against NumPy and by hand."""

import math

import numpy as np
import pytest

from rsrm.metrics import ETA, nrmse, reward, target_scale


def test_nrmse_is_rmse_over_standard_deviation():
    rng = np.random.default_rng(0)
    y, v = rng.normal(3.0, 2.0, 101), rng.normal(size=101)
    assert nrmse(v, y, target_scale(y)) == pytest.approx(np.sqrt(np.mean((v - y) ** 2)) / np.std(y), rel=1e-13)
    assert nrmse(y, y, target_scale(y)) == 0.0
    assert nrmse(np.full(101, y.mean()), y, target_scale(y)) == pytest.approx(1.0, rel=1e-13)


def test_nrmse_does_not_overflow_for_large_targets():
    y = np.array([1e200, 2e200, 3e200])
    assert nrmse(1.1 * y, y, 1e200) == pytest.approx(math.sqrt((0.01 + 0.04 + 0.09) / 3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_undefined_values_are_seen(bad):
    y = np.arange(20.0)
    v = y.copy()
    v[17] = bad
    assert not math.isfinite(nrmse(v, y, 1.0))
    assert reward(3, nrmse(v, y, 1.0)) == 0.0


def test_scale_of_a_constant_target_is_one():
    assert target_scale(np.full(7, 2.5)) == 1.0 and target_scale(np.full(20, 0.1)) == 1.0
    for scale in (1e-300, 1e300):
        assert target_scale(scale * np.array([0.0, 6.0])) == pytest.approx(3.0 * scale, rel=1e-14)
        weighted = target_scale(scale * np.array([0.0, 6.0, 9.0]), np.array([1.5, 1.5, 0.0]))
        assert weighted == pytest.approx(3.0 * scale, rel=1e-14)
    assert target_scale(np.array([0.0, 2.0])) == 1.0 and target_scale(np.array([0.0, 6.0])) == 3.0


def test_reward_follows_the_paper():
    assert reward(0, 0.0) == 1.0
    assert reward(7, 0.25) == pytest.approx(ETA**7 / 1.25, rel=1e-14)
    assert reward(2, 1.0, 0.5) == pytest.approx(0.125)
    assert reward(5, 1e308) >= 0.0
