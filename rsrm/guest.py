"""An agent of the user's own as a source of the search: it plays the environment, and what it writes is considered."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from rsrm.agents.playing import check_agent, play_episode
from rsrm.envs.symbolic_regression import SymbolicRegressionEnv
from rsrm.expression import Expression
from rsrm.problem import Problem

ROWS = 400
"""Rows that episodes are scored on."""


def make_agent(agent, env: SymbolicRegressionEnv, seed: int):
    """Return the agent that plays `env`: `agent` itself, forgetting what it knew, or an instance if it is a class.

    Raises
    ------
    ValueError
        If it does not fit the protocol.
    """
    if isinstance(agent, type):
        return agent(env.library, env.limits, seed)
    check_agent(agent)
    agent.reset(seed)
    return agent


def guest(problem: Problem, agent, limits: dict, deadline: float, rng: np.random.Generator,
          count: Callable[[int], None]) -> Iterator[Expression | None]:
    """Yield what an agent finds on the environment of a problem; None after an episode that found nothing better.

    Parameters
    ----------
    problem : Problem
        Weights are not seen by the agent.
    agent : Agent or type
        An object of the protocol, or a class whose instances are made by ``agent(library, limits, seed)``.
    limits : dict
        Limits of expressions, arguments of the environment.
    deadline : float
        ``time.perf_counter()`` value at which to stop.
    rng : numpy.random.Generator
        Gives the agent its seed, and chooses rows when there are more than ROWS.
    count : callable
        Told of each episode.
    """
    seed, library = int(rng.integers(2**31)), problem.library
    problem = problem.sample(ROWS, rng)
    env = SymbolicRegressionEnv(problem.X.T, problem.y, operators=library.operators, constants=library.constants,
                                literals=library.literals, n_slots=library.capacity, **limits)
    agent = make_agent(agent, env, seed)
    best: dict[int, float] = {}  # least error by complexity
    while time.perf_counter() < deadline:
        _, info = play_episode(env, agent)
        count(1)
        news = all(info["nrmse"] < error for n, error in best.items() if n <= info["complexity"])
        if np.isfinite(info["nrmse"]) and news:
            best[info["complexity"]] = info["nrmse"]
            found = env.expression
            yield problem.lift(Expression(found.expanded, found.constants, library))
        else:
            yield None
