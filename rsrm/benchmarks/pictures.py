"""Pictures of benchmark results (needs matplotlib)."""

from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from rsrm.benchmarks.catalogue import load_suite
from rsrm.benchmarks.random_laws import RANDOM_SUITES
from rsrm.benchmarks.report import OURS, by_suite, comparisons
from rsrm.benchmarks.scoring import tree_size

_STYLE = {
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "axes.edgecolor": "#888888",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#d9702b", "#8a8f98"
_PALETTE = ("#1f5fa8", "#d9702b", "#2f8f5b", "#b03a6f", "#7a5bb5", "#c9a227", "#4aa3c7", "#6b6b6b")
_FAMILIES = {
    "small suites": ("nguyen", "nguyen_variants", "nguyen_c", "constant", "jin", "r_rational", "livermore"),
    "physics and dynamics": ("feynman", "feynman_bonus", "strogatz", "dysts"),
    "SRSD, realistic ranges": tuple(f"srsd_{s}{end}" for end in ("", "_dummy") for s in ("easy", "medium", "hard")),
    "random and textbook laws": (*RANDOM_SUITES, "textbook"),
}
_SMALLEST_ERROR = 1e-16


def draw_all(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw every picture that the rows allow into ``folder``; returns the files written."""
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with rc_context(_STYLE):
        for name, draw in (
            ("recovery_over_time", recovery_over_time),
            ("recovery_by_suite", recovery_by_suite),
            ("accuracy_complexity", accuracy_against_complexity),
        ):
            figure = draw(rows)
            if figure is not None:
                drawn.append(folder / f"{name}.png")
                figure.savefig(drawn[-1])
    return drawn


def _new_axes(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no window system is needed or touched
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def recovery_over_time(rows: Sequence[dict[str, Any]]) -> Any:
    """Share of problems recovered within a time: a curve each suite, a panel each family of suites or noise level."""
    panels: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {}
    for (suite, noise, original), group in by_suite(rows).items():
        family = next((name for name, suites in _FAMILIES.items() if suite in suites), suite)
        title = f"target noise {noise:g}" if noise else family
        panels.setdefault(title, []).append((f"{suite} (files)" if original else suite, group))
    found = [row["time_to_best"] for row in rows if row["recovered"]]
    start = 10.0 ** np.floor(np.log10(max(1e-3, min(found, default=1.0))))
    end = max(60.0, *found, 60.0)
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, all_axes = _new_axes(6.2 * columns, 3.3 * lines + 0.4, lines, columns)
    for axes in all_axes[len(panels) :]:
        axes.remove()
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=False):
        for colour, (name, group) in zip(cycle(_PALETTE), curves):
            times = np.sort([row["time_to_best"] for row in group if row["recovered"]])
            final = 100 * len(times) / len(group)
            x = np.concatenate([[start], np.maximum(times, start), [end]])
            y = np.concatenate([[0], 100 * np.arange(1, len(times) + 1) / len(group), [final]])
            axes.step(x, y, where="post", lw=1.8, color=colour, label=f"{name}  {final:.0f} %")
        for mark in (1, 10):
            axes.axvline(mark, color="#999999", lw=0.8, ls=":")
        axes.set(xscale="log", xlim=(start, end), ylim=(0, 102), ylabel="recovered, %")
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xlabel("seconds until the equation was found")
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure


def _labels(figures: dict[str, float]) -> list[tuple[str, float, int]]:
    """Text, centre and line (0 or 1) of the names over the dots, such that none overprints another.

    Names of nearly equal figures are joined; a letter is taken to be 1.2 points wide.
    """
    joined: list[tuple[str, float]] = []
    for name, value in sorted(figures.items(), key=lambda item: item[1]):
        if joined and value - joined[-1][1] < 2:
            text, _ = joined.pop()
            name = f"{text}, {name}"
        joined.append((name, value))
    placed = []
    ends = [-np.inf, -np.inf]
    for text, value in joined:
        half = 0.6 * len(text) + 0.5
        centre = min(value, 105 - half)
        line = int(centre - half < ends[0])
        ends[line] = centre + half
        placed.append((text, centre, line))
    return placed


def recovery_by_suite(rows: Sequence[dict[str, Any]]) -> Any:
    """Our figure as a bar, published ones as named dots; None if no published group is complete."""
    groups = comparisons(rows)
    if not groups:
        return None
    figure, (axes,) = _new_axes(8.6, 0.9 + 0.72 * len(groups))
    places = np.arange(len(groups))[::-1]
    axes.barh(places, [ours for _, ours in groups], height=0.44, color=_BLUE, label=OURS)
    for place, (group, ours) in zip(places, groups, strict=True):
        inside = ours > 12
        colour, side = ("white", "right") if inside else (_BLUE, "left")
        x = ours - 1 if inside else ours + 1
        axes.text(x, place - 0.03, f"{ours:.0f}", va="center", ha=side, color=colour, fontweight="bold")
        values = list(group["figures"].values())
        axes.plot(values, [place + 0.22] * len(values), "o", ms=6, color=_ORANGE, mec="white", mew=0.9, zorder=3)
        for text, centre, line in _labels(group["figures"]):
            height = place + 0.30 + 0.17 * line
            axes.text(centre, height, text, fontsize=7.5, color="#555555", ha="center", va="bottom")
    axes.plot([], [], "o", ms=6, color=_ORANGE, label="published")
    axes.set_yticks(places, [group["label"] for group, _ in groups])
    axes.set(xlim=(0, 104), ylim=(-0.5, len(groups) - 0.25), xlabel="problems recovered (or accurate, where named), %")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return figure


@cache
def _law_size(suite: str, index: int) -> int:
    return tree_size(load_suite(suite)[index - 1].truth)


def accuracy_against_complexity(rows: Sequence[dict[str, Any]]) -> Any:
    """Error on test rows against the size of the equation relative to the law's, recovered and missed."""
    answered = [row for row in rows if row["complexity"] and row["r2_test"] is not None]
    if not answered:
        return None
    figure, (axes,) = _new_axes(6.6, 4.6)
    rng = np.random.default_rng(0)
    hit = np.array([row["recovered"] for row in answered])
    ratio = np.array([row["complexity"] / _law_size(row["suite"], row["index"]) for row in answered])
    error = np.clip([1 - row["r2_test"] for row in answered], _SMALLEST_ERROR, 10.0)
    # Ties are the rule (the law's own size, no error at all): a little jitter shows how many points lie there.
    ratio = ratio * 2.0 ** rng.uniform(-0.05, 0.05, len(ratio))
    error = error * 10.0 ** rng.uniform(-0.25, 0.25, len(error))
    for mask, colour, name in ((hit, _BLUE, "recovered"), (~hit, _ORANGE, "missed")):
        label = f"{name} ({mask.sum()})"
        axes.scatter(ratio[mask], error[mask], s=16, color=colour, alpha=0.55, linewidths=0, label=label)
    axes.axvline(1, color=_GREY, lw=0.9, ls="--")
    axes.axhline(1e-3, color=_GREY, lw=0.9, ls=":")
    axes.text(0.995, 1.3e-3, "R² = 0.999", transform=axes.get_yaxis_transform(), ha="right", fontsize=8, color=_GREY)
    axes.set(yscale="log", xlabel="nodes of the equation / nodes of the law", ylabel="1 − R² on test rows")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:.0f}")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return figure
