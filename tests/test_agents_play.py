"""Agents by hand, agents of the user's own in the search, and phases of the tree search replaced."""

import gymnasium
import numpy as np
import pytest
from sklearn.base import clone

import rsrm.envs  # noqa: F401
from rsrm import RSRM
from rsrm.agents import DoubleQAgent, GeneticAgent, MCTSAgent, RandomAgent, play
from rsrm.agents.qlearning import choose
from rsrm.evaluate import values
from rsrm.guest import guest
from rsrm.library import Library
from rsrm.problem import Problem

X = np.random.default_rng(0).uniform(0.5, 2.0, (30, 2))
Y = X[:, 0] * np.sin(X[:, 1]) + 1.0
OPTIONS = {"max_size": 12, "max_depth": 6, "operators": ("add", "mul", "sin", "exp"), "constants": False}


def make():
    return gymnasium.make("rsrm/SymbolicRegression-v0", X=X, y=Y, **OPTIONS)


class Recorder:
    """Writes x0*sin(x1) + 1 in its third episode and x0 before; remembers what it was told."""

    def __init__(self, law):
        self.law, self.episodes = law, 0
        self.seeds, self.told, self.prefixes = [], [], []

    def reset(self, seed):
        self.seeds.append(seed)

    def act(self, observation, info):
        assert info["action_mask"][0] == 1
        self.prefixes.append(observation[observation >= 0].tolist())
        return self.law[len(self.prefixes[-1])] if self.episodes == 2 else 0

    def learn(self, reward, terminated):
        self.told.append((reward, terminated))
        self.episodes += terminated


@pytest.mark.parametrize("kind", [RandomAgent, DoubleQAgent, MCTSAgent, GeneticAgent])
def test_every_agent_plays_by_hand_and_repeats_itself(kind):
    env = make()
    agent = kind(env.unwrapped.library, env.unwrapped.limits, seed=3)
    returns, best = play(env, agent, 150)
    assert returns.shape == (150,)
    assert returns.max() == pytest.approx(0.99 ** best["complexity"] / (1 + best["nrmse"]), rel=1e-9)
    again, _ = play(env, kind(env.unwrapped.library, env.unwrapped.limits, seed=3), 150)
    assert np.array_equal(returns, again)
    agent.reset(3)
    assert np.array_equal(play(env, agent, 150)[0], returns)


@pytest.mark.parametrize("kind", [RandomAgent, DoubleQAgent, MCTSAgent, GeneticAgent])
def test_agents_refuse_observations_that_are_no_prefix(kind):
    env = gymnasium.make("rsrm/SymbolicRegression-v0", X=X, y=Y, observation="context")
    agent = kind(env.unwrapped.library, env.unwrapped.limits, seed=3)
    with pytest.raises(ValueError, match="^observation.*observation='tokens'"):
        play(env, agent, 1)


def test_finished_expressions_can_be_had():
    env = make().unwrapped
    env.reset()
    assert env.expression is None
    env.step(env.library.token("exp"))
    env.step(1)
    assert np.allclose(values(env.expression, X)[0], np.exp(X[:, 1]))


def test_a_guest_of_the_search_is_told_everything_and_heard():
    library = Library(2, OPTIONS["operators"], constants=False)
    law = [library.token("add"), library.token("mul"), 0, library.token("sin"), 1, library.token("1")]
    agent, counted = Recorder(law), []
    limits = {"max_size": 12, "max_depth": 6, "max_constants": 0, "nested_constraints": None}
    source = guest(Problem(np.ascontiguousarray(X.T), Y, library), agent, limits, np.inf, np.random.default_rng(0),
                   counted.append)
    first, second, third = next(source), next(source), next(source)
    assert first.expanded.tolist() == [0] and second is None and third.expanded.tolist() == law
    assert len(agent.seeds) == 1 and counted == [1, 1, 1]
    assert agent.prefixes == [[], [], *(law[:k] for k in range(6))]
    assert [t for _, t in agent.told] == [True, True, *[False] * 5, True]
    assert agent.told[-1][0] == pytest.approx(0.99**6)


def test_the_search_hears_what_the_agent_writes():
    library = Library(2, OPTIONS["operators"], constants=True)
    law = [library.token("add"), library.token("mul"), 0, library.token("sin"), 1, library.token("1")]
    agent = Recorder(law)
    model = RSRM(agent=agent, operators=OPTIONS["operators"], max_size=12, max_time=20, random_state=0)
    assert clone(model).get_params().keys() == model.get_params().keys()
    model.fit(X, Y)
    chosen = model.front_[model.chosen_]
    assert chosen.stage == "agent" and chosen.nrmse < 1e-12
    assert agent.episodes >= 3 and len(agent.seeds) == 1


def test_a_class_is_made_for_the_library_and_the_limits():
    library = Library(2, OPTIONS["operators"], constants=False)
    limits = {"max_size": 9, "max_depth": 6, "max_constants": 0, "nested_constraints": None}
    found = guest(Problem(np.ascontiguousarray(X.T), Y, library), MCTSAgent, limits, np.inf, np.random.default_rng(0),
                  lambda n: None)
    expressions = [e for _, e in zip(range(200), found, strict=False) if e is not None]
    errors = [np.sqrt(np.mean((values(e, X)[0] - Y) ** 2)) for e in expressions]
    assert len(errors) > 2 and min(errors) < 0.5 * errors[0] and max(e.complexity for e in expressions) <= 9


def test_an_object_that_is_no_agent_is_refused_by_name():
    class Half:
        def act(self, observation, info):
            return 0

    with pytest.raises(ValueError, match="agent: Half has no method learn, reset"):
        RSRM(agent=Half(), max_time=1).fit(X, Y)
    with pytest.raises(ValueError, match="agent: Half"):
        play(make(), Half(), 1)
    with pytest.raises(ValueError, match="episodes"):
        play(make(), RandomAgent(make().unwrapped.library, make().unwrapped.limits), 0)


@pytest.mark.parametrize("phase", ["select", "expand", "simulate", "backpropagate"])
def test_one_phase_of_the_tree_search_can_be_replaced(phase):
    calls = []

    class Changed(MCTSAgent):
        pass

    def replaced(self, *arguments):
        calls.append(len(arguments))
        if phase == "simulate":
            return int(choose(self.rng, self.q, *arguments, 1.0, 1.0))
        return getattr(super(Changed, self), phase)(*arguments)

    setattr(Changed, phase, replaced)
    env = make()
    library, limits = env.unwrapped.library, env.unwrapped.limits
    returns, _ = play(env, Changed(library, limits, 0), 60)
    usual, _ = play(env, MCTSAgent(library, limits, 0), 60)
    assert len(calls) >= 50
    assert np.array_equal(returns, usual) == (phase != "simulate")
