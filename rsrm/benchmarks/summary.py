"""Figures over result rows."""

from collections.abc import Sequence
from statistics import median
from typing import Any

ACCURATE_R2 = 0.999
WITHIN = (1.0, 10.0, 60.0)


def share(rows: Sequence[dict[str, Any]], hit: list[bool]) -> float:
    """Percentage of hits; NaN without rows."""
    return 100.0 * sum(hit) / len(rows) if rows else float("nan")


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Figures of some rows, rates in percent.

    Keys: ``rows``, ``recovery``, ``skeleton``, ``srbench``, ``accuracy`` (R2 > 0.999 on noise-free test rows),
    ``within_1``, ``within_10``, ``within_60`` (recovered, and the equation found by that second), ``seconds`` (median
    of the time to the equation), ``seconds_recovered`` (of the recovered alone), ``ned`` (mean), ``odd``, ``even``
    (recovery by the problem's number).
    """
    times = [row["time_to_best"] for row in rows if row["time_to_best"] is not None]
    good = [row["time_to_best"] for row in rows if row["recovered"]]
    odd = [row for row in rows if row["index"] % 2]
    even = [row for row in rows if not row["index"] % 2]
    figures = {
        "rows": len(rows),
        "recovery": share(rows, [row["recovered"] for row in rows]),
        "skeleton": share(rows, [row["recovered_skeleton"] for row in rows]),
        "srbench": share(rows, [row["recovered_srbench"] for row in rows]),
        "accuracy": share(rows, [row["r2_test"] is not None and row["r2_test"] > ACCURATE_R2 for row in rows]),
        "seconds": median(times) if times else float("nan"),
        "seconds_recovered": median(good) if good else float("nan"),
        "ned": sum(row["ned"] for row in rows) / len(rows) if rows else float("nan"),
        "odd": share(odd, [row["recovered"] for row in odd]),
        "even": share(even, [row["recovered"] for row in even]),
    }
    for limit in WITHIN:
        figures[f"within_{limit:g}"] = share(rows, [row["recovered"] and row["time_to_best"] <= limit for row in rows])
    return figures


def format_row(row: dict[str, Any]) -> str:
    """One line: problem, seed, recovered or not, seconds, evaluations, the formula found."""
    mark = "recovered" if row["recovered"] else "form only" if row["recovered_skeleton"] else "missed"
    if row["equation"] is None:
        return f"{row['problem']:<26} seed {row['seed']}  failed     {row['stop_reason']}"
    equation = row["equation"] if len(row["equation"]) <= 90 else row["equation"][:87] + "..."
    return (
        f"{row['problem']:<26} seed {row['seed']}  {mark:<9} {row['time_to_best']:8.3f} s "
        f"{row['evaluations']:>12,d} evaluations  {equation}"
    )


def format_summary(rows: Sequence[dict[str, Any]]) -> str:
    """A table of :func:`summarize`, one line a suite."""
    head = "suite                 rows  recovered  odd/even      1 s/10 s/60 s    median s   R2>0.999   NED"
    lines = [head]
    for suite in dict.fromkeys(row["suite"] for row in rows):
        f = summarize([row for row in rows if row["suite"] == suite])
        lines.append(
            f"{suite:<20} {f['rows']:5d}  {f['recovery']:7.1f} %  {f['odd']:5.1f}/{f['even']:<5.1f}  "
            f"{f['within_1']:5.1f}/{f['within_10']:5.1f}/{f['within_60']:5.1f}  {f['seconds']:9.3f}  "
            f"{f['accuracy']:7.1f} %  {f['ned']:.3f}"
        )
    return "\n".join(lines)
