"""Agents for researchers: one small protocol, a step-by-step face and a compiled face that agree.

By hand, over any environment with token observations::

    env = gymnasium.make("rsrm/SymbolicRegression-v0", problem="Nguyen-7")
    agent = DoubleQAgent(env.unwrapped.library, env.unwrapped.limits, seed=0)
    observation, info = env.reset()
    done = False
    while not done:
        action = agent.act(observation, info)
        observation, reward, done, _, info = env.step(action)
        agent.learn(reward, done)

Whole rounds in one compiled call: ``agent.run_round(problem, episodes)``. Both faces consume the same random numbers,
so that they write the same expressions.
"""

from typing import Protocol

import numpy as np

from rsrm import grammar
from rsrm.agents import mcts
from rsrm.agents.genetic import SIZE, Settings, breed, compete, new_front, new_genetic
from rsrm.agents.qlearning import (
    CAUTION, TRACE, abstract, choose, is_news, judge, learn_path, new_tables, new_work, run_episodes,
)
from rsrm.agents.rng import new_rng
from rsrm.agents.scoring import RAW, Data, new_data, new_scratch
from rsrm.agents.seen import fingerprint, make_rules, refuse
from rsrm.agents.variation import new_alphabet
from rsrm.library import Library
from rsrm.metrics import reward
from rsrm.problem import Problem


class Agent(Protocol):
    """What a search asks of an agent."""

    def act(self, observation: np.ndarray, info: dict) -> int:
        """Return a legal action for a prefix of tokens (padded with -1); ``info["action_mask"]`` says what is legal."""

    def learn(self, reward: float, terminated: bool) -> None:
        """Take in the reward of the last action."""

    def reset(self, seed) -> None:
        """Forget everything and start from `seed`."""


def plain_data(problem: Problem) -> Data:
    """Return a problem as scoring data with the target as it is and equal weights."""
    return new_data(problem.X, problem.y[None], np.ones((1, problem.n_rows)), np.random.default_rng(0))


class RandomAgent:
    r"""Draws uniformly among the legal actions: ``p(a) = mask_a / sum(mask)``.

    Parameters
    ----------
    library : Library
    limits : rsrm.grammar.Limits
        Those of the environment.
    seed : int, SeedSequence or Generator
    """

    epsilon, temperature, alpha, eta = 1.0, 1.0, 0.0, 0.99
    learns = False

    def __init__(self, library: Library, limits: grammar.Limits, seed=None):
        self.library, self.limits = library, limits
        self.work = new_work(limits)
        self.reset(seed)

    def reset(self, seed) -> None:
        """Forget everything and start from `seed`."""
        self.rng = new_rng(seed)
        self.q = new_tables(len(self.library))
        self.front = new_front(self.limits.max_size)
        self.work.written[:] = 0
        self._steps = 0

    def act(self, observation, info) -> int:
        """Return a legal action for a prefix of tokens."""
        row = self._look(observation)
        t = choose(self.rng, self.q, row, info["action_mask"], self.epsilon, self.temperature)
        return self._note(row, t)

    def learn(self, reward: float, terminated: bool) -> None:
        """Take in the reward of the last action; learning happens at the end of an episode."""
        if terminated:
            if self.learns:
                news = is_news(self.work.written, self.work.actions, self._steps)
                learn_path(self.rng, self.q, self.work.rows, self.work.actions, self._steps,
                           float(reward) if news else 0.0, self.alpha, TRACE, CAUTION)
            self._steps = 0

    def run_round(self, problem: Problem, episodes: int) -> np.ndarray:
        """Run whole episodes in one compiled call; return their rewards, float64[episodes].

        The best expressions per complexity are kept in ``self.front``.
        """
        gains = np.zeros(episodes)
        run_episodes(self.rng, self.q, self.learns, self.epsilon, self.temperature, self.alpha, self.eta, RAW,
                     self.limits, self.library.tables, plain_data(problem),
                     new_scratch(self.limits.max_size, problem.n_rows), self.front, self.work, gains)
        return gains

    def _look(self, observation) -> int:
        """Replay the prefix; return the Q-table row of its next slot."""
        if np.shape(observation) != (self.limits.max_size,):
            raise ValueError(f"observation: agents read prefixes of tokens, shape ({self.limits.max_size},), got shape "
                             f"{np.shape(observation)}; make the environment with observation='tokens'")
        state, tokens = self.work.state, self.work.tokens
        grammar.reset(state, self.limits)
        for t in observation:
            if t < 0:
                break
            grammar.append(state, tokens, int(t), self.limits)
        return int(abstract(*grammar.context(state, self.limits), len(self.library)))

    def _note(self, row: int, action: int) -> int:
        self.work.rows[self._steps], self.work.actions[self._steps] = row, action
        self._steps += 1
        return int(action)


