"""The single environment as a contract."""

import argparse
import copy
import importlib.util
import json
import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import sympy
from gymnasium.utils.env_checker import check_env, data_equivalence

import rsrm.envs
from rsrm import grammar
from rsrm.envs import MaskInObservation, SymbolicRegressionEnv
from rsrm.export import parse
from rsrm.library import PARAM0, Library

ID = "rsrm/SymbolicRegression-v0"
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (20, 2))
Y = X[:, 0] * np.sin(X[:, 1]) + 1.0


def make(**options):
    return gymnasium.make(ID, **{"X": X, "y": Y} | options)


def play(env, tokens):
    """Return what the last of the steps returned."""
    for token in tokens:
        outcome = env.step(token)
    return outcome


def random_episode(env, rng):
    """Return [(observation, reward, terminated, truncated, info), ...] of legal random actions."""
    observation, info = env.reset()
    steps = [(observation, 0.0, False, False, info)]
    while not steps[-1][2]:
        steps.append(env.step(rng.choice(np.flatnonzero(steps[-1][4]["action_mask"]))))
    return steps


@pytest.mark.parametrize("render_mode", [None, "ansi", "rgb_array", "human"])
@pytest.mark.parametrize("observation", ["tokens", "context"])
def test_gymnasium_checker_has_no_complaint(observation, render_mode):
    # Warnings are errors here.
    check_env(make(observation=observation, render_mode=render_mode).unwrapped)


def test_registration_is_idempotent_and_by_module_name():
    rsrm.envs.register_all()
    rsrm.envs.register_all()
    code = (f"import gymnasium; e = gymnasium.make('rsrm.envs:{ID}', X=[[0.0], [1.0]], y=[0.0, 1.0]); "
            "print(type(e.unwrapped).__name__)")
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "SymbolicRegressionEnv"


def test_spec_survives_json():
    env = make(nested_constraints={"sin": {"exp": 0}}, operators=("add", "mul", "sin", "exp"))
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(json.loads(json.dumps(env.spec.to_json()))))
    for a, b in zip(random_episode(env, np.random.default_rng(1)), random_episode(again, np.random.default_rng(1)),
                    strict=True):
        assert data_equivalence(a, b)


def test_the_law_is_worth_most():
    env = make(literals=True)
    env.reset(seed=0)
    t = env.unwrapped.library.token
    law = [t("add"), t("mul"), 0, t("sin"), 1, t("1")]
    observation, reward, terminated, truncated, info = play(env, law)
    assert terminated is True and truncated is False
    assert info["infix"] == "x0*sin(x1) + 1" and info["complexity"] == 6 and info["illegal"] is False
    assert info["nrmse"] == pytest.approx(0.0, abs=1e-15)
    assert reward == pytest.approx(0.99**6)
    assert observation[:6].tolist() == law and (observation[6:] == -1).all()
    assert not info["action_mask"].any()


@pytest.mark.parametrize("seed", range(3))
def test_last_info_agrees_with_numpy(seed):
    # No exp below exp, sin and cos: the sine of a huge angle says nothing.
    env = make(constants=False, eta=0.9, nested_constraints={name: {"exp": 0} for name in ("exp", "sin", "cos")})
    rng, lib = np.random.default_rng(seed), Library(2, constants=False)
    finite = 0
    for _ in range(40):
        observation, reward, _, _, info = random_episode(env, rng)[-1]
        text = info["infix"]
        with np.errstate(all="ignore"):
            values = sympy.lambdify(("x0", "x1"), sympy.sympify(text, evaluate=False), "numpy")(*X.T)
            error = np.sqrt(np.mean((values - Y) ** 2)) / np.std(Y)
        length = int((observation >= 0).sum())
        assert info["complexity"] == length
        assert parse(text, lib).length <= length + 1
        assert np.isfinite(reward)
        if np.isfinite(error) and error < 1e6:
            finite += 1
            assert info["nrmse"] == pytest.approx(error, rel=1e-9)
            assert reward == pytest.approx(0.9**length / (1 + error), rel=1e-9)
        elif not np.isfinite(error):
            assert reward == 0.0 and info["nrmse"] == np.inf
    assert finite > 12


