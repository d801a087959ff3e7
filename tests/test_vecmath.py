"""Elementary functions against NumPy: bounds in units in the last place, edges, and vector code in the machine."""

import itertools
import math
import re

import numpy as np
import pytest
import sympy

from rsrm import elementwise, vecmath
from rsrm._jit import njit
from rsrm._simd import load, pointer, store
from rsrm.elementwise import apply_binary, apply_unary
from rsrm.primitives import BY_NAME

N = 1 << 15
EDGES = np.array([0.0, -0.0, 5e-324, -5e-324, 1e-310, -1e-310, 2.3e-308, 1e-200, 0.5, -0.5, 0.55, 1.0, -1.0, 1.5, 2.0,
                  -2.0, 3.0, -3.0, 100.0, -100.0, 709.78, 709.79, -709.0, 710.4, -745.0, -746.0, 1e5, 2.0**20,
                  -(2.0**20) - 1, 1e17, -1e17, 1e300, -1e300, math.inf, -math.inf, math.nan])


def ranges(name):
    """Return arrays that cover the domain of a function, its hard spots included."""
    rng = np.random.default_rng(0)
    u, whole = rng.uniform(-1.0, 1.0, N), np.round(rng.uniform(-3e5, 3e5, N))
    return {
        "exp": (708.0 * u, -720.0 + 25.0 * u, u, 1e-8 * u),
        "log": (np.exp(708.0 * u), 1.25 + 0.75 * u, 1.0 + 1e-6 * u),
        "sin": (10.0 * u, 1e6 * u, 1e-5 * u, whole * np.pi, 1e12 * u),
        "cos": (10.0 * u, 1e6 * u, 1e-5 * u, (whole + 0.5) * np.pi, 1e12 * u),
        "tan": (10.0 * u, 1e6 * u, 1e-5 * u, 0.5 * whole * np.pi, 1e12 * u),
        "tanh": (u, 30.0 * u, 1e-6 * u),
        "sinh": (u, 710.0 * u, 5.0 * u),
        "cosh": (u, 710.0 * u, 5.0 * u),
        "atan": (u, 30.0 * u, 10.0 ** (18.0 * u)),
        "asin": (u, 1.0 - 10.0 ** (-15.0 * abs(u)), 1e-6 * u),
        "acos": (u, 1.0 - 10.0 ** (-15.0 * abs(u)), 10.0 ** (-15.0 * abs(u)) - 1.0),
        "sqrt": (abs(u), 10.0 ** (300.0 * u)),
    }[name]


def ulps(got, want):
    """Return the distance in units in the last place of `want`; zero where both are the same or both NaN."""
    with np.errstate(all="ignore"):
        distance = np.abs(got - want) / np.spacing(np.abs(want))
    return np.where((got == want) | (np.isnan(got) & np.isnan(want)), 0.0, distance)


def unary(name, x):
    out = x.copy()
    apply_unary(BY_NAME[name].opcode, out, len(out))
    return out


@pytest.mark.parametrize("name", sorted(vecmath.ULP.keys() - {"pow"}))
def test_error_stays_below_the_stated_bound(name):
    # NumPy itself errs by up to one unit, extended precision where the platform has it by none.
    wide = np.longdouble if name not in ("sin", "cos", "tan") else np.float64
    for x in ranges(name):
        want = BY_NAME[name].function(x.astype(wide)).astype(np.float64)
        worst = np.nanargmax(ulps(unary(name, x), want))
        assert ulps(unary(name, x), want)[worst] <= vecmath.ULP[name] + 1, x[worst]


@pytest.mark.parametrize("name", sorted(vecmath.ULP.keys() - {"pow"}))
def test_bound_against_arbitrary_precision(name):
    rng = np.random.default_rng(1)
    call = sympy.lambdify(sympy.Symbol("x"), getattr(sympy, name)(sympy.Symbol("x")), "mpmath")
    import mpmath

    with mpmath.workdps(40):
        for x in ranges(name):
            x = rng.choice(x, 60)
            want = np.array([float(call(mpmath.mpf(v))) for v in x])
            assert ulps(unary(name, x), want).max() <= vecmath.ULP[name]


