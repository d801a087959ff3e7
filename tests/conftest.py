"""What every test needs before numba is imported, and the leg without compilation."""

import os

import hypothesis
import pytest

# The first call of a kernel compiles it, and a red run must be red again.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=80)
hypothesis.settings.load_profile("house")

# One thread of BLAS, as in a fit: on busy cores its threads wait for each other many times as long as they work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Pictures are drawn into files only, also where a display is missing.
os.environ["MPLBACKEND"] = "Agg"

WITHOUT_COMPILATION = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def pytest_collection_modifyitems(items):
    """With NUMBA_DISABLE_JIT=1 run the tests marked `nojit` only: vectors exist in compiled code alone."""
    if not WITHOUT_COMPILATION:
        return
    skip = pytest.mark.skip(reason="needs compiled code")
    for item in items:
        if item.get_closest_marker("nojit") is None:
            item.add_marker(skip)


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    import numpy as np

    return np.random.default_rng(20230524)
