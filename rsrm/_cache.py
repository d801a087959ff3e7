"""Where compiled code is kept between processes.

numba keys its cache on the file of a function only, and keeps stale machine code, which may crash, when a callee in
another file changes or the package is upgraded. Here every state of the sources has a directory of its own, in the
user's cache folder or under ``NUMBA_CACHE_DIR``; directories that have not been used for long are removed.
"""

import hashlib
import os
import platform
import shutil
import tempfile
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.misc.appdirs import AppDirs

PREFIX = "rsrm-"
KEPT_DIRECTORIES = 16
"""Developers have many states of the sources; users have one or two."""
KEPT_DAYS = 30
LIBRARY, ANNOTATION = 0, 6
"""Places in what numba makes of a compiled function to keep it."""
COMPLETE = "complete"
"""Name of the file that says that all kernels of a search are in the directory; its time is that of the last use."""


def source_folders(package: Path) -> list[Path]:
    """Return the folders that hold the package's sources, in an installed package and in the repository."""
    root = package.parent
    beside = [root / "envs", root / "agents"] if (root / "setup.cfg").is_file() else []
    return [package, *(folder for folder in beside if folder.is_dir())]


def sources_key(folders) -> str:
    """Return a hash of all Python files below `folders`, and of what else compiled code depends on."""
    versions = " ".join(version(name) for name in ("numba", "llvmlite", "numpy"))
    target = f"{platform.machine()} {binding.get_host_cpu_name()} {platform.python_version()}"
    digest = hashlib.sha256(f"{versions} {target}".encode())
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def directory() -> Path:
    """Return the directory of the compiled code of these sources; it may not exist yet."""
    name = PREFIX + sources_key(source_folders(Path(__file__).resolve().parent))
    base = os.environ.get("NUMBA_CACHE_DIR") or AppDirs(appname="rsrm", appauthor=False).user_cache_dir
    path = Path(base) / name
    try:
        if not path.is_dir():
            path.mkdir(parents=True)
            prune(path.parent)
    except OSError:  # no home, or one that cannot be written to
        path = Path(tempfile.gettempdir()) / f"rsrm-{os.getuid() if hasattr(os, 'getuid') else 'user'}" / name
    return path


def prune(base: Path) -> None:
    """Remove directories below `base` that were not used for long, or are not among the last used."""
    found = []
    for path in base.glob(PREFIX + "*"):
        mark = path / COMPLETE
        try:
            found.append(((mark if mark.exists() else path).stat().st_mtime, path))
        except FileNotFoundError:  # another process is pruning as well
            continue
    oldest = time.time() - 86400 * KEPT_DAYS
    for rank, (used, path) in enumerate(sorted(found, reverse=True)):
        if rank >= KEPT_DIRECTORIES or used < oldest:
            shutil.rmtree(path, ignore_errors=True)


def is_complete() -> bool:
    """Return whether all kernels of a search were compiled before; if so, note the use."""
    mark = directory() / COMPLETE
    if not mark.exists():
        return False
    if time.time() - mark.stat().st_mtime > 86400:
        try:
            mark.touch()
        except OSError:  # a directory that is shared and read-only
            pass
    return True


def is_kept() -> bool:
    """Return whether compiled code can be kept for other processes."""
    try:
        directory().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory(), os.W_OK)


def set_complete() -> None:
    """Note that all kernels of a search are compiled."""
    try:
        if is_kept():
            (directory() / COMPLETE).touch()
    except OSError:  # nothing can be kept; the next process compiles again
        pass


class _Locator(_CacheLocator):
    """Tells numba the directory; the key is in its name, so that there is no other stamp."""

    def __init__(self, py_func):
        self._py_file = py_func.__code__.co_filename
        self._name = f"{py_func.__module__}-{py_func.__code__.co_firstlineno}"

    def get_cache_path(self):
        return str(directory())

    def get_source_stamp(self):
        return ""

    def get_disambiguator(self):
        return self._name

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func)


def names_only(bitcode: bytes) -> bytes:
    """Return LLVM code that defines the same functions, all of them empty."""
    names = [f.name for f in binding.parse_bitcode(bitcode).functions if not f.is_declaration]
    return binding.parse_assembly("\n".join(f'define void @"{name}"() {{ ret void }}' for name in names)).as_bitcode()


class _Impl(CompileResultCacheImpl):
    """Keeps machine code only.

    numba keeps the LLVM code of a kernel as well, for callers to copy, and its source with types, to be looked at. Here
    callers have copies of their own (:mod:`rsrm._jit`). What numba reads from either is which functions there are.
    """

    _locator_classes = [_Locator]

    def reduce(self, cres):
        payload = list(super().reduce(cres))
        name, kind, (machine_code, bitcode) = payload[LIBRARY]
        payload[LIBRARY] = name, kind, (machine_code, names_only(bitcode))
        payload[ANNOTATION] = ""
        return tuple(payload)


class KernelCache(FunctionCache):
    """numba's cache of one function, in :func:`directory`."""

    _impl_class = _Impl

    def _save_overload(self, sig, data):
        try:
            super()._save_overload(sig, data)
        except OSError:  # a cache that cannot be written to costs time, and must not cost the result
            self.disable()
