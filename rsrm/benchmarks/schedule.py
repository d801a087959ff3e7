"""The order of turns, learned: ``python -m rsrm.benchmarks schedule``.

On random laws of a seed that no suite has, every source of a search gets some turns alone, from where the quick stages
left the law; what each turn took and whether the law was there after it are written down. What a search would do under
any order of turns is then known without running it, but for what the sources give each other. Double Q-learning
(:mod:`rsrm.agents.scheduling`) plays these searches some hundred times over.

``--part 1/2`` and ``--part 2/2``, in two terminals, record every other law each.

The rows in ``examples/results/schedule.jsonl`` were written by drafts of this command, over several commits, on a slow
2-core AMD EPYC; what the replacements in a first turn took was deducted.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from rsrm import cascade
from rsrm.agents.scheduling import GAMMA, Schedule, Situation, most_turns
from rsrm.benchmarks.catalogue import Problem, random_suite
from rsrm.benchmarks.random_laws import RANDOM_SUITES
from rsrm.benchmarks.runner import append_row, read_rows
from rsrm.benchmarks.scoring import score
from rsrm.export import to_sympy
from rsrm.library import Library
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem as Task
from rsrm.schedule import FILE
from rsrm.search import Options, begin, search
from rsrm.turns import turn

SEED = 3001
"""Of the laws: the suites have another."""
NEAR = 1e-6
"""NRMSE of what is compared with the law."""
LIMIT = 14.0
"""Seconds after which a search that is played gives up."""
SWEEPS, EPSILON, ALPHA = 150, 0.25, 0.06
"""How often every search is played; the share of random actions and the step size at first, which fall to a tenth."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m rsrm.benchmarks schedule``."""
    parser.add_argument("log", type=Path, help="JSON lines: laws that are there are not recorded again")
    parser.add_argument("--laws", type=int, default=0, help="record so many laws of each random suite (default 0)")
    parser.add_argument("--part", default="1/1", help="K/N: every Nth law only, from the Kth (default 1/1)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the laws (default {SEED})")
    parser.add_argument("--out", type=Path, default=FILE, help="where the values go (default: where a search looks)")


def main(args: argparse.Namespace) -> int:
    """Record laws; without that learn from those that are there, and print what the order is worth."""
    if args.laws:
        part, parts = _part(args.part)
        done = {(row["suite"], row["index"], row["seed"]) for row in read_rows(args.log)}
        for index in range(part, args.laws + 1, parts):
            for suite in RANDOM_SUITES:
                if (suite, index, args.seed) not in done:
                    row = record(random_suite(suite, args.laws, args.seed)[index - 1])
                    append_row(args.log, {"suite": suite, "index": index, "seed": args.seed} | row)
        return 0
    laws = [law for row in read_rows(args.log) if "sources" in row and (law := Recorded.of(row)) is not None]
    if not laws:
        raise ValueError(f"log: {args.log} holds no law that the quick stages left")
    if any(law.names != laws[0].names for law in laws):
        raise ValueError(f"log: {args.log} holds laws of different sources; record them all with one version")
    folds = 5
    for name, of in (("learned on the others", lambda k: learn([r for r in laws if r.index % folds != k])),
                     ("round and round", lambda k: None)):
        schedules = [of(k) for k in range(folds)]
        times = np.array([play(law, schedules[law.index % folds]) for law in laws])
        print(f"{name:<24} found in 3 / 5 / 10 s: {(times < 3).sum()} / {(times < 5).sum()} / {(times < 10).sum()} of "
              f"{len(laws)}; mean of {GAMMA}**t: {np.mean(GAMMA**times):.3f}")
    schedule = learn(laws)
    values = schedule.q.mean(axis=0).reshape(len(schedule.names), -1).round(4).tolist()
    text = {"laws": len(laws), "seed": args.seed, "values": dict(zip(schedule.names, values, strict=True))}
    args.out.write_text(json.dumps(text).replace("], ", "],\n") + "\n", encoding="utf-8")
    return 0


def _part(text: str) -> tuple[int, int]:
    """Return K and N of ``K/N``."""
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError(f"part: expected K/N with 1 <= K <= N, as in 1/2, got {text}")
    return int(first), int(last)


