"""Compilation of all kernels of a search before its clock starts, once per machine and state of the sources.

On two cores or more a second process compiles a part of them; what it has kept is then loaded here.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from joblib import cpu_count
from numba.core import config, event

from rsrm._cache import is_complete, is_kept, set_complete
from rsrm._collector import young_only
from rsrm.agents.island import Island
from rsrm.agents.mcts import clear, new_tree
from rsrm.agents.qlearning import learn_path
from rsrm.agents.rng import new_rng
from rsrm.bank import Bank
from rsrm.expression import apply, number, subtree_ends, variable
from rsrm.constants import fit, fit_constants, fit_scaled, workspace
from rsrm.library import Library
from rsrm.limits import make_limits
from rsrm.matching import match_pairs, match_products, orthonormal, scan_single
from rsrm.matching_kernels import distinct_projections, join_products
from rsrm.evaluate import values
from rsrm.mixture_model import Model, Term, refine
from rsrm.mixture_pairs import CHUNK, Planes, best_pairs
from rsrm.mixture_triples import threefold
from rsrm.objective import Objective
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem
from rsrm.skeleton_fit import skeletons
from rsrm.subsets import fit_subsets
from rsrm.subtree import subtrees
from rsrm.terms import monomials, variable_generators

EVALUATIONS = 30
"""Expressions scored by each agent; one would do."""
COMPLETED = 5000
"""Evaluations after which a population has been asked for completions."""


class _Notice(event.Listener):
    """Says on the standard error stream what is being compiled, once something is."""

    def __init__(self):
        self.step = ""
        self.said = ""

    def on_start(self, event):
        self.say()

    def say(self):
        if self.step != self.said:
            self.write(f"{', ' if self.said else 'rsrm: compiling (once per machine): '}{self.step}")
            self.said = self.step

    def on_end(self, event):
        pass

    def write(self, text):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


def compile_kernels() -> float:
    """Compile what a search needs, or nothing if that was done before; return the seconds it took.

    What is compiled, and for how long, is shown on one line of the standard error stream.
    """
    if config.DISABLE_JIT or is_complete():
        return 0.0
    began = time.perf_counter()
    notice = _Notice()
    problem = _small_problem()
    with _second_process() as second, young_only(), event.install_listener("numba:compile", notice):
        for n, (notice.step, step) in enumerate(STEPS):
            if n == ALONE and second is not None:
                if second.poll() is None:
                    notice.say()
                second.wait()  # if it failed, the rest is compiled here
            step(problem)
    set_complete()
    seconds = time.perf_counter() - began
    if notice.said:
        notice.write(f": {seconds:.0f} s\n")
    return seconds


@contextmanager
def _second_process() -> Iterator[subprocess.Popen | None]:
    """Start the process that compiles the last steps; None where there is one core only, or nothing can be kept."""
    process = None
    interpreter = "python" in Path(sys.executable or "").name.lower()  # and no program that Python is built into
    if cpu_count() > 1 and interpreter and is_kept():
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        command = [sys.executable, "-c", f"from {__name__} import compile_last; compile_last()"]
        try:
            process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, **quiet)
        except OSError:  # not allowed here
            pass
    try:
        yield process
    finally:
        if process is not None:
            process.kill()
            process.wait()


def compile_last() -> None:
    """Compile the steps after the first ``ALONE``: the work of the second process."""
    problem = _small_problem()
    with young_only():
        for _, step in STEPS[ALONE:]:
            step(problem)


def _small_problem() -> Problem:
    """Return 100 rows of a target that no stage of the warm-up hits."""
    rng = np.random.default_rng(0)
    return Problem(rng.uniform(1.0, 2.0, (2, 100)), rng.standard_normal(100), Library(2, DEFAULT_OPERATORS))


def _evaluator(problem):
    expression = variable(problem.library, 0)
    Objective(problem).score(expression)
    values(expression, problem.X.T)


def _constants(problem):
    library = problem.library
    expression = apply(library, "add", variable(library, 0), number(library, 2.0))
    fit(expression, problem.X, problem.y, n_starts=1, max_iter=1)
    n, start = len(expression.expanded), expression.constants
    fit_constants(expression.expanded, n, start, problem.X, problem.y, np.empty(0), library.tables, 1, np.empty(1),
                  workspace(n, 1, problem.n_rows))
    fit_scaled(expression.expanded, n, start, problem.X, problem.y, np.ones(problem.n_rows), library.tables, 1,
               np.empty(1), workspace(n, 1, problem.n_rows))


def _skeletons(problem):
    first = Problem(problem.X[:1], problem.y, Library(1, ("add", "mul", "exp")))
    next(skeletons(first, time.perf_counter() + 60.0, np.random.default_rng(0)), None)


def _sums(problem):
    few = Problem(problem.X[:1], problem.y, Library(1, ("add", "mul", "exp")))
    model = Model(few, 1, np.inf)
    refine(model, (Term(0, model.functions[:1]),), steps=1)
    model.with_multipliers.gains(np.empty((len(model.scanned), 0)), model.target[model.scanned])
    fit_subsets(monomials(variable_generators(few), 3), few.y, np.ones(few.n_rows))
    empty = Planes(np.zeros((CHUNK, 2, 4)), np.zeros((CHUNK, 2)), np.zeros((CHUNK, 2), np.int64))
    list(best_pairs(empty, 1, np.inf))
    next(threefold(model, 0.0, np.inf))


def _bank(problem):
    bank = Bank.enumerate(problem.X, problem.library, max_entries=200, rng=np.random.default_rng(0))
    bank.find(bank.values[0])


def _matching(problem):
    bank = Bank.enumerate(problem.X, problem.library, max_entries=20, rng=np.random.default_rng(0))
    U, store = bank.values, bank.store
    basis = orthonormal(np.ones((1, U.shape[1])))
    targets, weights = U[:1] / np.linalg.norm(U[0]), np.ones(U.shape[1])
    scan_single(U, None, basis, targets, 2)
    match_pairs(U, targets, 2)
    match_products(U, U, targets[0], weights, 2, True)
    distinct_projections(U, len(U), basis, store.probes, np.empty(U.shape), np.empty(len(U), np.int64))
    join_products(U, 0, 1, targets[0], store.key, store.table, store.probes, np.empty((4, 3), np.int64))


def _genetic(problem):
    Island.create(problem, use_mcts=False).round(evaluations=EVALUATIONS)


def _tree(problem):
    Island.create(problem, use_genetic=False).round(evaluations=EVALUATIONS)
    Island.create(problem).round(evaluations=COMPLETED)
    make_limits(problem.library)
    clear(new_tree(len(problem.library), 1))
    x0 = variable(problem.library, 0)
    subtrees(x0)
    subtree_ends(x0.expanded, 1, problem.library.tables.arity, np.empty(1, np.int32))
    learn_path(new_rng(0), np.zeros((2, 1, 1)), np.zeros(1, np.int64), np.zeros(1, np.int64), 1, 0.0, 0.1, 0.0, 1.0)


STEPS = (("evaluator", _evaluator), ("constants", _constants), ("skeletons", _skeletons), ("sums", _sums),
         ("bank", _bank), ("matching", _matching), ("genetic refinement", _genetic), ("tree search", _tree))
ALONE = 6
"""Steps that are compiled here while the second process compiles the others: the evaluator is part of either half."""
