"""Branch-free elementary functions on vectors of eight doubles.

Every function reduces its argument to a short interval, evaluates a polynomial there and puts the result together with
bit operations; no lane takes a branch. Polynomials interpolate at Chebyshev nodes in 60-digit arithmetic, so that their
error lies below rounding. Errors, in units in the last place, stay below :data:`ULP` over the full range (tested); the
largest of pow belong to results near 1e300, elsewhere 2 is typical.

========== ======================= ==========================================================
function   interval                method
========== ======================= ==========================================================
exp        abs(r) <= ln(2)/2       x = k ln 2 + r, ln 2 in two parts; 2**k in two factors, so that subnormals come out
log        [sqrt(1/2), sqrt(2)]    x = 2**k m, log m = 2 atanh((m-1)/(m+1))
sin, cos   abs(r) <= pi/2          x = q pi + r, pi in three parts; sign from the parity of q
tan        abs(r) <= pi/4          sine over cosine, exchanged for odd multiples of pi/2
tanh       0.55                    polynomial below, 1 - 2/(exp(2x) + 1) above
sinh, cosh 1                       polynomial below (sinh), exp(x)/2 +- 1/(2 exp(x)) above
atan       tan(pi/8)               x, (x-1)/(x+1) or -1/x
asin, acos 1/2                     polynomial below, 2 asin(sqrt((1-x)/2)) above
pow        -                       exp(c log a) with log in two doubles; sign and zero by cases
========== ======================= ==========================================================

Beyond abs(x) = :data:`TRIG_LIMIT` the three parts of pi no longer suffice; :func:`beyond_limit` tells, and callers ask
the C library for those lanes.
"""

from rsrm._jit import njit_exact
from rsrm._simd import bits, from_bits, select, vabs, vfloor, vsqrt

TRIG_LIMIT = 2.0**20

ULP = {"exp": 2, "log": 2, "sin": 3, "cos": 4, "tan": 5, "tanh": 3, "sinh": 3, "cosh": 3, "atan": 3, "asin": 4,
       "acos": 3, "pow": 32}
"""Bounds of the error in units in the last place, over the whole range."""

# 1.5 * 2**52: adding it rounds a double to an integer, which then stands in the low bits.
_MAGIC = 6755399441055744.0
_LOG2E, _LN2_HI, _LN2_LO = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
# pi/2 in three parts, the first two of 33 bits: their products with integers below 2**20 are exact.
_P1, _P2, _P3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
_INV_PI, _INV_HALF_PI = 0.3183098861837907, 0.6366197723675814
_HALF_PI, _HALF_PI_LO = 1.5707963267948966, 6.123233995736766e-17
_QUARTER_PI, _QUARTER_PI_LO = 0.7853981633974483, 3.061616997868383e-17
_TAN_PI_8, _TAN_3PI_8 = 0.41421356237309503, 2.414213562373095
_SIGN = -0x8000000000000000
_INF, _NAN = float("inf"), float("nan")


@njit_exact
def _exp_scaled(x, less):
    """Return ``exp(x) * 2**-less`` for arguments whose result is representable; NaN stays NaN."""
    shifted = x * _LOG2E + _MAGIC
    k = shifted - _MAGIC
    r = (x - k * _LN2_HI) - k * _LN2_LO
    r2 = r * r
    r4 = r2 * r2
    low = (0.5 + r * 0.16666666666666669) + r2 * (0.04166666666662413 + r * 0.008333333333330062)
    high = (0.0013888888917213717 + r * 0.00019841269863053618) + r2 * (2.4801521295954376e-05
                                                                        + r * 2.7557268459997064e-06)
    top = 2.7620088445409746e-07 + r * 2.510038549551032e-08
    p = 1.0 + (r + r2 * (low + r4 * (high + r4 * top)))
    # The bias of 4096 keeps the halved exponent positive under a shift that fills with zeros.
    n = bits(shifted) - (0x4338000000000000 - 4096 + less)
    half = n >> 1
    first = from_bits((half - (2048 - 1023)) << 52)
    second = from_bits((n - half - (2048 - 1023)) << 52)
    return p * first * second


