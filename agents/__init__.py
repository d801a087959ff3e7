"""Agents that build expressions."""
