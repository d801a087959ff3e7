"""Simplified expressions have the same values, are never longer, and reach the forms known by hand."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rsrm.algebra import fraction
from rsrm.closing import column
from rsrm.evaluate import values
from rsrm.export import infix, parse, to_sympy
from rsrm.library import Library
from rsrm.primitives import BY_OPCODE
from rsrm.simplify import factored, simplify
from tests import naive_expression as naive

LIB = Library(2, naive.NAMES)
SCHOOL = Library(2, ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos"))
SCHOOL_PLUS = Library(2, (*SCHOOL.operators, "neg", "inv"))
X = np.random.default_rng(11).uniform(-2.5, 2.5, (40, 2))
SIMPLE = st.sampled_from([0.5, 1.0, 2.0, 3.0, -1.0, -2.0, 0.0, 1.75])


def well_conditioned(e):
    """Return values and the rows on which rounding does not matter: 64 and 80 bits agree."""
    double = naive.numpy_values(e, X)
    longer = naive.numpy_values(e, X.astype(np.longdouble))
    with np.errstate(all="ignore"):
        good = np.isfinite(double) & (np.abs(double) < 1e10) & (np.abs(double) > 1e-10)
        good &= np.abs(double - longer) < 1e-12 * np.abs(double)
    return double, good


@settings(max_examples=300)
@given(naive.expressions(LIB, max_leaves=10, values=SIMPLE))
def test_values_are_kept_and_size_does_not_grow(e):
    wanted, good = well_conditioned(e)
    short = simplify(e)
    assert short.complexity <= e.complexity
    assume(good.any())
    found = values(short, X)[0]
    np.testing.assert_allclose(found[good], wanted[good], rtol=1e-9, err_msg=f"{infix(e)} -> {infix(short)}")


@settings(max_examples=150)
@given(naive.expressions(SCHOOL, 10, SCHOOL.operators, SIMPLE))
def test_only_allowed_operators_are_written(e):
    codes = SCHOOL.tables.opcode[simplify(e).expanded]
    assert {BY_OPCODE[int(c)].name for c in codes if int(c) in BY_OPCODE} <= set(SCHOOL.operators)


@settings(max_examples=150)
@given(naive.expressions(LIB, max_leaves=10, values=SIMPLE))
def test_twice_is_once(e):
    once = simplify(e)
    assert simplify(once).complexity == once.complexity


@pytest.mark.parametrize("text, wanted", [
    ("x0 + x0 + x0", "3*x0"),
    ("x0 - x0", "0"),
    ("x0*x1/x1", "x0"),
    ("log(exp(x0))", "x0"),
    ("exp(log(x0*x1))", "x0*x1"),
    ("sqrt(x0)*sqrt(x0)", "x0"),
    ("(x0 - x1)/(x1 - x0)", "-1"),
    ("1/(1/x0)", "x0"),
    ("-(-x0)", "x0"),
    ("x0*0 + x1", "x1"),
    ("sin(pi/2)*x1", "x1"),
    ("(x0 + x1)*(x0 + x1)/(x1 + x0)", "x0 + x1"),
    ("0.5*x0 + 0.5*x0", "x0"),
    ("exp(x0)*exp(x1)*exp(-x1)", "exp(x0)"),
])
def test_known_forms(text, wanted):
    found, target = simplify(parse(text, SCHOOL_PLUS)), parse(wanted, SCHOOL_PLUS)
    assert found.complexity <= target.complexity
    assert (to_sympy(found) - to_sympy(target)).equals(0)


def test_an_expression_that_cannot_be_written_shorter_stays_itself():
    e = parse("x0 + sin(x1)", SCHOOL)
    assert simplify(e) is e or simplify(e).complexity == e.complexity


def test_numbers_beyond_float64_stay_as_they_are():
    e = parse("exp(exp(exp(exp(2)))) + x0", SCHOOL)
    assert simplify(e) == e


@given(st.integers(1, 12), st.integers(-500, 500).filter(bool))
def test_fraction_finds_lowest_terms(q, p):
    from fractions import Fraction

    exact = Fraction(p, q)
    assert fraction(p / q, 1e-13) == (exact.numerator, exact.denominator)
    assert fraction(p / q * (1 + 1e-6), 1e-13) is None


def test_fraction_refuses_what_is_none():
    assert fraction(np.pi, 1e-6) is None and fraction(0.0, 1e-3) is None
    assert fraction(np.pi, 1e-3) == (22, 7)


@pytest.mark.parametrize("text", ["exp((1/0)*log(x0))", "exp(0*log(x0)/0)", "x0*(1/0) + 2", "exp(2*(x0/0 + 1))"])
def test_numbers_beyond_float64_stand_as_they_are(text):
    expression = parse(text, Library(2))
    simplified = simplify(expression)  # no error
    assert simplified.complexity <= expression.complexity


@pytest.mark.parametrize(("text", "complexity"), [
    ("exp(-6*log(1.5*x0))", 7),  # c*exp(-6*log(x0))
    ("exp(2*log(x0))", 3),
    ("exp(0.5*log(x0))", 2),
    ("25.7*(log(x0) + 2) - 51.4", 4),
])
def test_powers_written_as_exponentials_and_numbers_that_cancel(text, complexity):
    expression = parse(text, Library(1))
    simplified = simplify(expression)
    X = np.linspace(0.5, 3.0, 9)[None]
    assert simplified.complexity == complexity
    assert np.allclose(column(simplified, X), column(expression, X), rtol=1e-12)


@pytest.mark.parametrize(("text", "wanted"), [
    ("0.3*sin(2*x0) + 0.4*cos(2*x0)", "0.5*cos(2*x0 - 0.64350110879328437)"),
    ("x1*(-2.5*sin(x0)) + 1.5*cos(x0)*x1 + x1", "x1 - x1*(2.9154759474226504*sin(x0 - 0.54041950027058416))"),
    ("sin(x0 - 1.5707963267949)", "-cos(x0)"), ("cos(x0*x1 + 1.5707963267949)", "-sin(x0*x1)"),
    ("sin(x0 + 3.14159265358979)", "-sin(x0)"), ("cos(x1 - 4.71238898038469)", "-sin(x1)"),
])
def test_waves_are_joined_and_quarter_turns_go(text, wanted):
    short = simplify(parse(text, SCHOOL_PLUS))
    assert short.complexity <= simplify(parse(wanted, SCHOOL_PLUS)).complexity
    np.testing.assert_allclose(values(short, X)[0], values(parse(text, SCHOOL_PLUS), X)[0], rtol=1e-11, atol=1e-11)
    assert "+" not in infix(short) and infix(short).count("sin") + infix(short).count("cos") == 1


@pytest.mark.parametrize("text", ["sin(x0) + cos(x0)", "2*sin(x0) - 3*cos(x0)", "0.3*sin(x0) + 0.4*cos(x1)",
                                  "sin(x0 + 1.5)", "0.3*sin(x0)*x1 + 0.4*cos(x0)"])
def test_other_waves_stay(text):
    assert simplify(parse(text, SCHOOL)).complexity == parse(text, SCHOOL).complexity


def test_a_wave_that_the_operators_cannot_write_stays():
    library = Library(1, ("add", "sub", "mul", "sin"))
    assert infix(simplify(parse("sin(x0 + 1.5707963267948966)", library))) == "sin(x0 + 1.5707963267948966)"


@pytest.mark.parametrize(("text", "wanted"), [
    ("sqrt(x0*x1*(157.91367041743*x0/x1 - 315.82734083486*sin(x1) + 157.91367041743*x1/x0))",
     "12.5663706143592*sqrt(x0*x0 - 2*x0*x1*sin(x1) + x1*x1)"),
    ("x0*x1*(1/x0 + 3/x1)", "x1 + 3*x0"),
    ("x0*(exp(x1) + sin(x0))", "x0*(exp(x1) + sin(x0))"),
    ("exp(7.3*x0 - 3.65*x1)", "exp(7.3*(x0 - x1/2))"),
])
def test_products_are_multiplied_out_and_factors_taken_out_where_that_is_shorter(text, wanted):
    short, positive = simplify(parse(text, SCHOOL)), np.abs(X) + 0.1
    assert short.complexity <= parse(wanted, SCHOOL).complexity
    np.testing.assert_allclose(values(short, positive)[0], values(parse(text, SCHOOL), positive)[0], rtol=1e-11)


@pytest.mark.parametrize(("text", "wanted"), [
    ("sqrt((x0*(x0 - 2.5*x1) + 1.5625*x1*x1)/(1 + x1*x1))", "abs(x0 - 1.25*x1)/sqrt(1 + x1*x1)"),
    ("sqrt(x0*x0 + 2*x0 + 1)", "abs(x0 + 1)"),
    ("x1*sqrt(4*x0*x0 - 12*x0*x1 + 9*x1*x1)", "x1*abs(2*x0 - 3*x1)"),
])
def test_roots_of_perfect_squares_are_taken(text, wanted):
    library = Library(2, ("add", "sub", "mul", "div", "sqrt", "abs"))
    found = simplify(parse(text, library))
    assert found.complexity <= parse(wanted, library).complexity
    np.testing.assert_allclose(values(found, X)[0], values(parse(text, library), X)[0], rtol=1e-9)


@pytest.mark.parametrize("text", ["sqrt(x0*x0 + 2*x0*x1 - x1*x1)", "sqrt(x0*x0 + 2.001*x0*x1 + x1*x1)",
                                  "sqrt(x0*x0 + 2*x0*x1 + x1*x1 + 1)"])
def test_other_roots_stay(text):
    library = Library(2, ("add", "sub", "mul", "div", "sqrt", "abs"))
    assert "abs" not in infix(simplify(parse(text, library)))


@pytest.mark.parametrize(("text", "wanted"), [
    ("2.51*x0 - 2.5", {(0.996, 2.51), (1.004, 2.5)}),
    ("x1/(3.1*x0 + 6.3*x1)", {(0.159, 0.492), (0.323, 2.032)}),
    ("exp(7.3*x0*x1 + 7.4*x0)", {(1.014, 7.3), (0.986, 7.4)}),
    ("sin(2.1*x0) + x1*(5.02*x0 - 10.1)", {(2.012, 2.1, 5.02), (0.497, 2.1, 10.1)}),
    ("2.5*x0 + 13.3*x1", set()),  # no simple ratio
    ("2.5*x0 + 5*x1", set()),  # one already
    ("1e-200*x0 + 1e200*x1", set()),  # a ratio beyond float64
])
def test_coefficients_of_a_nearly_simple_ratio_are_written_once(text, wanted):
    library = Library(2)
    found = list(factored(parse(text, library), 0.05))
    rows = np.random.default_rng(0).uniform(0.5, 2.0, (30, 2))
    for e in found:
        np.testing.assert_allclose(values(e, rows)[0], values(parse(text, library), rows)[0], rtol=1e-12)
    assert {tuple(sorted(round(abs(float(c)), 3) for c in e.constants)) for e in found} == wanted


@pytest.mark.parametrize(("text", "wanted", "fewer"), [
    ("x0*(0.0029*x1 + 1)/(1 - 0.003*x2)", (0.967, 344.828, 333.333), 2),
    ("2.51*x0/(0.37*x1 - 1.51)", (6.784, 4.081), 2),
    ("x0*(-0.37*x1 - 1.51)", (0.37, 4.081), 0),
    ("x1*(x0 + 3.3)", None, 0),  # as it should be
    ("x1*exp(0.37*x0 + 1.2)", None, 0),  # no factor that is a sum
    ("0.37*x0 + 1.2", None, 0),
])
def test_sums_of_a_product_begin_with_a_coefficient_of_one(text, wanted, fewer):
    library = Library(3)
    given = parse(text, library)
    found = list(factored(given, 1e-6))
    rows = np.random.default_rng(0).uniform(0.5, 2.0, (30, 3))
    for e in found:
        np.testing.assert_allclose(values(e, rows)[0], values(given, rows)[0], rtol=1e-12)
    if wanted is None:
        assert found == []
    else:
        assert [sorted(round(abs(float(c)), 3) for c in e.constants) for e in found] == [sorted(wanted)]
        assert found[0].complexity == given.complexity - fewer
