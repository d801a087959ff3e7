"""The catalogue and its sampling, against facts typed in by hand and independent formulas."""

import numpy as np
import pytest
import sympy as sp

from rsrm.benchmarks import catalogue, sampling
from rsrm.benchmarks.catalogue import SUITES, load_problem, load_suite
from rsrm.benchmarks.formula import compile_scalar, evaluate, feature_symbols, parse
from rsrm.benchmarks.random_laws import RANDOM_SUITES, random_facts

COUNTS = {
    "nguyen": 12, "nguyen_variants": 13, "nguyen_c": 5, "constant": 8, "jin": 6, "r_rational": 6, "livermore": 22,
    "feynman": 100, "feynman_bonus": 20, "strogatz": 14, "srsd_easy": 30, "srsd_medium": 40, "srsd_hard": 50,
    "srsd_easy_dummy": 30, "srsd_medium_dummy": 40, "srsd_hard_dummy": 50, "dysts": 411, "textbook": 60,
    "random_trees": 60, "random_sums": 60, "random_quotients": 60, "random_rates": 60,
}  # fmt: skip
DRAWN = [suite for suite in SUITES if suite != "dysts"]


def test_every_suite_has_the_published_number_of_problems():
    assert {suite: len(load_suite(suite)) for suite in SUITES} == COUNTS
    for suite in SUITES:
        problems = load_suite(suite)
        assert [p.index for p in problems] == list(range(1, len(problems) + 1))
        assert len({p.name for p in problems}) == len(problems)


@pytest.mark.parametrize("suite", DRAWN)
def test_rows_are_complete_finite_and_within_the_rejection_rule(suite):
    for problem in load_suite(suite):
        data = problem.sample(3)
        assert data.X_train.shape == (problem.train["n"], len(problem.variables))
        assert data.X_test.shape == (problem.test["n"], len(problem.variables))
        for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
            assert np.isfinite(X).all() and np.isfinite(y).all() and y.shape == (len(X),)
            if "abs_y_ge" in problem.rejection and problem.train["sampling"] == "uniform" == problem.test["sampling"]:
                assert np.abs(y).max() < problem.rejection["abs_y_ge"]


