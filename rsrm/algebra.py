"""Sums, products and functions as nodes that are equal where they are written in different order.

Sums are flattened to ``c0 + sum c_k t_k`` and products to ``c prod b_k ** n_k`` (integer n_k), like terms and like
bases are merged, and numbers are folded.
"""

from math import atan2, copysign, gcd, hypot, isfinite, pi, sqrt

import numpy as np

from rsrm.primitives import BY_NAME

QUARTER = 1e-9
"""How near a fitted phase must be to a multiple of a quarter turn, in quarter turns."""

ROUNDING = 1e-12
"""Relative error within which quotients of coefficients count as fractions."""

# Nodes are nested tuples, so that equal terms compare and hash equal:
#   ("num", value) | ("var", column) | ("fn", name, argument...) | ("sum", c0, ((term, c), ...)) |
#   ("prod", c, ((base, n), ...)), with term and base neither numbers nor, for sums, products with a coefficient.


def build(name: str, a: list):
    """Return the node of a primitive of nodes."""
    match name:
        case "add":
            return add_up([(a[0], 1.0), (a[1], 1.0)])
        case "sub":
            return add_up([(a[0], 1.0), (a[1], -1.0)])
        case "neg":
            return multiply([(a[0], 1)], -1.0)
        case "mul":
            return multiply([(a[0], 1), (a[1], 1)])
        case "div":
            return multiply([(a[0], 1), (a[1], -1)])
        case "inv":
            return multiply([(a[0], -1)])
        case "square":
            return multiply([(a[0], 2)])
        case "cube":
            return multiply([(a[0], 3)])
        case "pow":
            if a[1][0] == "num" and 1 <= abs(a[1][1]) <= 6 and a[1][1] == round(a[1][1]):
                return multiply([(a[0], int(a[1][1]))])
    if all(x[0] == "num" for x in a):
        return ("num", float(BY_NAME[name].function(*(np.float64(x[1]) for x in a))))
    inner = a[0]
    if name in ("sin", "cos") and inner[0] == "sum":
        shifted = _shifted_wave(name, inner)
        if shifted is not None:
            return shifted
    if inner[0] == "fn" and len(inner) == 3 and (name, inner[1]) in {("exp", "log"), ("log", "exp")}:
        return inner[2]
    if name == "sqrt" and inner[0] == "prod" and inner[1] == 1.0 and all(n < 0 for _, n in inner[2]):  # 1/sqrt(f)
        return multiply([(build("sqrt", [multiply([(b, -n) for b, n in inner[2]])]), -1)])
    if name == "sqrt" and inner[0] == "prod" and inner[1] > 0.0 and _exact(inner[1]) is None:
        return multiply([(build("sqrt", [multiply(list(inner[2]))]), 1)], sqrt(inner[1]))
    if name == "exp" and inner[0] == "prod" and len(inner[2]) == 1 and inner[2][0][0][:2] == ("fn", "log"):
        (log, n), twice = inner[2][0], 2.0 * inner[1]
        if n == 1 and log[2][0] == "prod" and log[2][1] > 0.0 and log[2][1] != 1.0:
            rest = build("exp", [multiply([(build("log", [multiply(list(log[2][2]))]), 1)], inner[1])])
            return multiply([(rest, 1)], float(np.float64(log[2][1]) ** inner[1]))
        if n == 1 and abs(twice) <= 24 and twice == round(twice):  # exp(c log f) = f**c
            whole = twice % 2 == 0
            return multiply([(log[2] if whole else ("fn", "sqrt", log[2]), int(twice) // (2 if whole else 1))])
    return ("fn", name, *a)


def add_up(parts):
    """Return the sum of a list of (node, factor)."""
    c0, terms = 0.0, {}
    for node, factor in parts:
        if node[0] == "num":
            c0 += factor * node[1]
        elif node[0] == "sum":
            c0 += factor * node[1]
            for term, c in node[2]:
                terms[term] = terms.get(term, 0.0) + factor * c
        elif node[0] == "prod" and len(node[2]) == 1 and node[2][0][1] == 1 and node[2][0][0][0] == "sum":
            inner = node[2][0][0]  # c * (c1 + ...) + c2: the numbers may cancel
            c0 += factor * node[1] * inner[1]
            for term, c in inner[2]:
                terms[term] = terms.get(term, 0.0) + factor * node[1] * c
        elif node[0] == "prod":
            term = multiply(list(node[2]))
            terms[term] = terms.get(term, 0.0) + factor * node[1]
        else:
            terms[node] = terms.get(node, 0.0) + factor
    terms = _joined_waves({t: c for t, c in terms.items() if c != 0.0})
    if not terms:
        return ("num", c0)
    if len(terms) == 1 and c0 == 0.0:
        (term, c), = terms.items()
        return multiply([(term, 1)], c)
    # A fixed order makes x - y and -(y - x) meet as one base.
    node = ("sum", c0, tuple(sorted(terms.items(), key=repr)))
    return node if c0 != 0.0 or abs(_common(node)) == 1.0 else multiply([(node, 1)])


def _joined_waves(terms: dict) -> dict:
    """Return terms of a sum with ``a sin(u) f + b cos(u) f`` as ``A sin(u + phase) f`` or ``A cos(u + phase) f``.

    The form with the smaller phase is taken. Whole numbers a and b stay: they are shorter as they are.
    """
    waves: dict = {}
    for term in terms:
        factors = dict(term[2]) if term[0] == "prod" else {term: 1}
        for base, n in factors.items():
            if n == 1 and base[:2] in (("fn", "sin"), ("fn", "cos")):
                rest = frozenset((b, k) for b, k in factors.items() if b != base)
                waves.setdefault((base[2], rest), {})[base[1]] = term
    for (u, rest), pair in waves.items():
        if len(pair) < 2 or any(t not in terms for t in pair.values()):
            continue
        a, b = terms[pair["sin"]], terms[pair["cos"]]
        if (a.is_integer() and b.is_integer()) or not isfinite(a * b):
            continue
        for t in pair.values():
            del terms[t]
        if abs(a) >= abs(b):
            name, size, phase = "sin", copysign(hypot(a, b), a), atan2(b * copysign(1.0, a), abs(a))
        else:
            name, size, phase = "cos", copysign(hypot(a, b), b), -atan2(a * copysign(1.0, b), abs(b))
        wave = build(name, [add_up([(u, 1.0), (("num", phase), 1.0)])])
        joined = multiply([(wave, 1), *rest])
        joined, size = (multiply(list(joined[2])), size * joined[1]) if joined[0] == "prod" else (joined, size)
        terms[joined] = terms.get(joined, 0.0) + size
    return terms


def _shifted_wave(name: str, argument):
    """Return sin or cos of a sum with a multiple of pi/2, without it, or None if there is none."""
    turns = argument[1] / (pi / 2.0)
    if not isfinite(turns):
        return None
    quarter = round(turns)
    if quarter == 0 or abs(turns - quarter) > QUARTER:
        return None
    inner = add_up([(argument, 1.0), (("num", -argument[1]), 1.0)])
    quarter += name == "cos"  # cos(u) = sin(u + pi/2)
    wave = build("cos" if quarter % 2 else "sin", [inner])
    return multiply([(wave, 1)], -1.0 if quarter % 4 in (2, 3) else 1.0)


def multiply(parts, c=1.0):
    """Return the product of a list of (node, integer power), times c."""
    bases: dict = {}
    for node, n in parts:
        if node[0] == "num":
            c = c * float(np.float64(node[1]) ** n)
        elif node[0] == "prod":
            c = c * float(np.float64(node[1]) ** n)
            for base, k in node[2]:
                bases[base] = bases.get(base, 0) + n * k
        elif node[0] == "sum" and node[1] == 0.0 and len(node[2]) > 1 and _common(node) != 1.0:
            k = _common(node)
            c = c * float(np.float64(k) ** n)
            base = ("sum", 0.0, tuple((t, _exact(x / k) or x / k) for t, x in node[2]))
            bases[base] = bases.get(base, 0) + n
        else:
            bases[node] = bases.get(node, 0) + n
    roots = [b for b, n in bases.items() if b[:2] == ("fn", "sqrt") and abs(n) >= 2]
    if roots:
        rest = [(b, n) for b, n in bases.items() if b not in roots]
        for b in roots:
            half = int(bases[b] / 2)  # towards zero, so that the remainder keeps its sign
            rest += [(b[2], half), (b, bases[b] - 2 * half)]
        return multiply(rest, c)
    exps = [b for b in bases if b[:2] == ("fn", "exp")]
    if len(exps) > 1 or (exps and abs(bases[exps[0]]) > 1):  # exp(a)*exp(b)**2 = exp(a + 2*b)
        total = add_up([(b[2], float(bases[b])) for b in exps])
        return multiply([(b, n) for b, n in bases.items() if b not in exps] + [(build("exp", [total]), 1)], c)
    bases = {b: n for b, n in sorted(bases.items(), key=repr) if n != 0}
    if c == 0.0 or not bases:
        return ("num", c)
    if c == 1.0 and len(bases) == 1:
        (base, n), = bases.items()
        if n == 1:
            return base
    return ("prod", c, tuple(bases.items()))


def _common(node) -> float:
    """Return the coefficient shared in size by all terms of a sum, signed as the first, else 1.

    Also one of which all others are simple multiples, if it is not simple itself.
    """
    cs = [c for _, c in node[2]]
    if all(abs(abs(c) - abs(cs[0])) <= 1e-14 * abs(cs[0]) for c in cs):
        return cs[0]
    if any(_exact(c) is not None for c in cs) or any(_exact(c / cs[0]) is None for c in cs):
        return 1.0
    alike = [sum(abs(abs(c) - abs(other)) <= ROUNDING * abs(c) for other in cs) for c in cs]
    return max(zip(alike, (c > 0.0 for c in cs), (-abs(c) for c in cs), cs, strict=True))[-1]


def _exact(value: float) -> float | None:
    """Return a small fraction that `value` is but for rounding, or None."""
    pq = fraction(value, ROUNDING) if isfinite(value) and abs(value) < 1e6 else None
    return None if pq is None else pq[0] / pq[1]


def fraction(value: float, tolerance: float, max_denominator: int = 12) -> tuple[int, int] | None:
    """Return (p, q) in lowest terms with the smallest q for which p/q lies within `tolerance` (relative), or None."""
    for q in range(1, max_denominator + 1):
        p = round(value * q)
        if p != 0 and abs(p / q - value) <= tolerance * abs(value) and gcd(p, q) == 1:
            return p, q
    return None