def test_observations_masks_and_floor():
    env = make(observation="context")
    rng = np.random.default_rng(3)
    env.reset()
    add, sin = env.unwrapped.library.token("add"), env.unwrapped.library.token("sin")
    assert play(env, [add, sin])[0].tolist() == [sin, sin, -1, 3, 2]
    assert play(env, [0])[0].tolist() == [0, add, sin, 2, 1]
    for _ in range(20):
        for observation, reward, terminated, _, info in random_episode(env, rng):
            assert env.observation_space.contains(observation)
            assert info["action_mask"].dtype == np.int8 and isinstance(terminated, bool) and isinstance(reward, float)
    for bad in (env.action_space.n - 1, -1, env.action_space.n + 100):
        env.reset()
        env.step(add)
        observation, reward, terminated, truncated, info = env.unwrapped.step(bad)
        assert (reward, terminated, truncated) == (0.0, True, False)
        assert info["illegal"] is True and info["infix"] == "" and info["complexity"] == 0
        assert not info["action_mask"].any() and env.observation_space.contains(observation)
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.unwrapped.step(0)


def test_arrays_are_fresh_and_seeds_do_not_matter():
    env = make()
    first, info = env.reset(seed=1)
    kept, mask = first.copy(), info["action_mask"].copy()
    env.action_space.seed(0)
    later = env.step(0)
    assert (first == kept).all() and (info["action_mask"] == mask).all()
    assert env.unwrapped.action_masks() is not env.unwrapped.action_masks()
    env.reset(seed=2)
    assert data_equivalence(later, env.step(0))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself(clone):
    env = make(render_mode="rgb_array")
    env.reset()
    env.render()
    t = env.unwrapped.library.token
    play(env, [t("add"), t("mul"), 0])
    other = clone(env)
    assert play(env, [0, 0])[4]["infix"] == "x0*x0 + x0"
    assert (other.unwrapped.action_masks() > 0).any()
    observation, *_, info = play(other, [t("sin"), 1, t("1")])
    assert info["infix"] == "x0*sin(x1) + 1" and info["nrmse"] < 1e-12 and observation[3] == t("sin")
    other.reset()


def test_promoted_operators_keep_the_spaces():
    env = make()
    spaces = env.observation_space, env.action_space
    env.reset()
    lib = env.unwrapped.library
    mask = env.unwrapped.action_masks()
    token = env.unwrapped.promote("f", 1, [lib.token("mul"), PARAM0, lib.token("sin"), 1])
    assert mask[token] == 0 and env.unwrapped.action_masks()[token] == 1
    observation, _, terminated, _, info = play(env, [lib.token("add"), token, 0, lib.token("1")])
    assert terminated and info["infix"] == "x0*sin(x1) + 1" and info["complexity"] == 6
    assert (env.observation_space, env.action_space) == spaces and env.observation_space.contains(observation)
    env.reset(options={"promote": [("g", 0, [lib.token("sin"), 1])]})
    *_, info = play(env, [token + 1])
    assert info["infix"] == "sin(x1)" and info["complexity"] == 2
    with pytest.raises(ValueError, match="body"):
        env.unwrapped.promote("h", 1, [lib.token("sin")])


def test_rendering_shows_the_expression_and_its_holes():
    env = make(render_mode="ansi")
    env.reset()
    t = env.unwrapped.library.token
    env.step(t("mul"))
    env.step(env.unwrapped.library.constant)
    assert env.render() == "y = C*?\n"
    env.step(0)
    assert "x0" in env.render() and "NRMSE" in env.render()
    picture = make(render_mode="rgb_array")
    picture.reset()
    frame = picture.render()
    assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.std() > 0
    picture.step(1)
    assert (picture.render() != frame).any()
    picture.close()


