"""Pictures draw what the model says, on the axes they are given, and ask for matplotlib when it is missing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rsrm.export import parse
from rsrm.library import Library
from rsrm.plotting import formula, plot_front, plot_fit, plot_tree

plt = pytest.importorskip("matplotlib.pyplot")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 3.0, (30, 2))
    return X, X[:, 0] * X[:, 1] + X[:, 0]


@pytest.fixture(scope="module")
def model(data):
    from rsrm.estimator import RSRM

    return RSRM(operators=("add", "mul"), max_time=30, random_state=0).fit(*data)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(ax):
    ax.figure.canvas.draw()  # text that cannot be drawn raises here
    return ax


def test_front_shows_every_equation(model):
    ax = drawn(plot_front(model))
    points = ax.collections[0].get_offsets()
    assert len(points) == len(model.equations_)
    np.testing.assert_array_equal(points[:, 0], model.equations_["complexity"])
    assert (points[:, 1] > 0).all()  # an exact law stands on a logarithmic axis too
    chosen = ax.collections[1].get_offsets()
    assert chosen[0, 0] == model.get_best()["complexity"]


def test_fit_of_many_features_compares_predictions(model, data):
    X, y = data
    ax = drawn(plot_fit(model, X, y))
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], y)
    np.testing.assert_allclose(points[:, 1], model.predict(X))


@pytest.mark.parametrize("high", [3.0, 300.0])
def test_fit_of_one_feature_draws_the_curve(high):
    from rsrm.estimator import RSRM

    x = np.geomspace(1.0, high, 20)
    model = RSRM(operators=("mul",), max_time=30, random_state=0).fit(x[:, None], x * x)
    ax = drawn(plot_fit(model, x[:, None], x * x))
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_ydata(), np.square(line.get_xdata()), rtol=1e-9)
    assert ax.get_xscale() == ("log" if high > 30 else "linear")


def test_given_axes_are_used(model, data):
    _, axes = plt.subplots(1, 3)
    assert plot_front(model, axes[0]) is axes[0]
    assert plot_fit(model, *data, ax=axes[1]) is axes[1]
    assert plot_tree(model, ax=axes[2]) is axes[2]
    assert model.plot_front(axes[0]) is axes[0] and model.plot_fit(*data, axes[1]) is axes[1]


def test_tree_has_a_box_for_every_node_and_no_two_at_one_place():
    e = parse("sin(x0*x1 + 2.5)/(x0 - x1**2)", Library(2, ("add", "sub", "mul", "div", "sin", "square")))
    ax = drawn(plot_tree(e))
    assert len(ax.texts) == e.complexity and len(ax.lines) == e.complexity - 1
    places = [t.get_position() for t in ax.texts]
    assert len(set(places)) == len(places)
    assert [t.get_text() for t in ax.texts][:3] == ["÷", "sin", "+"]
    # In order of position on the page, leaves read as in the text.
    leaves = sorted((p[0], t.get_text()) for p, t in zip(places, ax.texts, strict=True)
                    if t.get_text() in ("x0", "x1", "2.5"))
    assert [t for _, t in leaves] == ["x0", "x1", "2.5", "x0", "x1"]


@pytest.mark.parametrize("text", ["asin(x0) + abs(a_b)", "exp(x0)**a_b", "1.5e-9*x0", "sqrt(atan(x0))/pi"])
def test_every_formula_can_be_drawn(text):
    from rsrm.primitives import BY_NAME

    lib = Library(2, tuple(BY_NAME), variable_names=("x0", "a_b"))
    _, ax = plt.subplots()
    ax.set_title(formula(parse(text, lib), "my_y"))
    drawn(ax)


def test_long_formulas_are_not_written_out():
    e = parse(" + ".join(["x0"] * 40), Library(1))
    assert formula(e) == "y = an equation of 79 nodes"


def test_missing_matplotlib_is_named():
    code = ("import sys; sys.modules['matplotlib'] = None\n"
            "import rsrm.plotting\n"
            "try: rsrm.plotting.plot_front(None)\n"
            "except ImportError as e: print(e)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert "pip install rsrm[plot]" in done.stdout, done.stderr
