"""Tree search over contexts: every node against the expression that it stands for, limits, rules and promotion."""

import numpy as np
import pytest

from rsrm.agents import Island
from rsrm.agents.closing import new_hole_work
from rsrm.agents.holes import nearest_shape, new_shapes, undo
from rsrm.agents.peeling import (
    CHILDREN, KIND, LEVEL, LEVELS, NONE, PARENT, ROOT, SIDE, SIZE, add_child, is_allowed, new_contexts, propose,
)
from rsrm.agents.rng import new_rng
from rsrm.agents.seen import make_rules
from rsrm.agents.sides import NO_SIDE, add_sides, kinds_of, new_sides, peel, write_context
from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.expression import Expression, subtree_end
from rsrm.library import Library
from rsrm.primitives import BY_NAME, BY_OPCODE
from rsrm.problem import Problem

OPERATORS = ("add", "sub", "mul", "div", "exp", "log", "sin", "sqrt", "square", "neg", "inv", "abs")
LIBRARY = Library(2, OPERATORS)
X = np.random.default_rng(1).uniform(0.3, 1.2, (2, 20))
WILD = Problem(X, np.exp(np.sin(7.0 * X[0]) + X[1] ** 1.3), LIBRARY)


def path_of(tree, node):
    """Return the nodes from the root's child to `node`, and the decisions on the way."""
    nodes, actions = [], []
    while node != ROOT:
        nodes.insert(0, node)
        kind, side = int(tree.links[node, KIND]), int(tree.links[node, SIDE])
        actions = [kind, *([side] if side != NO_SIDE else []), *actions]
        node = int(tree.links[node, PARENT])
    return nodes, np.array(actions)


def written(planner, node):
    """Return the context of a node as an expression with a variable in the hole, and where that is."""
    nodes, actions = path_of(planner.tree, node)
    tokens, constants = np.zeros(40, np.int16), np.zeros(40)
    hole, n, m = write_context(planner.kinds, planner.sides, len(nodes), actions, tokens, constants)
    return Expression(tokens[:n], constants[:m], LIBRARY), int(hole)


@pytest.fixture(scope="module")
def planner():
    island = Island.create(WILD, seed=0, use_genetic=False)
    island.round(evaluations=20_000)
    return island.planner


def test_every_node_is_the_context_that_it_stands_for(planner):
    shapes, rng = planner.closer.shapes, np.random.default_rng(0)
    y, deep = shapes.targets[0], 0
    for node in rng.choice(np.arange(1, planner.tree.count[0]), 200, replace=False):
        context, at = written(planner, int(node))
        work = new_hole_work(40, len(y))
        assert undo(context.tokens, at, context.constants, shapes.X, y, LIBRARY.tables, work) >= 0
        # What the search saw, peeled operator by operator.
        h, slope = y.copy(), np.ones(len(y))
        nodes, _ = path_of(planner.tree, int(node))
        for passed in nodes:
            assert peel(int(planner.tree.links[passed, KIND]), int(planner.tree.links[passed, SIDE]), planner.kinds,
                        planner.sides, h, slope)
        assert np.allclose(h, work.hole, rtol=1e-9) and np.allclose(slope, work.slope, rtol=1e-9)
        deep = max(deep, len(nodes))
    assert deep >= 3


def test_statistics_and_limits(planner):
    tree, policy = planner.tree, planner.policy
    n = int(tree.count[0])
    assert 5000 < n <= 20_001
    for node in range(n):
        children = np.flatnonzero(tree.links[1:n, PARENT] == node) + 1 if tree.links[node, CHILDREN] > 20 else None
        if children is not None:
            assert len(children) == tree.links[node, CHILDREN]
            assert tree.best[node] >= tree.best[children].max()
            # A node was visited when it was made, for every child, and where nothing new was proposed.
            assert tree.visits[node] >= tree.visits[children].sum()
    for node in range(1, n, 37):
        context, _ = written(planner, node)
        assert context.complexity == tree.links[node, SIZE] + 1 <= policy.max_size
        assert len(path_of(tree, node)[0]) == tree.links[node, LEVEL] <= LEVELS
        assert context.depth <= policy.max_depth


def test_no_two_contexts_leave_the_same_hole(planner):
    y = planner.closer.shapes.targets[0]
    holes = []
    for node in range(1, 3000):
        h, slope = y.copy(), np.ones(len(y))
        for passed in path_of(planner.tree, node)[0]:
            peel(int(planner.tree.links[passed, KIND]), int(planner.tree.links[passed, SIDE]), planner.kinds,
                 planner.sides, h, slope)
        if np.abs(h).max() < 1e100:
            holes.append((h - h.mean()) / np.linalg.norm(h - h.mean()))
    similar = np.abs(np.array(holes) @ np.array(holes).T)
    np.fill_diagonal(similar, 0.0)
    # Keys are compared, not values: where digits cancel they may differ in the last one.
    assert np.mean(similar.max(axis=1) > 1.0 - 1e-15) < 0.01


