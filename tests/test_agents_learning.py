"""Double Q-learning, tree search and closing by value: kernels against slow twins, faces against each other."""

import pickle

import gymnasium
import numpy as np
import pytest

import rsrm.envs  # noqa: F401
from rsrm import grammar
from rsrm.agents import DoubleQAgent, GeneticAgent, Island, MCTSAgent, RandomAgent, mcts
from rsrm.agents.closing import Closer, new_hole_work
from rsrm.agents.genetic import SIZE, new_genetic
from rsrm.agents.holes import fill, find_exact, nearest_shape, new_shapes, normalise, undo
from rsrm.agents.qlearning import choose, is_news, learn_path
from rsrm.agents.readout import error_of
from rsrm.agents.rng import below, new_rng
from rsrm.agents.seen import make_rules
from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.expression import subtree_end
from rsrm.library import Library
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "exp", "log", "sin", "sqrt", "square", "neg", "inv", "tanh")
LIBRARY = Library(2, OPERATORS, constants=False)
X = np.random.default_rng(1).uniform(0.3, 1.2, (2, 20))
PROBLEM = Problem(X, X[0] * X[1] + np.exp(X[0]), LIBRARY)


def test_double_q_moves_one_table_towards_the_others_value_and_the_return():
    rng, twin = new_rng(0), new_rng(0)
    q = np.random.default_rng(0).random((2, 6, 4))
    expected = q.copy()
    rows, actions = np.array([2, 5, 1]), np.array([3, 0, 2])
    learn_path(rng, q, rows, actions, 3, 0.7, 0.25, 0.6, 0.3)
    goal = 0.7
    for k in (2, 1, 0):
        a = below(twin, 2)
        if k < 2:
            goal = 0.6 * goal + 0.4 * expected[1 - a, rows[k + 1], np.argmax(expected[a, rows[k + 1]])]
        surprise = goal - expected[a, rows[k], actions[k]]
        expected[a, rows[k], actions[k]] += 0.25 * surprise * (1.0 if surprise > 0.0 else 0.3)
    assert np.allclose(q, expected, rtol=1e-14)


def test_policy_is_the_softmax_of_the_mean_table_over_legal_actions():
    q = np.zeros((2, 1, 4))
    q[0, 0], q[1, 0] = (0.1, 0.3, 0.9, 0.2), (0.3, 0.1, 0.9, 0.0)
    mask = np.array([1, 1, 0, 1], np.int8)
    rng = new_rng(0)
    draws = [choose(rng, q, 0, mask, 0.0, 0.1) for _ in range(8000)]
    p = np.exp(np.array([0.2, 0.2, -np.inf, 0.1]) / 0.1)
    assert np.allclose(np.bincount(draws, minlength=4) / 8000, p / p.sum(), atol=0.02)
    draws = [choose(rng, q, 0, mask, 1.0, 0.1) for _ in range(8000)]
    assert np.allclose(np.bincount(draws, minlength=4) / 8000, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.02)


@pytest.mark.parametrize("text", [
    "x1 + {}", "x1 - {}", "x1*{}", "x1/{}", "exp({})", "log({})", "sin({})", "sqrt({})", "{}**2", "-{}", "1/{}",
    "tanh({})", "sin(x0)*x1 - exp(x1*{})", "log(x0 + x1/sqrt({}))",
    # The hole as first argument, and constants on either side of it.
    "{} - x1", "{}/x1", "exp({} - x1*1.5)*2.5 + x0", "sqrt(3.5*({} + x1)/2.5)", "1.5*x1 - sin({}*0.5)/x1",
])
def test_a_context_is_undone_and_filled(text):
    library = Library(2, OPERATORS)
    whole = parse(text.format("(x0*x0)"), library)
    at = whole.expanded.tobytes().index(parse("x0*x0", library).expanded.tobytes()) // 2
    y = values(whole, X.T)[0]
    work = new_hole_work(30, 20)
    args = (whole.expanded, at, whole.constants, X, y, library.tables, work)
    levels = undo(*args)
    assert levels == nesting(whole, at) and np.allclose(work.hole, X[0] ** 2, rtol=1e-9)
    # dy/dh by a finite difference: the context over h + epsilon.
    step = 1e-6
    shifted = values(parse(text.format(f"(x0*x0 + {step})"), Library(2)), X.T)[0]
    assert np.allclose(work.slope, (shifted - y) / step, rtol=1e-3, atol=1e-5)
    # And something else in the hole: the whole is what writing it out gives.
    filled = values(parse(text.format("(0.25 + 0.5*x1)"), Library(2)), X.T)[0]
    error = fill(X[1], 0.25, 0.5, levels, y, np.std(y), work)
    assert error == pytest.approx(np.sqrt(np.mean((filled - y) ** 2)) / np.std(y), rel=1e-9)


