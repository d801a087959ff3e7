"""Speed of the evaluator, alone and against pyoperon's ``EvaluateTrees`` and gplearn.

pyoperon (C++, SIMD) computes in float32 on one thread, ours in float64; both evaluate the same random expressions on
all rows into an array.

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
- Numbers as operands read from one vector instead of a row filled with them: no difference that can be measured.
- Writing all results to one row that stays in the cache would gain another tenth, but is not what rivals do. From 1,000
  rows on the arithmetic itself (divisions, logarithms) is the limit.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np

from rsrm.benchmarks.random_trees import Batch, gplearn_programs, operon_trees, random_batch
from rsrm.benchmarks.timing import alternate
from rsrm.evaluate import BLOCK, evaluate_batch

ROWS = {20: 6.0, 200: 3.0, 1000: 2.0, 10000: 1.5}
"""Rows, and how many times as fast as pyoperon we mean to be."""


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


def evaluator(args) -> Iterator[dict]:
    """Time the evaluator against pyoperon and gplearn by rows."""
    for rows, target in ROWS.items():
        X = np.random.default_rng(rows).standard_normal((3, rows))
        for rival, make, n in (("pyoperon", _operon, args.trees), ("gplearn", _gplearn, min(args.trees, 100))):
            if find_spec(rival) is None:
                continue
            batch = random_batch(n)
            seconds = alternate({"rsrm": _evaluation(batch, X), rival: make(batch, X)}, args.repeats)
            row = {
                "what": f"evaluator, {rows} rows, against {rival}",
                "us": float(np.median(seconds["rsrm"])) / n * 1e6,
                "rival_us": float(np.median(seconds[rival])) / n * 1e6,
                "ratio": float(np.median(seconds[rival] / seconds["rsrm"])),
                "ratio_of_best": float(seconds[rival].min() / seconds["rsrm"].min()),
            }
            yield row | ({"target": target} if rival == "pyoperon" else {})


def scaling(args) -> Iterator[dict]:
    """Time the evaluator by rows, length of expressions and number of variables."""
    def one(what, batch, rows, unit, share):
        X = np.random.default_rng(0).standard_normal((batch.library.n_variables, rows))
        seconds = alternate({"rsrm": _evaluation(batch, X)}, args.repeats)["rsrm"]
        return {"what": what, unit: float(np.median(seconds)) / share * 1e9}

    n = max(args.trees // 10, 10)
    for rows in (20, 100, 1000, 10000):
        yield one(f"evaluator, {rows} rows", random_batch(n), rows, "ns_per_row", n * rows)
    for size in (5, 15, 30, 60):
        batch = random_batch(n, smallest=size, largest=size)
        yield one(f"evaluator, {size} nodes, 100 rows", batch, 100, "ns_per_node", n * size)
    for d in (1, 10, 100):
        yield one(f"evaluator, {d} variables, 100 rows", random_batch(n, d), 100, "ns_per_tree", n)
