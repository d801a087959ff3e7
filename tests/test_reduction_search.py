"""The tree search over reductions: laws, bookkeeping of the tree, and agreement with the environment."""

from itertools import islice
from time import perf_counter

import gymnasium
import numpy as np
import pytest
import sympy as sp

import rsrm.envs  # noqa: F401
from rsrm.agents.reduction import N_STATES, Policy, ReductionSearch
from rsrm.closings import CHEAP, CLOSINGS, decades
from rsrm.export import infix, to_sympy
from rsrm.library import Library
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos")
FEW = {name: CLOSINGS[name] for name in CHEAP}
TEXT = "x0**2*sin(x1 + x2)"


def given(text=TEXT, n=3, rows=160, noise=0.0):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3.0, (n, rows))
    y = sp.lambdify(sp.symbols(f"x0:{n}"), sp.sympify(text), "numpy")(*X)
    return Problem(X, y + noise * np.std(y) * rng.normal(size=rows), Library(n, OPERATORS, True), noise=noise)


def search(problem, closings=FEW, deadline=np.inf, seed=0, **policy):
    tree = ReductionSearch(problem, deadline, np.random.default_rng(seed), [], closings, Policy(**policy))
    tree.seed = 0  # that of the environment: a bank holds a sample of what does not fit in
    return tree


def nodes(node):
    yield node
    for action in node.actions or []:
        if action.child is not None:
            yield from nodes(action.child)


@pytest.fixture(scope="module")
def finished():
    """A search that was left to exhaust its tree."""
    result = search(given())
    result.found = list(result)
    return result


@pytest.mark.parametrize(("text", "n", "rows"), [
    (TEXT, 3, 160),
    ("x0*x1/(x2 + x3)**2*exp(-x4)", 5, 600),
    ("sqrt(x0**2 + 10 + x1*x2*cos(x3))", 4, 600),
])
def test_a_law_of_several_variables_is_found_at_few_fits(text, n, rows):
    problem = given(text, n, rows)
    tree = search(problem, CLOSINGS, perf_counter() + 60.0)
    symbols = sp.symbols(f"x0:{n}")
    for expression in tree:
        if expression is None:
            continue
        v = sp.lambdify(symbols, to_sympy(expression), "numpy")(*problem.X)
        if np.allclose(v, problem.y, rtol=1e-9):
            break
    else:
        pytest.fail("the law was not found")
    assert tree.n_fits <= 40


def test_the_same_seed_finds_the_same_in_the_same_order(finished):
    again = search(given())
    some = [infix(e) for e in islice((e for e in again if e is not None), 20)]
    assert some == [infix(e) for e in finished.found if e is not None][:20]
    assert np.array_equal(finished.q, _run(search(given())).q)


def _run(tree):
    for _ in tree:
        pass
    return tree


def test_an_exhausted_tree_has_closed_every_problem_once_in_every_way(finished):
    for node in nodes(finished.root):
        assert not any(a.is_open for a in node.actions)
        kinds = [a.closing for a in node.actions if a.closing is not None]
        assert kinds == ([] if node is finished.root else list(CHEAP))
        assert all(a.visits == 1 for a in node.actions if a.closing is not None)
    assert len(finished.reduced) == sum(1 for _ in nodes(finished.root)) - 1


def test_the_statistics_of_a_node_are_those_of_the_episodes_below_it(finished):
    for node in nodes(finished.root):
        assert node.visits == sum(a.visits for a in node.actions)
        assert node.total == pytest.approx(sum(a.total for a in node.actions))
        assert node.effort == pytest.approx(sum(a.effort for a in node.actions))
        for a in node.actions:
            if a.child is not None:
                below = [b.best for b in a.child.actions]
                assert a.visits == a.child.visits and a.best == max(below) and 0.0 <= a.value <= 1.0
    assert finished.root.visits == finished.n_episodes == finished.n_closings
    assert finished.n_nodes <= finished.n_fits


def test_q_learning_praises_what_closed_the_problem_and_blames_what_was_refused(finished):
    q = finished.q.mean(0)
    assert finished.q.shape[1] == N_STATES
    exact = [(n.row, a.column) for n in nodes(finished.root) for a in n.actions if a.closing and a.best == 1.0]
    missed = [(n.row, a.column) for n in nodes(finished.root) for a in n.actions if a.closing and a.best < 0.01]
    assert exact and missed
    assert np.mean([q[k] for k in exact]) > np.mean([q[k] for k in missed])


def test_replaying_the_search_in_the_environment_gives_the_same_problems_and_rewards(finished):
    problem = given()
    env = gymnasium.make("rsrm/Reduction-v0", X=problem.X.T, y=problem.y, operators=OPERATORS, max_steps=40)

    def replay(path, node):
        for action in node.actions:
            if action.child is None and action.closing is None:
                continue
            _, info = env.reset()
            for text in path:
                *_, info = env.step(info["actions"].index(text))
            np.testing.assert_allclose(env.unwrapped.problem.X, node.problem.X, rtol=1e-12)
            np.testing.assert_allclose(env.unwrapped.problem.y, node.problem.y, rtol=1e-12)
            if action.closing is None:
                replay([*path, action.proposal.text], action.child)
            else:
                _, reward, terminated, _, _ = env.step(info["actions"].index(f"close: {action.closing}"))
                assert reward == pytest.approx(action.best, abs=1e-3) and terminated == (action.best == 1.0)

    replay([], finished.root)


def test_noise_sets_the_reward_that_can_be_had():
    tree = _run(search(given(noise=0.01, rows=1500), FEW, perf_counter() + 20.0))
    best = max(a.best for a in tree.root.actions)
    assert best > 0.9
    assert decades(1e-2, 1e-2) == 1.0 and decades(1.0, 1e-2) == 0.0 and decades(1e-5) == pytest.approx(0.5)


def test_data_without_a_smooth_law_are_left_alone():
    rng = np.random.default_rng(1)
    tree = search(Problem(rng.normal(size=(3, 300)), rng.normal(size=300), Library(3, OPERATORS, True)))
    assert tree.root is None and not list(tree)


def test_noise_that_only_fewer_columns_show_is_seen_at_the_reduced_problems():
    rng = np.random.default_rng(3)
    X = np.array([rng.uniform(*r, 200) for r in ((1.0, 8.0), (0.8, 2.5), (0.6, 4.0), (0.7, 2.0))])
    y = X[0] * (1.0 - np.exp(-X[1] * (X[2] - X[3]) / 3.0)) ** 2
    sigma = 0.02 * np.std(y)
    tree = search(Problem(X, y + sigma * rng.normal(size=200), Library(4, OPERATORS, True)), FEW, perf_counter() + 20.0)
    _run(tree)
    told = [node for node in nodes(tree.root) if node.noise]
    assert told and all(node.problem.n_variables < 4 for node in told)
    assert 0.01 < min(node.noise for node in told) < 0.04  # in the units of a reduced target, that of y over a column
    assert all(node.problem.noise == 0.0 for node in told), "the exact problem is closed as well"
