"""Timing in alternation, so that a busy machine slows all that is compared."""

import time
from collections.abc import Callable

import numpy as np


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
