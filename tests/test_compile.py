"""Compiled code: where it is kept, when it is made, and that the clock of a search leaves it out."""

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from numba.core import event

from rsrm import RSRM, _cache
from rsrm._collector import young_only
from rsrm._jit import njit
from rsrm.warmup import compile_kernels

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.nojit
def test_the_garbage_collector_is_left_as_it_was():
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), young_only():
        assert gc.get_threshold()[2] > 10 * before[2]
        raise RuntimeError
    assert gc.get_threshold() == before
    gc.set_threshold(0)
    try:
        with young_only():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)


@pytest.mark.nojit
def test_key_follows_every_source(tmp_path):
    package = tmp_path / "rsrm"
    (package / "deep").mkdir(parents=True)
    (package / "one.py").write_text("a = 1\n")
    (package / "deep" / "two.py").write_text("b = 2\n")
    (package / "data.txt").write_text("not code")
    folders = _cache.source_folders(package)
    keys = [_cache.sources_key(folders)]
    os.utime(package / "one.py", (1, 1))
    (package / "data.txt").write_text("other")
    assert _cache.sources_key(folders) == keys[0]
    (package / "deep" / "two.py").write_text("b = 3\n")
    keys.append(_cache.sources_key(folders))
    (package / "deep" / "two.py").rename(package / "deep" / "three.py")
    keys.append(_cache.sources_key(folders))
    (package / "one.py").unlink()
    keys.append(_cache.sources_key(folders))
    assert len(set(keys)) == len(keys)


@pytest.mark.nojit
def test_key_covers_envs_and_agents_of_the_repository():
    names = {folder.name for folder in _cache.source_folders(ROOT / "rsrm")}
    assert names == {"rsrm", "envs", "agents"}


@pytest.mark.nojit
def test_prune_keeps_the_last_used(tmp_path):
    now = time.time()
    for age in range(_cache.KEPT_DIRECTORIES + 3):
        path = tmp_path / f"{_cache.PREFIX}{age}"
        path.mkdir()
        (path / _cache.COMPLETE).touch()
        os.utime(path / _cache.COMPLETE, (now - age, now - age))
    os.utime(tmp_path / f"{_cache.PREFIX}1" / _cache.COMPLETE, (1, 1))  # not used since 1970
    (tmp_path / "other").mkdir()
    _cache.prune(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"other", *(f"{_cache.PREFIX}{age}" for age in range(_cache.KEPT_DIRECTORIES + 1) if age != 1)}


def test_kernels_are_cached_under_the_key():
    kernel = compile_kernels.__globals__["distinct_projections"]
    assert Path(kernel.stats.cache_path) == _cache.directory()
    assert _cache.directory().name.startswith(_cache.PREFIX)


def test_a_literal_needs_no_copy_of_its_own():
    @njit(cache=False)
    def callee(x, k):
        return x + k

    @njit(cache=False)
    def caller(x, k):
        return callee(x, 1) + callee(x, 2) + callee(x, k)

    assert caller(0.5, 3) == 7.5
    assert len(callee._inner.overloads) == 1 and not callee.overloads
    assert callee(0.5, 1) == 1.5


def test_nothing_is_compiled_after_the_warm_up(rng):
    compile_kernels()
    compiled = []

    class Listener(event.Listener):
        def on_start(self, event):
            compiled.append(event.data["dispatcher"].py_func.__qualname__)

        def on_end(self, event):
            pass

    X = rng.uniform(0.5, 3.0, (120, 2))
    y = np.abs(np.tanh(X[:, 0] * X[:, 1]) - 0.3) + 0.01 * rng.standard_normal(120)
    with event.install_listener("numba:compile", Listener()):
        RSRM(max_time=3, random_state=0).fit(X, y, sample_weight=rng.uniform(1.0, 2.0, 120)).predict(X)
    assert compiled == []


def test_compilation_is_shown_and_reported_apart(tmp_path):
    code = ("import time, numpy as np; from rsrm import RSRM; X = np.linspace(1, 2, 20)[:, None]; t = time.time()\n"
            "m = RSRM(max_time=2, random_state=0).fit(X, X[:, 0]**2)\n"
            "again = RSRM(max_time=2, random_state=0).fit(X, X[:, 0]**2)\n"
            "print(m.compile_time_, m.fit_time_, time.time() - t, again.compile_time_)")
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
                         capture_output=True, text=True, timeout=300, check=True)
    compile_time, fit_time, whole, again = map(float, run.stdout.split())
    assert compile_time > 3.0 and fit_time < 3.0 and compile_time + fit_time < whole
    assert again == 0.0
    assert run.stderr.count("rsrm: compiling (once per machine): ") == 1 and run.stderr.count("\n") == 1


def test_a_second_process_compiles_a_part_and_is_not_needed(tmp_path):
    code = ("import sys; from joblib import cpu_count; from rsrm import warmup\n"
            "from numba.core import event\n"
            "compiled = []\n"
            "class Listener(event.Listener):\n"
            "    def on_start(self, event): compiled.append(event.data['dispatcher'].py_func.__name__)\n"
            "    def on_end(self, event): pass\n"
            "if sys.argv[1] == 'fails': sys.executable += '-none'\n"
            "with event.install_listener('numba:compile', Listener()): warmup.compile_kernels()\n"
            "print(cpu_count() > 1, 'run_peeling' in compiled, warmup.is_complete())")
    for how in ("works", "fails"):
        run = subprocess.run([sys.executable, "-c", code, how], cwd=ROOT, capture_output=True, text=True, timeout=300,
                             env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / how)}, check=True)
        several, here, complete = run.stdout.split()
        assert complete == "True" and here == str(how == "fails" or several == "False")


def test_the_cache_keeps_the_names_of_functions_and_not_their_code():
    text = """
    declare double @cos(double)
    define double @"_ZN4f.1B"(double %x) { %y = call double @cos(double %x) ret double %y }
    define i32 @g(i32 %a) { %b = add i32 %a, 1 ret i32 %b }
    """
    module = binding.parse_bitcode(_cache.names_only(binding.parse_assembly(text).as_bitcode()))
    assert {f.name for f in module.functions if not f.is_declaration} == {"_ZN4f.1B", "g"}
    assert "add" not in str(module) and "cos" not in str(module)
