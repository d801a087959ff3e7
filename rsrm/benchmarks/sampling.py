"""Drawing the rows of a benchmark problem: independent ranges, grids and trajectories.

Kinds of a range: ``uniform``, ``loguniform`` (``10**U(log10 lo, log10 hi)``), ``integer`` (both ends included), each
also with the suffix ``_pm`` (random sign) or ``_neg``; ``grid`` (equally spaced, all variables together).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from rsrm.benchmarks.formula import compile_scalar


def draw(kind: str, low: float, high: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` values of one variable.

    Raises
    ------
    ValueError
        If ``kind`` is unknown.
    """
    base, _, suffix = kind.partition("_")
    if base == "uniform":
        values = rng.uniform(low, high, n)
    elif base == "loguniform":
        values = 10.0 ** rng.uniform(np.log10(low), np.log10(high), n)
    elif base == "integer":
        values = rng.integers(int(low), int(high) + 1, n).astype(float)
    elif base == "grid":
        values = np.linspace(low, high, n)
    else:
        raise ValueError(f"kind: unknown sampling {kind!r}")
    if suffix == "pm":
        return values * rng.choice((-1.0, 1.0), n)
    if suffix == "neg":
        return -values
    if suffix:
        raise ValueError(f"kind: unknown sampling {kind!r}")
    return values


def draw_columns(
    kinds: Sequence[str], ranges: Sequence[Sequence[float]], n: int, rng: np.random.Generator
) -> np.ndarray:
    """``n`` rows of independent columns, shape (n, D); one kind and one ``(low, high)`` a column."""
    return np.column_stack([draw(kind, *limits, n, rng) for kind, limits in zip(kinds, ranges, strict=True)])


def integrate(
    variables: Sequence[str], rhs: Mapping[str, str], start: Sequence[float], times: np.ndarray
) -> np.ndarray:
    """States of an autonomous or forced system of ordinary differential equations.

    Parameters
    ----------
    variables : sequence of str
        The D state variables.
    rhs : mapping of str to str
        Text of each derivative, in the state variables and the time ``t``.
    start : sequence of float
        State at time zero.
    times : ndarray of shape (R,)
        Increasing times at which the state is wanted.

    Returns
    -------
    ndarray of shape (R, D + 1)
        The states and, last, the times.

    Raises
    ------
    RuntimeError
        If the integrator gives up.
    """
    from scipy.integrate import solve_ivp

    names = (*variables, "t")
    derivatives = [compile_scalar(rhs[v], names) for v in variables]

    def velocity(time: float, state: np.ndarray) -> list[float]:
        point = (*state.tolist(), time)
        return [derivative(point) for derivative in derivatives]

    # 1e-8 is far below what a law needs: labels are the right-hand side at the computed state, hence exact.
    solution = solve_ivp(
        velocity, (0.0, float(times[-1])), start, t_eval=times, method="LSODA", rtol=1e-8, atol=1e-10
    )
    if not solution.success:
        raise RuntimeError(f"integration failed: {solution.message}")
    return np.column_stack([solution.y.T, solution.t])


def trajectory(system: Mapping, start: Sequence[float], times: np.ndarray) -> np.ndarray:
    """:func:`integrate` remembered within the process and, if ``RSRM_BENCHMARK_CACHE`` names a folder, on disk."""
    key = json.dumps([system["variables"], system["rhs"], list(start), float(times[0]), float(times[-1]), len(times)])
    return _trajectory(key)


@lru_cache(maxsize=64)
def _trajectory(key: str) -> np.ndarray:
    variables, rhs, start, first, last, n = json.loads(key)
    folder = os.environ.get("RSRM_BENCHMARK_CACHE")
    path = Path(folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy" if folder else None
    if path and path.is_file():
        return np.load(path)
    states = integrate(variables, rhs, start, np.linspace(first, last, n))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.tmp.npy")
        np.save(partial, states)
        partial.replace(path)  # atomic: another worker never reads half a file
    return states
