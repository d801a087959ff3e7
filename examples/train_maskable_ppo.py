"""sb3-contrib's MaskablePPO learns to write expressions, against an agent that draws legal tokens at random.

    pip install 'rsrm[rl]'
    python examples/train_maskable_ppo.py [problem] [steps]
"""

import sys
import time

import gymnasium
import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

import rsrm.envs  # noqa: F401 - registers the environments

COPIES = 16


class OneHot(gymnasium.ObservationWrapper):
    """The context observation for networks: last action, parent and sibling as one-hot, depth and slots as shares."""

    def __init__(self, env):
        super().__init__(env)
        self.k = int(env.action_space.n)
        self.high = env.observation_space.high[3:].astype(np.float32)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (3 * (self.k + 1) + 2,), np.float32)

    def observation(self, observation):
        out = np.zeros((3, self.k + 1), np.float32)
        out[np.arange(3), observation[:3] + 1] = 1.0
        return np.concatenate([out.ravel(), observation[3:] / self.high])

    def action_masks(self):
        return self.env.unwrapped.action_masks().astype(bool)


def make(problem):
    """Return one copy of the environment."""
    return OneHot(gymnasium.make("rsrm/SymbolicRegression-v0", problem=problem, observation="context", max_size=20,
                                 max_depth=8))


class Recorder(BaseCallback):
    """Notes the reward and the law of every episode that ends."""

    def __init__(self):
        super().__init__()
        self.rewards, self.best, self.law = [], -1.0, ""

    def _on_step(self):
        for reward, done, info in zip(self.locals["rewards"], self.locals["dones"], self.locals["infos"], strict=True):
            if done:
                self.rewards.append(float(reward))
                if reward > self.best:
                    self.best, self.law = float(reward), info["infix"]
        return True


def random_rewards(problem, episodes):
    """Return the rewards of random legal episodes."""
    env, rng, rewards = make(problem), np.random.default_rng(0), []
    for _ in range(episodes):
        env.reset()
        over = False
        while not over:
            _, reward, over, _, _ = env.step(rng.choice(np.flatnonzero(env.action_masks())))
        rewards.append(reward)
    return np.array(rewards)


def main(problem="Nguyen-7", steps=50_000):
    """Train, print and draw."""
    recorder, start = Recorder(), time.perf_counter()
    envs = DummyVecEnv([lambda: make(problem)] * COPIES)
    model = MaskablePPO("MlpPolicy", envs, n_steps=128, batch_size=512, n_epochs=6, learning_rate=1e-3, gamma=1.0,
                        gae_lambda=1.0, ent_coef=0.02, seed=0, device="cpu")
    model.learn(int(steps), callback=recorder)
    learned = np.array(recorder.rewards)
    random = random_rewards(problem, min(len(learned), 5000))
    tenth = max(1, len(learned) // 10)
    print(f"{problem}: {len(learned):,} episodes in {time.perf_counter() - start:.0f} s\n"
          f"  random       mean reward {random.mean():.3f}, best {random.max():.3f}\n"
          f"  MaskablePPO  mean reward {learned[:tenth].mean():.3f} in the first tenth, "
          f"{learned[-tenth:].mean():.3f} in the last, best {recorder.best:.3f}: {recorder.law}")
    draw(problem, learned, random)


def draw(problem, learned, random):
    """Write the learning curve to maskable_ppo.png."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    ax = figure.add_subplot(xlabel="episodes", ylabel="reward", title=f"MaskablePPO on {problem}")
    chunks = np.array_split(learned, 40)
    ends = np.cumsum([len(c) for c in chunks])
    ax.plot(ends, [c.mean() for c in chunks], color="C0", label="MaskablePPO, mean")
    ax.fill_between(ends, [np.quantile(c, 0.1) for c in chunks], [np.quantile(c, 0.9) for c in chunks], color="C0",
                    alpha=0.15, linewidth=0, label="MaskablePPO, 10% to 90%")
    ax.axhline(random.mean(), color="0.5", label="random, mean")
    ax.axhline(np.quantile(random, 0.9), color="0.5", linestyle=":", label="random, 90%")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig("maskable_ppo.png", dpi=100)
    print("learning curve in maskable_ppo.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
