"""Tree search over contexts: every node against the expression that it stands for, limits, rules and promotion."""

import numpy as np
import pytest

from rsrm.agents import Island
from rsrm.agents.advice import LEVELS, NUMBER, PROMOTED, SIZES, START, advised, chance, learn, new_advice
from rsrm.agents.closing import new_hole_work
from rsrm.agents.context_tree import (
    CLOSED, KIND, KNOWN, LEVEL, NONE, PARENT, ROOT, SIDE, SIZE, add_child, choose_child, is_allowed, new_contexts,
)
from rsrm.agents.contexts import new_hits
from rsrm.agents.holes import nearest_shape, new_shapes, undo
from rsrm.agents.peeling import (
    WIDTHS, add_children, look_up, new_peeling_work, run_peeling, value_actions, value_of_best,
)
from rsrm.agents.rng import new_rng
from rsrm.agents.seen import make_rules
from rsrm.agents.sides import NO_SIDE, add_sides, hole_of, kinds_of, new_sides, peel, write_context
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


def children_of(tree, node):
    """Return the children of a node, found by their parent."""
    return np.flatnonzero(tree.links[1:tree.count[0], PARENT] == node) + 1


def test_statistics_and_limits(planner):
    tree, policy = planner.tree, planner.policy
    n = int(tree.count[0])
    assert 500 < n <= len(tree.visits)
    expanded = np.flatnonzero(tree.links[:n, KNOWN] > 0)
    assert len(expanded) > 10
    for node in expanded:
        children = children_of(tree, node)
        assert len(children) <= WIDTHS[tree.links[node, LEVEL]]
        if len(children):
            # A node is visited when it is made and expanded; a child was when it was made, without an episode.
            assert tree.visits[node] >= tree.visits[children].sum() - len(children) + 1
            assert tree.best[node] >= tree.best[children].max() and tree.prior[children].max() <= 1.0
    assert tree.total[ROOT] >= tree.best[ROOT] > 0.0
    for node in range(1, n, 37):
        context, _ = written(planner, node)
        assert context.complexity == tree.links[node, SIZE] + 1 <= policy.max_size
        assert len(path_of(tree, node)[0]) == tree.links[node, LEVEL] <= LEVELS
        assert context.depth <= policy.max_depth


def test_no_two_contexts_leave_the_same_hole(planner):
    y = planner.closer.shapes.targets[0]
    holes = []
    for node in range(1, min(int(planner.tree.count[0]), 3000)):
        h, slope = y.copy(), np.ones(len(y))
        for passed in path_of(planner.tree, node)[0]:
            peel(int(planner.tree.links[passed, KIND]), int(planner.tree.links[passed, SIDE]), planner.kinds,
                 planner.sides, h, slope)
        if np.abs(h).max() < 1e100:
            holes.append((h - h.mean()) / np.linalg.norm(h - h.mean()))
    holes = np.array(holes)
    cosines = np.triu(holes @ holes.T, 1)
    first, second = np.nonzero(np.abs(cosines) > 1.0 - 1e-12)
    apart = np.linalg.norm(holes[first] - np.sign(cosines[first, second])[:, None] * holes[second], axis=1)
    # Keys are compared, not values: where digits cancel they may differ in the last one.
    assert np.count_nonzero(apart < 1e-12) < 0.01 * len(holes)


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
    assert add_child(tree, ROOT, 0, NO_SIDE, kinds, sides, 0.5, 0.25) == 1
    assert add_child(tree, ROOT, 1, NO_SIDE, kinds, sides, 0.5, 0.25) == NONE
    assert tree.links[1, PARENT] == ROOT and tree.links[ROOT, PARENT] == NONE and children_of(tree, ROOT) == [1]
    assert tree.best[1] == tree.total[1] == 0.25 and tree.visits[1] == 1


