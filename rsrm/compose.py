"""Expressions from fitted numbers: powers, monomials, linear combinations, written only with the allowed operators.

Solvers that work on values (projections, look-ups) end with numbers: coefficients, exponents, an outer function. The
functions here turn those into the shortest expression that the library's operators can write, or say None where they
cannot. Several ways of writing are built and the shortest wins, so that ``sqrt(x0*x1)`` beats ``sqrt(x0)*sqrt(x1)``.
"""

import numpy as np

from rsrm.expression import Expression, apply, number
from rsrm.library import Library
from rsrm.primitives import BY_NAME, LITERAL_NAMES, LITERALS

MAX_POWER = 64
"""Integer exponents above this are not written as products."""
EXACT = 1e-12
"""Relative difference below which two numbers count as the same."""


def _shortest(options) -> Expression | None:
    return min((o for o in options if o is not None), key=lambda e: e.length, default=None)


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= EXACT * max(abs(a), abs(b))


UNITS = np.array([1.0, np.pi, 1.0 / np.pi, np.pi * np.pi, 1.0 / (np.pi * np.pi)])
"""What simple numbers are multiples of."""


def snap(value: float, tol: float, max_denominator: int = 12) -> float:
    """Return the nearest simple number within relative `tol` of `value`, or `value` itself.

    Simple numbers are, in this order, p/q with q from 1 to `max_denominator`, and p/q times pi, 1/pi, pi**2, 1/pi**2.
    A match is refused where it says nothing, i.e. where numbers of its kind lie closer than about 20 `tol`.
    """
    if not np.isfinite(value) or value == 0.0:
        return float(value)
    q = np.arange(1, max_denominator + 1)
    ratio = value / UNITS[:, None]
    p = np.rint(ratio * q)
    size = np.abs(p)
    good = (np.abs(ratio) * max_denominator * tol <= 1.0) & (size > 0.0)
    good &= (np.abs(ratio * q - p) <= tol * size) & (20.0 * tol * size * q < 1.0)
    if not good.any():
        return float(value)
    unit, k = divmod(int(good.argmax()), max_denominator)
    return float(p[unit, k] / q[k] * UNITS[unit])


def fraction(value: float, max_denominator: int = 12, tol: float = 1e-9) -> tuple[int, int] | None:
    """Return (p, q) with ``value`` equal to p/q within relative `tol` and the smallest q, or None."""
    for q in range(1, max_denominator + 1 if abs(value) <= 1000 else 0):
        p = round(value * q)
        if abs(p) <= 1000 and abs(value * q - p) <= tol * abs(p):
            return p, q
    return None


def constant(library: Library, value: float) -> Expression:
    """Return `value` as one token: the literal 1, 2 or pi where it is exactly that, else a fitted constant."""
    for name, literal in zip(LITERAL_NAMES, LITERALS, strict=True):
        if value == literal:
            return apply(library, name)
    return number(library, float(value))


def _call(library: Library, name: str, *arguments: Expression | None) -> Expression | None:
    """Return ``apply`` of an allowed primitive, or None."""
    if name not in library.operators or any(a is None for a in arguments):
        return None
    return apply(library, name, *arguments)


def _mul(library: Library, f: Expression | None, g: Expression | None) -> Expression | None:
    if f is None or g is None:
        return None
    if "mul" in library.operators:
        return apply(library, "mul", f, g)
    return _call(library, "div", f, outer("inv", g))


def _div(library: Library, f: Expression | None, g: Expression | None) -> Expression | None:
    if f is None or g is None:
        return None
    if "div" in library.operators:
        return apply(library, "div", f, g)
    return _call(library, "mul", f, outer("inv", g))


def outer(name: str, f: Expression) -> Expression | None:
    """Return the unary primitive `name` of `f`, in other words if `name` itself is not allowed, or None.

    The other words are elementary identities: square and cube as products or powers, inv as a quotient, neg as a
    product, sqrt as a power, tan, sinh, cosh and tanh through sin, cos and exp.

    Raises
    ------
    ValueError
        If `name` is not a unary primitive.
    """
    if name not in BY_NAME or BY_NAME[name].arity != 1:
        raise ValueError(f"name: {name!r} is not a unary primitive")
    lib = f.library
    if name in lib.operators:
        return apply(lib, name, f)
    one = constant(lib, 1.0)
    match name:
        case "square":
            return power(f, 2.0)
        case "cube":
            return power(f, 3.0)
        case "inv":
            return _call(lib, "div", one, f) or _call(lib, "pow", f, constant(lib, -1.0))
        case "neg":
            return _call(lib, "mul", constant(lib, -1.0), f) or _call(lib, "sub", constant(lib, 0.0), f)
        case "sqrt":
            return power(f, 0.5)
        case "tan":
            return _div(lib, _call(lib, "sin", f), _call(lib, "cos", f))
        case "sinh" | "cosh":
            e = _call(lib, "exp", f)
            if e is None:
                return None
            sign = "sub" if name == "sinh" else "add"
            return _div(lib, _call(lib, sign, e, outer("inv", e)), constant(lib, 2.0))
        case "tanh":
            double = product(lib, [(f, 1.0)], 2.0)
            e = None if double is None else _call(lib, "exp", double)
            bottom = _call(lib, "add", e, one)
            return _div(lib, _call(lib, "sub", e, one), bottom)
    return None


