"""Agents at play: whole episodes on an environment, step by step, for any object of the protocol."""

import numpy as np

METHODS = ("act", "learn", "reset")


def check_agent(agent) -> None:
    """Raise ValueError naming the methods of :class:`rsrm.agents.Agent` that `agent` lacks."""
    missing = [name for name in METHODS if not callable(getattr(agent, name, None))]
    if missing:
        raise ValueError(f"agent: {type(agent).__name__} has no method {', '.join(missing)}; an agent needs "
                         "act(observation, info), learn(reward, terminated) and reset(seed)")


def play_episode(env, agent) -> tuple[float, dict]:
    """Play one episode; return the sum of its rewards and its last info."""
    observation, info = env.reset()
    total, over = 0.0, False
    while not over:
        observation, gain, terminated, truncated, info = env.step(agent.act(observation, info))
        over = terminated or truncated
        agent.learn(gain, over)
        total += gain
    return total, info


def play(env, agent, episodes: int) -> tuple[np.ndarray, dict]:
    """Play whole episodes on an environment of this package.

    Parameters
    ----------
    env : gymnasium.Env
        With masked discrete actions and ``nrmse`` in the last info.
    agent : Agent
        Neither is reset before the first episode but by ``env.reset()``: what the agent knows stays.
    episodes : int

    Returns
    -------
    returns : float64[episodes]
    best : dict
        The last info of the episode with the largest return; ``best["infix"]`` is its law.

    Raises
    ------
    ValueError
        If `agent` lacks a method of the protocol, or `episodes` is not positive.
    """
    check_agent(agent)
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes!r}")
    returns, best = np.empty(episodes), {}
    for episode in range(episodes):
        returns[episode], info = play_episode(env, agent)
        if returns[episode] >= returns[:episode + 1].max():
            best = info
    return returns, best