def test_selection_takes_the_largest_bound_and_nothing_that_is_closed():
    kinds, sides, tree = kinds_of(LIBRARY, make_rules()), new_sides(2, 20), new_contexts(5)
    for kind, (prior, gain) in enumerate([(0.1, 0.2), (0.6, 0.2), (0.3, 0.9)]):
        add_child(tree, ROOT, kind, NO_SIDE, kinds, sides, prior, gain)
    tree.visits[ROOT] = 3
    assert choose_child(tree, ROOT, 0.0) == 3 and choose_child(tree, ROOT, 10.0) == 2
    # Bounds by hand: 0.2 + 2 c P / n with c = 1.
    tree.visits[1:4], tree.total[1:4] = (1, 8, 8), (0.2, 1.6, 7.2)
    assert choose_child(tree, ROOT, 1.0) == 3
    tree.prior[3] = CLOSED
    assert choose_child(tree, ROOT, 1.0) == 1
    tree.prior[1] = tree.prior[2] = CLOSED
    assert choose_child(tree, ROOT, 1.0) == NONE


def expansion(y, expressions, q=None, use_q=True):
    """Return what looking up all that stands around `y` gives: planner parts, (news, actions, closed)."""
    kinds, sides = kinds_of(LIBRARY, make_rules()), new_sides(len(expressions), 20)
    add_sides(sides, expressions, X, promoted=False)
    sides.count[1] = sides.count[0]
    shapes = new_shapes(X, y[None], np.stack([X[0], X[1], X[0] * X[1]]), np.random.default_rng(0))
    policy = Island.create(WILD, seed=0).planner.policy._replace(use_q=use_q)
    tree, hits, work = new_contexts(2000), new_hits(30), new_hole_work(30, 20)
    peeling = new_peeling_work(kinds, sides, policy.max_size)
    q = new_advice(len(kinds.opcode)) if q is None else q
    work.hole[:], work.slope[:] = y, 1.0
    value_actions(q, policy, NONE, 0, kinds, peeling.advice)
    found = look_up(tree, ROOT, 0, 0, policy, kinds, sides, shapes, hits, work, peeling)
    return (tree, q, policy, kinds, sides, shapes, hits, work, peeling), found


def test_all_that_can_stand_around_a_hole_is_looked_up_once():
    y = np.exp(np.sin(7.0 * X[0]) + X[1] ** 1.3) + 1.0
    expressions = [parse(text, LIBRARY) for text in ("x0", "x1", "x0*x1", "exp(x0)")]
    parts, (news, n, closed) = expansion(y, expressions)
    _, _, policy, kinds, sides, _, hits, _, work = parts
    unary = [k for k in range(len(kinds.opcode)) if not kinds.sided[k]]
    assert not closed and hits.count[0] == 0
    # By NumPy: every hole, normalised; equal ones up to sign count once.
    inverse = {"exp": np.log, "log": np.exp, "sin": np.arcsin, "sqrt": np.square, "square": np.sqrt,
               "inv": np.reciprocal}
    with np.errstate(all="ignore"):
        holes = [inverse[BY_OPCODE[kinds.opcode[k]].name](y) for k in unary]
        for a in (values(e, X.T)[0] for e in expressions):
            holes += [y - a, y + a, y / a, y * a, a / y]
    holes = [h for h in holes if np.isfinite(h).all()]
    scaled = np.array([(h - h.mean()) / np.linalg.norm(h - h.mean()) for h in holes])
    distinct = sum(not (np.abs(scaled[:i] @ s) > 1.0 - 1e-12).any() for i, s in enumerate(scaled))
    assert news == n == distinct
    assert {(int(k), int(s)) for k, s in zip(work.kinds[:n], work.sides[:n], strict=True)} <= {
        (k, s) for k in range(len(kinds.opcode)) for s in range(5) if bool(s) == bool(kinds.sided[k])}
    assert not is_allowed(parts[0], ROOT, int(np.flatnonzero(kinds.sided)[0]), 1, kinds, sides,
                          policy._replace(max_size=2))
    again = look_up(*parts[:1], ROOT, 0, 0, *parts[2:])
    assert again[:2] == (0, 0), "nothing is looked up twice"


