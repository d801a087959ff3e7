"""Which module earns its place: islands with one module switched off at a time, at equal time.

Only the islands run, without the closed-form stages that come before them in a search: those solve most of the
problems in milliseconds and would hide what the agents do.
"""

import argparse
import time
from statistics import median

import numpy as np

from rsrm.agents import Island
from rsrm.benchmarks.catalogue import Problem, load_problem
from rsrm.benchmarks.scoring import score
from rsrm.export import to_sympy
from rsrm.library import Library
from rsrm.problem import Problem as Task

PROBLEMS = ("Nguyen-12", "Livermore-7", "Livermore-8", "Livermore-9", "Livermore-13", "Livermore-17", "Livermore-18",
            "R-1", "R-2", "R-3", "Jin-6")
VARIANTS: dict[str, dict[str, bool]] = {
    "everything": {},
    "no Q-learning": {"use_q": False},
    "no sub-tree discovery": {"use_subtrees": False},
    "no genetic refinement": {"use_genetic": False},
    "no tree search": {"use_mcts": False},
}
ROWS = 200
ROUND = 0.2
"""Seconds between two looks at the clock."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m rsrm.benchmarks ablation``."""
    parser.add_argument("--time", type=float, default=10.0, help="seconds per run (default 10)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds per problem (default 3)")
    parser.add_argument("--problems", default=",".join(PROBLEMS), help="names, separated by commas")


def run(problem: Problem, seed: int, seconds: float, variant: dict[str, bool]) -> tuple[bool, float]:
    """Return whether an island recovered the law symbolically, and the seconds it took."""
    data = problem.sample(seed, n=min(problem.train["n"], ROWS))
    library = Library(len(problem.variables), tuple(problem.operators), constants=bool(problem.constants))
    start = time.perf_counter()
    island = Island.create(Task(np.ascontiguousarray(data.X_train.T), data.y_train, library), seed=seed, **variant)
    while (elapsed := time.perf_counter() - start) < seconds:
        island.round(seconds=min(ROUND, seconds - elapsed))
        best = island.hall.best()
        if best is not None and best[1] < island.settings.exact:
            return score(problem.truth, to_sympy(best[0]), data.X_test, seed=seed).recovered, (
                time.perf_counter() - start)
    return False, elapsed


def main(args: argparse.Namespace) -> int:
    """Run every variant on every problem and seed; print a table."""
    problems = [load_problem(name.strip()) for name in args.problems.split(",")]
    run(problems[0], 0, 0.5, {})  # compiles
    print(f"islands, {args.time:g} s a run, {args.seeds} seeds, {len(problems)} problems")
    print(f"{'variant':<24}{'recovered':>10}{'median s':>10}   by problem")
    for name, variant in VARIANTS.items():
        marks, seconds, total = [], [], 0
        for problem in problems:
            results = [run(problem, seed, args.time, variant) for seed in range(args.seeds)]
            hits = sum(recovered for recovered, _ in results)
            total += hits
            seconds += [s for _, s in results]
            marks.append(f"{problem.name} {hits}/{args.seeds}")
        share = f"{total}/{len(seconds)}"
        print(f"{name:<24}{share:>10}{median(seconds):>10.2f}   {', '.join(marks)}", flush=True)
    return 0
