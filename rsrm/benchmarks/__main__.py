"""Command line: ``python -m rsrm.benchmarks {list,run,report,speed,ablation,reductions,schedule,env}``."""

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Each lives in a module of its name here, with add_arguments(parser) and main(args); loaded only when asked for.
_MODULES = {
    "report": "print and draw results",
    "speed": "time the evaluator, constants, whole searches, the cold start",
    "ablation": "switch the modules of the search off in turn",
    "reductions": "the tree search over reductions on random laws, its parts switched off in turn",
    "schedule": "learn whose turn it is from recorded searches",
    "env": "steps per second of the environment",
}


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"expected key=value, got {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value  # a bare word is a string


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suites", nargs="+", metavar="SUITE", help="suites of the catalogue (see list)")
    parser.add_argument("--seeds", type=int, default=1, help="seeds per problem (default 1)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--time", type=float, default=None, help="seconds per problem (60 unless --evals is given)")
    parser.add_argument("--evals", type=int, default=None, help="evaluations per problem")
    parser.add_argument("--jobs", type=int, default=1, help="problems at a time, one core each")
    parser.add_argument("--noise", type=float, default=0.0, help="relative noise of the training target")
    parser.add_argument("-n", "--rows", type=int, default=None, help="training rows instead of the published number")
    parser.add_argument("--problems", default=None, help="names, separated by commas")
    half = parser.add_mutually_exclusive_group()
    half.add_argument("--odd", action="store_true", help="odd-numbered problems only")
    half.add_argument("--even", action="store_true", help="even-numbered problems only")
    parser.add_argument("--out", type=Path, default=None, help="JSON lines; rows already there are not run again")
    parser.add_argument("--estimator", default="rsrm:RSRM", help="module:Class")
    parser.add_argument("--agent", default=None, help="shorthand for --set agent=...")
    parser.add_argument("--set", type=_option, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", default=None, help="folder with original data files (strogatz)")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds of a warm-up fit (default 3)")


def _select(args: argparse.Namespace) -> list:
    from rsrm.benchmarks.catalogue import load_suite
    from rsrm.benchmarks.runner import Task

    problems = [problem for suite in args.suites for problem in load_suite(suite)]
    if args.problems is not None:
        wanted = [name.strip() for name in args.problems.split(",")]
        unknown = set(wanted) - {problem.name for problem in problems}
        if unknown:
            raise ValueError(f"problems: not in these suites: {', '.join(sorted(unknown))}")
        problems = [problem for problem in problems if problem.name in wanted]
    if args.odd or args.even:
        problems = [problem for problem in problems if problem.index % 2 == args.odd]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    return [Task(problem, seed) for problem in problems for seed in seeds]


def _run(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from rsrm.benchmarks.runner import append_row, pending, read_rows, run_tasks, task_key
    from rsrm.benchmarks.summary import format_row, format_summary
    from rsrm.benchmarks.worker import Settings, empty_row, load_estimator

    for name in ("seeds", "jobs"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name}: must be at least 1, got {getattr(args, name)}")
    options = dict(args.set) | ({"agent": args.agent} if args.agent else {})
    limit = args.time if args.time is not None or args.evals is not None else 60.0
    settings = Settings(args.estimator, limit, args.evals, args.noise, args.rows, options, args.data_dir)
    load_estimator(settings.estimator)  # a wrong name fails here and not in every worker
    tasks = _select(args)
    stored = read_rows(args.out) if args.out else []
    todo = pending(tasks, settings, stored)
    wanted = {task_key(empty_row(task.problem, task.seed, settings)) for task in tasks}
    rows = [row for row in stored if task_key(row) in wanted]
    recovered = sum(row["recovered"] for row in rows)
    with tqdm(total=len(tasks), initial=len(rows), unit="task", smoothing=0, disable=None) as bar:
        try:
            for row in run_tasks(todo, settings, args.jobs, args.warm_up):
                rows.append(row)
                if args.out:
                    append_row(args.out, row)
                recovered += row["recovered"]
                bar.write(format_row(row), file=sys.stdout)
                bar.set_postfix_str(f"{recovered} recovered", refresh=False)
                bar.update()
        except KeyboardInterrupt:
            bar.write("interrupted; what is finished counts", file=sys.stdout)
    print(f"\n{format_summary(rows)}")


def _list(args: argparse.Namespace) -> None:
    from rsrm.benchmarks.catalogue import SUITES, load_suite, suite_source

    for suite in SUITES:
        problems = load_suite(suite)
        first = problems[0]
        sizes = sorted({problem.train["n"] for problem in problems})
        kinds = sorted({kind for p in problems for kind in _kinds(p.train["sampling"])})
        operators = "library defaults" if first.operators is None else " ".join(first.operators)
        if first.constants:
            operators += " constants"
        print(f"{suite}: {len(problems)} problems; {suite_source(suite)}")
        print(f"    rows {', '.join(map(str, sizes))}; sampling {', '.join(kinds)}; operators {operators}")


def _kinds(sampling: str | Sequence[str]) -> list[str]:
    return [sampling] if isinstance(sampling, str) else list(sampling)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="python -m rsrm.benchmarks", description="Benchmarks of symbolic regression.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="suites, their sampling and operators").set_defaults(function=_list)
    run = commands.add_parser(
        "run",
        help="search the problems of one or more suites",
        epilog="RSRM_BENCHMARK_CACHE=FOLDER keeps integrated trajectories on disk.",
    )
    _add_run_arguments(run)
    run.set_defaults(function=_run)
    for name, text in _MODULES.items():
        command = commands.add_parser(name, help=text)
        if argv[:1] == [name]:
            module = importlib.import_module(f"rsrm.benchmarks.{name}")
            module.add_arguments(command)
            command.set_defaults(function=module.main)
    args = parser.parse_args(argv)
    try:
        args.function(args)
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