def test_a_context_that_closes_is_noted_and_no_child():
    y = np.exp(2.0 * X[0] * X[1] + 3.0)
    (tree, _, policy, kinds, sides, shapes, hits, work, peeling), (_, n, closed) = expansion(
        y, [parse("x1", LIBRARY)])
    assert closed and hits.count[0] >= 1 and hits.errors[:hits.count[0]].min() < 1e-7
    exp = int(np.flatnonzero(kinds.opcode == BY_NAME["exp"].opcode)[0])
    assert exp not in peeling.kinds[:n]
    best = add_children(tree, ROOT, 0, 0, n, policy, kinds, sides, shapes, hits, work, peeling)
    children = children_of(tree, ROOT)
    assert len(children) == n and tree.best[children].max() == pytest.approx(best)
    assert exp not in tree.links[children, KIND]


def test_children_follow_the_tables_and_then_simplicity():
    y = np.exp(np.sin(7.0 * X[0]) + X[1] ** 1.3)
    expressions = [parse(text, LIBRARY) for text in ("x0", "x1", "x0*x1", "exp(x0)", "x0 + exp(x1)")]
    kinds = kinds_of(LIBRARY, make_rules())
    mul = int(np.flatnonzero(kinds.opcode == BY_NAME["mul"].opcode)[0])
    q = new_advice(len(kinds.opcode))
    for table in (0, 1):
        for _ in range(200):
            learn(q, table, mul, NONE, 0, 3, len(kinds.opcode), 1.0, 0.5)

    def first(use_q):
        parts, (_, n, _) = expansion(y, expressions, q, use_q)
        work = parts[-1]
        order = np.argsort(-work.values[:n], kind="stable")
        sided = [k for k in order if work.sides[k] != NO_SIDE]
        return int(work.kinds[sided[0]]), [int(work.sides[k]) for k in sided]

    kind, _ = first(True)
    assert kind == mul
    _, sides = first(False)
    assert sides == sorted(sides), "without Q-learning simple sides come first, whatever the operator"


def test_values_of_actions_move_to_their_goal():
    q = new_advice(4)
    for _ in range(3000):
        learn(q, 0, 2, 1, 3, SIZES, 4, 0.7, 0.1)
    assert chance(advised(q, 0, 2, 1, 3, SIZES, 4)) == pytest.approx(0.7, abs=1e-3)
    assert chance(advised(q, 1, 2, 1, 3, SIZES, 4)) == pytest.approx(1.0 / (1.0 + np.exp(-START)))
    # What is alike moves along by the tiles that it shares, what is not stays.
    moved = [advised(q, 0, 2, 1, 3, NUMBER, 4), advised(q, 0, 2, 0, 3, NUMBER, 4), advised(q, 0, 2, 0, 0, NUMBER, 4)]
    full = advised(q, 0, 2, 1, 3, SIZES, 4)
    assert moved == pytest.approx([full * 2 / 3, full / 3, 0.0])
    assert advised(q, 0, 3, 1, 3, SIZES, 4) == 0.0


def test_one_table_chooses_the_best_action_and_the_other_values_it():
    kinds, sides = kinds_of(LIBRARY, make_rules()), new_sides(2, 20)
    add_sides(sides, [parse("x1", LIBRARY)], X)
    work = new_peeling_work(kinds, sides, 16)
    work.kinds[:2], work.sides[:2], work.advice[:] = (3, 7), (NO_SIDE, 1), 0.0
    work.advice[0, 3, sides.classes[NO_SIDE]], work.advice[1, 3, sides.classes[NO_SIDE]] = 2.0, -1.0
    work.advice[0, 7, PROMOTED], work.advice[1, 7, PROMOTED] = 1.0, 3.0
    assert value_of_best(0, 2, sides, work) == pytest.approx(chance(-1.0))
    assert value_of_best(1, 2, sides, work) == pytest.approx(chance(1.0))
    assert value_of_best(0, 0, sides, work) == 0.0


