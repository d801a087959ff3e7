"""Steps per second of the environment beside gymnasium's CartPole: ``python -m rsrm.benchmarks env``.

Random legal actions are recorded first and replayed, so that choosing them is not timed. Seconds are those of the
processor, so that other programs count little; CartPole in the same run tells how fast the machine is.
"""

import argparse
import time

import gymnasium
import numpy as np

import rsrm.envs
from rsrm._jit import njit

ID = "rsrm/SymbolicRegression-v0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--copies", type=int, default=1024, help="copies in the vector environment (default 1024)")
    parser.add_argument("--rows", type=int, default=20, help="rows of data (default 20)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds per line (default 2)")


def main(args: argparse.Namespace) -> None:
    """Print steps and episodes a second of each environment."""
    for name, least in (("copies", 1), ("rows", 2)):
        if getattr(args, name) < least:
            raise ValueError(f"{name}: at least {least}, got {getattr(args, name)}")
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (args.rows, 2))
    data = {"X": X, "y": X[:, 0] * np.sin(X[:, 1]) + 1.0}
    rsrm.envs.register_all()
    print(f"{f'{args.copies} copies, {args.rows} rows, one core':<44}{'steps/s':>12}{'episodes/s':>12}")
    for title, env in (
        ("single", gymnasium.make(ID, constants=False, **data)),
        ("single, constants fitted", gymnasium.make(ID, **data)),
        ("single CartPole-v1", gymnasium.make("CartPole-v1")),
        ("vector", gymnasium.make_vec(ID, args.copies, constants=False, **data)),
        ("vector, context observed",
         gymnasium.make_vec(ID, args.copies, constants=False, observation="context", **data)),
        ("vector, constants fitted", gymnasium.make_vec(ID, args.copies, **data)),
        ("vector CartPole-v1 (SyncVectorEnv)", gymnasium.make_vec("CartPole-v1", args.copies, "sync")),
        ("vector CartPole-v1 (its own NumPy one)", gymnasium.make_vec("CartPole-v1", args.copies)),
    ):
        steps, episodes, seconds = _measure(env, args.seconds)
        print(f"  {title:<42}{steps / seconds:>12,.0f}{episodes / seconds:>12,.0f}", flush=True)


def _measure(env, limit):
    """Return (steps, episodes, seconds of the processor) of replayed random episodes; at most about `limit` seconds."""
    n = getattr(env, "num_envs", 1)
    # The first run compiles and chooses the actions; the environments are deterministic, so the same episodes follow.
    actions, _ = _run(env, max(20, 2000 // n))
    steps = episodes = spent = 0
    while spent < limit:
        start = time.process_time()
        _, ended = _run(env, len(actions), actions)
        spent += time.process_time() - start
        steps, episodes = steps + len(actions) * n, episodes + ended
    return steps, episodes, spent


def _run(env, n_steps, actions=None):
    """Step `env`, single or vector, from its start; return the actions, random legal ones by default, and episodes."""
    vector = hasattr(env, "num_envs")
    _, info = env.reset(seed=0)
    taken, episodes = [], 0
    for k in range(n_steps):
        action = _random_actions(env, info, k) if actions is None else actions[k]
        taken.append(action)
        _, _, terminated, truncated, info = env.step(action)
        if vector:
            episodes += np.count_nonzero(terminated | truncated)
        elif terminated or truncated:
            _, info = env.reset()
            episodes += 1
    return taken, episodes


def _random_actions(env, info, seed):
    n = getattr(env, "num_envs", 1)
    actions = np.random.default_rng(seed).integers(0, 2, n)
    if "action_mask" in info:
        choose(np.atleast_2d(info["action_mask"]), actions, seed)
    return actions if hasattr(env, "num_envs") else int(actions[0])


@njit
def choose(mask, actions, seed):
    """Write a random legal action of each row of `mask`, int8[N, K], into `actions`; 0 where none is legal."""
    np.random.seed(seed)
    for i in range(mask.shape[0]):
        legal = 0
        for t in range(mask.shape[1]):
            legal += mask[i, t]
        actions[i] = 0
        left = np.random.randint(max(legal, 1))
        for t in range(mask.shape[1] if legal else 0):
            left -= mask[i, t]
            if left < 0:
                actions[i] = t
                break
