"""One benchmark task (a problem and a seed) from data to a result row, and the worker process that runs them.

A worker lives through many tasks, so that machine code is loaded and compiled once, in a warm-up that no task is
charged for. It is told the names of problems only; the test rows stay on this side of the estimator.
"""

import contextlib
import importlib
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from rsrm.benchmarks.catalogue import Problem, load_suite
from rsrm.benchmarks.scoring import r2_score, score

# One core a problem: read by the numeric libraries when they load, hence set before the workers start.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("NUMBA", "OMP", "OPENBLAS", "MKL")
}
_SHOWN = 2000
_WARM_UP_MOST = 240.0


@dataclass(frozen=True)
class Settings:
    """What a run asks of every task.

    Attributes
    ----------
    estimator : str
        ``module:Class`` with the interface of :class:`rsrm.RSRM`.
    time : float or None
        Seconds of search.
    evals : int or None
        Evaluations of search.
    noise : float
        Relative noise of the training target.
    n : int or None
        Training rows instead of the published number.
    options : mapping
        Further keyword arguments of the estimator.
    data_dir : str or None
        Folder of original files.
    """

    estimator: str = "rsrm:RSRM"
    time: float | None = 60.0
    evals: int | None = None
    noise: float = 0.0
    n: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    data_dir: str | None = None

    def public(self) -> dict[str, Any]:
        """The settings as they stand in a result row; a folder shows only by whether there is one."""
        return {**asdict(self), "data_dir": self.data_dir is not None}


def load_estimator(path: str) -> type:
    """The class that ``module:Class`` names.

    Raises
    ------
    ValueError
        If there is none.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"estimator: cannot load {path!r} ({error})") from error


def estimator_arguments(problem: Problem, seed: int, settings: Settings) -> dict[str, Any]:
    """Keyword arguments: published operators and constants where the suite has them, limits, seed, options."""
    arguments: dict[str, Any] = {"random_state": seed, "n_jobs": 1}
    if problem.operators is not None:
        arguments["operators"] = problem.operators
    if problem.constants is not None:
        arguments["constants"] = problem.constants
    if settings.time is not None:
        arguments["max_time"] = settings.time
    if settings.evals is not None:
        arguments["max_evals"] = settings.evals
    return {**arguments, **settings.options}


def empty_row(problem: Problem, seed: int, settings: Settings) -> dict[str, Any]:
    """The row of a task that gave no answer."""
    return {
        "suite": problem.suite,
        "problem": problem.name,
        "index": problem.index,
        "seed": seed,
        "recovered": False,
        "recovered_skeleton": False,
        "recovered_srbench": False,
        "r2_test": None,
        "ned": 1.0,
        "complexity": None,
        "seconds": None,
        "time_to_best": None,
        "evaluations": None,
        "equation": None,
        "truth": str(problem.truth),
        "stop_reason": None,
        "settings": settings.public(),
    }


def run_task(problem: Problem, seed: int, settings: Settings) -> dict[str, Any]:
    """Draw the data, search, and score the answer.

    Parameters
    ----------
    problem : Problem
    seed : int
        Of the data and of the search.
    settings : Settings

    Returns
    -------
    dict
        One result row.
    """
    row = empty_row(problem, seed, settings)
    data = problem.sample(seed, settings.noise, settings.n, settings.data_dir)
    estimator = load_estimator(settings.estimator)(**estimator_arguments(problem, seed, settings))
    start = time.perf_counter()
    estimator.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    found = estimator.sympy()
    result = score(problem.truth, found, data.X_test, settings.noise, seed)
    with np.errstate(all="ignore"):
        predicted = np.asarray(estimator.predict(data.X_test), dtype=float)
    time_to_best = getattr(estimator, "time_to_best_", None)
    return row | {
        **asdict(result),
        "r2_test": r2_score(data.y_test, predicted),
        "seconds": round(seconds, 4),
        "time_to_best": round(seconds if time_to_best is None else float(time_to_best), 4),
        "evaluations": int(estimator.n_evaluations_),
        "equation": str(found)[:_SHOWN],
        "stop_reason": _name(estimator.stop_reason_),
    }


def _name(stop_reason: object) -> str:
    return str(getattr(stop_reason, "value", stop_reason))


def warm_up(settings: Settings, seconds: float) -> None:
    """Fit noise, so that every stage of a search runs once and is compiled; with and without constants.

    A fit that spends its time compiling has none left for later stages: it is repeated until it keeps its limit.
    """
    end = time.monotonic() + _WARM_UP_MOST
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, (40, 2))
    y = X[:, 0] * np.exp(X[:, 1]) + rng.normal(size=40)
    for constants in (True, False):
        options = {"constants": constants, **settings.options, "max_time": seconds}
        late = True
        while late and time.monotonic() < end:
            start = time.monotonic()
            with contextlib.suppress(ValueError):  # no equation within the limit is no fault here
                load_estimator(settings.estimator)(random_state=0, n_jobs=1, **options).fit(X, y)
            late = time.monotonic() - start > 1.2 * seconds + 0.5


def serve(connection: Connection, settings: Settings, warm_up_seconds: float) -> None:
    """Body of a worker process: warm up, say so, then answer ``(suite, index, seed)`` with a row until told None.

    An exception in a task is answered as its text, and ends the process with a traceback: its state is not to be
    trusted.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the runner stops its workers itself
    warnings.simplefilter("ignore")
    if warm_up_seconds > 0:
        warm_up(settings, warm_up_seconds)
    connection.send("ready")
    while (task := connection.recv()) is not None:
        suite, index, seed = task
        problem = load_suite(suite)[index - 1]
        try:
            connection.send(run_task(problem, seed, settings))
        finally:
            if (error := sys.exception()) is not None:
                connection.send(f"{type(error).__name__}: {error}")
