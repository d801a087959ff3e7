"""What needs a process of its own: cold start, memory of a fit, a million rows."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rsrm.benchmarks.timing import alternate

_ROOT = Path(__file__).resolve().parents[2]

_FIRST_FIT = """
import numpy as np, rsrm
X = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 1))
model = rsrm.RSRM(max_time=60, random_state=0).fit(X, X[:, 0] ** 3 + X[:, 0] ** 2 + X[:, 0])
"""

# The most that this process held: what getrusage tells also counts what the parent held when it started the process.
_PEAK = """
import json, os, resource, threading, time
import numpy as np, rsrm

def peak():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
"""

# Samples its own memory once a second while it fits a law that no stage finds; prints [[seconds, MB], ...] and peak.
_MEMORY = _PEAK + """
from rsrm.benchmarks.timing import hard_problem

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

def watch():
    while not done.wait(1.0):
        samples.append([time.perf_counter() - start, resident()])

problem = hard_problem(2, True)
rsrm.RSRM(max_time=0.1).fit(problem.X.T, problem.y)
samples, done, start = [], threading.Event(), time.perf_counter()
thread = threading.Thread(target=watch)
thread.start()
rsrm.RSRM(max_time={seconds}, random_state=0).fit(problem.X.T, problem.y)
done.set()
thread.join()
print(json.dumps([samples, peak()]))
"""

_BIG_DATA = _PEAK + """
rng = np.random.default_rng(0)
X = rng.uniform(0.5, 2.0, ({rows}, 10))
y = X[:, 0] * np.exp(-X[:, 1]) + X[:, 2] * X[:, 3] / X[:, 4]
if {hard}:
    y += 0.3 * np.tanh(3.0 * X[:, 5] - 4.0) * np.cbrt(X[:, 6] - 1.0)
rsrm.RSRM(max_time=3, random_state=0).fit(X[:100], np.random.default_rng(1).standard_normal(100))  # loads the code
base, start = peak(), time.perf_counter()
model = rsrm.RSRM(max_time={seconds}, random_state=0).fit(X, y)
print(json.dumps([base, peak(), (X.nbytes + y.nbytes) / 1e6, time.perf_counter() - start, model.score(X, y)]))
"""


def _run(program: str, **environment: str) -> str:
    """Run a Python program in a new process; return what it printed."""
    done = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, check=True, env={**os.environ, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout


def _children() -> float:
    """Return the CPU seconds of the processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def cold_start(args) -> Iterator[dict]:
    """Time ``import rsrm``, a first fit with cached code, and one in an empty cache."""
    for what, program, target in (("import rsrm", "import rsrm", 0.5),
                                  ("first fit of a new process, Nguyen-1", _FIRST_FIT, 1.5)):
        wall, cpu = (alternate({"rsrm": lambda p=program: _run(p)}, min(args.repeats, 5), clock)["rsrm"]
                     for clock in (time.perf_counter, _children))
        yield {"what": what, "s": float(np.median(wall)), "cpu_s": float(np.median(cpu)), "target": target}
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), _children()
        _run(_FIRST_FIT, NUMBA_CACHE_DIR=folder)
        yield {"what": "first fit ever, empty cache", "s": time.perf_counter() - start, "cpu_s": _children() - cpu,
               "target": 25.0}


def memory(args) -> Iterator[dict]:
    """Watch the resident memory of a fit to 20 rows (Linux only)."""
    if not Path("/proc/self/statm").exists():
        return
    _run(_FIRST_FIT)  # compiles, if need be: that takes memory of its own
    samples, peak = json.loads(_run(_MEMORY.format(seconds=args.seconds)))
    seconds, resident = np.array(samples).T
    early = resident[seconds <= 10.0].max()
    yield {"what": f"memory of a fit of {args.seconds:g} s", "peak_mb": peak, "target": 400.0,
           "mb_after_10_s": float(early), "growth_mb_after_10_s": float(max(0.0, resident.max() - early))}


def big_data(args) -> Iterator[dict]:
    """Fit many rows of ten columns: a law that is there, and one that is not found in the time."""
    _run(_FIRST_FIT)
    for hard in (False, True):
        program = _BIG_DATA.format(rows=args.rows, hard=hard, seconds=min(args.seconds, 20.0))
        base, peak, data, seconds, score = json.loads(_run(program))
        yield {"what": f"{args.rows} rows x 10, {'out of reach' if hard else 'exact'}", "s": seconds, "r2": score,
               "data_mb": data, "extra_mb": peak - base, "target": 2.0 * data + 500.0}
