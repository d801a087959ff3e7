"""A time limit for calls that cannot be bounded from inside, such as symbolic simplification."""

import signal
import threading
from collections.abc import Callable
from typing import Any


class _Expired(BaseException):
    """Not an ``Exception``: sympy catches those in places, and the limit would be lost."""


def limited(seconds: float, function: Callable[..., Any], *args: Any, default: Any = None) -> Any:
    """``function(*args)``, or ``default`` if it takes longer than ``seconds`` of wall clock.

    Works in the main thread of a process on systems with interval timers; elsewhere the call is not made and
    ``default`` returned, because nothing could stop it.

    Parameters
    ----------
    seconds : float
    function : callable
    *args
        Its arguments.
    default : object
        What an interrupted call returns.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return default

    def expire(signum: int, frame: object) -> None:
        raise _Expired

    previous = signal.signal(signal.SIGALRM, expire)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return function(*args)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    except _Expired:
        return default
    finally:
        signal.signal(signal.SIGALRM, previous)
