"""Python's garbage collector while a great many objects are made that live on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""Objects made between two looks for garbage among the youngest."""


@contextmanager
def young_only() -> Iterator[None]:
    """Look for garbage among young objects only.

    Importing and compiling make hundreds of thousands of objects that live, and looking through the old ones again and
    again takes long. The young ones are looked through all the same, which saves memory.
    """
    thresholds = gc.get_threshold()
    if thresholds[0] == 0:  # switched off by the user
        yield
        return
    gc.set_threshold(YOUNG, 10, 1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