def nesting(expression, at):
    """Return how many operators stand above a position of an expression."""
    return sum(k < at < subtree_end(expression.expanded, k, expression.library.tables.arity) for k in range(at))


def look_up(h, shapes):
    return find_exact(h, *normalise(h, shapes.probe), shapes)


def test_look_up_finds_what_brute_force_finds():
    rng = np.random.default_rng(3)
    table = rng.standard_normal((500, 20))
    shapes = new_shapes(X, X, table, rng)
    for entry in (0, 17, 499):
        found, a, b = look_up(3.0 - 0.7 * table[entry], shapes)
        assert found == entry and a == pytest.approx(3.0) and b == pytest.approx(-0.7)
    assert look_up(table[3] + 1e-5 * table[4], shapes)[0] == -1
    assert look_up(np.full(20, 2.5), shapes)[:2] == (-2, 2.5)
    # A look into the buckets with what is no number would read beyond their end.
    for key in (np.nan, np.inf):
        assert find_exact(table[0], 0.0, np.inf, key, shapes)[0] == -1
    huge = table[0] * 1e200
    assert look_up(huge, shapes)[0] < 0
    nothing = new_shapes(X, X, np.empty((0, 20)), rng)
    assert look_up(table[0], nothing)[0] == -1
    largest = shapes.probe - shapes.probe.mean()  # the largest key that there can be
    assert look_up(largest, shapes)[0] == -1 and look_up(largest, new_shapes(X, X, largest[None], rng))[0] == 0


def test_nearest_shape_is_weighted_least_squares():
    rng = np.random.default_rng(4)
    table, h, slope = rng.standard_normal((30, 20)), rng.standard_normal(20), rng.uniform(0.1, 2.0, 20)
    shapes = new_shapes(X, X, table, rng)
    fits = []
    for g in table:
        A = np.array([np.ones(20), g]).T * slope[:, None]
        solution = np.linalg.lstsq(A, h * slope, rcond=None)[0]
        fits.append((np.sum((h * slope - A @ solution) ** 2), *solution))
    entry, a, b = nearest_shape(h, slope, shapes, 30)
    assert entry == np.argmin([loss for loss, _, _ in fits])
    assert (a, b) == pytest.approx(fits[entry][1:])


def test_a_law_but_for_one_subtree_is_completed():
    library = Library(2, OPERATORS)
    law, wrong = "1.5*exp(x0*x1)/({} + x0) - x1", parse("1.5*exp(x0*x1)/(log(x0) + x0) - x1", library)
    y = values(parse(law.format("sin(x1)"), library), X.T)[0]
    problem = Problem(X, y, library)
    closer = Closer.create(problem, 30, None, np.random.default_rng(0))
    state = new_genetic(30, 10, [(1, 0)], make_rules())
    state.tokens[0, :wrong.complexity] = wrong.expanded
    state.constants[0, :len(wrong.constants)] = wrong.constants
    state.lengths[0], state.counters[SIZE] = wrong.complexity, 1
    asked, found = closer.complete(new_rng(0), state, 300)
    assert 0 < asked <= wrong.complexity, "what was asked before is not asked again"
    assert min(error for _, error in found) < 1e-9
    for expression, error in found:
        assert error_of(problem, expression) == pytest.approx(error, rel=1e-6, abs=1e-12)


def count_expressions(library, limits):
    """Return how many complete expressions the grammar allows, by walking all prefixes."""
    def walk(prefix):
        state, tokens = np.zeros(grammar.state_size(limits), np.int32), np.zeros(limits.max_size, np.int16)
        grammar.reset(state, limits)
        for t in prefix:
            if grammar.append(state, tokens, t, limits):
                return 1
        mask = np.zeros(len(library), np.int8)
        grammar.legal_actions(state, limits, mask)
        return sum(walk([*prefix, t]) for t in np.flatnonzero(mask))
    return walk([])


def test_tree_search_judges_every_expression_once_and_then_stops():
    library = Library(2, ("add", "sin"), constants=False, literals=False)
    limits = grammar.make_limits(library, max_size=4, max_depth=4)
    agent = MCTSAgent(library, limits, 0)
    agent.capacity = 5000
    agent.reset(0)
    total = count_expressions(library, limits)
    judged = agent.run_round(Problem(X, X[0], library), 20 * total)
    assert judged < 20 * total and agent.tree.exhausted[mcts.ROOT]
    tree = agent.tree
    # Statistics are consistent: a node was visited as often as its children, plus once when it was made.
    for node in range(int(tree.count[0])):
        children = tree.children[node][tree.children[node] >= 0]
        if len(children) and node != mcts.ROOT:
            assert 0 <= tree.visits[node] - tree.visits[children].sum() <= 1
            assert tree.best[node] >= tree.best[children].max()
    terminal = [n for n in range(int(tree.count[0])) if tree.exhausted[n] and (tree.children[n] < 0).all()]
    assert len(terminal) == total


