"""The compiled vector environment against gymnasium's own vector of single environments."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rsrm.envs import SymbolicRegressionEnv, SymbolicRegressionVectorEnv
from rsrm.envs.episodes import FLOOR
from rsrm.library import PARAM0

ID = "rsrm/SymbolicRegression-v0"
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (20, 2))
Y = 2.5 * X[:, 0] * np.sin(X[:, 1]) + 1.0
N = 7


def same(a, b):
    """Return whether two infos (or parts of them) say the same."""
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[k], b[k]) for k in a)
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype == object:
        return len(a) == len(b) and all((x is None) == (y is None) and np.array_equal(x, y)
                                        for x, y in zip(a, b, strict=True))
    return a.shape == b.shape and np.array_equal(a, b) and a.dtype.kind == b.dtype.kind


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("options", [{"observation": "tokens"}, {"observation": "context", "max_size": 9, "eta": 0.9}])
def test_agrees_copy_by_copy_with_single_environments(mode, options):
    options = {"X": X, "y": Y, "max_constants": 2, "operators": ("add", "mul", "sin", "exp")} | options
    ours = gymnasium.make_vec(ID, num_envs=N, autoreset_mode=mode.value, **options)
    truth = SyncVectorEnv([lambda: SymbolicRegressionEnv(**options)] * N, autoreset_mode=mode)
    assert isinstance(ours.unwrapped, SymbolicRegressionVectorEnv)
    assert ours.metadata["autoreset_mode"] == mode
    assert ours.observation_space == truth.observation_space and ours.action_space == truth.action_space
    promote = {"promote": [("f", 1, [ours.library.token("mul"), PARAM0, PARAM0])]}
    rng = np.random.default_rng(1)
    mine, theirs = ours.reset(seed=3, options=promote), truth.reset(seed=3, options=promote)
    assert np.array_equal(mine[0], theirs[0]) and same(mine[1], theirs[1])
    endings = 0
    for _ in range(120):
        masks = mine[-1]["action_mask"]
        assert np.array_equal(masks, ours.unwrapped.action_masks())
        actions = np.array([rng.choice(np.flatnonzero(m)) if m.any() else 0 for m in masks])
        if rng.random() < 0.1:
            actions[rng.integers(N)] = ours.single_action_space.n - 1  # an empty slot
        mine, theirs = ours.step(actions), truth.step(actions)
        for a, b in zip(mine[:4], theirs[:4], strict=True):
            assert np.array_equal(a, b) and a.dtype == b.dtype
        assert same(mine[4], theirs[4])
        assert np.isfinite(mine[1]).all()
        endings += mine[2].sum()
        if mode == AutoresetMode.DISABLED and mine[2].any():
            mine = ours.reset(options={"reset_mask": mine[2]})
            theirs = truth.reset(options={"reset_mask": theirs[2]})
            assert np.array_equal(mine[0], theirs[0])
            mine[1]["action_mask"], theirs[1]["action_mask"] = ours.action_masks(), np.array(truth.call("action_masks"))
            assert np.array_equal(mine[1]["action_mask"], theirs[1]["action_mask"])
    assert endings > 30


def test_last_info_holds_the_law_of_each_copy():
    envs = gymnasium.make_vec(ID, num_envs=3, X=X, y=Y, autoreset_mode="SameStep")
    t, c = envs.library.token, envs.library.constant
    envs.reset(seed=0)
    law = [t("add"), t("mul"), c, t("mul"), 0, t("sin"), 1, t("1")]
    for token in law:
        observations, rewards, terminations, truncations, infos = envs.step([token, token, -1])
        assert terminations[2] and rewards[2] == FLOOR and not truncations.any()
    assert terminations.all() and rewards[0] == rewards[1] == pytest.approx(0.99**8)
    final = infos["final_info"]
    assert final["nrmse"][:2] == pytest.approx(0.0, abs=1e-12)
    assert final["complexity"].tolist() == [8, 8, 0] and final["illegal"].tolist() == [False, False, True]
    assert final["infix"][2] == "" and final["infix"][0].endswith("*(x0*sin(x1)) + 1")
    assert float(final["infix"][0].split("*")[0]) == pytest.approx(2.5)
    assert infos["final_obs"][0][:8].tolist() == law and (observations == -1).all()
    assert list(np.array(final["infix"])) == final["infix"][:]


def test_arrays_are_copies_unless_asked():
    for copy in (True, False):
        envs = gymnasium.make_vec(ID, num_envs=2, X=X, y=Y, copy=copy)
        first, infos = envs.reset()
        kept = first.copy()
        envs.step([envs.library.token("sin")] * 2)
        assert np.array_equal(first, kept) == copy
        assert np.array_equal(infos["action_mask"], envs.action_masks()) != copy


def test_seeds_spec_and_text():
    envs = gymnasium.make_vec(ID, num_envs=2, X=X, y=Y, render_mode="ansi")
    json.dumps(envs.spec.kwargs)
    envs.reset(seed=[1, 2])
    envs.step([envs.library.token("add"), 0])
    assert envs.render() == ("y = ? + ?\n", "y = x0\n")


def test_texts_that_are_written_at_once_suit_the_wrappers_of_gymnasium():
    envs = gymnasium.wrappers.vector.DictInfoToList(gymnasium.make_vec(ID, num_envs=2, X=X, y=Y, lazy=False))
    envs.reset(seed=0)
    infos = envs.step(np.array([0, envs.unwrapped.library.token("add")]))[4]
    assert infos[0]["infix"] == "x0" and "infix" not in infos[1]


@pytest.mark.parametrize("seed", [np.int64(3), [1, None], np.array([1, 2])])
def test_seeds_of_every_kind_are_taken(seed):
    gymnasium.make_vec(ID, num_envs=2, X=X, y=Y).reset(seed=seed)


def test_refusals():
    envs = gymnasium.make_vec(ID, num_envs=2, X=X, y=Y, autoreset_mode="Disabled")
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step([0, 0])
    with pytest.raises(ValueError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.zeros(2, bool)})
    for seed in ([1], "ab", [1, "x"], 1.5):
        with pytest.raises(ValueError, match="seed"):
            envs.reset(seed=seed)
    with pytest.raises(gymnasium.error.ResetNeeded):
        gymnasium.make_vec(ID, num_envs=2, X=X, y=Y, render_mode="ansi").render()
    envs.reset()
    with pytest.raises(ValueError, match="actions"):
        envs.step([0])
    envs.step([0, envs.library.token("add")])
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step([0, 0])
    with pytest.raises(ValueError, match="num_envs"):
        SymbolicRegressionVectorEnv(0, X, Y)
    with pytest.raises(ValueError, match="render_mode"):
        SymbolicRegressionVectorEnv(2, X, Y, render_mode="human")
    with pytest.raises(ValueError, match="NoStep"):
        SymbolicRegressionVectorEnv(2, X, Y, autoreset_mode="NoStep")
