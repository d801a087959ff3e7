"""The scikit-learn face: conventions, bad input, names, limits, and what a second fit remembers."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
import sympy as sp
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from rsrm import search
from rsrm.estimator import RSRM

QUICK = {"operators": ("add", "sub", "mul"), "max_time": 30.0, "random_state": 0}
"""For laws that the first stages find at once; the time is there for compilation."""


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).uniform(-2.0, 2.0, (40, 2))
    return X, X[:, 0] * X[:, 1] + X[:, 0]


@pytest.fixture(scope="module")
def fitted(data):
    return RSRM(**QUICK).fit(*data)


EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data":
        "equations are chosen by description length, for which a repeated row is more evidence than a heavy one",
}


@parametrize_with_checks([RSRM(operators=("add", "mul"), max_time=5, max_evals=3000, random_state=0)],
                         expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_scikit_learn_conventions(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks feed what must be warned about
        check(estimator)


def test_law_is_found_and_described(fitted, data):
    X, y = data
    np.testing.assert_allclose(fitted.predict(X), y, rtol=1e-10)
    x0, x1 = sp.symbols("x0 x1", real=True)
    assert sp.expand(fitted.sympy() - (x0 * x1 + x0)) == 0
    assert fitted.score(X, y) > 1 - 1e-12
    assert fitted.stop_reason_ is search.StopReason.EXACT and fitted.n_evaluations_ > 0
    assert "x_{0}" in fitted.latex()


def test_the_front_is_a_table(fitted, data):
    X, y = data
    table = fitted.equations_
    assert list(table.columns) == ["complexity", "loss", "score", "equation", "sympy_format", "lambda_format"]
    assert table["complexity"].is_monotonic_increasing and table["complexity"].is_unique
    symbols = sp.symbols("x0 x1", real=True)
    for k, row in table.iterrows():
        predicted = fitted.predict(X, index=k)
        assert np.sqrt(np.mean((predicted - y) ** 2)) / np.std(y) == pytest.approx(row["loss"], abs=1e-12)
        np.testing.assert_allclose(row["lambda_format"](X), predicted)
        by_sympy = sp.lambdify(symbols, row["sympy_format"], "numpy")(*X.T)
        np.testing.assert_allclose(np.broadcast_to(by_sympy, len(X)), predicted, rtol=1e-9, atol=1e-12)
        assert fitted.sympy(index=k) == row["sympy_format"]
    assert fitted.get_best()["equation"] == table["equation"].iloc[fitted.chosen_]
    with pytest.raises(ValueError, match="index"):
        fitted.predict(X, index=len(table))


X2, Y2 = np.arange(12.0).reshape(6, 2), np.arange(6.0)


@pytest.mark.parametrize("X, y, message", [
    (np.where(X2 == 3, np.nan, X2), Y2, "X contains NaN"),
    (np.where(X2 == 3, np.inf, X2), Y2, "X contains inf"),
    (X2, np.where(Y2 == 3, np.nan, Y2), "y contains NaN"),
    (X2, np.where(Y2 == 3, -np.inf, Y2), "y contains inf"),
    (X2.astype(str).astype(object) + "a", Y2, "X|string"),
    (X2, np.array(list("abcdef")), "y|string"),
    (X2 + 1j, Y2, "[Cc]omplex"),
    (X2, Y2 + 1j, "[Cc]omplex"),
    (np.empty((0, 2)), np.empty(0), "0 sample"),
    (np.empty((6, 0)), Y2, "0 feature"),
    (X2[:1], Y2[:1], "minimum of 2"),
    (X2, Y2[:5], "inconsistent"),
    (Y2, Y2, "2D"),
    (X2, np.stack([Y2, Y2], 1), "y"),
])
def test_bad_data_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        RSRM(**QUICK).fit(X, y)


@pytest.mark.parametrize("options", [
    {"operators": ("add", "plus")}, {"operators": ()}, {"max_time": -1}, {"max_time": 0}, {"max_time": float("nan")},
    {"max_time": "long"}, {"max_evals": 0}, {"max_size": 0}, {"max_depth": 0}, {"max_constants": -1}, {"n_islands": 0},
    {"target_nrmse": -1e-3}, {"loss": "mae"}, {"model_selection": "worst"},
    {"nested_constraints": {"sin": {"plus": 0}}},
])
def test_bad_parameters_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RSRM(**{**QUICK, **options}).fit(X2, Y2)


def test_a_refused_fit_loses_nothing(data):
    model = RSRM(**QUICK).fit(*data)
    before = model.predict(data[0])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((5, 2), np.nan), np.arange(5.0))
    np.testing.assert_array_equal(model.predict(data[0]), before)


def test_messages_name_the_argument_and_are_short():
    for X in (np.full((3000, 1), 1j), np.full((3000, 1), "a"), np.ones(3000)):
        with pytest.raises(ValueError, match="^X, y: ") as caught:
            RSRM().fit(X, np.ones(3000))
        assert len(str(caught.value)) < 400


def test_predict_checks_columns_and_fit(fitted):
    with pytest.raises(ValueError, match="^X: .*features"):
        fitted.predict(np.ones((3, 3)))
    with pytest.raises(NotFittedError):
        RSRM().predict(np.ones((3, 2)))


@pytest.mark.parametrize("level", [0.0, -3.0, 1.2345, 1e12])
def test_constant_y_gives_that_constant(level, data):
    model = RSRM(max_time=30.0, random_state=0).fit(data[0], np.full(40, level))
    np.testing.assert_allclose(model.predict(data[0]), level, rtol=1e-12, atol=1e-12)
    assert model.sympy().is_number and model.get_best()["complexity"] <= 3


def test_column_y_warns_and_gives_the_same(fitted, data):
    X, y = data
    with pytest.warns(DataConversionWarning):
        column = RSRM(**QUICK).fit(X, y[:, None])
    assert column.sympy() == fitted.sympy() and column.predict(X).shape == (40,)


def test_column_names_come_out(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["mass", "speed"])
    model = RSRM(**QUICK).fit(frame, pd.Series(y))
    mass, speed = sp.symbols("mass speed", real=True)
    assert sp.expand(model.sympy() - (mass * speed + mass)) == 0
    assert "mass" in model.get_best()["equation"] and "mass" in model.latex()
    assert model.feature_names_in_.tolist() == ["mass", "speed"]
    np.testing.assert_allclose(model.predict(frame), y, rtol=1e-10)


def test_pickle_save_and_load(fitted, data, tmp_path):
    path = tmp_path / "model.pkl"
    fitted.save(path)
    again = RSRM.load(path)
    np.testing.assert_array_equal(again.predict(data[0]), fitted.predict(data[0]))
    assert again.sympy() == fitted.sympy() and again.get_params() == fitted.get_params()
    other = tmp_path / "other.pkl"
    pd.to_pickle({"no": "model"}, other)
    with pytest.raises(ValueError, match="dict"):
        RSRM.load(other)


def test_clone_keeps_parameters_and_forgets_the_fit(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "expression_")


def test_a_second_fit_forgets_the_first(data):
    X, y = data
    model = RSRM(**QUICK).fit(X, y).fit(X[:, :1], 3 * X[:, 0])
    fresh = RSRM(**QUICK).fit(X[:, :1], 3 * X[:, 0])
    assert model.sympy() == fresh.sympy() and model.n_features_in_ == 1
    assert model.equations_["equation"].tolist() == fresh.equations_["equation"].tolist()


def test_same_seed_same_equations(data):
    X, y = data
    tables = [RSRM(**{**QUICK, "random_state": 7}).fit(X, y).equations_["equation"].tolist() for _ in range(2)]
    assert tables[0] == tables[1]


def test_warm_start_goes_on_from_the_equations(data):
    X, y = data
    model = RSRM(**QUICK, warm_start=True).fit(X, y)
    law = model.sympy()
    model.set_params(max_evals=1, max_time=1.0).fit(X[:30], y[:30])
    assert model.sympy() == law


@pytest.mark.parametrize("after", [1, 5])
def test_interruption_keeps_the_best_so_far(monkeypatch, data, after):
    X, y = data
    original = search.search

    def interrupted(*arguments):
        seen = 0
        for state in original(*arguments):
            seen += state.best is not None
            if seen > after:
                raise KeyboardInterrupt
            yield state

    monkeypatch.setattr(search, "search", interrupted)
    noisy = y + np.random.default_rng(1).normal(size=40)
    with pytest.warns(UserWarning, match="interrupted"):
        model = RSRM(**{**QUICK, "max_time": 10.0}).fit(X, noisy)
    assert model.stop_reason_ is search.StopReason.INTERRUPTED
    assert np.isfinite(model.predict(X)).all() and len(model.equations_)


def test_max_time_is_kept():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = rng.normal(size=200)  # nothing to find: every stage runs
    over = []
    for _ in range(3):  # another process may hold the machine for a while, but not three times
        start = time.perf_counter()
        model = RSRM(max_time=2.0, random_state=0).fit(X, y)
        over.append(time.perf_counter() - start - 2.0)
    assert min(over) < 1.0
    assert model.stop_reason_ in (search.StopReason.MAX_TIME, search.StopReason.EXHAUSTED)


def test_max_evals_ends_the_search():
    rng = np.random.default_rng(0)
    model = RSRM(max_time=20.0, max_evals=5, random_state=0).fit(rng.normal(size=(50, 2)), rng.normal(size=50))
    assert model.stop_reason_ is search.StopReason.MAX_EVALS


def test_sample_weight_chooses_between_two_laws():
    x = np.linspace(0.5, 2.0, 40)
    y = np.where(np.arange(40) % 2, 3.0 * x, x * x)
    for side, law in ((1, 3.0 * x), (0, x * x)):
        weight = np.where(np.arange(40) % 2 == side, 1.0, 0.0)
        model = RSRM(**QUICK).fit(x[:, None], y, sample_weight=weight)
        np.testing.assert_allclose(model.predict(x[:, None]), law, rtol=1e-9)


@pytest.mark.parametrize("weight", [np.full(39, 1.0), np.full(40, -1.0), np.zeros(40), np.full(40, np.nan)])
def test_bad_weights_are_named(weight, data):
    with pytest.raises(ValueError, match="sample_weight"):
        RSRM(**QUICK).fit(*data, sample_weight=weight)


def test_in_a_pipeline_and_a_grid_search(data):
    X, y = data
    pipe = make_pipeline(FunctionTransformer(np.square), RSRM(**QUICK))
    pipe.fit(X, np.square(X[:, 0]) + np.square(X[:, 1]))
    np.testing.assert_allclose(pipe.predict(X[:3]), (X[:3] ** 2).sum(1), rtol=1e-9)
    grid = GridSearchCV(RSRM(**QUICK), {"model_selection": ["best", "accuracy"]}, cv=2).fit(X, y)
    assert grid.best_score_ > 0.999 and grid.best_estimator_.sympy() == RSRM(**QUICK).fit(X, y).sympy()


def test_parameters_are_stored_as_given():
    operators = ["add", "mul"]
    assert RSRM(operators=operators).get_params()["operators"] is operators


@pytest.mark.parametrize(("x", "y"), [(1.0, 1e300), (1e-300, 1.0), (1e200, 1e-200), (1.0, 1e-310)])
def test_values_at_the_ends_of_float64_end_in_an_equation(x, y):
    X = np.random.default_rng(0).uniform(-2.0, 2.0, (60, 2))
    target = (np.sin(3.0 * X[:, 0]) + X[:, 1] ** 2) * y * np.exp(X[:, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stage may say that it gave up
        model = RSRM(max_time=3, random_state=0).fit(X * x, target)
    assert len(model.equations_) and np.isfinite(model.predict(X * x)).all()
