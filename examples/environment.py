"""An agent from outside learns on the environment: a table of logits, trained by risk-seeking policy gradients.

The agent is thirty lines of NumPy and knows nothing of this package but the observation and the action mask. It sees
the context (parent and sibling of the argument to be filled), draws a token from softmax(table[parent, sibling]), and
after every batch makes what the best twentieth of the episodes did more probable (after Petersen et al., "Deep
symbolic regression", ICLR 2021). Beside it runs the same agent without learning: a random one. Of five seeds three
found Nguyen-10 within 25,000 episodes; the others settled on something near.

    python examples/environment.py [problem] [seconds]
"""

import sys
import time

import gymnasium
import numpy as np

import rsrm.envs

COPIES, BEST, RATE, ENTROPY = 1024, 0.05, 1.0, 0.5
FOUND = 1e-9  # NRMSE of a law that is exact up to rounding


class TableAgent:
    """Softmax policy over a table of logits, one row for each (parent, sibling)."""

    def __init__(self, n_actions, rate, rng):
        self.table = np.zeros((n_actions + 1, n_actions + 1, n_actions))
        self.rate, self.rng = rate, rng

    def probabilities(self, rows, masks):
        logits = np.where(masks > 0, self.table[rows[:, 0], rows[:, 1]], -np.inf)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def act(self, observations, masks):
        cumulative = np.cumsum(self.probabilities(observations[:, 1:3] + 1, masks), axis=1)
        cumulative[:, -1] = 1.0
        return (self.rng.random(len(masks))[:, None] < cumulative).argmax(1)

    def learn(self, observations, masks, actions, advantages):
        """One step of gradient ascent on ``sum(advantage * log p(action)) + ENTROPY * mean(entropy)``."""
        rows = observations[:, 1:3] + 1
        p = self.probabilities(rows, masks)
        log_p = np.log(np.maximum(p, 1e-12))
        gradient = -p * (log_p - (p * log_p).sum(1, keepdims=True)) * (ENTROPY / len(p)) - advantages[:, None] * p
        gradient[np.arange(len(actions)), actions] += advantages
        np.add.at(self.table, (rows[:, 0], rows[:, 1]), self.rate * gradient)


def play(envs, agent):
    """Play one episode in every copy; return rewards, the best (expression, NRMSE), and the steps of all.

    What the copies that ended first play meanwhile is not looked at.
    """
    observations, infos = envs.reset()
    running = np.ones(envs.num_envs, bool)
    rewards, best, steps = np.zeros(envs.num_envs), ("", np.inf), []
    while running.any():
        masks = infos["action_mask"]
        copies = np.flatnonzero(running)
        actions = np.zeros(envs.num_envs, np.int64)
        actions[copies] = agent.act(observations[copies], masks[copies])
        steps.append((copies, observations[copies], masks[copies], actions[copies]))
        observations, gains, ended, _, infos = envs.step(actions)
        ended &= running
        rewards[ended] = gains[ended]
        if ended.any():
            i = np.flatnonzero(ended)[infos["nrmse"][ended].argmin()]
            if infos["nrmse"][i] < best[1]:
                best = infos["infix"][i], float(infos["nrmse"][i])
        running &= ~ended
    return rewards, best, steps


def train(envs, agent, seconds):
    """Learn for some seconds or until a law is found; return the history and the best expression."""
    history, best = [], ("", np.inf)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds and best[1] > FOUND:
        rewards, found, steps = play(envs, agent)
        best = min(best, found, key=lambda pair: pair[1])
        threshold = np.quantile(rewards, 1 - BEST)
        history.append(((len(history) + 1) * COPIES, rewards.mean(), threshold, best[1]))
        advantages = np.where(rewards > threshold, (rewards - threshold) / (rewards.max() - threshold + 1e-12), 0.0)
        if agent.rate:
            copies, observations, masks, actions = (np.concatenate(parts) for parts in zip(*steps, strict=True))
            agent.learn(observations, masks, actions, advantages[copies] / max(advantages.sum(), 1e-12))
        if len(history) % 25 == 1 or best[1] <= FOUND:
            print(f"  {history[-1][0]:>9,} episodes   mean reward {rewards.mean():.3f}   "
                  f"best twentieth {threshold:.3f}   NRMSE {best[1]:.2e}   {best[0][:60]}", flush=True)
    return history, best


def main(problem="Nguyen-10", seconds=15.0):
    """Compare the learning agent with a random one on a problem of the catalogue."""
    rsrm.envs.register_all()
    envs = gymnasium.make_vec("rsrm/SymbolicRegression-v0", COPIES, problem=problem, observation="context", max_size=20)
    histories = {}
    for name, rate in (("random", 0.0), ("learning", RATE)):
        print(f"{name} agent on {problem}")
        agent = TableAgent(int(envs.single_action_space.n), rate, np.random.default_rng(0))
        histories[name], best = train(envs, agent, float(seconds))
        print(f"  best: {best[0]}   NRMSE {best[1]:.2e}\n")
    draw(histories, problem)


def draw(histories, problem):
    """Write the learning curves to environment.png, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("pip install matplotlib draws the learning curves")
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="episodes", ylabel="reward", xscale="log",
                              title=f"{problem}: mean reward, best twentieth (thin), law found (star)")
    for color, (name, history) in zip(("0.5", "C0"), histories.items(), strict=True):
        episodes, mean, best, error = np.array(history).T
        axes.plot(episodes, mean, color=color, label=name)
        axes.plot(episodes, best, color=color, linewidth=0.7)
        if error[-1] < FOUND:
            axes.plot(episodes[-1], best[-1], "*", color=color, markersize=12)
    axes.legend(frameon=False)
    figure.savefig("environment.png", dpi=120)
    print("learning curves in environment.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
