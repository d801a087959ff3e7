"""The tree search over reductions alone, on random laws of four to seven variables, with its parts switched off.

The laws are compositions drawn at random (products, quotients, sums and differences of parts, some of them inside a
function), so that no suite is looked at; neither the direct solvers nor the islands see the user's problem.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rsrm.agents.reduction import Policy, ReductionSearch
from rsrm.library import Library
from rsrm.objective import Objective
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem
from rsrm.refine import Refiner
from rsrm.selection import Pool

VARIANTS = {
    "everything": Policy(),
    "no Q-learning": Policy(use_q=False),
    "no costs in the prior": Policy(use_costs=False),
    "uniform prior": Policy(use_costs=False, use_q=False),
}
ROWS, LOW, HIGH = 3000, 1.0, 4.0
VARIABLES = (4, 7)
EXACT, LONGEST = 1e-9, 60
"""NRMSE and complexity up to which an answer counts as the law."""
PLAIN = 0.4
"""Share of the parts that no function is applied to."""

JOINS: tuple[tuple[str, Callable], ...] = (
    ("*", np.multiply), ("*", np.multiply), ("/", np.divide), ("+", np.add), ("-", np.subtract),
)
WRAPS: tuple[tuple[str, Callable], ...] = (
    ("sin({})", np.sin), ("exp(-({})/3)", lambda v: np.exp(-v / 3.0)), ("sqrt(abs({}))", lambda v: np.sqrt(np.abs(v))),
    ("({})**2", np.square), ("1/(3 + {})", lambda v: 1.0 / (3.0 + v)),
    ("log(2 + ({})**2)", lambda v: np.log(2.0 + v * v)),
)


class Law(NamedTuple):
    """A random law on random rows: text, X float64[D, R], y float64[R]."""

    text: str
    X: np.ndarray
    y: np.ndarray


def random_law(rng: np.random.Generator) -> Law:
    """Return a law that is finite, varies, and has no row that dwarfs the others."""
    while True:
        X = rng.uniform(LOW, HIGH, (int(rng.integers(VARIABLES[0], VARIABLES[1] + 1)), ROWS))
        parts = [(f"x{i}", x) for i, x in enumerate(X)]
        with np.errstate(all="ignore"):
            while len(parts) > 1:
                chosen = rng.choice(len(parts), min(int(rng.integers(2, 4)), len(parts)), replace=False)
                joined = _joined([parts[i] for i in chosen], rng)
                parts = [part for i, part in enumerate(parts) if i not in chosen] + [joined]
        text, y = parts[0]
        if np.isfinite(y).all() and np.std(y) > 1e-9 and np.abs(y).max() < 1e4 * np.std(y):
            return Law(text, X, y)


def _joined(parts: list[tuple[str, np.ndarray]], rng: np.random.Generator) -> tuple[str, np.ndarray]:
    text, y = parts[0]
    for other, z in parts[1:]:
        sign, join = JOINS[rng.integers(len(JOINS))]
        text, y = f"({text} {sign} {other})", join(y, z)
    if rng.random() < PLAIN:
        return text, y
    form, wrap = WRAPS[rng.integers(len(WRAPS))]
    return form.format(text), wrap(y)


def run(law: Law, seconds: float, policy: Policy, seed: int = 0) -> tuple[bool, float, int, int]:
    """Return whether the search finds a law within `seconds`, the time it took, fits of surrogates and closings."""
    start = time.perf_counter()
    problem = Problem(law.X, law.y, Library(len(law.X), DEFAULT_OPERATORS))
    pool, rng = Pool(problem.n_rows), np.random.default_rng(seed)
    refiner = Refiner(Objective(problem), pool, rng)
    search = ReductionSearch(problem, start + seconds, rng, [], policy=policy)
    found = False
    for expression in search:
        if expression is not None and refiner.consider(expression) is not None:
            found = any(c.nrmse < EXACT and c.complexity <= LONGEST for c in pool)
        if found or time.perf_counter() > start + seconds:
            break
    return found, time.perf_counter() - start, search.n_fits, search.n_closings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m rsrm.benchmarks reductions``."""
    parser.add_argument("--laws", type=int, default=30, help="random laws (default 30)")
    parser.add_argument("--time", type=float, default=10.0, help="seconds per law (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the laws (default 0)")
    parser.add_argument("--show", action="store_true", help="print every law")


def main(args: argparse.Namespace) -> int:
    """Run every variant on every law, one after the other on each; print a table."""
    rng = np.random.default_rng(args.seed)
    laws = [random_law(rng) for _ in range(args.laws)]
    run(laws[0], 5.0, Policy())  # compiles
    rows: dict[str, list] = {name: [] for name in VARIANTS}
    for law in laws:
        for name, policy in VARIANTS.items():
            rows[name].append(run(law, args.time, policy))
        if args.show:
            print(" ".join("x" if rows[name][-1][0] else "." for name in VARIANTS), law.text, flush=True)
    print(f"{args.laws} random laws, {args.time:g} s each\n")
    print(f"{'variant':<24}{'recovered':>10}{'seconds':>10}{'fits':>8}{'closings':>10}")
    for name, results in rows.items():
        found, seconds, fits, closings = np.array(results, float).T
        print(f"{name:<24}{int(found.sum()):>10}{seconds.sum():>10.1f}{int(fits.sum()):>8}{int(closings.sum()):>10}")
    return 0