@pytest.mark.parametrize("name", sorted(vecmath.ULP.keys() - {"pow"}))
def test_edges(name):
    got = unary(name, EDGES)
    with np.errstate(all="ignore"):
        want = BY_NAME[name].function(EDGES)
    bad = ~((ulps(got, want) <= vecmath.ULP[name] + 1) & (np.isnan(want) | (np.signbit(got) == np.signbit(want))))
    assert not bad.any(), [(EDGES[i], got[i], want[i]) for i in np.flatnonzero(bad)]


def test_power_over_magnitudes():
    rng = np.random.default_rng(2)
    u, v = rng.uniform(-1.0, 1.0, (2, N))
    cases = ((10.0 ** (3.0 * u), 5.0 * v), (10.0 ** (300.0 * u), v), (1.25 + 0.75 * u, 700.0 * v),
             (1.0 + 0.01 * u, 7e4 * v), (2.0 + u, np.round(9.0 * v)), (-2.0 + u, np.round(9.0 * v)))
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("no extended precision to compare with")
    for a, c in cases:
        got = np.empty(N)
        apply_binary(BY_NAME["pow"].opcode, a, c, N, got)
        want = np.power(a.astype(np.longdouble), c.astype(np.longdouble)).astype(np.float64)
        assert ulps(got, want).max() <= vecmath.ULP["pow"]


def test_power_has_the_special_cases_of_c():
    special = np.concatenate([EDGES, [1023.0, -1074.0, 2.0**51 + 0.5, 2.0**52 + 1.0]])
    a, c = np.array(list(itertools.product(special, special))).T.copy()
    got = np.empty(len(a))
    apply_binary(BY_NAME["pow"].opcode, a, c, len(a), got)
    with np.errstate(all="ignore"):
        want = np.power(a, c)
    bad = ~((ulps(got, want) <= vecmath.ULP["pow"]) & (np.isnan(want) | (np.signbit(got) == np.signbit(want))))
    assert not bad.any(), [(a[i], c[i], got[i], want[i]) for i in np.flatnonzero(bad)][:5]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 24, 131])
def test_any_length_and_nothing_beyond_it(length):
    rng = np.random.default_rng(length)
    a, c = rng.uniform(0.1, 0.9, (2, length + 9))
    for name in ("add", "pow", "sin", "log"):
        p = BY_NAME[name]
        out = a.copy()
        if p.arity == 1:
            apply_unary(p.opcode, out, length)
            want = p.function(a[:length])
        else:
            apply_binary(p.opcode, a, c, length, out)
            want = p.function(a[:length], c[:length])
        np.testing.assert_allclose(out[:length], want, rtol=1e-14)
        np.testing.assert_array_equal(out[length:], a[length:])


def test_large_angles_do_not_disturb_their_neighbours():
    x = np.array([0.5, 1e9, -0.0, np.inf, 3.0, -1e300, 1e6, np.nan, 2.0])
    for name in ("sin", "cos", "tan"):
        with np.errstate(all="ignore"):
            want = BY_NAME[name].function(x)
        assert ulps(unary(name, x), want).max() <= vecmath.ULP[name] + 1


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "tanh"])
def test_machine_code_is_vector_code(name):
    function = getattr(vecmath, name)

    @njit(cache=False)
    def kernel(x):
        for i in range(0, 8 * x.shape[0], 64):
            store(pointer(x) + i, function(load(pointer(x) + i)))

    kernel(np.ones(16))
    text = "".join(kernel.inspect_asm().values())
    scalar = re.findall(r"\b(?:v?mulsd|v?addsd|vfmadd\d+sd|vdivsd)\b", text)
    packed = re.findall(r"\b(?:v?mulpd|v?addpd|vfmadd\d+pd|fmul\s+v|fmla\s+v|fadd\s+v)", text)
    assert len(packed) >= 5 and not scalar


def test_every_opcode_is_operated_on():
    x = np.full(9, 0.4)
    for p in BY_NAME.values():
        out = np.full(9, 77.0)
        elementwise.apply_binary(p.opcode, x, np.full(9, 0.3), 9, out)
        want = p.function(x, np.full(9, 0.3)) if p.arity == 2 else p.function(x)
        np.testing.assert_allclose(out, want, rtol=1e-14, err_msg=p.name)
