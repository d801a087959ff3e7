"""An agent of your own: by hand on the environment, in RSRM's search, and as one phase of the tree search.

An agent is any object with three methods. This one remembers, for each parent operator, how well episodes did that
wrote a token below it, and prefers what did well: some twenty lines of NumPy.

    python examples/custom_agent.py [problem] [episodes] [seconds of the search]
"""

import sys

import gymnasium
import numpy as np

import rsrm.envs  # noqa: F401 - registers the environments
from rsrm import RSRM
from rsrm.agents import MCTSAgent, RandomAgent, play
from rsrm.export import infix


class ParentAgent:
    """Draws the next token from a softmax over the mean reward of (last token, next token) in the better episodes."""

    def __init__(self, temperature=0.05, share=0.2):
        self.temperature, self.share = temperature, share

    def reset(self, seed):
        self.rng = np.random.default_rng(seed)
        self.value, self.steps, self.rewards = {}, [], []

    def act(self, observation, info):
        last = max((int(t) for t in observation[observation >= 0][-1:]), default=-1)
        legal = np.flatnonzero(info["action_mask"])
        values = np.array([self.value.get((last, int(t)), 0.0) for t in legal])
        weights = np.exp((values - values.max()) / self.temperature) + 0.05
        action = int(self.rng.choice(legal, p=weights / weights.sum()))
        self.steps.append((last, action))
        return action

    def learn(self, reward, terminated):
        if not terminated:
            return
        self.rewards.append(reward)
        good = reward >= np.quantile(self.rewards[-200:], 1.0 - self.share)
        for step in self.steps if good else ():
            self.value[step] = self.value.get(step, 0.0) + 0.1 * (reward - self.value.get(step, 0.0))
        self.steps = []


class CuriousMCTS(MCTSAgent):
    """The tree search with one phase replaced: every fifth simulated token is drawn uniformly."""

    def simulate(self, row, mask):
        if self._steps % 5 == 0:
            return int(np.flatnonzero(mask)[int(self.rng[0]) % int(mask.sum())])
        return super().simulate(row, mask)


def main(problem="Nguyen-7", episodes=3000, seconds=5):
    """Play by hand with four agents, then hand one of them to the search."""
    env = gymnasium.make("rsrm/SymbolicRegression-v0", problem=problem, max_size=20, max_depth=8)
    library, limits = env.unwrapped.library, env.unwrapped.limits
    own = ParentAgent()
    own.reset(0)
    agents = {"random": RandomAgent(library, limits, 0), "own": own, "MCTS": MCTSAgent(library, limits, 0),
              "MCTS, one phase replaced": CuriousMCTS(library, limits, 0)}
    print(f"{problem}, {episodes} episodes each")
    for name, agent in agents.items():
        returns, best = play(env, agent, int(episodes))
        print(f"  {name:25s} mean reward {returns.mean():.3f}, last tenth {returns[-len(returns) // 10:].mean():.3f}, "
              f"best {returns.max():.3f}: {best['infix'][:60]}")

    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, (40, 2))
    y = X[:, 0] * np.sin(X[:, 1]) + 0.1 * rng.standard_normal(40)
    model = RSRM(agent=ParentAgent(), max_time=float(seconds), random_state=0).fit(X, y)
    print("\nRSRM(agent=...), data with noise: the front, by the source that wrote it")
    for candidate in model.front_:
        print(f"  {candidate.stage:10s} NRMSE {candidate.nrmse:.3f}   {infix(candidate.expression, 4)[:70]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