ENV = {"max_size": 15, "max_depth": 6, "operators": OPERATORS, "constants": False}


def play(env, agent, episodes):
    gains = []
    for _ in range(episodes):
        observation, info = env.reset()
        done = False
        while not done:
            action = agent.act(observation, info)
            assert info["action_mask"][action] == 1
            observation, gain, done, _, info = env.step(action)
            agent.learn(gain, done)
        gains.append(gain)
    return np.array(gains)


@pytest.mark.parametrize("kind", [RandomAgent, DoubleQAgent, GeneticAgent])
def test_both_faces_write_the_same_expressions(kind):
    env = gymnasium.make("rsrm/SymbolicRegression-v0", X=X.T, y=PROBLEM.y, n_slots=LIBRARY.capacity, **ENV)
    limits = grammar.make_limits(LIBRARY, max_size=15, max_depth=6)
    by_steps = play(env, kind(env.unwrapped.library, limits, 7), 120)
    at_once = kind(LIBRARY, limits, 7).run_round(PROBLEM, 120)
    assert np.allclose(by_steps, at_once, rtol=1e-9, atol=1e-12)
    assert len(np.unique(by_steps)) > 20


def test_tree_search_agrees_with_the_environment_too():
    env = gymnasium.make("rsrm/SymbolicRegression-v0", X=X.T, y=PROBLEM.y, n_slots=LIBRARY.capacity, **ENV)
    limits = grammar.make_limits(LIBRARY, max_size=15, max_depth=6)
    by_steps, at_once = MCTSAgent(LIBRARY, limits, 7), MCTSAgent(LIBRARY, limits, 7)
    play(env, by_steps, 300)
    assert at_once.run_round(PROBLEM, 300) == 300
    n = int(at_once.tree.count[0])
    assert by_steps.tree.count[0] == n
    assert np.array_equal(by_steps.tree.visits[:n], at_once.tree.visits[:n])
    assert np.allclose(by_steps.tree.total[:n], at_once.tree.total[:n], rtol=1e-9)
    assert np.array_equal(by_steps.tree.exhausted[:n], at_once.tree.exhausted[:n])
    assert np.allclose(by_steps.q, at_once.q, rtol=1e-9)


def test_double_q_learns_what_random_does_not_know():
    limits = grammar.make_limits(LIBRARY, max_size=15, max_depth=6)
    last = {kind: np.mean([kind(LIBRARY, limits, seed).run_round(PROBLEM, 4000)[-1000:].mean() for seed in range(3)])
            for kind in (RandomAgent, DoubleQAgent)}
    assert last[DoubleQAgent] > 1.2 * last[RandomAgent]


def best_reward(kind, limits, seed):
    """Return the best reward of an agent after 2,000 episodes."""
    agent = kind(LIBRARY, limits, seed)
    agent.run_round(PROBLEM, 2000)
    held = agent.front.lengths > 0
    return np.max(agent.eta ** agent.front.lengths[held] / (1.0 + agent.front.loss[held]))


def test_learning_agents_find_better_expressions_than_chance():
    limits = grammar.make_limits(LIBRARY, max_size=15, max_depth=6)
    best = {kind: np.mean([best_reward(kind, limits, seed) for seed in range(8)])
            for kind in (RandomAgent, DoubleQAgent, MCTSAgent)}
    assert best[DoubleQAgent] > best[RandomAgent] + 0.01 and best[MCTSAgent] > best[RandomAgent] + 0.05


def test_an_expression_written_before_is_no_news():
    table = np.zeros(1 << 10, np.uint64)
    assert is_news(table, np.array([3, 1, 2]), 3) and is_news(table, np.array([3, 2, 1]), 3)
    assert not is_news(table, np.array([3, 1, 2]), 3)
    assert is_news(table, np.array([3, 1, 2]), 2), "only the first steps count"


def test_an_island_of_tree_search_closes_holes_by_value():
    y = np.sin(X[0] ** 2) * np.exp(X[1]) - X[0]
    island = Island.create(Problem(X, y, LIBRARY), seed=0, use_genetic=False)
    island.round(evaluations=60000)
    expression, error = island.pareto()[-1]
    assert error < 1e-9 and island.n_evaluations < 60000
    assert np.allclose(values(expression, X.T)[0], y)
    copy = pickle.loads(pickle.dumps(island))
    assert copy.hall == island.hall


def test_an_island_needs_an_agent():
    with pytest.raises(ValueError, match="use_genetic"):
        Island.create(PROBLEM, use_genetic=False, use_mcts=False)
