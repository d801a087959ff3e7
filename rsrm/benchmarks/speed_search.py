"""Speed of whole searches: scored expressions a second of an island, Nguyen-1..11, two islands on two cores.

An island refuses an expression that it has scored before (as long as its hash is in a bounded table), so that its count
is one of distinct expressions. Half of the children of genetic refinement are refused; to breed, hash and look up one
costs as much as to score it. Of the rest, up to six terms (a scan each, and normal equations) cost twice as much as a
scaled expression. A context of the tree search counts as one expression, whatever the number of sub-trees that it is
compared with; that takes a third of a microsecond, less than to score a child.
"""

import time
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from rsrm.agents.genetic import ATTEMPTS, SCORED
from rsrm.agents.island import Island
from rsrm.benchmarks.catalogue import load_problem
from rsrm.benchmarks.timing import alternate, hard_problem
from rsrm.estimator import RSRM
from rsrm.islands import islands as play
from rsrm.problem import Problem

FIRST = 4000
"""Expressions scored before the clock starts: the population is full by then."""


def _rate(problem: Problem, evaluations: int, repeats: int, **modules: bool) -> dict[str, float]:
    """Return scored expressions per CPU second, median over seeds, and the share of attempts that were new."""
    rates, shares = [], []
    for seed in range(repeats):
        island = Island.create(problem, seed=seed, **modules)
        island.round(evaluations=FIRST)
        before, start = island.n_evaluations, time.process_time()
        island.round(evaluations=evaluations)
        rates.append((island.n_evaluations - before) / (time.process_time() - start))
        counters = island.genetic.counters
        if counters[ATTEMPTS]:
            shares.append(counters[SCORED] / counters[ATTEMPTS])
    return {"per_s": float(np.median(rates)), **({"new": float(np.median(shares))} if shares else {})}


def search(args) -> Iterator[dict]:
    """Count the distinct expressions that an island scores in a CPU second, on 20 rows."""
    variants = {"": {}, ", no tree search": {"use_mcts": False}, ", no genetic refinement": {"use_genetic": False}}
    for constants in (False, True):
        for n_variables in (1, 2, 5):
            problem = hard_problem(n_variables, constants)
            for name, modules in variants.items():
                with threadpool_limits(1):  # as a search has it
                    row = _rate(problem, args.evaluations // (4 if constants else 1), min(args.repeats, 5),
                                **modules)
                kind = "with" if constants else "no"
                yield {"what": f"search, {kind} constants, {n_variables} variables{name}", **row,
                       "target": 6e4 if constants else 1e6}


def nguyen(args) -> Iterator[dict]:
    """Time fits of Nguyen-1..11 to the exact formula, code compiled."""
    first_seen = []
    for k in range(1, 12):
        problem = load_problem(f"Nguyen-{k}")
        data = problem.sample(0)
        model = RSRM(operators=problem.operators, constants=bool(problem.constants), max_time=60, random_state=0)
        found = []

        def fit(model=model, data=data, found=found):
            found.append(model.fit(data.X_train, data.y_train).time_to_best_)
        seconds = alternate({"rsrm": fit}, min(args.repeats, 5))["rsrm"]
        first_seen.append(float(np.median(found[1:])))
        exact = model.score(data.X_test, data.y_test) > 1.0 - 1e-12
        yield {"what": problem.name, "s": first_seen[-1], "fit_s": float(np.median(seconds)), "exact": float(exact)}
    yield {"what": "Nguyen-1..11, median", "s": float(np.median(first_seen)), "target": 0.05}


def islands(args) -> Iterator[dict]:
    """Time two islands of a search on one thread and on two; the machine should have nothing else to do."""
    def playing(n_jobs):
        source = play(hard_problem(2, True), [], {}, np.inf, np.random.default_rng(0), lambda n: None, 2, n_jobs)
        return lambda: next(found for found in source if found is None)  # the end of a round

    with threadpool_limits(1):
        seconds = alternate({"one": playing(1), "two": playing(2)}, args.repeats, time.perf_counter)
    yield {"what": "two islands on two threads, times one", "ratio": float(np.median(seconds["one"] / seconds["two"])),
           "ratio_of_best": float(seconds["one"].min() / seconds["two"].min()), "target": 1.85}
