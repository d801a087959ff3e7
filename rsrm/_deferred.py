"""Modules that another library imports and that a fit does not need: loaded when something of them is asked for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands for a module; whatever is asked of it, the module itself is loaded and answers."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Let imports of the modules `names` load nothing yet; afterwards they are imported like any other.

    scikit-learn imports scipy.stats and pandas with its base class, for functions that a fit does not call; they take
    half a second and 85 MB.
    """
    placed = {name: _Deferred(name) for name in names if name not in sys.modules}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