def test_rules_of_nesting_are_kept():
    island = Island.create(WILD, seed=0, use_genetic=False, nested_constraints={"exp": {"exp": 0}})
    island.round(evaluations=5000)
    planner, exp, trig = island.planner, BY_NAME["exp"].opcode, {BY_NAME["sin"].opcode}
    for node in range(1, int(planner.tree.count[0]), 7):
        context, _ = written(planner, node)
        codes = LIBRARY.tables.opcode[context.tokens]
        for k, op in enumerate(codes):
            inside = codes[k + 1:subtree_end(context.tokens, k, LIBRARY.tables.arity)]
            assert not (op == exp and exp in inside)
            assert not (op in trig and trig & set(inside.tolist()))
            assert {op, *codes[k + 1:k + 2]} != {exp, BY_NAME["log"].opcode}


def test_what_can_be_undone():
    kinds = kinds_of(LIBRARY, make_rules())
    names = [(BY_OPCODE[op].name, int(first)) for op, first in zip(kinds.opcode, kinds.first, strict=True)]
    assert set(names) == {("exp", 0), ("log", 0), ("sin", 0), ("sqrt", 0), ("square", 0), ("inv", 0), ("add", 0),
                          ("sub", 1), ("mul", 0), ("div", 1), ("div", 0)}
    assert [BY_OPCODE[op].arity - 1 for op in kinds.opcode] == kinds.sided.tolist()
    only = kinds_of(Library(1, ("sub", "abs")), make_rules())
    assert only.opcode.tolist() == [BY_NAME["sub"].opcode] * 2 and sorted(only.first) == [0, 1]


def test_sides_are_added_once_and_keep_their_row():
    sides = new_sides(4, 20)
    expressions = [parse(text, LIBRARY) for text in ("x0", "x0*1.5", "x0 - x1", "log(x0 - 5)", "x0", "1.5*x0")]
    add_sides(sides, expressions, X)
    assert sides.count[0] == 4, "undefined and equal ones are left out"
    assert np.allclose(sides.values[2], 1.5 * X[0]) and sides.constants[2, 0] == 1.5
    add_sides(sides, [parse("x1", LIBRARY), parse("exp(x1)", LIBRARY)], X)
    assert sides.count[0] == 5 and np.allclose(sides.values[4], X[1]) and np.allclose(sides.values[1], X[0])
    assert sides.depths[3] == 2 and sides.contents[3] >> np.uint64(BY_NAME["sub"].opcode) & np.uint64(1)


def test_a_full_tree_gives_no_child():
    kinds, sides, tree = kinds_of(LIBRARY, make_rules()), new_sides(2, 20), new_contexts(2)
    assert add_child(tree, ROOT, 0, NO_SIDE, kinds, sides) == 1
    assert add_child(tree, ROOT, 1, NO_SIDE, kinds, sides) == ROOT
    assert tree.links[1, PARENT] == ROOT and tree.links[ROOT, PARENT] == NONE and tree.links[ROOT, CHILDREN] == 1


def test_proposals_follow_the_tables(planner):
    kinds, sides, n = planner.kinds, planner.sides, len(planner.kinds.opcode)
    q = np.zeros_like(planner.q)
    side_rows = (n + 1) * LEVELS
    policy = planner.policy._replace(epsilon=0.0, candidates=200)
    mul = int(np.flatnonzero(kinds.opcode == BY_NAME["mul"].opcode)[0])
    q[:, 0, mul], q[:, side_rows + mul, 5] = 5.0, 1.0
    rng, chances = new_rng(0), np.empty(n)
    drawn = [propose(rng, q, 0, side_rows, n, kinds, sides, policy, chances) for _ in range(50)]
    assert drawn.count((mul, 5)) > 45
    free = [propose(rng, q, 0, side_rows, n, kinds, sides, policy._replace(use_q=False), chances)[0]
            for _ in range(2000)]
    assert np.allclose(np.bincount(free, minlength=n) / 2000, 1.0 / n, atol=0.03)
    assert not is_allowed(planner.tree, ROOT, mul, 1, kinds, sides, policy._replace(max_size=2))


def test_promoted_fragments_stand_beside_holes():
    y = (X[0] - np.exp(X[0] * X[1] ** 2)) * (np.sin(X[0]) + X[1])
    island = Island.create(Problem(X, y, LIBRARY), seed=0, use_genetic=False)
    before = int(island.planner.sides.count[0])
    island.planner.use([parse("x0 - exp(x0*x1*x1)", LIBRARY)])
    assert island.planner.sides.count.tolist() == [before + 1, before]
    island.round(evaluations=40_000)
    expression, error = island.pareto()[-1]
    assert error < 1e-9 and np.allclose(values(expression, X.T)[0], y)


def test_fewer_sub_trees_than_are_tried_are_no_more_than_there_are():
    rng = np.random.default_rng(0)
    X, slope = rng.uniform(1.0, 2.0, (1, 20)), np.ones(20)
    h = 3.0 * X[0] + 1.0
    shapes = new_shapes(X, h[None], np.stack([np.sin(9.0 * X[0]), X[0]]), rng)
    entry, a, b = nearest_shape(h, slope, shapes, 1000)
    assert (entry, a, b) == (1, pytest.approx(1.0), pytest.approx(3.0))
    nothing = new_shapes(X, h[None], np.empty((0, 20)), rng)
    assert nearest_shape(h, slope, nothing, 1000)[0] == -1