class DoubleQAgent(RandomAgent):
    r"""Double Q-learning over s = (parent, sibling, depth, open slots); see :mod:`rsrm.agents.qlearning`.

    Of two tables one, drawn at random and called A here, learns each step of an episode from the other (van Hasselt,
    "Double Q-learning", NeurIPS 2010), the last one first::

        G = (1 - lambda) Q_B(s', argmax_a' Q_A(s', a')) + lambda G'         G = R at the end
        Q_A(s, a) += alpha * (G - Q_A(s, a))                                where bad surprises count a fifth

    An expression that the agent wrote before is learned as R = 0, so that it goes on to others.

    Actions are drawn from ``softmax((Q_A + Q_B) / (2 temperature))`` over the legal ones, with probability `epsilon`
    uniformly.
    """

    epsilon, temperature, alpha = 0.1, 0.05, 0.3
    learns = True


class MCTSAgent(RandomAgent):
    """Monte Carlo tree search with double Q-learning as prior and policy; see :mod:`rsrm.agents.mcts`.

    Selection takes the action of the largest ``(Q_mean + Q_best)/2 + c P(a) sqrt(N)/(1 + n_a)``, where Q_mean and
    Q_best are the mean and the best reward below, N and n_a visits, and ``P = softmax(Q / temperature)`` comes from the
    double-Q tables; simulation draws from the same softmax.

    The four phases are methods; replace one of them in a subclass and run the step-by-step face::

        class UniformSimulation(MCTSAgent):
            def simulate(self, row, mask):
                return int(choose(self.rng, self.q, row, mask, 1.0, 1.0))

    """

    policy = mcts.POLICY
    capacity = 20_000

    def reset(self, seed) -> None:
        """Forget everything and start from `seed`."""
        super().reset(seed)
        self.tree = mcts.new_tree(len(self.library), self.capacity)
        self._begin()

    def act(self, observation, info) -> int:
        """Return a legal action: selection and expansion inside the tree, simulation outside."""
        row, mask = self._look(observation), info["action_mask"]
        if self._steps == 0 and self.tree.count[0] >= self.capacity:
            mcts.clear(self.tree)
        if self._in_tree:
            t = self.select(self._nodes[-1], row, mask)
            if t < 0:
                self._in_tree = False
                t = self.simulate(row, mask)
            else:
                child = int(self.tree.children[self._nodes[-1], t])
                if child == mcts.UNVISITED:
                    child = self.expand(self._nodes[-1], t)
                    self._in_tree = False
                if child != mcts.UNVISITED:
                    self._nodes.append(child)
        else:
            t = self.simulate(row, mask)
        return self._note(row, t)

    def select(self, node: int, row: int, mask) -> int:
        """Selection: the action of the largest upper bound, -1 if all below was judged."""
        return int(mcts.select(self.tree, node, self.q, row, mask, self.policy, self.work.prior))

    def expand(self, node: int, action: int) -> int:
        """Expansion: the new node."""
        return int(mcts.expand_node(self.tree, node, action))

    def simulate(self, row: int, mask) -> int:
        """Simulation: the next action of the double-Q policy."""
        return int(choose(self.rng, self.q, row, mask, self.policy.epsilon, self.policy.temperature))

    def backpropagate(self, nodes: np.ndarray, gain: float) -> None:
        """Backpropagation: tree statistics and Q tables."""
        mcts.backpropagate(self.tree, nodes, len(nodes), gain)
        learn_path(self.rng, self.q, self.work.rows, self.work.actions, self._steps, gain, self.policy.alpha,
                   TRACE, CAUTION)

    def learn(self, reward: float, terminated: bool) -> None:
        """Take in the reward of the last action."""
        if not terminated:
            return
        nodes = np.array(self._nodes, np.int64)
        self.backpropagate(nodes, float(reward))
        if self._steps == len(nodes) - 1:
            self.tree.exhausted[nodes[-1]] = True
            tokens = self.work.actions[:self._steps].astype(np.int16)
            mcts.close_exhausted(self.tree, nodes, len(nodes), self.work.state,
                                 np.concatenate([tokens, tokens[:1]]), self.limits, self.work.mask)
        self._steps = 0
        self._begin()

    def run_round(self, problem: Problem, episodes: int) -> int:
        """Run whole episodes in one compiled call; return how many (fewer once everything was judged)."""
        return mcts.run_round(self.rng, self.tree, self.q, self.policy, RAW, self.limits, self.library.tables,
                              plain_data(problem), new_scratch(self.limits.max_size, problem.n_rows), self.front,
                              self.work, episodes)

    def _begin(self):
        self._nodes, self._in_tree = [mcts.ROOT], True