@njit_exact
def exp(x):
    """Return e**x; infinity above 709.78, zero below -745.13."""
    y = _exp_scaled(x, 0)
    y = select(x > 709.782712893384, _INF, y)
    return select(x < -745.1332191019412, 0.0, y)


@njit_exact
def log(x):
    """Return the natural logarithm; -infinity at zero, NaN below."""
    tiny = x < 2.2250738585072014e-308
    v = select(tiny, x * 18014398509481984.0, x)
    # Exponent and mantissa around sqrt(1/2); the bias of 2048 keeps the exponent positive under the shift.
    n = bits(v) + (0x8000000000000000 - 0x3FE6A09E667F3BCD)
    k = from_bits((n >> 52) | 0x4330000000000000) - select(tiny, 4503599627372598.0, 4503599627372544.0)
    m = from_bits((n & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD)
    f = m - 1.0
    s = f / (m + 1.0)
    z = s * s
    w = z * z
    even = 0.3999999999989938 + w * (0.2222221112572281 + w * 0.15331699633543858)
    odd = 0.666666666666667 + w * (0.28571428626031065 + w * (0.18182889786191042 + w * 0.14616721179861816))
    y = k * _LN2_HI - ((s * (f - (z * odd + w * even)) - k * _LN2_LO) - f)
    y = select(x < _INF, y, x)
    return select(x > 0.0, y, select(x == 0.0, -_INF, _NAN))


@njit_exact
def beyond_limit(x):
    """Return the lanes that are too large for the argument reduction of sin, cos and tan, infinity included."""
    return vabs(x) > TRIG_LIMIT


@njit_exact
def _sin_reduced(r):
    """Return sin(r) for abs(r) <= pi/2."""
    z = r * r
    w = z * z
    low = (-0.16666666666666666 + z * 0.008333333333333333) + w * (-0.00019841269841269806 + z * 2.7557319223971247e-06)
    high = (-2.5052108382388368e-08 + z * 1.6059043479134437e-10) + w * (-7.647139107307692e-13
                                                                         + z * 2.8104683856171073e-15)
    w4 = w * w
    return r + r * z * (low + w4 * (high + w4 * -8.006027518524349e-18))


@njit_exact
def sin(x):
    """Return the sine; NaN at infinities."""
    shifted = x * _INV_PI + _MAGIC
    q = 2.0 * (shifted - _MAGIC)
    r = ((x - q * _P1) - q * _P2) - q * _P3
    y = from_bits(bits(_sin_reduced(r)) ^ (bits(shifted) << 63))
    return select(x == 0.0, x, y)


@njit_exact
def cos(x):
    """Return the cosine; NaN at infinities."""
    # cos x = +-sin(x - (q + 1/2) pi) with q the integer that brings the argument into [-pi/2, pi/2].
    shifted = (x * _INV_PI - 0.5) + _MAGIC
    q = 2.0 * (shifted - _MAGIC) + 1.0
    r = ((x - q * _P1) - q * _P2) - q * _P3
    return from_bits(bits(_sin_reduced(r)) ^ ((bits(shifted) + 1) << 63))


@njit_exact
def tan(x):
    """Return the tangent; NaN at infinities."""
    shifted = x * _INV_HALF_PI + _MAGIC
    q = shifted - _MAGIC
    r = ((x - q * _P1) - q * _P2) - q * _P3
    z = r * r
    w = z * z
    s = r + r * z * ((-0.16666666666666666 + z * 0.008333333333330946)
                     + w * ((-0.0001984126983675497 + z * 2.755731610068303e-06)
                            + w * (-2.5051131455427946e-08 + z * 1.591810123027412e-10)))
    c = 1.0 - (0.5 * z - w * ((0.041666666666666664 + z * -0.0013888888888887395)
                              + w * ((2.4801587298763433e-05 + z * -2.7557317270560326e-07)
                                     + w * (2.0876146024689747e-09 + z * -1.1382614868556325e-11))))
    odd = from_bits((bits(shifted) & 1) | 0x4330000000000000) > 4503599627370496.0
    y = select(odd, 0.0 - c, s) / select(odd, s, c)
    return select(x == 0.0, x, y)


@njit_exact
def tanh(x):
    """Return the hyperbolic tangent."""
    a = vabs(x)
    z = x * x
    w = z * z
    low = ((-0.3333333333333331 + z * 0.13333333333315647) + w * (-0.05396825394889914 + z * 0.021869487712363182))
    high = ((-0.008863217663269123 + z * 0.003591904413192802)
            + w * (-0.0014541180436174583 + z * 0.0005817724407868131))
    w4 = w * w
    small = x + x * z * (low + w4 * (high + w4 * (-0.00021454222089075102 + z * 5.390642014172177e-05)))
    large = 1.0 - 2.0 / (_exp_scaled(2.0 * select(a > 20.0, 20.0, a), 0) + 1.0)
    large = from_bits(bits(large) | (bits(x) & _SIGN))
    return select(x == 0.0, x, select(a > 0.55, large, small))


@njit_exact
def _half_exp(a):
    """Return exp(a)/2 for a >= 0, up to the overflow of the half."""
    return select(a > 710.4758600739439, _INF, _exp_scaled(a, 1))


@njit_exact
def sinh(x):
    """Return the hyperbolic sine."""
    a = vabs(x)
    z = x * x
    w = z * z
    low = (0.16666666666666666 + z * 0.008333333333333333) + w * (0.00019841269841269773 + z * 2.755731922404034e-06)
    high = ((2.505210836405804e-08 + z * 1.6059048396350562e-10)
            + w * (7.646625361656657e-13 + z * 2.8445264169895285e-15))
    small = x + x * z * (low + w * w * high)
    h = _half_exp(a)
    large = h - 0.25 / h
    large = from_bits(bits(large) | (bits(x) & _SIGN))
    return select(x == 0.0, x, select(a > 1.0, large, small))


@njit_exact
def cosh(x):
    """Return the hyperbolic cosine."""
    h = _half_exp(vabs(x))
    return h + 0.25 / h


@njit_exact
def atan(x):
    """Return the inverse tangent."""
    a = vabs(x)
    far = a > _TAN_3PI_8
    middle = a > _TAN_PI_8
    top = select(far, -1.0, select(middle, a - 1.0, a))
    bottom = select(far, a, select(middle, a + 1.0, 1.0))
    r = top / bottom
    base = select(far, _HALF_PI, select(middle, _QUARTER_PI, 0.0))
    rest = select(far, _HALF_PI_LO, select(middle, _QUARTER_PI_LO, 0.0))
    z = r * r
    w = z * z
    low = (-0.3333333333333333 + z * 0.19999999999995513) + w * (-0.1428571428466482 + z * 0.11111111015117626)
    high = (-0.09090904572487347 + z * 0.07692183059894114) + w * (-0.06664509603255386 + z * 0.05858132894427922)
    top_terms = (-0.05085365922344248 + z * 0.03922923713835943) + w * -0.01917392228554793
    w4 = w * w
    y = base + (r + (rest + r * z * (low + w4 * (high + w4 * top_terms))))
    y = from_bits(bits(y) | (bits(x) & _SIGN))
    return select(x == 0.0, x, y)


@njit_exact
def _asin_terms(z):
    """Return asin(s)/s - 1 with z = s*s <= 1/4."""
    w = z * z
    low = (0.1666666666666665 + z * 0.07500000000020869) + w * (0.04464285710323956 + z * 0.030381947379559158)
    high = (0.022372047201808885 + z * 0.01735526856395352) + w * (0.013929545950485803 + z * 0.011876344296279416)
    top = (0.0077986264075622334 + z * 0.01604912458494932) + w * (-0.010773195325585556 + z * 0.028187667142318098)
    w4 = w * w
    return z * (low + w4 * (high + w4 * top))


@njit_exact
def asin(x):
    """Return the inverse sine; NaN beyond 1."""
    a = vabs(x)
    near_one = a > 0.5
    z = select(near_one, 0.5 * (1.0 - a), x * x)
    s = vsqrt(z)
    small = x + x * _asin_terms(z)
    large = _HALF_PI - (2.0 * (s + s * _asin_terms(z)) - _HALF_PI_LO)
    large = from_bits(bits(large) | (bits(x) & _SIGN))
    return select(x == 0.0, x, select(near_one, large, small))


@njit_exact
def acos(x):
    """Return the inverse cosine; NaN beyond 1."""
    a = vabs(x)
    near_one = a > 0.5
    z = select(near_one, 0.5 * (1.0 - a), x * x)
    s = vsqrt(z)
    terms = _asin_terms(z)
    small = _HALF_PI - (x - (_HALF_PI_LO - x * terms))
    twice = 2.0 * (s + s * terms)
    large = select(x < 0.0, 2.0 * _HALF_PI - (twice - 2.0 * _HALF_PI_LO), twice)
    return select(near_one, large, small)


@njit_exact
def _upper(x):
    """Return x with the lower half of its fraction cleared: products of two such numbers are exact."""
    return from_bits(bits(x) & -0x8000000)


@njit_exact
def pow(a, c):
    """Return a**c with the special cases of C; NaN for a negative base and an exponent that is no integer."""
    base = vabs(a)
    tiny = base < 2.2250738585072014e-308
    v = select(tiny, base * 18014398509481984.0, base)
    n = bits(v) + (0x8000000000000000 - 0x3FE6A09E667F3BCD)
    k = from_bits((n >> 52) | 0x4330000000000000) - 4503599627372544.0
    k = select(tiny, k - 54.0, k)
    m = from_bits((n & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD)
    # log m = 2 s + s**3 R(s**2) with s = f/(m + 1) in two parts.
    f = m - 1.0
    t = m + 1.0
    t_hi = _upper(t)
    t_lo = (m - (t_hi - 1.0))
    s = f / t
    s_hi = _upper(s)
    s_lo = ((f - s_hi * t_hi) - s_hi * t_lo) / t
    z = s * s
    w = z * z
    even = 0.3999999999989938 + w * (0.2222221112572281 + w * 0.15331699633543858)
    odd = 0.666666666666667 + w * (0.28571428626031065 + w * (0.18182889786191042 + w * 0.14616721179861816))
    first = k * _LN2_HI
    second = 2.0 * s_hi
    leading = first + second
    back = leading - first
    small = ((first - (leading - back)) + (second - back)) + (2.0 * s_lo + (s * (z * odd + w * even) + k * _LN2_LO))
    log_hi = leading + small
    log_lo = small - (log_hi - leading)
    # c log a in two parts, by exact products of halves.
    p = c * log_hi
    c_hi, l_hi = _upper(c), _upper(log_hi)
    c_lo, l_lo = c - c_hi, log_hi - l_hi
    rest = (((c_hi * l_hi - p) + c_hi * l_lo) + c_lo * l_hi) + c_lo * l_lo + c * log_lo
    y = _exp_scaled(p, 0)
    y = y + y * rest
    y = select(p > 709.782712893384, _INF, y)
    y = select(p < -745.1332191019412, 0.0, y)
    y = select((base == 0.0) | (base == _INF), select(c < 0.0, 1.0 / base, base), y)
    y = select((base == 1.0) | (c == 0.0), 1.0, y)
    negative = from_bits((bits(a) & _SIGN) | 0x3FF0000000000000) < 0.0
    integer = vfloor(c) == c
    half = 0.5 * c
    y = select(negative & integer & (vfloor(half) != half), from_bits(bits(y) ^ _SIGN), y)
    undefined = ((a < 0.0) & (a > -_INF) & (vfloor(c) != c)) | (((a != a) & (c != 0.0)) | ((c != c) & (a != 1.0)))
    return select(undefined, _NAN, y)
