"""The order of the stages: islands, and stages that fail."""

from itertools import islice
from time import perf_counter

import joblib
import numpy as np
import pytest

from rsrm import cascade
from rsrm.closings import exact_glance
from rsrm.columns import narrowed
from rsrm.evaluate import values
from rsrm.expression import variable
from rsrm.islands import islands
from rsrm.library import Library
from rsrm.noise import noise_level
from rsrm.problem import Problem
from rsrm.search import Options, search
from rsrm.sources import direct_stages
from rsrm.warmup import compile_kernels

LIMITS = dict(max_size=12, max_depth=6, max_constants=3, nested_constraints=None)


def problem():
    x = np.random.default_rng(0).uniform(1.0, 3.0, (2, 40))
    return Problem(x, np.cos(x[0] * x[1] + x[0] / 3.0) + x[1], Library(2))


def found(n_islands, n_jobs):
    """Return the first finds and the number of scored expressions of three rounds."""
    counts = []
    source = islands(problem(), [], LIMITS, perf_counter() + 60.0, np.random.default_rng(3), counts.append, n_islands,
                     n_jobs)
    expressions = []
    while len(counts) < 3:
        expressions += [e for e in islice(source, 1) if e is not None]
    return expressions, counts


def test_results_depend_on_the_number_of_islands_and_not_on_the_jobs():
    alone, together = found(2, 1), found(2, 2)
    assert alone[0] == together[0] and alone[1] == together[1]
    assert found(1, 1)[1][0] < alone[1][0], "two islands score more than one in a round"


@pytest.mark.filterwarnings("ignore")  # Dask finds an island large; as an error that would leave it waiting
def test_results_are_the_same_on_dask():
    distributed = pytest.importorskip("dask.distributed")
    with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as client:
        with joblib.parallel_config(backend="dask"):
            there = found(2, None)
        assert client.cluster.scheduler.transition_counter > 0, "the rounds did not run on Dask"
    assert there == found(2, 1)


def test_a_stage_that_gives_up_says_so_and_the_next_one_runs(monkeypatch):
    def broken(problem, deadline, rng):
        raise np.linalg.LinAlgError("SVD did not converge")
        yield

    def sound(problem, deadline, rng):
        yield "found"

    with pytest.warns(RuntimeWarning, match="broken gave up.*SVD"):
        got = list(direct_stages(problem(), perf_counter() + 5.0, None, 1.0, (broken, sound)))
    assert "found" in got


def test_of_many_columns_the_search_looks_at_those_that_matter():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3.0, (40, 300))
    problem = Problem(X, X[3] * X[31] / (1.0 + X[17] ** 2), Library(40))
    small, back = narrowed(problem, np.random.default_rng(1))
    assert small.n_variables == 12
    columns = [int(back(variable(small.library, i)).tokens[0]) for i in range(12)]
    assert {3, 17, 31} <= set(columns)
    assert all(np.array_equal(small.X[i], X[c]) for i, c in enumerate(columns))
    *_, state = search(problem, Options(max_time=30.0, seed=0))
    assert state.best.nrmse < 1e-9
    assert set(state.best.expression.tokens) & set(range(40)) == {3, 17, 31}


@pytest.mark.parametrize(("law", "n"), [
    (lambda x: np.sin(x[0]) + np.sin(x[0] + x[0] ** 2), 1),
    (lambda x: 3.0 * np.sin(x[0]) + 0.5 * np.sin(x[1] ** 2), 2),
    (lambda x: 1.0 / (2.0 * x[0] * x[2] - np.exp(x[1])), 3)])
def test_a_glance_finds_two_short_terms_and_their_numbers(law, n):
    X = np.random.default_rng(1).uniform(0.5, 2.0, (n, 30))
    y = law(X)
    library = Library(n, ("add", "sub", "mul", "div", "sin", "cos", "exp", "log"))
    glanced = list(exact_glance(Problem(X, y, library), perf_counter() + 60.0, np.random.default_rng(0)))
    assert any(np.allclose(values(e, X.T)[0], y, rtol=1e-9) for e in glanced)


def test_a_glance_offers_nothing_that_is_not_exact():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2.0, (2, 30))
    y = np.sin(X[0]) + X[1] ** 2
    assert list(exact_glance(Problem(X, y, Library(2)), perf_counter() + 60.0, rng))
    rough = Problem(X, y * (1.0 + 1e-2 * rng.normal(size=30)), Library(2))
    assert list(exact_glance(rough, perf_counter() + 60.0, rng)) == []


def test_a_fast_wave_is_not_left_to_the_stages_for_noise():
    compile_kernels()  # turns are short
    X = np.random.default_rng(0).uniform(0.5, 10.0, (300, 2))
    y = 0.2 * np.sqrt(X[:, 0]) * np.sin(9.8 * X[:, 1]) + 0.9 * X[:, 1] + 2.2 * X[:, 0]
    exact = Problem(np.ascontiguousarray(X.T), y, Library(2))
    assert noise_level(exact, np.random.default_rng(0)).certain
    names = []
    for name, source in cascade.stages(exact, LIMITS, perf_counter() + 60.0, np.random.default_rng(0), lambda n: None,
                                       lambda: 1.0, list, list):
        names.append(name)
        for e in source:
            if e is not None and name == "mixtures":
                v, ok = values(e, X)
                if ok and np.abs(v - y).max() < 1e-9:
                    return
        assert "islands" not in names, "found late"
    pytest.fail("not found")


def test_leading_terms_and_remainders_follow_what_came_nearer(monkeypatch):
    x = np.random.default_rng(0).uniform(1.0, 3.0, (2, 60))
    hard = Problem(x, np.cos(x[0] * x[1] ** 2 + np.exp(np.sin(3.0 * x[0]))) + x[1] ** 0.3, Library(2))
    losses = iter((0.5, 0.5, 0.5, 0.2))  # before and after a turn of the bank, then of the islands
    monkeypatch.setattr(cascade, "learned_turns", lambda *_: iter((("bank", iter(())), ("islands", iter(())))))
    monkeypatch.setattr(cascade, "direct_stages", lambda *_: iter(()))
    monkeypatch.setattr(cascade, "noise_level", lambda *_: cascade.Noise(0.0, False))
    names = [name for name, _ in cascade._in_order(hard, LIMITS, perf_counter() + 60.0, np.random.default_rng(0),
                                                   lambda n: None, lambda: next(losses), list, None, 1, None)]
    assert names == ["direct", "direct", "leading terms", "bank", "islands", "leading terms", "remainders"]
