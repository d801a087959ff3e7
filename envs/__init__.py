"""Gymnasium environments: ``rsrm/SymbolicRegression-v0`` and its vector form."""
