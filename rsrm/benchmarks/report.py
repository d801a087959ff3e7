"""``python -m rsrm.benchmarks report``: tables and pictures of result files, beside the published figures."""

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from rsrm.benchmarks.catalogue import SUITES, load_suite
from rsrm.benchmarks.runner import read_rows
from rsrm.benchmarks.summary import summarize

OURS = "this package"
# In the Feynman database and not among SRBench's 130 ground-truth problems.
_NOT_IN_SRBENCH = {"I.26.2", "I.30.5", "II.11.17", "test_10"}


@cache
def published() -> dict[str, Any]:
    """Published figures in percent: ``groups`` of suites with figures by method, and the ``sources`` of the methods."""
    return json.loads((files("rsrm.benchmarks") / "published.json").read_text())


def newest(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each suite, problem, seed and noise, from original files or not: the one with the latest date."""
    kept: dict[tuple, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["date"]):
        settings = row["settings"]
        kept[row["suite"], row["problem"], row["seed"], settings["noise"], settings["data_dir"]] = row
    return list(kept.values())


def by_suite(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, float, bool], list[dict[str, Any]]]:
    """Rows by suite, noise and whether original files were read, in the order of the catalogue."""
    groups: dict[tuple[str, float, bool], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["settings"]["noise"], SUITES.index(row["suite"]))):
        original = row["settings"]["data_dir"] and row["suite"] == "strogatz"
        groups.setdefault((row["suite"], row["settings"]["noise"], original), []).append(row)
    return groups


def comparisons(rows: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Published groups of which every problem has a result, each with our figure.

    Strogatz counts with the original files where both are there, and SRBench's groups leave out the four problems that
    SRBench does.
    """
    found = []
    for group in published()["groups"]:
        mine: list[dict[str, Any]] = []
        for suite in group["suites"]:
            there = [row for row in rows if row["suite"] == suite and row["settings"]["noise"] == group["noise"]]
            original = [row for row in there if row["settings"]["data_dir"]]
            mine += original if suite == "strogatz" and original else there
        wanted = {(suite, problem.name) for suite in group["suites"] for problem in load_suite(suite)}
        if {(row["suite"], row["problem"]) for row in mine} != wanted:
            continue
        if "feynman" in group["suites"]:
            mine = [row for row in mine if row["problem"] not in _NOT_IN_SRBENCH]
        found.append((group, summarize(mine)[group["measure"]]))
    return found


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}".removesuffix(".0")


def suite_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table, one line a suite and noise level; rates in percent."""
    lines = [
        "| suite | noise | problems x seeds | recovered | odd / even | 1 / 10 / 60 s | median s | R2 > 0.999 | NED |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (suite, noise, original), group in by_suite(rows).items():
        f = summarize(group)
        problems, seeds = (len({row[key] for row in group}) for key in ("problem", "seed"))
        within = " / ".join(_percent(f[f"within_{limit}"]) for limit in (1, 10, 60))
        name = f"{suite} (original files)" if original else suite
        lines.append(
            f"| {name} | {noise:g} | {problems} x {seeds} | **{_percent(f['recovery'])}** "
            f"| {_percent(f['odd'])} / {_percent(f['even'])} | {within} | {f['seconds']:.2g} "
            f"| {_percent(f['accuracy'])} | {f['ned']:.3f} |"
        )
    return "\n".join(lines)


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of our figures beside the published ones; a star marks figures read off a plot."""
    lines = [f"| problems | {OURS} | published |", "|---|---|---|"]
    for group, figure in comparisons(rows):
        stars = {name: "*" for name in group["read_off_a_plot"]}
        others = [f"{name} {value:g}{stars.get(name, '')}" for name, value in group["figures"].items()]
        lines.append(f"| {group['label']} | **{_percent(figure)}** | {', '.join(others)} |")
    return "\n".join(lines)


def origin(rows: Sequence[dict[str, Any]]) -> str:
    """Budget, commits, dates and machines behind the rows."""
    budgets = sorted(
        {
            " and ".join(
                text
                for text in (
                    f"{row['settings']['time']:g} s" if row["settings"]["time"] is not None else "",
                    f"{row['settings']['evals']:,d} evaluations" if row["settings"]["evals"] is not None else "",
                )
                if text
            )
            for row in rows
        }
    )
    days = sorted({row["date"][:10] for row in rows})
    return (
        f"Budget a problem, one core: {', '.join(budgets)}. Commits {', '.join(sorted({r['commit'] for r in rows}))}; "
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))}; {'; '.join(sorted({r['machine'] for r in rows}))}."
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the sub-command."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.jsonl")
    parser.add_argument("--out-dir", type=Path, default=None, help="folder for pictures (PNG); none without it")


def main(args: argparse.Namespace) -> None:
    """Print the tables, and draw if asked to.

    Raises
    ------
    ValueError
        If a file is missing or there is nothing to report.
    """
    for path in args.results:
        if not path.is_file():
            raise ValueError(f"results: no file {path}")
    rows = newest(row for path in args.results for row in read_rows(path))
    if not rows:
        raise ValueError("results: no rows in these files")
    print(suite_table(rows))
    if comparisons(rows):
        print(f"\n{comparison_table(rows)}")
        methods = dict.fromkeys(name for group, _ in comparisons(rows) for name in group["figures"])
        print("\n(*) read off a published plot. Sources: ", end="")
        print("; ".join(f"{name}: {published()['sources'][name]}" for name in methods) + ".")
    print(f"\n{origin(rows)}")
    if args.out_dir is not None:
        from rsrm.benchmarks.pictures import draw_all

        for path in draw_all(rows, args.out_dir):
            print(f"wrote {path}")
