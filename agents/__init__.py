"""Agents that build expressions.

:class:`~rsrm.agents.island.Island` is what a search runs: one seeded state, advanced by compiled rounds.
"""
