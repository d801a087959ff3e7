"""The environment of reductions as a contract, and what its reductions and rewards are worth."""

import copy
import json

import gymnasium
import numpy as np
import pytest
import sympy
from gymnasium.utils.env_checker import check_env, data_equivalence

import rsrm.envs  # noqa: F401
from rsrm.envs import MaskInObservation

ID = "rsrm/Reduction-v0"
X = np.random.default_rng(0).uniform(0.5, 3.0, (160, 3))
Y = X[:, 0] ** 2 * np.sin(X[:, 1] - X[:, 2])
N_SLOTS, STEPS = 6, 5


@pytest.fixture(scope="module")
def env():
    """One environment for all tests: what it has computed at a reduced problem is kept."""
    return gymnasium.make(ID, X=X, y=Y, n_slots=N_SLOTS, max_steps=STEPS, render_mode="ansi")


def pick(info, text):
    """Return the action whose text begins with `text`."""
    return next(a for a, name in enumerate(info["actions"]) if name.startswith(text))


def random_episode(env, rng):
    observation, info = env.reset()
    steps = [(observation, 0.0, False, False, info)]
    while not steps[-1][2]:
        steps.append(env.step(rng.choice(np.flatnonzero(steps[-1][4]["action_mask"]))))
    return steps


@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array", "human"])
def test_gymnasium_checker_has_no_complaint(render_mode):
    check_env(gymnasium.make(ID, X=X[:60], y=Y[:60], n_slots=2, max_steps=3, render_mode=render_mode).unwrapped)


def test_random_episodes_keep_the_contract(env):
    rng, ends = np.random.default_rng(1), 0
    for _ in range(12):
        steps = random_episode(env, rng)
        for observation, reward, terminated, truncated, info in steps:
            assert env.observation_space.contains(observation)
            assert isinstance(reward, float) and np.isfinite(reward) and isinstance(terminated, bool) and not truncated
            assert info["action_mask"].dtype == np.int8 and info["action_mask"].shape == (N_SLOTS + 6,)
            named = np.array([bool(text) for text in info["actions"]])
            assert not info["action_mask"][~named].any()
        info, total = steps[-1][4], sum(s[1] for s in steps)
        assert not info["action_mask"].any() and info["illegal"] is False and len(steps) <= STEPS + 1
        if info["infix"]:
            ends += 1
            law = sympy.lambdify(sympy.symbols("x0:3"), sympy.sympify(info["infix"]), "numpy")
            error = np.sqrt(np.mean((law(*X.T) - Y) ** 2)) / np.std(Y)
            assert error == pytest.approx(info["nrmse"], rel=1e-6, abs=1e-12)
            assert total == pytest.approx(np.clip(-np.log10(max(error, 1e-10)) / 10, 0, 1), abs=1e-6)
        else:
            assert total == 0.0 and info["nrmse"] == np.inf and info["complexity"] == 0
    assert ends > 2


def test_reductions_lead_to_the_law_and_are_exact(env):
    _, info = env.reset(seed=5)
    observation, reward, *_, info = env.step(pick(info, "merge id(x1) -1 id(x2)"))
    assert reward == 0.0
    assert observation["state"][2] == pytest.approx(2 / 3) and observation["columns"][:, 0].tolist() == [1, 1, 0]
    assert np.allclose(env.unwrapped.problem.X, [X[:, 0], X[:, 1] - X[:, 2]], rtol=1e-12)
    assert "2 columns" in env.render() and "merge" in env.render()
    *_, info = env.step(pick(info, "factor log(x0)**2"))
    assert np.allclose(env.unwrapped.problem.X, [X[:, 1] - X[:, 2]], rtol=1e-12)
    assert np.allclose(env.unwrapped.problem.y, np.sin(X[:, 1] - X[:, 2]), rtol=1e-12)
    _, reward, terminated, _, info = env.step(pick(info, "close: bank"))
    assert terminated and reward == 1.0 and info["nrmse"] < 1e-10
    x0, x1, x2 = sympy.symbols("x0:3")
    assert sympy.simplify(sympy.sympify(info["infix"]) - x0**2 * sympy.sin(x1 - x2)) == 0