def record(problem: Problem) -> dict[str, Any]:
    """Run the quick stages, then every source alone.

    Returns
    -------
    row : dict
        ``opening``, seconds of the quick stages; unless these found the law or took the way for noisy data also
        ``situation`` and ``sources``: by name the ``seconds`` of each turn, the number of the turn after which the law
        was ``found``, or None, and whether the source had ``ended``.
    """
    data = problem.sample(0)
    library = Library(len(problem.variables), DEFAULT_OPERATORS)
    task = Task(np.ascontiguousarray(data.X_train.T), data.y_train, library)
    state, row = begin(task), {}
    known: dict[bytes, bool] = {}

    def solved() -> bool:
        best = state.best
        if best.nrmse > NEAR:
            return False
        key = best.expression.tokens.tobytes() + best.expression.constants.tobytes()
        if key not in known:
            known[key] = score(problem.truth, to_sympy(best.expression), data.X_test).recovered
        return known[key]

    def one_by_one(sources: dict[str, Iterator], situation: Situation, deadline: float):
        row["opening"] = state.elapsed
        if solved():
            return
        row.update(situation=situation, sources={})
        pool = state.pool
        entries, seen, lowest = {n: list(c) for n, c in pool.entries.items()}, set(pool.seen), pool.best_loss()
        for name, source in sources.items():
            pool.entries, pool.seen = {n: list(c) for n, c in entries.items()}, set(seen)
            pool._lowest, pool._best = lowest, None
            seconds, found, ended = [], None, []
            for k in range(most_turns(name)):
                start = time.perf_counter()
                yield name, turn(source, ended)
                seconds.append(round(time.perf_counter() - start, 3))
                if solved():
                    found = k
                if ended or found is not None:
                    break
            row["sources"][name] = {"seconds": seconds, "found": found, "ended": bool(ended)}

    with (patch.multiple(cascade, learned_turns=one_by_one, noisy_stages=lambda *_: iter(())),
          threadpool_limits(1, "blas"), np.errstate(all="ignore")):
        for _ in search(task, Options(max_time=1e6, target_nrmse=-1.0, seed=1), state):
            pass
    return row or {"opening": state.elapsed}


class Recorded(NamedTuple):
    """A law that the quick stages left: what every turn of a source took, and which one found it (-1 for none)."""

    index: int
    situation: Situation
    opening: float
    names: tuple[str, ...]
    seconds: list[list[float]]
    found: list[int]

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Recorded | None":
        """Return a row of the log, or None if no source found the law: it tells no order from another."""
        names = tuple(sorted(row["sources"]))
        runs = [row["sources"][name] for name in names]
        found = [-1 if run["found"] is None else run["found"] for run in runs]
        if max(found) < 0:
            return None
        seconds = [run["seconds"] for run in runs]
        return cls(row["index"], Situation(*row["situation"]), row["opening"], names, seconds, found)


def play(law: Recorded, schedule: Schedule | None) -> float:
    """Return the seconds after which the law is found under a schedule, or, without one, by turns round and round."""
    turns, t = np.zeros(len(law.names), np.int64), law.opening
    while True:
        live = [a for a, seconds in enumerate(law.seconds) if turns[a] < len(seconds)]
        if not live:
            return np.inf
        if schedule is None:
            a = min(live, key=lambda a: turns[a])
        else:
            value = schedule.values(schedule.tiles(law.situation, turns))
            a = max(live, key=lambda a: value[a])
        t += law.seconds[a][turns[a]]
        if law.found[a] == turns[a]:
            return t
        turns[a] += 1


def learn(laws: Sequence[Recorded], sweeps: int = SWEEPS, seed: int = 0) -> Schedule:
    """Return the schedule that double Q-learning finds."""
    rng = np.random.default_rng(seed)
    schedule = Schedule(laws[0].names)
    for sweep in range(sweeps):
        left = 1.0 - 0.9 * sweep / sweeps
        for k in rng.permutation(len(laws)):
            _learn_one(laws[k], schedule, EPSILON * left, ALPHA * left, rng)
    return schedule


def _learn_one(law: Recorded, schedule: Schedule, epsilon: float, alpha: float, rng: np.random.Generator) -> None:
    """Play one search and learn from each of its turns."""
    turns, t = np.zeros(len(law.names), np.int64), law.opening
    live = np.array([len(seconds) > 0 for seconds in law.seconds])
    tiles = schedule.tiles(law.situation, turns)
    while True:
        if rng.random() < epsilon:
            a = int(rng.choice(np.flatnonzero(live)))
        else:
            a = int(np.argmax(np.where(live, schedule.values(tiles), -np.inf)))
        used, here = law.seconds[a][turns[a]], tiles
        t += used
        done = law.found[a] == turns[a]
        turns[a] += 1
        live[a] = turns[a] < len(law.seconds[a])
        over = done or t > LIMIT or not live.any()
        table = int(rng.integers(2))
        goal = GAMMA**used if done else 0.0
        if not over:
            tiles = schedule.tiles(law.situation, turns)
            best = int(np.argmax(np.where(live, schedule.values(tiles, table), -np.inf)))
            goal = GAMMA**used * float(schedule.values(tiles, 1 - table)[best])
        schedule.learn(table, here, a, goal, alpha)
        if over:
            return
