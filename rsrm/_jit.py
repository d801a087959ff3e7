"""The one compile decorator.

Every compiled function of the project is made with :data:`njit`, so that all of them share the same floating-point
contract: divisions by zero give infinities as in NumPy, sums may be reordered, and NaN and infinity stay visible
(``nnan`` and ``ninf`` are left out on purpose: with them ``isfinite(nan)`` is true and invalid expressions pass).
"""

from functools import partial

import numba

FASTMATH = frozenset({"nsz", "arcp", "contract", "afn", "reassoc"})

njit = partial(numba.njit, cache=True, nogil=True, error_model="numpy", fastmath=set(FASTMATH))
"""``numba.njit`` with the project's options: cached on disk, GIL released, NumPy's error model, NaN-safe fast maths."""

njit_exact = partial(numba.njit, cache=True, nogil=True, error_model="numpy")
"""The same without fast maths, for code whose rounding is part of its meaning."""
