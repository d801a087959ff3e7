"""Agents that build expressions.

:class:`Island` is what a search runs: one seeded state, advanced by compiled rounds. :class:`RandomAgent`,
:class:`DoubleQAgent`, :class:`MCTSAgent` and :class:`GeneticAgent` play the gymnasium environment step by step, and
whole rounds in one compiled call; :class:`Agent` is the protocol that an agent from outside fulfils.
"""

from rsrm.agents.island import Island
from rsrm.agents.protocol import Agent, DoubleQAgent, GeneticAgent, MCTSAgent, RandomAgent

__all__ = ["Agent", "DoubleQAgent", "GeneticAgent", "Island", "MCTSAgent", "RandomAgent"]