def test_what_closes_below_is_learned():
    """y = exp(x0 + f) + x1: only below ``y - x1`` something closes."""
    rng = np.random.default_rng(3)
    f = rng.uniform(0.5, 1.5, 20)
    y = np.exp(X[0] + f) + X[1]
    kinds, sides = kinds_of(LIBRARY, make_rules()), new_sides(2, 20)
    add_sides(sides, [parse("x1", LIBRARY)], X, promoted=False)
    sides.count[1] = sides.count[0]
    shapes = new_shapes(X, y[None], np.stack([X[0] + f]), rng)
    policy = Island.create(WILD, seed=0).planner.policy
    tree, q, hits, work = new_contexts(2000), new_advice(len(kinds.opcode)), new_hits(30), new_hole_work(30, 20)
    run_peeling(new_rng(0), tree, q, policy, kinds, sides, shapes, hits, work,
                new_peeling_work(kinds, sides, policy.max_size), 3000)
    add = int(np.flatnonzero(kinds.opcode == BY_NAME["add"].opcode)[0])
    with_x1 = [k for k in range(len(kinds.opcode)) if kinds.sided[k]]
    thought = {k: sum(advised(q, table, k, NONE, 0, 1, len(kinds.opcode)) for table in (0, 1)) for k in with_x1}
    assert hits.count[0] and thought[add] > max(value for k, value in thought.items() if k != add)


def test_a_search_that_is_exhausted_returns_and_goes_on_with_what_is_promoted():
    library = Library(1, ("add",))
    island = Island.create(Problem(X[:1], WILD.y, library), seed=0, use_genetic=False)
    planner = island.planner
    island.round(evaluations=10**6)
    looked = island.n_evaluations
    assert 0 < looked < 1000 and planner.tree.prior[ROOT] == CLOSED
    island.round(evaluations=10**6)
    assert island.n_evaluations == looked
    planner.use([parse("x0 + x0 + x0 + x0 + x0 + x0 + x0", library)])
    island.round(evaluations=10**6)
    assert island.n_evaluations > looked


def test_a_call_ends_where_hardly_anything_is_news():
    kinds, sides = kinds_of(LIBRARY, make_rules()), new_sides(2, 20)
    add_sides(sides, [parse("x1", LIBRARY)], X, promoted=False)  # a dozen actions at every node
    sides.count[1] = sides.count[0]
    shapes = new_shapes(X, WILD.y[None], np.stack([X[0]]), np.random.default_rng(0))
    policy, tree = Island.create(WILD, seed=0).planner.policy, new_contexts(2000)
    news = run_peeling(new_rng(0), tree, new_advice(len(kinds.opcode)), policy, kinds, sides, shapes, new_hits(30),
                       new_hole_work(30, 20), new_peeling_work(kinds, sides, policy.max_size), 1000)
    assert 0 < news < 1000 // 5 and tree.visits[ROOT] == 10 and tree.prior[ROOT] != CLOSED


def test_holes_are_those_of_peeling():
    kinds, sides = kinds_of(LIBRARY, make_rules()), new_sides(3, 20)
    add_sides(sides, [parse(text, LIBRARY) for text in ("x0", "x0*x1")], X)
    assert sides.classes[1:3].tolist() == [PROMOTED] * 2
    t = 0.3 + 0.5 * X[1]
    for kind in range(len(kinds.opcode)):
        side = 2 if kinds.sided[kind] else NO_SIDE
        h, slope, expected = np.empty(20), np.ones(20), t.copy()
        hole_of(kind, side, kinds, sides, t, h, slope)
        assert peel(kind, side, kinds, sides, expected, np.ones(20)) and np.allclose(h, expected, rtol=1e-14)


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