class GeneticAgent(RandomAgent):
    r"""Steady-state evolution, one child an episode; see :mod:`rsrm.agents.genetic`.

    With the reward R of an expression as its fitness and a population P of at most `population`, an episode writes

        c = cross(a, b)  with probability `crossover`,  else  c = mutate(a)
        a = argmax_{x in T} R(x),  b = argmax_{x in T'} R(x),   T, T' of `tournament` members drawn from P

    where cross puts a sub-tree of b in the place of one of a, and mutate changes a token, or a sub-tree, at random.
    Then, with V of three members drawn from P,

        v = argmin_{x in V} R(x),   P <- P - {v} + {c}   if R(c) > R(v)

    and P <- P + {c} as long as there is room. Children that were scored before are not scored again.

    The child is bred at the first step and then written token by token; a token that the environment does not allow is
    replaced by a random legal one, after which the rest of the episode is random.
    """

    population, tournament, crossover = 200, 3, 0.45

    def reset(self, seed) -> None:
        """Forget everything and start from `seed`."""
        super().reset(seed)
        self._state = new_genetic(self.limits.max_size, self.population, [(RAW, 0)], make_rules(), 14)
        self._settings = Settings(self.limits.max_depth, 0, self.tournament, self.crossover, 0.0, 0.0, 0.0, 4, False,
                                  self.library.constant)
        self._alphabet = new_alphabet(self.library)
        self._plan: list[int] = []

    def act(self, observation, info) -> int:
        """Return the next token of the child, or a random legal one where that is not allowed."""
        row, mask = self._look(observation), info["action_mask"]
        if self._steps == 0:
            self._plan = self._breed()
        t = self._plan[self._steps] if self._steps < len(self._plan) else -1
        if t < 0 or mask[t] == 0:
            self._plan = []
            t = int(choose(self.rng, self.q, row, mask, 1.0, 1.0))
        return self._note(row, t)

    def learn(self, reward: float, terminated: bool) -> None:
        """At the end of an episode, let the expression take the place of a tournament's loser."""
        if not terminated:
            return
        s, size = self._state, int(self._state.counters[SIZE])
        victim = size if size < self.population else int(compete(self.rng, s.fitness, size, 3, -1.0))
        if -reward < s.fitness[victim]:
            s.tokens[victim, :self._steps] = self.work.actions[:self._steps]
            s.lengths[victim] = self._steps
            s.fitness[victim] = -reward
            s.counters[SIZE] = max(size, victim + 1)
        self._steps = 0

    def run_round(self, problem: Problem, episodes: int) -> np.ndarray:
        """Write whole expressions one after the other; return their rewards, float64[episodes]."""
        data, scratch = plain_data(problem), new_scratch(self.limits.max_size, problem.n_rows)
        gains, mask = np.zeros(episodes), np.zeros(len(self.library), np.int8)
        for episode in range(episodes):
            tokens = np.full(self.limits.max_size, -1, np.int16)
            done = False
            while not done:
                self._look(tokens)
                grammar.legal_actions(self.work.state, self.limits, mask)
                step = self._steps
                tokens[step] = self.act(tokens, {"action_mask": mask})
                done = grammar.append(self.work.state, self.work.tokens, tokens[step], self.limits)
            error = judge(tokens, self._steps, self.work.expanded, self.work.constants, RAW, self.library.tables, data,
                          scratch, self.front)
            gains[episode] = reward(self._steps, error, self.eta)
            self.learn(gains[episode], True)
        return gains

    def _breed(self) -> list[int]:
        """Return the tokens of a child that was not scored before, or of the last one tried."""
        s, a = self._state, self._alphabet
        tables = self.library.tables
        for _ in range(100):
            n, _, _ = breed(self.rng, s.tokens, s.lengths, s.constants, s.fitness, int(s.counters[SIZE]), a.symbols,
                            a.fragments, a.constants, tables.arity, self._settings, s.child, s.child_constants)
            if n > 0:
                key, _ = fingerprint(s.child, n, s.rules, tables, s.hashes, s.contents, s.depths)
                if not refuse(s.token_keys, np.uint64(key), n):
                    break
        return s.child[:max(n, 0)].tolist()
