"""The Nguyen benchmark: twelve formulas, each from 20 points, with the time to the exact law.

The suite is from Uy et al., "Semantically-based crossover in genetic programming", Genetic Programming and Evolvable
Machines 12 (2011), with the operators and ranges that the field uses since. No constants are fitted.

    python examples/nguyen.py [--out FOLDER]
"""

import argparse
import time
from pathlib import Path

import numpy as np

from rsrm import RSRM

OPERATORS = ("add", "sub", "mul", "div", "sin", "cos", "exp", "log")
# name, formula as it is written, function of the columns, number of columns, range of the data
PROBLEMS = (
    ("Nguyen-1", "x^3 + x^2 + x", lambda x: x**3 + x**2 + x, 1, (-1, 1)),
    ("Nguyen-2", "x^4 + x^3 + x^2 + x", lambda x: x**4 + x**3 + x**2 + x, 1, (-1, 1)),
    ("Nguyen-3", "x^5 + x^4 + x^3 + x^2 + x", lambda x: x**5 + x**4 + x**3 + x**2 + x, 1, (-1, 1)),
    ("Nguyen-4", "x^6 + x^5 + x^4 + x^3 + x^2 + x", lambda x: x**6 + x**5 + x**4 + x**3 + x**2 + x, 1, (-1, 1)),
    ("Nguyen-5", "sin(x^2) cos(x) - 1", lambda x: np.sin(x**2) * np.cos(x) - 1, 1, (-1, 1)),
    ("Nguyen-6", "sin(x) + sin(x + x^2)", lambda x: np.sin(x) + np.sin(x + x**2), 1, (-1, 1)),
    ("Nguyen-7", "log(x + 1) + log(x^2 + 1)", lambda x: np.log(x + 1) + np.log(x**2 + 1), 1, (0, 2)),
    ("Nguyen-8", "sqrt(x)", np.sqrt, 1, (0, 4)),
    ("Nguyen-9", "sin(x) + sin(y^2)", lambda x, y: np.sin(x) + np.sin(y**2), 2, (0, 1)),
    ("Nguyen-10", "2 sin(x) cos(y)", lambda x, y: 2 * np.sin(x) * np.cos(y), 2, (0, 1)),
    ("Nguyen-11", "x^y", lambda x, y: x**y, 2, (0, 1)),
    ("Nguyen-12", "x^4 - x^3 + y^2/2 - y", lambda x, y: x**4 - x**3 + y**2 / 2 - y, 2, (0, 1)),
)


def solve(function, columns: int, low: float, high: float, limit: float):
    """Fit 20 points; return (seconds, error on 1000 points that the search never saw, model)."""
    rng = np.random.default_rng(0)
    X, unseen = rng.uniform(low, high, (20, columns)), rng.uniform(low, high, (1000, columns))
    model = RSRM(operators=OPERATORS, constants=False, max_time=limit, random_state=0)
    start = time.perf_counter()
    model.fit(X, function(*X.T))
    seconds = time.perf_counter() - start
    y = function(*unseen.T)
    return seconds, float(np.sqrt(np.mean((model.predict(unseen) - y) ** 2)) / np.std(y)), model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture")
    parser.add_argument("--time", type=float, default=5.0, help="seconds per problem")
    arguments = parser.parse_args()

    print("compiling ...", flush=True)
    solve(PROBLEMS[4][2], 1, -1, 1, arguments.time)
    print(f"{'problem':<10} {'law':<32} {'seconds':>8} {'unseen error':>13}  found")
    rows = []
    for name, text, function, columns, (low, high) in PROBLEMS:
        seconds, error, model = solve(function, columns, low, high, arguments.time)
        rows.append((name, text, seconds, error < 1e-6))
        print(f"{name:<10} {text:<32} {seconds:8.3f} {error:13.1e}  {model.get_best()['equation']}", flush=True)
    print(f"\n{sum(r[3] for r in rows)} of {len(rows)} recovered, {sum(r[2] for r in rows):.1f} s in all")
    draw(rows, arguments.out / "nguyen.png")
    print(f"Picture: {arguments.out / 'nguyen.png'}")


def draw(rows, path):
    """Draw the time of every problem."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from rsrm.plotting import ACCENT, INK, SOFT

    figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
    place = np.arange(len(rows))[::-1]
    seconds = np.array([r[2] for r in rows])
    ax.barh(place, seconds, height=0.55, color=[ACCENT if r[3] else SOFT for r in rows])
    for k, (_, text, s, found) in zip(place, rows, strict=True):
        ax.text(s * 1.15, k, f"{text}   {s:.2f} s" + ("" if found else "   not found"), va="center", fontsize=8.5,
                color=INK)
    ax.set_xscale("log")
    ax.set_xlim(min(1e-2, seconds.min() / 2), max(seconds.max(), 1.0) * 40)
    ax.set_yticks(place, [r[0] for r in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("seconds to the exact law, from 20 points")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_title(f"Nguyen: {sum(r[3] for r in rows)} of {len(rows)} recovered", loc="left", color=INK)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
