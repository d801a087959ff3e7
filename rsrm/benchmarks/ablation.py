"""Which module earns its place: one module switched off at a time, at equal CPU time, paired by problem and seed.

Two tables:

* by default the islands of token-level agents alone, without the closed-form stages that come before them in a search:
  those solve most of the problems in milliseconds and would hide what the agents do;
* with ``--suites`` the whole search of :class:`rsrm.RSRM`, a stage of the cascade or a module of its islands switched
  off in turn, through the runner of the other benchmarks.

Time is CPU time, so that other work on the machine does not decide; what is left of chance shows in the interval.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from rsrm.agents import Island
from rsrm.benchmarks.catalogue import Problem, load_problem, load_suite
from rsrm.benchmarks.runner import Task as RunnerTask
from rsrm.benchmarks.runner import append_row, pending, read_rows, run_tasks, task_key
from rsrm.benchmarks.scoring import score
from rsrm.benchmarks.summary import format_row
from rsrm.benchmarks.without import SWITCHES
from rsrm.benchmarks.worker import Settings, empty_row
from rsrm.export import to_sympy
from rsrm.library import Library
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem as Task

PROBLEMS = ("Nguyen-12", "Livermore-7", "Livermore-8", "Livermore-9", "Livermore-13", "Livermore-17", "Livermore-18",
            "R-1", "R-2", "R-3", "Jin-6")
EVERYTHING = "everything"
VARIANTS: dict[str, dict[str, bool]] = {
    EVERYTHING: {},
    "no Q-learning": {"use_q": False},
    "no sub-tree discovery": {"use_subtrees": False},
    "no genetic refinement": {"use_genetic": False},
    "no tree search": {"use_mcts": False},
}
ROWS = 200
ROUND = 0.05
"""Seconds between two looks at the clock."""
RESAMPLES = 2000
"""Bootstrap samples behind an interval."""
_HEADER = f"{'variant':<24}{'recovered':>10}{'mean s':>8}{'evals':>9}{'lost:won':>9}{'p':>7}   slower by [95 %]"


@dataclass(frozen=True)
class Result:
    """One run: whether the law was recovered symbolically, CPU seconds (all there were if not), evaluations."""

    recovered: bool
    seconds: float
    evaluations: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m rsrm.benchmarks ablation``."""
    parser.add_argument("--time", type=float, default=None,
                        help="CPU seconds per run (2); with --suites seconds by the clock (10)")
    parser.add_argument("--seeds", type=int, default=6, help="seeds per problem (default 6)")
    parser.add_argument("--problems", default=None, help="names, separated by commas")
    parser.add_argument("--variants", default=None, help="what to switch off, separated by commas; all by default")
    parser.add_argument("--suites", default=None, help="ablate the whole search on these suites, separated by commas")
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--odd", action="store_true", help="odd-numbered problems of the suites only")
    half.add_argument("--even", action="store_true", help="even-numbered problems of the suites only")
    parser.add_argument("--out", type=Path, default=None, help="JSON lines; runs already there are not repeated")


def run(problem: Problem, seed: int, seconds: float, variant: dict[str, bool]) -> Result:
    """Let one island search for `seconds` of CPU time; its making counts."""
    data = problem.sample(seed, n=min(problem.train["n"], ROWS))
    # None stands for the defaults of the estimator, which has constants.
    operators = DEFAULT_OPERATORS if problem.operators is None else tuple(problem.operators)
    library = Library(len(problem.variables), operators, constants=problem.constants is not False)
    start = time.process_time()
    island = Island.create(Task(np.ascontiguousarray(data.X_train.T), data.y_train, library), seed=seed, **variant)
    while time.process_time() - start < seconds:
        island.round(seconds=ROUND)
        best = island.hall.best()
        if best is not None and best[1] < island.settings.exact:
            used = time.process_time() - start
            recovered = score(problem.truth, to_sympy(best[0]), data.X_test, seed=seed).recovered
            return Result(recovered, min(used, seconds) if recovered else seconds, island.n_evaluations)
    return Result(False, seconds, island.n_evaluations)


