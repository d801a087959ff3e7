"""A time limit for calls that cannot be bounded from inside, such as symbolic simplification."""

import signal
import threading
from collections.abc import Callable
from typing import Any

# An exception raised within a destructor is lost: the alarm rings until it is heard.
_AGAIN_SECONDS = 0.1


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
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
        try:
            return function(*args)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
    except _Expired:
        return default
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
