"""What every test needs before numba is imported, and the leg without compilation."""

import hashlib
import os
import platform
import tempfile
from pathlib import Path

import hypothesis
import pytest

# The first call of a kernel compiles it, and a red run must be red again.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=80)
hypothesis.settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("rsrm", "envs", "agents")


def _sources_key() -> str:
    """Return a hash of all sources of the package and of what else compiled code depends on."""
    digest = hashlib.sha256(f"{platform.machine()} {platform.python_version()}".encode())
    for folder in PACKAGES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# numba keys its cache on the file of a function only, and keeps stale machine code when a callee in another file
# changes. One directory per state of the sources makes that impossible; it must be set before numba is imported.
_user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
_base = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(tempfile.gettempdir(), f"rsrm-numba-{_user}")
os.environ["NUMBA_CACHE_DIR"] = os.path.join(_base, _sources_key())
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