def test_undo_goes_back_and_closings_are_tried_once(env):
    first, info = env.reset()
    close, undo = pick(info, "close: power law"), pick(info, "undo")
    assert info["action_mask"][undo] == 0
    *_, info = env.step(0)
    assert info["action_mask"][undo] == 1
    *_, info = env.step(close)
    assert info["action_mask"][close] == 0
    observation, *_, info = env.step(undo)
    assert info["action_mask"][close] == 1 and info["action_mask"][undo] == 0
    assert np.array_equal(first["proposals"], observation["proposals"])
    *_, terminated, _, info = env.step(pick(info, "stop"))
    assert terminated and info["illegal"] is False
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.unwrapped.step(0)


@pytest.mark.parametrize("bad", [-1, N_SLOTS + 4, N_SLOTS + 6, 1000])
def test_an_illegal_action_ends_the_episode(env, bad):
    env.reset()
    observation, reward, terminated, truncated, info = env.unwrapped.step(bad)  # undo at the root, or no action at all
    assert (reward, terminated, truncated, info["illegal"]) == (0.0, True, False, True)
    assert env.observation_space.contains(observation) and not info["action_mask"].any()


def test_the_same_actions_give_the_same_episode_whatever_the_seed(env):
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(json.loads(json.dumps(env.spec.to_json()))))
    env.reset(seed=1)
    again.reset(seed=2)
    for a, b in zip(random_episode(env, np.random.default_rng(3)), random_episode(again, np.random.default_rng(3)),
                    strict=True):
        assert data_equivalence(a, b)


def test_a_copy_goes_on_by_itself(env):
    env.reset()
    env.step(0)
    other = copy.deepcopy(env.unwrapped)
    env.step(N_SLOTS + 4)
    assert other.problem.n_variables == 2 and env.unwrapped.problem.n_variables == 3
    assert other.action_masks()[N_SLOTS + 4] == 1


def test_a_picture_shows_the_reduced_problem():
    env = gymnasium.make(ID, X=X, y=Y, n_slots=N_SLOTS, max_steps=STEPS, render_mode="rgb_array")
    env.reset()
    frame = env.render()
    assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.std() > 0
    env.step(0)
    assert (env.render() != frame).any()
    env.close()


def test_wrappers_fit(env):
    masked = MaskInObservation(env)
    observation, info = masked.reset()
    assert masked.observation_space.contains(observation)
    assert (observation["action_mask"] == info["action_mask"]).all()
    flat = gymnasium.wrappers.FlattenObservation(env)
    observation, _ = flat.reset()
    assert observation.shape == (8 + 3 * 5 + N_SLOTS * 11,)


def test_vectors_work_as_for_any_environment():
    envs = gymnasium.make_vec(ID, 2, X=X[:60], y=Y[:60], n_slots=2, max_steps=3)
    _, info = envs.reset(seed=0)
    assert info["action_mask"].shape == (2, 8)
    *_, info = envs.step(np.array([7, 2]))
    assert info["infix"][0] == "" and info["_infix"][0]
    envs.close()


@pytest.mark.parametrize(("options", "name"), [
    ({"X": X}, "y"), ({"X": X, "y": Y[:-1]}, "y"), ({"problem": "Nguyen-99"}, "problem"),
    ({"X": X, "y": Y, "problem": "Nguyen-7"}, "problem"), ({"X": X, "y": Y, "n_slots": 0}, "n_slots"),
    ({"X": X, "y": Y, "max_steps": 0}, "max_steps"), ({"X": X, "y": Y, "operators": ("plus",)}, "plus"),
])
def test_bad_arguments_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        gymnasium.make(ID, **options)


def test_a_problem_of_the_catalogue_and_one_without_a_model():
    env = gymnasium.make(ID, problem="Nguyen-7")
    _, info = env.reset()
    *_, terminated, _, info = env.step(pick(info, "close: bank"))
    assert terminated and info["nrmse"] < 1e-10
    tiny = gymnasium.make(ID, X=X[:3, :1], y=Y[:3])
    observation, info = tiny.reset()
    assert observation["state"][1] == 1.0 and not info["action_mask"][:8].any()
