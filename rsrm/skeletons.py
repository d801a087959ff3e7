"""Skeletons: small expressions with constants wherever a law may have them, enumerated by rising cost.

A skeleton is an expression f(x; c) with unknown constants c, for data that are ``a + b f``: the outer scale and offset
are never written. Constants stand in normal forms only, so that no two of them do the same: ``exp(c f)`` needs no
offset, ``log(c + f)`` and ``1/(c + f)`` no factor.
"""

import math
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from rsrm.library import Library

RATE, FREQUENCY, PHASE, OFFSET, POWER = range(5)
"""Kinds of constants: where a fit looks for them, for columns and values of the order of one."""
MOST = (600, 6_000, 30_000)
"""Most skeletons of each tier."""
SURPLUS = 1.5
"""Skeletons in units of the most that are kept, at which the dearest are dropped."""
MAX_CONSTANTS = 5


class Skeleton(NamedTuple):
    """Prefix tokens, the kind of every constant from left to right, a bit for every variable, and the cost.

    Tokens and kinds are small and many: bytes take a quarter of the memory of tuples.
    """

    tokens: bytes
    kinds: bytes
    variables: int
    cost: float


class _Builder:
    """Composes skeletons over one library; None stands for what its operators cannot write."""

    def __init__(self, library: Library):
        self.ids = {name: bytes((library.token(name),)) for name in library.operators}
        self.one = Skeleton(bytes((library.token("1"),)), b"", 0, 0.5)
        self.constants = [Skeleton(bytes((library.constant,)), bytes((kind,)), 0, 2.0) for kind in range(5)]

    def unary(self, name: str, f: Skeleton | None, extra: float = 1.0) -> Skeleton | None:
        """Return ``name(f)``."""
        if f is None or name not in self.ids:
            return None
        return Skeleton(self.ids[name] + f.tokens, f.kinds, f.variables, f.cost + extra)

    def binary(self, name: str, f: Skeleton | None, g: Skeleton | None) -> Skeleton | None:
        """Return ``name(f, g)``."""
        if f is None or g is None or name not in self.ids:
            return None
        return Skeleton(self.ids[name] + f.tokens + g.tokens, f.kinds + g.kinds, f.variables | g.variables,
                        f.cost + g.cost + 1.0)

    def mul(self, f, g):
        return self.binary("mul", f, g)

    def inverse(self, f):
        return self.binary("div", self.one, f)

    def scaled(self, f, kind=RATE):
        """Return ``c f``."""
        return self.binary("mul", self.constants[kind], f)

    def shifted(self, f):
        """Return ``c + f``."""
        return self.binary("add", self.constants[OFFSET], f)

    def affine(self, f, kind):
        """Return ``c + c f``."""
        return self.binary("add", self.constants[PHASE], self.scaled(f, kind))

    def plus(self, f, g):
        """Return ``f + c g``."""
        return self.binary("add", f, self.scaled(g))

    def power(self, f):
        """Return ``f**c``."""
        return self.unary("exp", self.scaled(self.unary("log", f), POWER), 0.0)

    def joined(self, f, g):
        """Return the sum and the product of f and g."""
        return [self.mul(f, g), self.plus(f, g)]

    def functions(self, f: Skeleton) -> list[Skeleton | None]:
        """Return the functions of f that may have an unknown constant inside."""
        shifted = self.shifted(f)
        below = self.binary("sub", self.constants[OFFSET], f)
        return [
            self.unary("exp", self.scaled(f)), self.inverse(shifted), self.unary("sqrt", shifted),
            self.unary("sqrt", below), self.unary("log", shifted), self.unary("log", below),
            self.unary("tanh", self.affine(f, RATE)), self.unary("sin", self.scaled(f, FREQUENCY)),
            self.unary("cos", self.scaled(f, FREQUENCY)), self.mul(shifted, f), self.power(shifted),
            self.unary("abs", shifted),
        ]

    def plain(self, f: Skeleton) -> list[Skeleton | None]:
        """Return further functions of a variable or a simple combination of variables."""
        square = self.mul(f, f)
        return [
            self.power(f), self.unary("sin", self.affine(f, FREQUENCY)), self.unary("tanh", self.scaled(f)),
            self.unary("log", f), self.unary("sqrt", f), self.inverse(f), self.unary("exp", self.scaled(square)),
            self.unary("exp", self.scaled(self.mul(f, self.shifted(f)))), self.inverse(self.shifted(square)),
            self.inverse(self.shifted(self.power(f))),
        ]


