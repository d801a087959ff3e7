"""Gymnasium environments of symbolic regression: ``gymnasium.make("rsrm/SymbolicRegression-v0", problem="Nguyen-7")``.

``rsrm/SymbolicRegression-v0`` writes expressions token by token, ``rsrm/Reduction-v0`` makes problems smaller.
Importing this package registers them; so does ``gymnasium.make("rsrm.envs:rsrm/SymbolicRegression-v0")``.
"""

import importlib

_HOMES = {
    "ReductionEnv": "rsrm.envs.reduction",
    "SymbolicRegressionEnv": "rsrm.envs.symbolic_regression",
    "SymbolicRegressionVectorEnv": "rsrm.envs.vector",
    "MaskInObservation": "rsrm.envs.wrappers",
}

__all__ = ["MaskInObservation", "ReductionEnv", "SymbolicRegressionEnv", "SymbolicRegressionVectorEnv", "register_all"]


def register_all() -> None:
    """Register the environments with gymnasium; those that are registered already stay as they are."""
    from gymnasium.envs.registration import register, registry

    if "rsrm/SymbolicRegression-v0" not in registry:
        register(
            id="rsrm/SymbolicRegression-v0",
            entry_point="rsrm.envs.symbolic_regression:SymbolicRegressionEnv",
            vector_entry_point="rsrm.envs.vector:SymbolicRegressionVectorEnv",
        )
    if "rsrm/Reduction-v0" not in registry:
        register(id="rsrm/Reduction-v0", entry_point="rsrm.envs.reduction:ReductionEnv")


def __getattr__(name):
    # Loaded on demand: gymnasium imports this package to register, long before anybody needs compiled code.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


register_all()