def compare(reference: Sequence[Result], other: Sequence[Result]) -> tuple[int, int, float, float, float, float]:
    """Compare paired runs.

    Returns
    -------
    lost, won : int
        Runs that only the reference recovered, and only the other.
    p : float
        Of the two-sided sign test on these.
    slower, low, high : float
        Mean of the other's CPU seconds less the reference's, and its 95 % bootstrap interval over pairs.
    """
    lost = sum(a.recovered and not b.recovered for a, b in zip(reference, other, strict=True))
    won = sum(b.recovered and not a.recovered for a, b in zip(reference, other, strict=True))
    p = binomtest(lost, lost + won).pvalue if lost + won else 1.0
    difference = np.array([b.seconds - a.seconds for a, b in zip(reference, other, strict=True)])
    means = np.random.default_rng(0).choice(difference, (RESAMPLES, len(difference))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return lost, won, float(p), float(difference.mean()), float(low), float(high)


def _selected(text: str | None, known: Sequence[str]) -> list[str]:
    """Return `known` names that `text` asks for, with what they are compared to first."""
    wanted = list(known) if text is None else [name.strip() for name in text.split(",")]
    unknown = set(wanted) - set(known)
    if unknown:
        raise ValueError(f"variants: choose from {', '.join(known)}; got {', '.join(sorted(unknown))}")
    return [EVERYTHING, *(name for name in wanted if name != EVERYTHING)]


def main(args: argparse.Namespace) -> int:
    """Run every variant on every problem and seed; print a table."""
    if args.seeds < 1 or (args.time is not None and not args.time > 0):
        raise ValueError(f"seeds, time: must be positive, got {args.seeds}, {args.time}")
    return _islands(args) if args.suites is None else _search(args)


def _islands(args: argparse.Namespace) -> int:
    seconds = 2.0 if args.time is None else args.time
    names = PROBLEMS if args.problems is None else args.problems.split(",")
    problems = [load_problem(name.strip()) for name in names]
    done = {_key(row): Result(row["recovered"], row["seconds"], row["evaluations"])
            for row in (read_rows(args.out) if args.out else [])}
    print(f"islands, {seconds:g} CPU seconds a run, {args.seeds} seeds, {len(problems)} problems; seconds of a run "
          "without recovery are all there were")
    variants = _selected(args.variants, list(VARIANTS))
    warm: set[tuple[bool, str]] = set()
    results: dict[str, list[Result]] = {name: [] for name in variants}
    for problem in tqdm(problems, unit="problem", disable=None):
        for seed in range(args.seeds):
            for name in variants:  # in turn, so that a change of the machine's load meets all of them
                row: dict[str, Any] = {"problem": problem.name, "seed": seed, "variant": name, "time": seconds}
                if _key(row) not in done:
                    kind = (problem.constants is not False, name)
                    if kind not in warm:  # compiles
                        run(problem, 0, 0.2, VARIANTS[name])
                        warm.add(kind)
                    found = run(problem, seed, seconds, VARIANTS[name])
                    done[_key(row)] = found
                    if args.out:
                        append_row(args.out, row | asdict(found))
                results[name].append(done[_key(row)])
    print(_HEADER)
    for name, runs in results.items():
        print(_line(name, results[EVERYTHING], runs), flush=True)
    print("\nrecovered by problem, in the order above")
    for i, problem in enumerate(problems):
        part = slice(i * args.seeds, (i + 1) * args.seeds)
        counts = "  ".join(str(sum(r.recovered for r in runs[part])) for runs in results.values())
        print(f"{problem.name:<24}{counts}")
    return 0


def _key(row: dict[str, Any]) -> str:
    return json.dumps([row[name] for name in ("problem", "seed", "variant", "time")])


def _line(name: str, reference: list[Result], runs: list[Result]) -> str:
    """Return a row of the table."""
    share = f"{sum(r.recovered for r in runs)}/{len(runs)}"
    solved = [r.evaluations for r in runs if r.recovered]
    evaluations = f"{np.median(solved):.0f}" if solved else "-"
    line = f"{name:<24}{share:>10}{np.mean([r.seconds for r in runs]):>8.2f}{evaluations:>9}"
    if runs is reference:
        return line
    lost, won, p, slower, low, high = compare(reference, runs)
    return f"{line}{f'{lost}:{won}':>9}{p:>7.3f}   {slower:+.2f} [{low:+.2f}, {high:+.2f}]"


def _search(args: argparse.Namespace) -> int:
    """Ablate whole searches; every variant is an estimator of :mod:`rsrm.benchmarks.without`."""
    problems = [p for suite in args.suites.split(",") for p in load_suite(suite.strip())]
    if args.problems is not None:
        names = {name.strip() for name in args.problems.split(",")}
        problems = [p for p in problems if p.name in names]
    if args.odd or args.even:
        problems = [p for p in problems if p.index % 2 == args.odd]
    if not problems:
        raise ValueError("problems: none is left")
    seconds = 10.0 if args.time is None else args.time
    tasks = [RunnerTask(problem, seed) for problem in problems for seed in range(args.seeds)]
    stored = read_rows(args.out) if args.out else []
    results: dict[str, list[Result]] = {}
    lines = []
    for name in _selected(args.variants, [EVERYTHING, *SWITCHES]):
        path = "rsrm:RSRM" if name == EVERYTHING else f"{SWITCHES[name].__module__}:{SWITCHES[name].__name__}"
        settings = Settings(path, seconds)
        rows = {task_key(row): row for row in stored}
        for row in run_tasks(pending(tasks, settings, stored), settings, 1, 3.0):
            rows[task_key(row)] = row
            if args.out:
                append_row(args.out, row)
            print(f"{name:<16}{format_row(row)}", flush=True)
        found = [rows[task_key(empty_row(t.problem, t.seed, settings))] for t in tasks]
        results[name] = [Result(bool(r["recovered"]), float(r["seconds"] or seconds) if r["recovered"] else seconds,
                                r["evaluations"] or 0) for r in found]
        lines.append(_line(name, results[EVERYTHING], results[name]))
    print(f"\nwhole search, {seconds:g} s a run, {args.seeds} seeds, {len(problems)} problems")
    print(_HEADER)
    print("\n".join(lines))
    return 0
