"""The pool and the choice among its candidates: bounded, Pareto-optimal, right on exact and on noisy data."""

from math import log

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsrm.compose import linear, power
from rsrm.export import infix, parse
from rsrm.expression import variable
from rsrm.library import Library
from rsrm.objective import Objective
from rsrm.problem import Problem
from rsrm.selection import NODE, Candidate, Pool, number_cost

LIB = Library(2)


def candidate(text, nrmse, digits=None):
    return Candidate(parse(text, LIB), nrmse, log(nrmse) if digits is None else digits)


def polynomial(x, y, degree, library):
    """Return the least-squares polynomial of NumPy as an expression."""
    coefficients = np.polynomial.polynomial.polyfit(x, y, degree)
    v = variable(library, 0)
    return linear(library, [(c, power(v, k)) for k, c in enumerate(coefficients) if k], coefficients[0])


def scored(problem, expression):
    return Candidate(expression, *Objective(problem).score(expression))


def test_pool_keeps_the_best_of_each_complexity():
    pool = Pool(n_rows=20, per_complexity=2)
    assert pool.add(candidate("x0 + x1", 0.5)) and pool.add(candidate("x0 - x1", 0.3))
    assert not pool.add(candidate("x0/x1", 0.7))  # worse than both
    assert pool.add(candidate("x0*x1", 0.1))
    assert sorted(infix(c.expression) for c in pool) == ["x0 - x1", "x0*x1"]
    assert len(pool) == 2 and pool.best_loss() == 0.1


def test_of_one_complexity_the_closest_stays_and_the_shortest_description():
    pool = Pool(n_rows=20, per_complexity=2)
    for text, loss in (("x0/x1*(x0/x1)", 0.1003), ("x0/x1*(x1 + x0)", 0.1), ("(x0 + x1)*(x0*x1)", 0.1001)):
        pool.add(candidate(text, loss))
    assert [infix(c.expression) for c in pool] == [infix(parse(t, LIB)) for t in ("x0/x1*(x1 + x0)", "x0/x1*(x0/x1)")]


def test_pool_refuses_repeats_and_undefined_losses():
    pool = Pool(n_rows=20)
    assert pool.add(candidate("x0 + x1", 0.5))
    assert not pool.add(candidate("x0 + x1", 0.5))
    assert not pool.add(candidate("x1 + x0", 0.5))  # the same function written twice
    assert not pool.add(candidate("x0", np.inf, np.inf)) and not pool.add(candidate("x0", np.nan, np.nan))
    assert len(pool) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(1e-5, 1.0)), min_size=1, max_size=60))
def test_pool_is_bounded_and_its_front_is_pareto_optimal(entries):
    pool = Pool(n_rows=30, per_complexity=3)
    for k, loss in entries:
        pool.add(candidate("x0" + " + x1" * k, loss))
    assert len(pool) <= 3 * len({k for k, _ in entries})
    front = pool.front()
    complexities = [c.complexity for c in front]
    assert complexities == sorted(set(complexities))
    chosen = pool.best()
    assert chosen in front and len(pool.front()) <= len({k for k, _ in entries})
    rest = [c for c in front if c is not chosen]
    for c in rest:
        assert not any(d.complexity <= c.complexity and d.nrmse < c.nrmse for d in pool if d is not chosen)


def test_an_empty_pool_has_no_best():
    pool = Pool(n_rows=5)
    assert pool.best() is None and pool.front() == [] and pool.best_loss() == np.inf


def test_description_length_by_hand():
    pool = Pool(n_rows=10)
    c = candidate("x0 + x1", 0.1)
    pool.add(c)
    assert pool.description_length(c) == pytest.approx(10 * log(0.1) + 3 * NODE)


def test_simple_numbers_are_cheap():
    def cost(v):
        return number_cost(v, 1e-6, 100)

    assert cost(0.0) == 0.0 <= cost(1.0) < cost(2.0) < cost(0.5) < cost(17 / 13) < cost(1.2345678901)
    assert cost(-3.0) == cost(3.0) and cost(2 * np.pi) < cost(6.2831) + 1e-12
    assert cost(1.2345678901) < number_cost(1.2345678901, 1e-12, 100)  # a sharper fit fixes more digits
    assert cost(1.2345678901) < number_cost(1.2345678901, 1e-6, 10_000)