def test_laws_against_formulas_typed_by_hand():
    laws = {
        "Nguyen-7": lambda x: np.log(x + 1) + np.log(x**2 + 1),
        "Nguyen-12": lambda x, y: x**4 - x**3 + y**2 / 2 - y,
        "Jin-6": lambda x, y: 1.35 * x * y + 5.5 * np.sin((x - 1) * (y - 1)),
        "R-2": lambda x: (x**5 - 3 * x**3 + 1) / (x**2 + 1),
        "Livermore-8": lambda x: np.cosh(x),
        "I.6.2": lambda sigma, theta: np.exp(-((theta / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma),
        "strogatz_lv1": lambda x, y: 3 * x - 2 * x * y - x**2,
    }
    for name, law in laws.items():
        data = load_problem(name).sample(0)
        np.testing.assert_allclose(data.y_train, law(*data.X_train.T), rtol=1e-12, atol=1e-13, err_msg=name)


def test_published_operators_where_there_are_any_and_none_elsewhere():
    nguyen, jin = load_problem("Nguyen-1"), load_problem("Jin-1")
    assert nguyen.operators == ("add", "sub", "mul", "div", "sin", "cos", "exp", "log") and nguyen.constants is False
    assert jin.operators == ("add", "sub", "mul", "div", "sin", "cos", "exp", "square", "cube") and jin.constants
    for suite in ("feynman", "feynman_bonus", "strogatz", "srsd_easy", "srsd_hard_dummy", "dysts"):
        assert all(p.operators is None and p.constants is None for p in load_suite(suite))


def test_sampling_is_seeded_and_train_and_test_rows_differ():
    problem = load_problem("Nguyen-10")
    first, again, other = problem.sample(1), problem.sample(1), problem.sample(2)
    np.testing.assert_array_equal(first.X_train, again.X_train)
    assert not np.intersect1d(first.X_train, other.X_train).size
    assert not np.intersect1d(first.X_train, first.X_test).size
    assert problem.sample(1, n=7).X_train.shape == (7, 2)
    assert 0 <= first.X_train.min() and first.X_train.max() <= 1


def test_noise_is_relative_to_the_root_mean_square_and_on_training_rows_only():
    problem = load_problem("I.12.1")
    data = problem.sample(0, noise=0.1)
    exact = problem.target(data.X_train)
    assert np.std(data.y_train - exact) == pytest.approx(0.1 * np.sqrt(np.mean(exact**2)), rel=0.05)
    np.testing.assert_array_equal(data.y_test, problem.target(data.X_test))
    with pytest.raises(ValueError, match="noise"):
        problem.sample(0, noise=-1)


def test_kinds_of_ranges():
    rng = np.random.default_rng(0)
    logs = np.log10(sampling.draw("loguniform", 1e-3, 1e5, 20_000, rng))
    assert logs.min() >= -3 and logs.max() <= 5 and logs.mean() == pytest.approx(1, abs=0.1)
    assert set(sampling.draw("integer", 1, 3, 200, rng)) == {1.0, 2.0, 3.0}
    assert 0.4 < np.mean(sampling.draw("uniform_pm", 1, 2, 2000, rng) < 0) < 0.6
    assert sampling.draw("loguniform_neg", 1, 2, 20, rng).max() <= -1
    np.testing.assert_array_equal(sampling.draw("grid", -1, 1, 3, rng), [-1, 0, 1])
    for kind in ("gaussian", "uniform_up"):
        with pytest.raises(ValueError, match="kind"):
            sampling.draw(kind, 0, 1, 3, rng)


def test_dummy_columns_keep_the_law_and_are_the_same_for_every_seed():
    added = set()
    for plain, dummy in zip(load_suite("srsd_medium"), load_suite("srsd_medium_dummy"), strict=True):
        extra = [v for v in dummy.variables if v.startswith("dummy")]
        added.add(len(extra))
        assert [v for v in dummy.variables if v not in extra] == list(plain.variables)
        data = dummy.sample(0)
        kept = data.X_train[:, [not v.startswith("dummy") for v in dummy.variables]]
        np.testing.assert_array_equal(plain.target(kept), data.y_train)
        assert load_problem(dummy.name).variables == dummy.variables
        for column, name in zip(data.X_train.T, dummy.variables, strict=True):
            if name in extra:
                assert np.ptp(np.log10(np.abs(column))) <= 2
    assert added == {1, 2, 3}


def test_trajectory_of_the_harmonic_oscillator():
    system = {"variables": ["x", "v"], "rhs": {"x": "v", "v": "-4 * x"}}
    times = np.linspace(1.0, 5.0, 9)
    states = sampling.integrate(system["variables"], system["rhs"], [1.0, 0.0], times)
    expected = np.column_stack([np.cos(2 * times), -2 * np.sin(2 * times), times])
    np.testing.assert_allclose(states, expected, atol=1e-6)


def test_dysts_windows_do_not_overlap_and_the_cache_on_disk_agrees(tmp_path, monkeypatch):
    monkeypatch.setenv("RSRM_BENCHMARK_CACHE", str(tmp_path))
    sampling._trajectory.cache_clear()
    problem = load_problem("Lorenz_y")
    data = problem.sample(0)
    sampling._trajectory.cache_clear()
    again = problem.sample(5)  # read from disk, whatever the seed: the trajectory is published
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_array_equal(data.X_train, again.X_train)
    assert not np.intersect1d(data.X_train[:-1, 0], data.X_test[1:, 0]).size
    assert data.X_train.shape == data.X_test.shape == (1000, 3)


def test_strogatz_reads_original_files_where_they_are(tmp_path):
    problem = load_problem("strogatz_vdp1")
    rows = np.column_stack([np.zeros(8), np.arange(8), np.arange(8) / 7])
    np.savetxt(tmp_path / "d_vdp1.txt", rows, delimiter=",", header="label,x,y", comments="")
    data = problem.sample(0, data_dir=tmp_path)
    assert sorted(np.concatenate([data.X_train, data.X_test])[:, 0]) == list(range(8))
    assert len(data.X_train) == 6 and len(data.X_test) == 2
    simulated = problem.sample(0, data_dir=tmp_path / "elsewhere")
    assert len(simulated.X_train) == 300 and len(simulated.X_test) == 100


def test_parser_reads_formulas_and_refuses_anything_else():
    x, y = feature_symbols(["x", "y"])
    table = {"x": x, "y": y}
    assert parse("1 / 3 + x ** 2 * sin(-y)", table) == sp.Rational(1, 3) - x**2 * sp.sin(y)
    assert parse("sqrt(2 * pi) / abs(x)", table) == sp.sqrt(2 * sp.pi) / sp.Abs(x)
    for text in ("__import__('os')", "x.real", "z + 1", "x if y else 1", "sin(x, k=1)", "[x]", "x == y", "'a'"):
        with pytest.raises(ValueError, match="text"):
            parse(text, table)
        with pytest.raises(ValueError, match="text"):
            compile_scalar(text, ["x", "y"])


def test_numeric_forms_agree_with_sympy():
    text = "exp(-x / 2) * cos(3 * y) + sqrt(abs(x)) / (1 + y ** 2) - atan(x) ** 3 + 2 ** x + log(y) * x ** -1.5"
    x, y = feature_symbols(["x", "y"])
    expression = parse(text, {"x": x, "y": y})
    rng = np.random.default_rng(1)
    columns = {"x": rng.uniform(0.5, 2, 20), "y": rng.uniform(0.5, 2, 20)}
    expected = [float(expression.subs({x: a, y: b})) for a, b in zip(columns["x"], columns["y"], strict=True)]
    np.testing.assert_allclose(evaluate(expression, columns), expected, rtol=1e-12)
    scalar = compile_scalar(text, ["x", "y"])
    np.testing.assert_allclose([scalar(p) for p in zip(columns["x"], columns["y"], strict=True)], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="columns"):
        evaluate(x + sp.Symbol("w"), columns)
    with pytest.raises(ValueError, match="no numeric form"):
        evaluate(sp.gamma(x), columns)


def test_unknown_names_are_named():
    with pytest.raises(ValueError, match="name"):
        load_suite("nguien")
    with pytest.raises(ValueError, match="name"):
        load_problem("Nguyen-13")


@pytest.mark.parametrize("suite", RANDOM_SUITES)
def test_random_laws_are_drawn_once_and_for_all(suite):
    first = random_facts(suite, catalogue._values, count=6)
    again = random_facts(suite, catalogue._values, count=3)
    assert first["problems"][:3] == again["problems"]
    assert random_facts(suite, catalogue._values, count=3, seed=1)["problems"] != again["problems"]


def test_rates_are_the_slopes_of_their_trajectories():
    rates = [problem for problem in load_suite("random_rates") if problem.system is not None][:12]
    assert len(rates) == 12
    for problem in rates:
        data = problem.sample(0)
        *_, state, t = data.X_train.T
        slope = np.gradient(state, t, edge_order=2)
        assert np.abs(slope - data.y_train).max() < 0.02 * np.ptp(data.y_train), problem.name


# The columns of a rate equation are those of its simulation, needed or not.
@pytest.mark.parametrize("suite", [suite for suite in RANDOM_SUITES if suite != "random_rates"])
def test_random_laws_hold_all_their_variables(suite):
    for problem in load_suite(suite)[:10]:
        assert len(problem.truth.free_symbols) == len(problem.variables)
        data = problem.sample(0)
        assert np.isfinite(data.y_train).all() and np.std(data.y_train) > 0