@pytest.mark.parametrize(("convention", "key"), [("pettingzoo", "observation"), ("rllib", "observations"),
                                                 ("torchrl", "observation")])
def test_mask_in_observation(convention, key):
    env = MaskInObservation(make(), convention)
    observation, info = env.reset()
    assert observation["action_mask"].dtype == (bool if convention == "torchrl" else np.int8)
    assert set(observation) == {key, "action_mask"} and (observation["action_mask"] == info["action_mask"]).all()
    observation, *_, info = env.step(env.unwrapped.library.token("add"))
    assert env.observation_space.contains(observation)
    assert (observation["action_mask"] == info["action_mask"]).all()
    assert env.spec.additional_wrappers[-1].kwargs == {"convention": convention}
    with pytest.raises(ValueError, match="convention"):
        MaskInObservation(make(), "other")


@pytest.mark.parametrize(("options", "word"), [
    ({"X": None, "y": None}, "problem"), ({"y": None}, "y is missing"), ({"X": X[:3]}, "y must have shape"),
    ({"X": X * np.nan}, "X holds NaN"), ({"y": Y * 1j}, "y must hold real"), ({"X": X[:, 0]}, "X must have shape"),
    ({"operators": ("add", "foo")}, "foo"), ({"max_size": 0}, "max_size"), ({"max_depth": -1}, "max_depth"),
    ({"eta": 1.5}, "eta"), ({"observation": "pixels"}, "observation"), ({"problem": "Nguyen-7"}, "problem"),
    ({"nested_constraints": {"foo": {"sin": 1}}}, "foo"), ({"render_mode": "movie"}, "render_mode"),
])
def test_bad_arguments_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        SymbolicRegressionEnv(**{"X": X, "y": Y} | options)


@pytest.mark.skipif(importlib.util.find_spec("rsrm.benchmarks.catalogue") is None, reason="the catalogue comes later")
def test_problems_of_the_catalogue():
    env = gymnasium.make(ID, problem="Nguyen-7")
    env.reset()
    t = env.unwrapped.library.token
    law = [t("add"), t("log"), t("add"), 0, t("1"), t("log"), t("add"), t("mul"), 0, 0, t("1")]
    assert play(env, law)[4]["nrmse"] < 1e-12
    with pytest.raises(ValueError, match=r"Nguyen-77.*Nguyen-7"):
        gymnasium.make(ID, problem="Nguyen-77")


def test_state_machine_is_that_of_the_grammar():
    env = make(max_size=12)
    rng = np.random.default_rng(5)
    lib = Library(2)
    limits = grammar.make_limits(lib, max_size=12, max_constants=5)
    state, tokens = np.zeros(grammar.state_size(limits), np.int32), np.zeros(12, np.int16)
    mask = np.zeros(len(lib), np.int8)
    for _ in range(20):
        grammar.reset(state, limits)
        _, info = env.reset()
        done = False
        while not done:
            grammar.legal_actions(state, limits, mask)
            assert (info["action_mask"] == mask).all()
            action = rng.choice(np.flatnonzero(mask))
            *_, info = env.step(action)
            done = grammar.append(state, tokens, action, limits)
            assert done == ("infix" in info)


def test_benchmark_prints_a_rate_for_each_environment(capsys):
    from rsrm.benchmarks import env as benchmark

    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    benchmark.main(parser.parse_args(["--copies", "3", "--rows", "5", "--seconds", "0.01"]))
    lines = capsys.readouterr().out.splitlines()
    rates = {line[:44].strip(): int(line[44:56].replace(",", "")) for line in lines[1:]}
    assert {"single", "vector", "single CartPole-v1"} < set(rates) and min(rates.values()) > 100
    with pytest.raises(ValueError, match="copies"):
        benchmark.main(parser.parse_args(["--copies", "0"]))
