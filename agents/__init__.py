"""Agents that build expressions.

:class:`RandomAgent`, :class:`DoubleQAgent`, :class:`MCTSAgent` and :class:`GeneticAgent` play the gymnasium environment
step by step, and whole rounds in one compiled call; :class:`Agent` is the protocol that an agent from outside fulfils::

    env = gymnasium.make("rsrm/SymbolicRegression-v0", problem="Nguyen-7")
    agent = MCTSAgent(env.unwrapped.library, env.unwrapped.limits, seed=0)
    returns, best = play(env, agent, 1000)
    print(best["infix"], best["nrmse"])

:class:`Island` is what a search runs: one seeded state, advanced by compiled rounds.
"""

from rsrm.agents.island import Island
from rsrm.agents.playing import play
from rsrm.agents.protocol import Agent, DoubleQAgent, GeneticAgent, MCTSAgent, RandomAgent

__all__ = ["Agent", "DoubleQAgent", "GeneticAgent", "Island", "MCTSAgent", "RandomAgent", "play"]
