"""Speed of the kernels and of whole searches, in one run: ``python -m rsrm.benchmarks speed``.

Rivals are timed in alternation (A B A B ...) and ratios are medians over pairs, so that a busy machine slows both. The
evaluator's rival is pyoperon's ``EvaluateTrees`` on one thread (C++, SIMD, float32); ours computes in float64. Both
evaluate the same random expressions on all rows into an array. ``ratio_of_best`` compares the fastest repeats: what a
quiet machine would show.

What was tried for the evaluator, at 20 and 1,000 rows, in microseconds for an expression of 17 nodes (one core with
AVX-512; relative figures are what counts):

- numba's loops with ``math.exp``: scalar calls of 4.5 to 9 ns a value. Own branch-free functions in explicit vectors of
  eight doubles: 0.5 to 0.9 ns; nothing is left to a scalar loop at 20 rows.
- A test for large angles in every vector of sin and cos cost as much as the polynomial (0.88 against 0.58 ns a value,
  registers are spilled around the C call); one test a block before the loop costs nothing that can be seen.
- Variables as operands in place, one switch over all opcodes, the block scan as one function called by symbol:
  0.46 -> 0.30 at 20 rows, 6.9 -> 5.8 at 1,000.
- Sub-trees without variables computed for one vector only (a fifth of the functions of random expressions), and a
  logarithm of fewer instructions: 5.8 -> 4.7 at 1,000.
- 512 rows a block instead of 128: 4.7 -> 4.3 at 1,000, 49 -> 45 at 10,000; nothing at 20.
- Writing all results to one row that stays in the cache would gain another tenth, but is not what rivals do. From 1,000
  rows on the arithmetic itself (divisions, logarithms) is the limit.

And for fits of constants: one reverse sweep over a tape, 0.35 microseconds an iteration at 20 rows; 1.7 to 3.1 for a
fit of one to three constants. As a kernel called by symbol it no longer adds 2.5 s of compilation to each caller.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rsrm._jit import njit
from rsrm.benchmarks.random_trees import Batch, gplearn_programs, operon_trees, random_batch
from rsrm.constants import fit_constants, fit_scaled, workspace
from rsrm.evaluate import BLOCK, evaluate_batch, values
from rsrm.expression import Expression, apply, number, variable
from rsrm.library import Library

ROWS = (20, 200, 1000, 10000)
_ROOT = Path(__file__).resolve().parents[2]


def alternate(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Call `functions` in turn, `repeats` times after one warm-up; return seconds, float64[repeats], by name."""
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(s) for name, s in seconds.items()}


def _evaluation(batch: Batch, X: np.ndarray) -> Callable[[], object]:
    n = len(batch.lengths)
    stack, out, ok = np.empty((batch.tokens.shape[1], BLOCK)), np.empty((n, X.shape[1])), np.empty(n, np.bool_)
    tables = batch.library.tables
    return lambda: evaluate_batch(batch.tokens, batch.lengths, batch.constants, X, tables, stack, out, ok)


def _operon(batch: Batch, X: np.ndarray) -> Callable[[], object]:
    import pyoperon

    n, rows = len(batch.lengths), X.shape[1]
    data = np.asfortranarray(X.T, np.float32)  # the data set keeps a view and no reference
    dataset = pyoperon.Dataset(data)
    trees = operon_trees(batch, [v.Hash for v in dataset.Variables])
    span, out = pyoperon.Range(0, rows), np.empty((n, rows), np.float32)

    def call():
        pyoperon.EvaluateTrees(trees, dataset, span, out, 1)
        return data
    return call


def _gplearn(batch: Batch, X: np.ndarray) -> Callable[[], object]:
    programs, rows = gplearn_programs(batch), np.ascontiguousarray(X.T)

    def call():
        with np.errstate(all="ignore"):
            for program in programs:
                program.execute(rows)
    return call


def evaluator(args) -> list[dict]:
    """Time the evaluator against pyoperon and gplearn by rows."""
    found = []
    for rows in ROWS:
        X = np.random.default_rng(rows).standard_normal((3, rows))
        for rival, make, n in (("pyoperon", _operon, args.trees), ("gplearn", _gplearn, min(args.trees, 100))):
            if find_spec(rival) is None:
                continue
            batch = random_batch(n)
            seconds = alternate({"rsrm": _evaluation(batch, X), rival: make(batch, X)}, args.repeats)
            found.append({
                "what": f"evaluator, {rows} rows, against {rival}",
                "us": float(np.median(seconds["rsrm"])) / n * 1e6,
                "rival_us": float(np.median(seconds[rival])) / n * 1e6,
                "ratio": float(np.median(seconds[rival] / seconds["rsrm"])),
                "ratio_of_best": float(seconds[rival].min() / seconds["rsrm"].min()),
            })
    return found


