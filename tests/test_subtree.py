"""Mining, promotion and demotion of sub-trees."""

import pickle

import networkx as nx
import numpy as np
import pytest

from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.expression import Expression
from rsrm.library import PARAM0, Library
from rsrm.problem import Problem
from rsrm.subtree import PATIENCE, SubtreeDiscovery, body_of_arity_one, explained, fragments, sharing_graph, subtrees

LIBRARY = Library(2)
X = np.random.default_rng(0).uniform(0.5, 2.0, (2, 40))


def p(text):
    return parse(text, LIBRARY)


def column(text):
    return values(p(text), X.T)[0]


def test_graph_holds_every_subtree_once_with_its_support():
    expressions = [p("sin(x0*x1) + x0"), p("exp(x0*x1)"), p("x1 - sin(x0*x1)")]
    graph = sharing_graph(expressions)
    assert nx.is_directed_acyclic_graph(graph)
    expected = {part for e in expressions for part in subtrees(e)}
    assert set(graph) == expected
    for part in graph:
        assert graph.nodes[part]["support"] == sum(part in subtrees(e) for e in expressions)
    assert set(graph.successors(p("sin(x0*x1) + x0"))) == {p("sin(x0*x1)"), p("x0")}
    assert graph.nodes[p("x0*x1")]["support"] == 3
    assert fragments(graph)[0] == p("x0*x1")
    assert p("x0") not in fragments(graph)


def test_subtrees_carry_their_constants():
    parts = subtrees(p("1.5*x0 + sin(x1*2.5 + 3.5)"))
    assert [part.constants.tolist() for part in parts if part.complexity > 1] == [
        [1.5, 2.5, 3.5], [1.5], [2.5, 3.5], [2.5, 3.5], [2.5]]


@pytest.mark.parametrize("text", ["x0 + 3*sin(x1)", "x0*sin(x1)**2", "x0*1.5**sin(x1)"])
def test_a_part_explains_in_the_form_it_has(text):
    problem = Problem(X, column(text), LIBRARY)
    assert explained(problem, column("sin(x1)"), column("x0")) == pytest.approx(1.0, abs=1e-9)
    assert explained(problem, column("cos(7*x0*x1)"), column("x0")) < 0.5


def test_explaining_is_partial_correlation():
    y, base, f = np.random.default_rng(1).standard_normal((3, 40))
    rest = [v - np.polyval(np.polyfit(base, v, 1), base) for v in (y, f)]
    assert explained(Problem(X, y, LIBRARY), f, base) == pytest.approx(np.corrcoef(*rest)[0, 1] ** 2)
    assert explained(Problem(X, y, LIBRARY), 2 * base + 1, base) == 0.0


def test_promotion_takes_what_explains_and_not_what_is_frequent():
    y = column("sin(x0*x1)") + 0.01 * column("x0")
    front = [(p("x0"), 1.0)] + [(p(f"(x0/x1)*0 + {t}"), 0.5) for t in ("x0/x1 + x0", "x0/x1 - x1", "sin(x0*x1)*x0")]
    discovery = SubtreeDiscovery(LIBRARY, slots=2)
    found = discovery.update(Problem(X, y, LIBRARY), front, [])
    assert found[0] == p("sin(x0*x1)")
    names = {entry.body for entry in discovery.library.promoted}
    assert tuple(p("sin(x0*x1)").tokens) in names
    assert body_of_arity_one(p("sin(x0*x1)")) in names
    assert pickle.loads(pickle.dumps(discovery)).library == discovery.library
    token = discovery.library.first_promoted
    e = Expression(np.array([token]), np.empty(0), discovery.library)
    assert np.allclose(values(e, X.T)[0], column("sin(x0*x1)"))


def test_what_does_not_help_is_demoted_and_stays_out():
    problem = Problem(X, column("sin(x0*x1)"), LIBRARY)
    front = [(p("x0"), 1.0), (p("sin(x0*x1)*x1"), 0.5)]
    discovery = SubtreeDiscovery(LIBRARY, slots=3)
    discovery.update(problem, front, [])
    before = {entry.body for entry in discovery.library.promoted}
    assert len(before) == 3
    for _ in range(PATIENCE):
        discovery.update(problem, front, [(p("exp(sin(x0*x1))"), 0.3)])
    discovery.update(problem, front, [(p("exp(sin(x0*x1))"), 0.3)])
    after = {entry.body for entry in discovery.library.promoted if entry is not None}
    kept = {tuple(p("sin(x0*x1)").tokens), tuple(p("x0*x1").tokens), body_of_arity_one(p("sin(x0*x1)")),
            body_of_arity_one(p("x0*x1"))}
    assert before & after <= kept and (before & after)
    assert discovery.failed == before - after and not discovery.failed & after


def test_the_parameter_stands_for_every_occurrence():
    assert body_of_arity_one(p("x0*x1 + sin(x1)")) == (
        LIBRARY.token("add"), LIBRARY.token("mul"), 0, PARAM0, LIBRARY.token("sin"), PARAM0)
    assert body_of_arity_one(p("sin(x0)")) is None


def test_huge_values_do_not_overflow():
    problem = Problem(X, column("x0*x1"), LIBRARY)
    assert explained(problem, 1e200 * column("x0*x1"), 1e180 * column("x0")) == pytest.approx(1.0)
    assert explained(problem, np.zeros(40)) == 0.0
