"""Random, double-Q, MCTS and genetic at equal numbers of evaluations: the best reward so far, with bands over seeds.

Every agent builds whole expressions in compiled rounds; an evaluation is one expression scored on all rows. Direct
solvers, the bank and closing by value, which do most of the work in RSRM's search, are left out on purpose: here the
agents show what they learn from rewards alone.

    python examples/compare_agents.py [evaluations] [seeds]
"""

import sys
import time

import numpy as np

from rsrm.agents import DoubleQAgent, GeneticAgent, MCTSAgent, RandomAgent
from rsrm.benchmarks.catalogue import load_problem
from rsrm.grammar import make_limits
from rsrm.library import Library
from rsrm.problem import Problem

PROBLEMS = ("Nguyen-3", "Nguyen-8", "Nguyen-9")
AGENTS = {"random": RandomAgent, "double-Q": DoubleQAgent, "MCTS": MCTSAgent, "genetic": GeneticAgent}
POINTS = 12


def best_reward(agent):
    """Return the largest reward among the expressions that an agent has kept."""
    front = agent.front
    held = front.lengths > 0
    return float(np.max(agent.eta ** front.lengths[held] / (1.0 + front.loss[held]), initial=0.0))


def curve(kind, problem, limits, seed, marks):
    """Return the best reward after each number of evaluations in `marks`."""
    agent, rewards = kind(problem.library, limits, seed), []
    for episodes in np.diff(marks, prepend=0):
        agent.run_round(problem, int(episodes))
        rewards.append(best_reward(agent))
    return rewards


def main(evaluations=2000, seeds=6):
    """Play, print the table and draw."""
    marks = np.unique(np.geomspace(20, int(evaluations), POINTS).astype(int))
    results, start = {}, time.perf_counter()
    print(f"best reward after {marks[-1]:,} evaluations, mean (least .. largest) of {seeds} seeds")
    for name in PROBLEMS:
        known = load_problem(name)
        data = known.sample(0)
        library = Library(data.X_train.shape[1], known.operators, constants=False)
        problem = Problem(np.ascontiguousarray(data.X_train.T), data.y_train, library)
        limits = make_limits(library, max_size=20, max_depth=8, max_constants=0)
        for label, kind in AGENTS.items():
            runs = np.array([curve(kind, problem, limits, seed, marks) for seed in range(int(seeds))])
            results[name, label] = runs
            last = runs[:, -1]
            print(f"  {name:10s} {label:9s} {last.mean():.3f} ({last.min():.3f} .. {last.max():.3f})", flush=True)
    print(f"{time.perf_counter() - start:.0f} s")
    draw(marks, results)


def draw(marks, results):
    """Write compare_agents.png, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("pip install matplotlib draws the curves")
        return
    figure = Figure(figsize=(9.5, 3.2), layout="constrained")
    axes = figure.subplots(1, len(PROBLEMS), sharey=True)
    for ax, name in zip(axes, PROBLEMS, strict=True):
        for k, label in enumerate(AGENTS):
            runs = results[name, label]
            color = "0.5" if label == "random" else f"C{k - 1}"
            ax.plot(marks, runs.mean(0), color=color, label=label)
            ax.fill_between(marks, runs.min(0), runs.max(0), color=color, alpha=0.15, linewidth=0)
        ax.set(title=name, xscale="log", xlabel="evaluations", ylim=(0, 1))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("best reward so far")
    axes[0].legend(frameon=False, loc="lower right", fontsize=9)
    figure.savefig("compare_agents.png", dpi=100)
    print("curves in compare_agents.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
