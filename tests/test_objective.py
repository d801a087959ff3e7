"""Scores of nearly exact formulas: what rounding explains is no fault of theirs, and what it does not explain is."""

import time

import mpmath
import numpy as np
import pytest

from rsrm import search
from rsrm.evaluate import values
from rsrm.export import parse
from rsrm.library import Library
from rsrm.objective import FLOOR, Objective, extended_values
from rsrm.problem import Problem

TINY = np.geomspace(1e-9, 10.0, 400)


def test_digits_lost_by_the_formula_itself_are_not_held_against_it():
    library = Library(1)
    law = parse("x0/(exp(x0) - 1)", library)
    X = TINY[None]
    with mpmath.workdps(40):
        exact = np.array([float(mpmath.mpf(z) / mpmath.expm1(mpmath.mpf(z))) for z in TINY])
    lost = np.sqrt(np.mean((values(law, X.T)[0] - exact) ** 2)) / np.std(exact)
    assert 1e-9 < lost < 1e-6
    wider = np.finfo(np.longdouble).eps < 1e-17  # not on every machine
    assert Objective(Problem(X, exact, library)).score(law).nrmse < (lost / 100 if wider else 1.01 * lost)


def test_extended_values_agree_with_the_evaluator():
    library = Library(2)
    X = np.random.default_rng(0).uniform(0.5, 2.0, (2, 50))
    for text in ("2.5*sin(x0)**2/(exp(x1/3.7) - 1.25) + pi*abs(x0 - x1)**1.5", "x0 - x1/(x0 + 3)", "-log(x1)*tanh(x0)"):
        law = parse(text, library)
        np.testing.assert_allclose(extended_values(law, X)[0].astype(float), values(law, X.T)[0], rtol=1e-13)


@pytest.mark.parametrize(("text", "exact"), [
    ("exp(x0) - 1", mpmath.expm1),
    ("1 - cos(x0)", lambda z: 1 - mpmath.cos(z)),
    ("sqrt(x0 + 4) - 2", lambda z: mpmath.sqrt(z + 4) - 2),
    ("log(1 + x0)/x0", lambda z: mpmath.log1p(z) / z),
    ("asin(1 - x0/10)", lambda z: mpmath.asin(1 - z / 10)),
])
def test_the_error_by_rounding_is_bounded_and_not_by_much_more_than_it_is(text, exact):
    law = parse(text, Library(1))
    with mpmath.workdps(50):
        true = np.array([float(exact(mpmath.mpf(float(z)))) for z in TINY])
        off = np.array([float(abs(mpmath.mpf(float(v)) - exact(mpmath.mpf(float(z)))))
                        for v, z in zip(values(law, TINY[:, None])[0], TINY, strict=True)])
    bound = extended_values(law, TINY[None])[1] + np.spacing(np.abs(true))  # and the last rounding of the evaluator
    assert (off <= 2.0 * bound).all()
    assert np.median(off) > 0.01 * np.median(bound)


def exact_and_series():
    """Return a problem whose y is computed with cancellation, its law, and a series of it."""
    z = np.geomspace(1e-6, 1e-2, 300)
    given = Problem(z[None], 1.0 / (np.exp(z) - 1.0), Library(1))
    return given, parse("1/(exp(x0) - 1)", given.library), parse("1/x0 - 0.5 + x0/12", given.library)


def test_digits_that_y_itself_has_lost_are_not_held_against_the_law():
    given, law, series = exact_and_series()
    off = np.abs(extended_values(law, given.X)[0] / given.y - 1.0)
    assert off.max() > 1e-11, "y has lost digits"
    objective = Objective(given)
    assert objective.score(law).digits == pytest.approx(np.log(FLOOR), abs=1e-12)
    assert objective.score(series).nrmse < 1e-10
    assert objective.score(series).digits > np.log(FLOOR) + 1.0


def test_an_approximation_that_rounding_does_not_explain_is_not_the_end(monkeypatch):
    given, law, series = exact_and_series()

    def later():
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            yield None
        yield law

    monkeypatch.setattr(search, "stages", lambda *_: iter([("series", iter([series])), ("later", later())]))
    last = list(search.search(given, search.Options(max_time=20.0)))[-1]
    assert last.stop_reason is search.StopReason.EXACT and last.best.stage == "later"
    monkeypatch.setattr(search, "stages", lambda *_: iter([("law", iter([law])), ("later", later())]))
    assert [state.stage for state in search.search(given, search.Options(max_time=20.0))] == ["law"]


@pytest.mark.skipif(np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="no floats wider than float64 here")
def test_errors_by_rounding_that_cancel_explain_nothing():
    library = Library(2)
    rng = np.random.default_rng(0)
    X = np.array([10.0 ** rng.uniform(20.0, 23.0, 500), 10.0 ** rng.uniform(-6.0, -2.5, 500)])
    objective = Objective(Problem(X, X[0] / (2.0 * np.cosh(X[1])), library))
    digits = {text: objective.score(parse(text, library)).digits
              for text in ("x0/2", "0.5*x0*cos(x0/2)/cos(x0/2)", "0.5*x0*cos(sqrt(x0))/cos(sqrt(x0))",
                           "x0/(exp(x1) + exp(-x1))")}
    law = digits.pop("x0/(exp(x1) + exp(-x1))")
    assert law < np.log(2.0 * FLOOR) and law < min(digits.values()) - 3.0
    assert max(digits.values()) - min(digits.values()) < 0.1, "the same function, written in three ways"


def test_a_formula_without_a_bound_on_its_rounding_is_scored(monkeypatch):
    library = Library(1)
    X = np.linspace(1.0, 2.0, 20)[None]
    objective = Objective(Problem(X, X[0] * (1.0 + 1e-9), library))
    plain = objective.score(parse("x0", library))
    for lost in (np.nan, 0.0, np.inf):
        monkeypatch.setattr("rsrm.objective.extended_values",
                            lambda e, x, lost=lost: (x[0].astype(np.longdouble), np.full(x.shape[1], lost)))
        score = objective.score(parse("x0", library))
        assert score.nrmse == pytest.approx(plain.nrmse)
        assert np.isfinite(score.digits)
