"""One-parameter families of functions g(u; theta), with grids of theta that fit the range of u."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from rsrm.compose import constant, linear, outer, product
from rsrm.expression import Expression


class Family(NamedTuple):
    """A one-parameter family of functions g(u; theta): values (several columns), grid of theta, expressions."""

    name: str
    values: Callable[[np.ndarray, float], list[np.ndarray]]
    grid: Callable[[np.ndarray], np.ndarray]
    build: Callable[[Expression, float], list[Expression | None]]
    sums: bool  # whether sums of variables are tried as arguments
    magnitudes: bool = False  # whether absolute values of variables are tried as arguments
    warped: bool = False  # whether roots and logarithms of variables are tried as arguments
    unscaled: Callable[[np.ndarray, float], list[np.ndarray]] | None = None  # what `build` writes, where it differs
    fixed: bool = False  # whether only the members of the grid are meant
    shift: float = 0.0  # power of u to which theta is added, where u**shift + theta must keep its sign
    crosses: bool = False  # whether theta may change its sign: near zero g is a constant plus a multiple of a function

    def takes(self, kind: str) -> bool:
        """Return whether arguments of a kind are tried: "variable", "sum" (or square), "magnitude" or "warped"."""
        return {"variable": True, "sum": self.sums, "magnitude": self.magnitudes, "warped": self.warped}[kind]

    def plain(self, u: np.ndarray, theta: float) -> list[np.ndarray]:
        """Return the values of what :attr:`build` writes; :attr:`values` may be a multiple that stays in range."""
        return (self.unscaled or self.values)(u, theta)

    def room(self, u: np.ndarray, theta: float) -> float:
        """Return how far theta may be moved by one step."""
        to_the_pole = np.abs(u**self.shift + theta).min() if self.shift else 0.0
        return 0.5 * max(abs(theta), float(to_the_pole))


def _rates(u: np.ndarray, low: float, high: float, n: int, signed: bool) -> np.ndarray:
    k = np.geomspace(low, high, n) / np.ptp(u)
    return np.concatenate([k, -k]) if signed else k


def _poles(u: np.ndarray, p: float) -> np.ndarray:
    """Return shifts c that keep u**p + c away from zero on either side of the data.

    Next to the range of a high power of u, what matters at small u is tiny.
    """
    w = u**p
    return np.concatenate([np.geomspace(0.03 ** (p + 1.0), 30.0, 36) * np.ptp(w) - w.min(),
                           -np.geomspace(1e-3, 30.0, 36) * np.ptp(w) - w.max()])


def _midpoints(u: np.ndarray) -> np.ndarray:
    """Return a of 1/(1 + a*exp(-u)) with the middle of the step in or near the data."""
    return np.exp(np.linspace(u.min() - 2.0, u.max() + 2.0, 24)) if np.ptp(u) < 30.0 else np.ones(1)


def _exponents(u: np.ndarray) -> np.ndarray:
    """Return exponents, none of which is a whole number, where u is positive."""
    return np.arange(-6.9, 7.0, 0.2) if u.min() > 0 else np.empty(0)


def _simple_exponents(u: np.ndarray) -> np.ndarray:
    return np.array([-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0] if u.min() > 0 else [1.0, 2.0, 3.0, 4.0])


def _right(u: np.ndarray) -> np.ndarray:
    return np.geomspace(1e-3, 30.0, 36) * np.ptp(u) - u.min()


def _left(u: np.ndarray) -> np.ndarray:
    """Return shifts c that keep u + c negative."""
    return -np.geomspace(1e-3, 30.0, 36) * np.ptp(u) - u.max()


def _kinks(u: np.ndarray) -> np.ndarray:
    """Return shifts c of abs(u + c) with the kink inside the data, none at all among them."""
    shifts = -np.quantile(u, np.linspace(0.02, 0.98, 49))
    return np.append(shifts, 0.0) if u.min() < 0.0 < u.max() else shifts


def families(library) -> list[Family]:
    names = set(library.operators)
    shifted = lambda e, c: None if e is None else linear(library, [(1.0, e)], c)  # noqa: E731
    turned = lambda e, c: None if e is None else linear(library, [(-1.0, e)], -c)  # noqa: E731
    power = lambda e, p: None if e is None else product(library, [(e, p)])  # noqa: E731
    call = lambda name, e: None if e is None else outer(name, e)  # noqa: E731
    scaled = lambda e, k: None if e is None else product(library, [(e, 1.0)], k)  # noqa: E731
    square = lambda e: product(library, [(e, 2.0)])  # noqa: E731
    found = []
    if "sin" in names and "cos" in names:
        found.append(Family("wave", lambda u, k: [np.sin(k * u), np.cos(k * u)],
                            lambda u: np.linspace(0.5, 110.0, 200) / np.ptp(u),
                            lambda e, k: [call("sin", scaled(e, k)), call("cos", scaled(e, k))], True, warped=True))
    if "exp" in names:
        found.append(Family("exp", lambda u, k: [np.exp(k * (u - u.max() if k > 0 else u - u.min()))],
                            lambda u: _rates(u, 0.2, 60.0, 24, True), lambda e, k: [call("exp", scaled(e, k))],
                            False, magnitudes=True, unscaled=lambda u, k: [np.exp(k * u)], crosses=True))
        found.append(Family("arrhenius", lambda u, k: [np.exp(k * (1 / u - (1 / (u.min() if k > 0 else u.max()))))],
                            lambda u: _rates(1 / u, 0.05, 60.0, 24, True) if u.min() > 0 else np.empty(0),
                            lambda e, k: [call("exp", product(library, [(e, -1.0)], k))], False,
                            unscaled=lambda u, k: [np.exp(k / u)], crosses=True))
        found.append(Family("gauss", lambda u, k: [np.exp(k * (u * u - ((u * u).max() if k > 0 else (u * u).min())))],
                            lambda u: _rates(u * u, 0.2, 60.0, 24, True),
                            lambda e, k: [call("exp", scaled(square(e), k))], False,
                            unscaled=lambda u, k: [np.exp(k * u * u)], crosses=True))
        found.append(Family("logistic", lambda u, a: [1.0 / (1.0 + a * np.exp(-u))],
                            _midpoints,
                            lambda e, a: [power(linear(library, [(a, call("exp", scaled(e, -1.0)))], 1.0), -1.0)],
                            False))
    if "tanh" in names or "exp" in names:
        found.append(Family("tanh", lambda u, k: [np.tanh(k * u)], lambda u: _rates(u, 0.5, 200.0, 30, False),
                            lambda e, k: [call("tanh", scaled(e, k))], True))

    def hyperbolic(e, k, name, sign):
        if name in names:
            return [call(name, scaled(e, k))]
        up, down = call("exp", scaled(e, k)), call("exp", scaled(e, -k))
        return [None if up is None or down is None else linear(library, [(0.5, up), (0.5 * sign, down)])]

    for name, f, sign in (("sinh", np.sinh, -1.0), ("cosh", np.cosh, 1.0)):
        if name in names or "exp" in names:
            found.append(Family(name, lambda u, k, f=f: [f(k * u)],
                                lambda u: np.geomspace(0.2, 20.0, 16) / np.abs(u).max(),
                                partial(hyperbolic, name=name, sign=sign), False))
    for p in (1.0, 2.0, 4.0):
        found.append(Family(f"pole{p:.0f}", lambda u, c, p=p: [1.0 / (u**p + c)], lambda u, p=p: _poles(u, p),
                            lambda e, c, p=p: [power(shifted(power(e, p), c), -1.0)], False, shift=p))
    if {"exp", "log"} <= names or "pow" in names:
        found.append(Family("power", lambda u, p: [(u / u[0]) ** p], _exponents,
                            lambda e, p: [power(e, p)], False, magnitudes=True,
                            unscaled=lambda u, p: [u**p], crosses=True))
    found.append(Family("line", lambda u, _: [u, np.ones(len(u))], lambda u: np.ones(1),
                        lambda e, _: [e, constant(library, 1.0)], False, fixed=True))
    found.append(Family("monomial", lambda u, p: [u**p], _simple_exponents, lambda e, p: [power(e, p)], False,
                        fixed=True))
    if "log" in names:
        found.append(Family("log2", lambda u, c: [np.log(u * u + c)], lambda u: _right(u * u),
                            lambda e, c: [call("log", shifted(square(e), c))], False, shift=2.0))
        found.append(Family("log", lambda u, c: [np.log(u + c)], _right, lambda e, c: [call("log", shifted(e, c))],
                            False, magnitudes=True, shift=1.0))
        found.append(Family("-log", lambda u, c: [np.log(-u - c)], _left, lambda e, c: [call("log", turned(e, c))],
                            False, shift=1.0))
    if "sqrt" in names:
        found.append(Family("sqrt2", lambda u, c: [np.sqrt(u * u + c)], lambda u: _right(u * u),
                            lambda e, c: [call("sqrt", shifted(square(e), c))], False, shift=2.0))
        found.append(Family("sqrt", lambda u, c: [np.sqrt(u + c)], _right, lambda e, c: [call("sqrt", shifted(e, c))],
                            False, shift=1.0))
        found.append(Family("-sqrt2", lambda u, c: [np.sqrt(-u * u - c)], lambda u: _left(u * u),
                            lambda e, c: [call("sqrt", turned(square(e), c))], False, shift=2.0))
        found.append(Family("-sqrt", lambda u, c: [np.sqrt(-u - c)], _left, lambda e, c: [call("sqrt", turned(e, c))],
                            False, shift=1.0))
    if "abs" in names:
        found.append(Family("abs", lambda u, c: [np.abs(u + c)], _kinks,
                            lambda e, c: [call("abs", shifted(e, c))], False))
    return found
