"""What both environments take: tables of any kind, magnitudes of any size, and nothing that is wrong."""

import copy
import json
import pickle

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence

import rsrm.envs  # noqa: F401 - registers the environments
from rsrm.envs import SymbolicRegressionEnv, SymbolicRegressionVectorEnv

TOKENS, REDUCTION = "rsrm/SymbolicRegression-v0", "rsrm/Reduction-v0"
BOTH = pytest.mark.parametrize("name", [TOKENS, REDUCTION])
RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (40, 2))
Y = X[:, 0] * np.sin(X[:, 1]) + 1.0
FRAME = pd.DataFrame(X, columns=["mass", "speed"])


def episode(env, seed):
    """Return [(observation, reward, terminated, truncated, info), ...] of random legal actions."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset()
    steps = [(observation, 0.0, False, False, info)]
    while not steps[-1][2]:
        steps.append(env.step(rng.choice(np.flatnonzero(steps[-1][4]["action_mask"]))))
    return steps


@BOTH
@pytest.mark.parametrize("options", [
    {"X": FRAME, "y": pd.Series(Y)}, {"X": X.tolist(), "y": Y.tolist()}, {"X": list(X), "y": tuple(Y)},
    {"X": X.astype(np.float32), "y": (100 * Y).astype(np.int64), "operators": np.array(["add", "mul"])},
    {"X": X.astype(object), "y": Y, "operators": {"sin", "add"}, "n_slots": np.int64(3)}, {"problem": "I.9.18"},
])
def test_every_specification_survives_json(name, options):
    env = gymnasium.make(name, **options)
    again = gymnasium.make(EnvSpec.from_json(json.loads(json.dumps(env.spec.to_json()))))
    assert again.unwrapped.library == env.unwrapped.library
    for a, b in zip(episode(env, 1), episode(again, 1), strict=True):
        assert data_equivalence(a, b)


@BOTH
def test_names_of_columns_come_out_in_the_law(name):
    for env in (gymnasium.make(name, X=FRAME, y=Y), gymnasium.make(name, X=X, y=Y, feature_names=("mass", "speed"))):
        laws = "".join(episode(env, seed)[-1][4]["infix"] for seed in range(6))
        assert ("mass" in laws or "speed" in laws) and "x0" not in laws and "x1" not in laws
    # Names that say nothing are no names.
    for columns in ([0, 1], ["a", "a"]):
        assert gymnasium.make(name, X=FRAME.set_axis(columns, axis=1), y=Y).unwrapped.library.variable_names == (
            "x0", "x1")


@BOTH
@pytest.mark.parametrize(("options", "word"), [
    ({"X": [[1.0, 2.0], [3.0]]}, "^X .*lengths"), ({"X": np.ma.masked_greater(X, 0.9)}, "^X .*masked"),
    ({"X": X.astype(str)}, "^X must hold real"), ({"X": X.astype(object) * 1j}, "^X must hold real"),
    ({"y": Y[:, None]}, "^y must have shape"), ({"X": X[:1], "y": Y[:1]}, "^X .*two rows"),
    ({"operators": 5}, "^operators"), ({"operators": ()}, "^operators"), ({"operators": [["add"]]}, "^operators"),
    ({"operators": "plus"}, r"^operators.*'plus'"), ({"feature_names": ("a",)}, "^feature_names: 1 .* 2"),
    ({"feature_names": ("a", "a")}, "^feature_names"), ({"feature_names": "ab"}, "^feature_names"),
    ({"feature_names": (1, 2)}, "^feature_names"), ({"feature_names": 3}, "^feature_names"),
    ({"n_slots": 2.5}, "^n_slots must be a whole number from"), ({"n_slots": -1}, "^n_slots"),
    ({"n_slots": 2**40}, "^n_slots"), ({"n_slots": "x"}, "^n_slots"), ({"render_mode": "movie"}, "^render_mode.*ansi"),
])
def test_what_is_wrong_is_named(name, options, word):
    maker = gymnasium.envs.registration.load_env_creator(gymnasium.spec(name).entry_point)
    with pytest.raises(ValueError, match=word):
        maker(**{"X": X, "y": Y} | options)


@pytest.mark.parametrize("options", [
    {"max_size": 2**20}, {"max_size": 30.0}, {"max_depth": "x"}, {"max_constants": None}, {"eta": "x"}, {"eta": np.nan},
    {"nested_constraints": ["sin"]}, {"observation": ["tokens"]},
])
def test_limits_are_named_with_what_is_possible(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must"):
        gymnasium.make(TOKENS, X=X, y=Y, **options)


def test_too_many_columns_are_refused_before_memory_ends():
    with pytest.raises(ValueError, match="^X, n_slots"):
        gymnasium.make(TOKENS, X=np.ones((2, 5000)), y=np.ones(2))


@pytest.mark.parametrize(("options", "word"), [
    ({"num_envs": 2.5}, "^num_envs"), ({"num_envs": None}, "^num_envs"),
    ({"autoreset_mode": None}, "^autoreset_mode.*SameStep"),
])
def test_arguments_of_the_vector_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        SymbolicRegressionVectorEnv(**{"num_envs": 2, "X": X, "y": Y} | options)


@pytest.mark.parametrize("kind", [SymbolicRegressionEnv, SymbolicRegressionVectorEnv])
def test_unknown_arguments_are_refused_in_the_name_of_the_environment(kind):
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\(\).*'max_sise'; did you mean 'max_size'"):
        kind(X=X, y=Y, max_sise=20)


def test_a_list_of_any_integers_is_taken_as_actions():
    envs = SymbolicRegressionVectorEnv(3, X=X, y=Y)
    envs.reset()
    _, rewards, terminated, _, infos = envs.step([2**70, -2**70, envs.library.token("add")])
    assert terminated.tolist() == [True, True, False] and infos["illegal"].tolist() == [True, True, False]
    assert rewards.tolist() == [0.0, 0.0, 0.0]


WILD = {
    "huge": (X * 1e300, Y * 1e300), "largest": (X * 1.7e308, X[:, 0] * 1.7e308), "tiny": (X * 1e-300, Y * 1e-300),
    "denormal": (X * 1e-310, Y * 1e-310), "constant y": (X, np.full(40, 0.1)), "constant X": (np.ones((40, 2)), Y),
    "two rows": (X[:2], Y[:2]), "outlier": (X, np.where(np.arange(40) == 3, 1e300, Y)),
    "decades": (np.exp(RNG.normal(0.0, 100.0, (40, 2))), Y), "twins": (X[:, [0, 0]], Y),
}


@BOTH
@pytest.mark.parametrize("kind", WILD)
def test_rewards_and_observations_stay_finite_without_a_warning(name, kind):
    env = gymnasium.make(name, X=WILD[kind][0], y=WILD[kind][1], render_mode="rgb_array")
    for seed in range(60 if name == TOKENS else 4):
        for observation, reward, *_ in episode(env, seed):
            assert np.isfinite(reward) and -1.0 <= reward <= 1.0 and env.observation_space.contains(observation)
    assert env.render().dtype == np.uint8


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_scale_of_the_target_does_not_matter(scale):
    env = gymnasium.make(TOKENS, X=X * scale, y=X[:, 0] * scale)
    env.reset()
    env.step(env.unwrapped.library.token("add"))
    env.step(0)
    assert env.step(1)[4]["nrmse"] == pytest.approx(np.sqrt(np.mean(X[:, 1] ** 2)) / np.std(X[:, 0]), rel=1e-12)


@BOTH
def test_any_integer_is_an_action_and_pictures_need_an_episode(name):
    env = gymnasium.make(name, X=X, y=Y, render_mode="ansi").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    for action in (2**70, -2**70):
        env.reset()
        _, reward, terminated, _, info = env.step(action)
        assert (reward, terminated, info["illegal"]) == (0.0, True, True)


@BOTH
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_play_the_same_episode(name, clone):
    env = gymnasium.make(name, X=X, y=Y)
    env.reset()
    env.step(0 if name == REDUCTION else env.unwrapped.library.token("add"))
    other = clone(env)
    assert (other.unwrapped.action_masks() == env.unwrapped.action_masks()).all()
    rng = np.random.default_rng(2)
    over = False
    while not over:
        action = rng.choice(np.flatnonzero(env.unwrapped.action_masks()))
        mine, theirs = env.step(action), other.step(action)
        assert data_equivalence(mine, theirs)
        over = mine[2]
    env.close()
    env.close()


def test_promotions_are_made_all_or_none():
    env = gymnasium.make(TOKENS, X=X, y=Y)
    library = env.unwrapped.library
    good, sin = ("f", 0, [0]), library.token("sin")
    for bad, word in ((("g", 3, [sin, -2]), "arity"), (("g", -1, [sin, -2]), "arity"), (("g", 1, [sin, "x"]), "body"),
                      (("g", 0), "promote"), ("fgh", "promote")):
        with pytest.raises(ValueError, match=word):
            env.reset(options={"promote": [good, bad]})
        assert env.unwrapped.library == library
    with pytest.raises(ValueError, match="arity"):
        env.unwrapped.promote("f", 3, [library.token("add"), -2, -3])
    env.reset(options={"promote": [good]})
    assert env.unwrapped.action_masks()[library.first_promoted] == 1
