"""What is timed, and timing in alternation, so that a busy machine slows all that is compared."""

import time
from collections.abc import Callable

import numpy as np

from rsrm.library import Library
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "exp", "log", "sin", "cos")


def hard_problem(n_variables: int, constants: bool, rows: int = 20) -> Problem:
    """Return a problem whose law is out of reach of :data:`OPERATORS`, so that no search ends early."""
    rng = np.random.default_rng(1)
    X = rng.uniform(0.2, 2.0, (n_variables, rows))
    y = np.tanh(1.7 * X[0] + 0.3) * np.cbrt(X[-1] + 1.3) + 0.1 * np.sin(7.3 * X[0])
    return Problem(X, y, Library(n_variables, OPERATORS, constants=constants))


def alternate(functions: dict[str, Callable[[], object]], repeats: int,
              clock: Callable[[], float] = time.process_time) -> dict[str, np.ndarray]:
    """Call `functions` in turn (A B A B ...), `repeats` times after one warm-up.

    Parameters
    ----------
    functions : dict of callables
    repeats : int
    clock : callable
        CPU seconds of this process by default, which other jobs on the machine hardly change; ``time.perf_counter``
        where several threads or processes work.

    Returns
    -------
    seconds : dict of float64[repeats]
        By name.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = clock()
            function()
            seconds[name].append(clock() - start)
    return {name: np.array(s) for name, s in seconds.items()}
