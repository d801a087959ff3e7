"""Speed of the kernels and of whole searches, in one run: ``python -m rsrm.benchmarks speed``.

Rivals are timed in alternation (A B A B ...) and ratios are medians over pairs, so that a busy machine slows both.
``ratio_of_best`` compares the fastest repeats: what a quiet machine would show. Where one thread works, times are CPU
seconds. ``target`` is what we mean to reach: a least ratio or rate, or a greatest time or size.
"""

import json
import platform
from collections.abc import Callable
from pathlib import Path

from rsrm.benchmarks import speed_evaluator, speed_kernels, speed_process, speed_search

MEASUREMENTS: dict[str, Callable] = {
    "evaluator": speed_evaluator.evaluator,
    "constants": speed_kernels.constants,
    "scaling": speed_evaluator.scaling,
    "bank": speed_kernels.bank,
    "pairs": speed_kernels.pairs,
    "search": speed_search.search,
    "nguyen": speed_search.nguyen,
    "islands": speed_search.islands,
    "cold_start": speed_process.cold_start,
    "memory": speed_process.memory,
    "big_data": speed_process.big_data,
}
"""What ``speed`` runs, by name; each yields rows of figures, every one with the key ``what``."""


def add_arguments(parser) -> None:
    """Add the options of the command."""
    parser.add_argument("--only", nargs="+", choices=tuple(MEASUREMENTS), help="measurements (default all)")
    parser.add_argument("--trees", type=int, default=2000, help="random expressions (default 2000)")
    parser.add_argument("--repeats", type=int, default=9, help="repeats of each timing (default 9)")
    parser.add_argument("--evaluations", type=int, default=200_000, help="expressions of a search (default 200,000)")
    parser.add_argument("--entries", type=int, default=speed_kernels.BANK_ENTRIES, help="of a bank (default 300,000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the fit whose memory is watched (default 60)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of big data (default 1,000,000)")
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")


def main(args) -> None:
    """Run the measurements, print them as they come, and write them as JSON.

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    for name in ("trees", "repeats", "evaluations", "entries", "seconds", "rows"):
        if not getattr(args, name) >= 1:
            raise ValueError(f"{name}: must be at least 1, got {getattr(args, name)}")
    rows = []
    for name in args.only or MEASUREMENTS:
        for row in MEASUREMENTS[name](args):
            figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "what")
            print(f"{row['what']:<52} {figures}", flush=True)
            rows.append({"measurement": name, **row})
    if args.out:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        args.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")