def scaling(args) -> list[dict]:
    """Time the evaluator by rows, length of expressions and number of variables."""
    def one(what, batch, rows, unit, share):
        X = np.random.default_rng(0).standard_normal((batch.library.n_variables, rows))
        seconds = alternate({"rsrm": _evaluation(batch, X)}, args.repeats)["rsrm"]
        return {"what": what, unit: float(np.median(seconds)) / share * 1e9}

    n = max(args.trees // 10, 10)
    found = [one(f"evaluator, {rows} rows", random_batch(n), rows, "ns_per_row", n * rows)
             for rows in (20, 100, 1000, 10000)]
    for size in (5, 15, 30, 60):
        batch = random_batch(n, smallest=size, largest=size)
        found.append(one(f"evaluator, {size} nodes, 100 rows", batch, 100, "ns_per_node", n * size))
    found += [one(f"evaluator, {d} variables, 100 rows", random_batch(n, d), 100, "ns_per_tree", n)
              for d in (1, 10, 100)]
    return found


@njit(cache=False)
def _fit_all(tokens, starts, X, y, tables, result, ws, scaled):
    """Fit from every start; return the number of exact fits."""
    exact = 0
    none = np.empty(0)
    for s in range(starts.shape[0]):
        if scaled:
            _, sse, _, _ = fit_scaled(tokens, len(tokens), starts[s], X, y, none, tables, 50, result, ws)
        else:
            _, sse = fit_constants(tokens, len(tokens), starts[s], X, y, none, tables, 50, result, ws)
        exact += sse < 1e-18
    return exact


def _skeletons() -> dict[str, Expression]:
    lib = Library(1)
    x = variable(lib, 0)

    def times(c, f):
        return apply(lib, "mul", number(lib, c), f)

    decay, wave = apply(lib, "exp", times(-0.8, x)), apply(lib, "sin", times(1.3, x))
    return {
        "exp(c x)": decay,
        "c x + c": apply(lib, "add", times(1.7, x), number(lib, 0.4)),
        "sin(c x + c)": apply(lib, "sin", apply(lib, "add", times(1.3, x), number(lib, 0.4))),
        "c exp(c x) + sin(c x)": apply(lib, "add", times(1.7, decay), wave),
    }


def constants(args) -> list[dict]:
    """Time fits of constants from starts within half of the truth."""
    found = []
    rng = np.random.default_rng(0)
    for name, expression in _skeletons().items():
        truth, tables = expression.constants, expression.library.tables
        starts = truth * rng.uniform(0.5, 1.5, (1000, len(truth)))
        for rows in (20, 64):
            X = rng.uniform(0.0, 2.0, (1, rows))
            y, _ = values(expression, X.T)
            ws, result = workspace(expression.length, len(truth), rows), np.empty(len(truth))
            arguments = (expression.tokens, starts, X, y, tables, result, ws, False)
            seconds = alternate({"rsrm": lambda a=arguments: _fit_all(*a)}, args.repeats)["rsrm"]
            found.append({"what": f"fit of {name}, {rows} rows", "us": float(np.median(seconds)) * 1e3,
                          "exact": _fit_all(*arguments) / len(starts)})
    return found


_FIRST_FIT = """
import numpy as np, rsrm
X = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 1))
model = rsrm.RSRM(max_time=60, random_state=0).fit(X, X[:, 0] ** 3 + X[:, 0] ** 2 + X[:, 0])
"""


def cold_start(args) -> list[dict]:
    """Time ``import rsrm`` and a first fit in new processes whose machine code is cached (the first run fills it)."""
    found = []
    for what, program in (("import rsrm", "import rsrm"), ("first fit of a new process, Nguyen-1", _FIRST_FIT)):
        def call(program=program):
            subprocess.run([sys.executable, "-c", program], cwd=_ROOT, check=True, env=dict(os.environ),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found.append({"what": what, "s": float(np.median(alternate({"rsrm": call}, 3)["rsrm"]))})
    return found


MEASUREMENTS: dict[str, Callable] = {
    "evaluator": evaluator,
    "constants": constants,
    "scaling": scaling,
    "cold_start": cold_start,
}
"""What ``speed`` runs, by name; each returns rows of figures, every one with the key ``what``."""


def add_arguments(parser) -> None:
    """Add the options of the command."""
    parser.add_argument("--only", nargs="+", choices=tuple(MEASUREMENTS), help="measurements (default all)")
    parser.add_argument("--trees", type=int, default=2000, help="random expressions (default 2000)")
    parser.add_argument("--repeats", type=int, default=9, help="repeats of each timing (default 9)")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")


def main(args) -> None:
    """Run the measurements, print them as they come, and write them as JSON.

    Raises
    ------
    ValueError
        If `trees` or `repeats` is not positive.
    """
    for name in ("trees", "repeats"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name}: must be at least 1, got {getattr(args, name)}")
    rows = []
    for name in args.only or MEASUREMENTS:
        for row in MEASUREMENTS[name](args):
            figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "what")
            print(f"{row['what']:<48} {figures}", flush=True)
            rows.append({"measurement": name, **row})
    if args.out:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        args.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")