def _sorted(found, variables: int = 0, most: int | None = None) -> list[Skeleton]:
    """Return the skeletons in which all of a bit set of variables occur by rising cost, each once, `most` of them."""
    def cheapest():
        return sorted(unique.values(), key=lambda s: (s.cost, s.tokens))[:most]

    unique: dict[bytes, Skeleton] = {}
    dearest = math.inf
    for s in found:
        if s is None or s.cost > dearest or len(s.kinds) > MAX_CONSTANTS or s.variables & variables != variables:
            continue
        unique[s.tokens] = s
        if most is not None and len(unique) > SURPLUS * most:  # most are too long to be kept
            unique = {s.tokens: s for s in cheapest()}
            dearest = next(reversed(unique.values())).cost
    return cheapest()


def enumerate_skeletons(library: Library, tier: int) -> tuple[Skeleton, ...]:
    """Return the skeletons of one tier in which every variable occurs, cheapest first.

    Parameters
    ----------
    library : Library
        Over one to three variables, with constants; there are no skeletons over more.
    tier : int
        0: functions of a variable or of a combination of two, times or plus a power. 1: functions of functions, sums
        and products of two. 2: those with one more function, factor or term.
    """
    if library.n_variables > 3 or not library.constants or (library.n_variables == 3 and tier == 2):
        return ()
    # Those of the last tier take as much memory as all else together, and a search asks for them once.
    return _enumerated(library, tier) if tier < 2 else _enumerated.__wrapped__(library, tier)


@lru_cache(maxsize=8)
def _enumerated(library: Library, tier: int) -> tuple[Skeleton, ...]:
    n = library.n_variables
    b = _Builder(library)
    xs = [Skeleton(bytes((i,)), b"", 1 << i, 1.0) for i in range(n)]
    mixed: list[Skeleton | None] = []
    for i in range(n):
        for j in range(n):
            if i < j:
                mixed += [b.mul(xs[i], xs[j]), b.plus(xs[i], xs[j])]
            if i != j:
                mixed.append(b.binary("div", xs[i], xs[j]))
    if n == 3:
        mixed.append(b.binary("add", xs[0], b.plus(b.scaled(xs[1]), xs[2])))
    mixed += [b.plus(x, b.power(z)) for x in xs for z in xs if x != z]
    mixed = [m for m in mixed if m is not None]
    first = _sorted([s for f in xs + mixed for s in b.functions(f)] + [s for f in xs for s in b.plain(f)]
                    + [s for f in mixed for s in (b.unary("log", f), b.unary("sqrt", f), b.inverse(f), b.power(f))])
    powers = [p for x in xs for p in (x, b.mul(x, x), b.inverse(x), b.mul(x, b.mul(x, x))) if p is not None]
    shifts = [s for x in xs if (s := b.shifted(x)) is not None]
    combined = [s for f in first for p in powers + mixed for s in b.joined(p, f)]
    if tier == 0:
        pool = [*mixed, *first, *combined]
    else:
        second = _sorted([s for f in first for s in b.functions(f)] + [s for f in first for p in shifts
                                                                       for s in b.joined(p, f)])
        few = [f for f in first if f.cost <= (10.0 if n == 1 else 7.0)]
        pairs = _sorted(s for i, f in enumerate(few) for g in few[i:] for s in b.joined(f, g))
        if tier == 1:
            pool = [*second, *pairs]
        else:
            parts = [f for f in (*second, *pairs, *_sorted(combined)) if f.cost <= (14.0 if n == 1 else 11.0)]
            pool = chain((s for f in parts for g in (*powers, *few[:30]) for s in b.joined(g, f)),
                         (s for f in (*pairs, *_sorted(combined)) for s in b.functions(f)))
    return tuple(_sorted(pool, (1 << n) - 1, MOST[tier]))