@pytest.mark.parametrize("seed", range(5))
def test_under_noise_the_true_degree_is_chosen(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, 100)
    y = 1.3 - 0.7 * x + 2.1 * x * x + 0.1 * rng.normal(size=100)
    problem = Problem(x[None], y, Library(1))
    pool = Pool(problem.n_rows)
    fits = [polynomial(x, y, d, problem.library) for d in range(1, 8)]
    for e in fits:
        pool.add(scored(problem, e))
    losses = [scored(problem, e).nrmse for e in fits]
    assert np.argmin(losses) > 1  # the longer ones fit better, as nested least squares must
    assert pool.best().expression == fits[1]


def test_an_exact_law_beats_a_shorter_inexact_one():
    x = np.linspace(0.5, 3, 20)
    problem = Problem(np.stack([x, x[::-1] ** 2]), x * x + np.sin(x[::-1] ** 2), LIB)
    pool = Pool(problem.n_rows)
    for text in ("x0", "x0*x0", "x0*x0 + sin(x1)", "x0*x0 + sin(x1) + 1e-11*x1"):
        pool.add(scored(problem, parse(text, LIB)))
    assert infix(pool.best().expression) == "x0*x0 + sin(x1)"


def test_a_weak_term_is_seen_on_nearly_exact_data():
    # The term adds 1e-9 of the standard deviation of y, but most of the value where y is small.
    x = np.geomspace(1e-6, 1e3, 40)
    problem = Problem(np.stack([x, x]), x * x + 1e-4 * x, LIB)
    pool = Pool(problem.n_rows)
    for text in ("x0*x0", "x0*x0 + 0.0001*x0"):
        pool.add(scored(problem, parse(text, LIB)))
    assert min(c.nrmse for c in pool if c.complexity == 3) < 1e-6
    assert infix(pool.best().expression, 3) == "x0*x0 + 0.0001*x0"


def test_a_law_beats_a_polynomial_through_every_row():
    # Eight planets, Kepler's third law: as many numbers as rows explain all of them and say nothing.
    a = [0.3871, 0.7233, 1.0, 1.5238, 5.2038, 9.5726, 19.1650, 30.1806]
    period = [0.2408, 0.6152, 1.0, 1.8808, 11.8618, 29.4567, 84.0107, 164.7858]
    with mpmath.workdps(60):
        A = mpmath.matrix([[mpmath.mpf(x) ** k for k in range(8)] for x in a])
        coefficients = [float(c) for c in mpmath.lu_solve(A, mpmath.matrix(period))]
    text = repr(coefficients[7])
    for c in coefficients[6::-1]:
        text = f"({text})*x0 + ({c!r})"
    problem = Problem(np.array([a]), np.array(period), Library(1))
    objective, pool = Objective(problem), Pool(8)
    both = [parse(t, problem.library) for t in ("sqrt(x0)*x0", text)]
    law, through = (Candidate(e, *objective.score(e)) for e in both)
    assert through.nrmse < 1e-10 and len(through.expression.constants) == 8
    pool.add(law)
    pool.add(through)
    assert pool.best() is law


@pytest.mark.parametrize(("text", "nats", "constants"), [
    ("x0/x1", 3, []),
    ("x0/x1*(x0/x1)", 5, []),  # the second ratio is a reference
    ("x0*x0", 3, []),
    ("(2.5*x0 + 1.5)*(2.5*x0 + 1.5)", 7, [2.5, 1.5]),
    ("(2.5*x0 + 1.5)*(3.5*x0 + 1.5)", 11, [2.5, 1.5, 3.5, 1.5]),
    ("(2.5*x0)*(3.5*x0)", 7, [2.5, 3.5]),  # other numbers are another sub-tree
    ("sin(x0)", 2, []),
    ("tanh(x0)", 3, []),
])
def test_repeated_sub_trees_are_written_once_and_rare_operators_are_dear(text, nats, constants):
    assert candidate(text, 0.1).written == (nats * NODE, constants)