def power(f: Expression, p: float) -> Expression | None:
    """Return ``f**p`` in the shortest way the operators allow, or None if there is none.

    Integers by square, cube, mul or pow; halves, quarters and eighths by sqrt; any real exponent by pow or by
    ``exp(p*log(f))`` (which needs f > 0).
    """
    lib = f.library
    p = float(p)
    if p == round(p) and abs(p) <= MAX_POWER:
        n = int(p)
        if n == 0:
            return constant(lib, 1.0)
        positive = _integer_power(f, abs(n), {1: f})
        if n > 0:
            return positive
        return _shortest([None if positive is None else outer("inv", positive), _call(lib, "pow", f, constant(lib, p))])
    options = [_call(lib, "pow", f, constant(lib, p))]
    if 8.0 * p == round(8.0 * p) and abs(p) <= MAX_POWER:
        whole = power(f, 2.0 * p)
        if whole is not None:
            options.append(_call(lib, "sqrt", whole))
    if all(o is None for o in options) and "exp" in lib.operators:
        exponent = product(lib, [(_call(lib, "log", f), 1.0)], p) if "log" in lib.operators else None
        options.append(_call(lib, "exp", exponent))
    return _shortest(options)


def _integer_power(f: Expression, n: int, known: dict) -> Expression | None:
    """Return the shortest ``f**n``, n >= 1; `known` remembers smaller powers."""
    if n not in known:
        lib = f.library
        options = [_call(lib, "pow", f, constant(lib, float(n)))]
        if n % 2 == 0:
            options.append(_call(lib, "square", _integer_power(f, n // 2, known)))
        if n % 3 == 0:
            options.append(_call(lib, "cube", _integer_power(f, n // 3, known)))
        if all(o is None for o in options) or n <= 12:
            for k in {1, n // 2}:
                options.append(_mul(lib, _integer_power(f, k, known), _integer_power(f, n - k, known)))
        known[n] = _shortest(options)
    return known[n]


def _chain(library: Library, factors: list) -> Expression | None:
    """Return the product of `factors`; the empty product is None, which callers tell from failure by the list."""
    total = None
    for f in factors:
        total = f if total is None else _mul(library, total, f)
        if total is None:
            return None
    return total


def product(library: Library, factors, coefficient: float = 1.0) -> Expression | None:
    """Return ``coefficient * prod f**p`` for (f, p) in `factors`, as a physicist writes it, or None.

    Factors with the same exponent share one power (``(x0/x1)**2``), half-integer exponents share one root, negative
    exponents stand below one fraction bar, and a coefficient like 1/4 or 1/(4 pi) goes below the bar too.

    Parameters
    ----------
    library : Library
    factors : sequence of (Expression, float)
    coefficient : float
    """
    factors = [(f, float(p)) for f, p in factors if p != 0.0]
    if coefficient == 0.0 or not factors:
        return constant(library, float(coefficient))
    groups: dict[float, list] = {}
    for f, p in factors:
        half = 2.0 * p == round(2.0 * p) and p != round(p)
        groups.setdefault(0.5 if half else abs(p), []).append((f, 2.0 * p if half else np.sign(p)))
    above: list[Expression] = []
    below: list[Expression] = []
    for exponent, members in groups.items():
        if exponent == 1.0:
            above += [f for f, s in members if s > 0]
            below += [f for f, s in members if s < 0]
            continue
        flip = all(s < 0 for _, s in members)
        parts = [_grouped(library, members, exponent, flip), _apart(library, members, exponent, flip)]
        best = _shortest(parts)
        if best is None:
            return None
        (below if flip else above).append(best)
    return _with_coefficient(library, above, below, float(coefficient))


def _grouped(library: Library, members: list, exponent: float, flip: bool) -> Expression | None:
    """Return the members' product (or quotient) raised to `exponent` at once."""
    base = product(library, [(f, -s if flip else s) for f, s in members]) if len(members) > 1 or exponent == 0.5 else (
        members[0][0])
    return None if base is None else power(base, exponent)


def _apart(library: Library, members: list, exponent: float, flip: bool) -> Expression | None:
    """Return the product of the members' powers, each raised by itself."""
    top = [power(f, exponent * abs(s)) for f, s in members if (s < 0) == flip]
    bottom = [power(f, exponent * abs(s)) for f, s in members if (s < 0) != flip]
    if any(f is None for f in top + bottom):
        return None
    return _with_coefficient(library, top, bottom, 1.0)


def _with_coefficient(library: Library, above: list, below: list, c: float) -> Expression | None:
    """Return ``c * prod(above) / prod(below)``, or None where c is no number that can be written."""
    if not 1e-300 < abs(c) < np.inf:
        return constant(library, 0.0) if c == 0.0 else None
    inverse = 1.0 / c
    nice = "div" in library.operators and not _same(c, round(c)) and (_same(inverse, round(inverse)) or any(
        _same(inverse / u, round(inverse / u)) for u in (np.pi, np.pi * np.pi, 0.5 * np.pi)))
    negative = _same(c, -1.0) and "neg" in library.operators
    split = None if library.constants or nice or negative else fraction(c)
    if nice:
        below = [constant(library, inverse if not _same(inverse, round(inverse)) else float(round(inverse))), *below]
    elif split is not None:
        above = ([constant(library, float(split[0]))] if split[0] != 1 else []) + above
        below = ([constant(library, float(split[1]))] if split[1] != 1 else []) + below
    elif not negative and not _same(c, 1.0):
        whole = float(round(c)) if _same(c, round(c)) else c
        if "mul" not in library.operators and whole in (2.0, 3.0, 4.0) and "add" in library.operators:
            above = [_repeated(library, above, int(whole))]
        elif above and "mul" in library.operators:
            above = [_scaled(above[0], whole), *above[1:]]
        else:
            above = [constant(library, whole), *above]
    if any(f is None for f in above):
        return None
    top, bottom = _chain(library, above), _chain(library, below)
    if (above and top is None) or (below and bottom is None):
        return None
    if bottom is None:
        total = top
    elif top is None:
        total = outer("inv", bottom)
    else:
        total = _div(library, top, bottom)
    return outer("neg", total) if negative and total is not None else total


def _scaled(f: Expression, c: float) -> Expression:
    """Return ``c*f`` with the number written in front of f's leftmost factor, merged with one that stands there."""
    lib = f.library
    tokens = list(f.expanded)
    k = 0
    while lib.name(int(tokens[k])) in ("mul", "div"):
        k += 1
    value = lib.tables.literal[tokens[k]]
    if tokens[k] == lib.constant or np.isfinite(value):
        merged = constant(lib, c * (f.constants[0] if tokens[k] == lib.constant else float(value)))
        rest = f.constants[1:] if tokens[k] == lib.constant else f.constants
        tokens[k] = merged.tokens[0]
    else:
        merged, rest = constant(lib, c), f.constants
        tokens[k:k] = [lib.token("mul"), merged.tokens[0]]
    return Expression(np.array(tokens), np.concatenate([merged.constants, rest]), lib)


def _repeated(library: Library, above: list, n: int) -> Expression | None:
    """Return n times the product of `above` as a sum, for alphabets without mul."""
    f = _chain(library, above) if above else constant(library, 1.0)
    total = f
    for _ in range(n - 1):
        total = _call(library, "add", total, f)
    return total


def linear(library: Library, terms, constant_term: float = 0.0) -> Expression | None:
    """Return ``sum a*f + constant_term`` for (a, f) in `terms`, or None if the operators cannot write it.

    Positive terms come first and negative ones are subtracted; a coefficient that all terms share is written once.
    """
    terms = [(float(a), f) for a, f in terms if a != 0.0]
    if not terms:
        return constant(library, float(constant_term))
    plain = _sum(library, [(a, f) for a, f in terms], constant_term)
    options = [plain]
    scale = abs(terms[0][0])
    if not _same(scale, 1.0) and all(_same(abs(a), scale) for a, _ in terms):
        inside = _same(abs(constant_term), scale) if constant_term else False
        if len(terms) > 1 or inside:
            sign = -1.0 if all(a < 0 for a, _ in terms) else 1.0
            core = _sum(library, [(sign * float(np.sign(a)), f) for a, f in terms],
                        sign * float(np.sign(constant_term)) if inside else 0.0)
            if core is not None:
                options.append(_sum(library, [(sign * scale, core)], 0.0 if inside else constant_term))
    return _shortest(options)


def _sum(library: Library, terms: list, c: float) -> Expression | None:
    """Return the sum with one coefficient a term."""
    parts = []
    for a, f in terms:
        below = a < 0 and "sub" in library.operators and (len(terms) > 1 or c != 0.0)
        parts.append((below, product(library, [(f, 1.0)], -a if below else a)))
    if c != 0.0:
        below = c < 0 and "sub" in library.operators
        parts.append((below, constant(library, -c if below else c)))
    if any(e is None for _, e in parts):
        return None
    if all(below for below, _ in parts):
        # Nothing to subtract from: the first term carries its sign itself.
        parts[0] = (False, product(library, [(terms[0][1], 1.0)], terms[0][0]))
    parts.sort(key=lambda p: p[0])
    total = parts[0][1]
    for below, e in parts[1:]:
        if total is None:
            return None
        if below or "add" in library.operators:
            total = _call(library, "sub" if below else "add", total, e)
        else:
            negated = outer("neg", e)
            total = None if negated is None else _call(library, "sub", total, negated)
    return total
