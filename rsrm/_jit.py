"""The one compile decorator.

Every compiled function of the project is made with :data:`njit`, so that all of them share the same floating-point
contract: divisions by zero give infinities as in NumPy, sums may be reordered, and NaN and infinity stay visible
(``nnan`` and ``ninf`` are left out on purpose: with them ``isfinite(nan)`` is true and invalid expressions pass).
"""

from functools import partial

import numba
from llvmlite import binding

FASTMATH = frozenset({"nsz", "arcp", "contract", "afn", "reassoc"})

njit = partial(numba.njit, cache=True, nogil=True, error_model="numpy", fastmath=set(FASTMATH))
"""``numba.njit`` with the project's options: cached on disk, GIL released, NumPy's error model, NaN-safe fast maths."""

njit_exact = partial(numba.njit, cache=True, nogil=True, error_model="numpy")
"""The same without fast maths, for code whose rounding is part of its meaning."""

njit_leaf = partial(njit, _nrt=False)
"""The same for functions that allocate nothing and return no array: without numba's run time no references are counted,
which costs 15 to 40 ns for each array that is taken from a tuple or a row."""


def external(signature):
    """Compile a function at once and let other compiled code call it by symbol.

    numba copies every callee into its caller and optimizes it again there, level by level: the large switches over the
    opcodes, ten levels deep, cost half a minute. A symbol is resolved by the loader instead; it is registered when the
    module that defines the function is imported, which any module that calls it does.

    Parameters
    ----------
    signature : numba signature
        Of plain numbers.

    Returns
    -------
    decorator : callable
        Returns a ``numba.types.ExternalFunction``, which compiled code calls like a function.
    """
    def decorate(function):
        if numba.config.DISABLE_JIT:
            return function
        compiled = numba.cfunc(signature, cache=True, nopython=True, error_model="numpy")(function)
        symbol = f"{function.__module__}.{function.__name__}"
        binding.add_symbol(symbol, compiled.address)
        return numba.types.ExternalFunction(symbol, signature)
    return decorate
