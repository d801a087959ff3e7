"""Slow twins of the bank: enumeration by Python loops, matching by least squares over every entry and pair."""

import itertools

import numpy as np

from rsrm.primitives import BY_NAME

TRIG = {"sin", "cos", "tan", "asin", "acos", "atan"}
EXP = {"exp", "sinh", "cosh", "tanh"}


def directions(X, operators, levels):
    """Return (unit vectors, complexities) of number-free sub-trees up to a cost, each once up to sign and scale."""
    known = []
    found = {1: []}

    def new(v):
        with np.errstate(all="ignore"):
            norm = np.linalg.norm(v)
            if not (np.isfinite(norm) and norm > 0 and np.std(v) > 1e-6 * norm / np.sqrt(len(v))):
                return False
            unit = v / norm
        if any(abs(abs(unit @ u) - 1.0) < 1e-13 for u in known):
            return False
        known.append(unit)
        return True

    for x in X:
        if new(x):
            found[1].append((x, frozenset(), 1))
    for level in range(2, levels + 1):
        found[level] = []
        with np.errstate(all="ignore"):
            for name in operators:
                p = BY_NAME[name]
                family = TRIG if name in TRIG else EXP if name in EXP else {name} if name == "log" else set()
                below = level - (1 if name in ("square", "inv") else 2)
                for v, used, size in found.get(below, []) if p.arity == 1 else []:
                    w = p.function(v)
                    if not family & used and new(w):
                        found[level].append((w, used | (frozenset({name}) if family else frozenset()), size + 1))
            for a in range(1, level - 1):
                for (f, used, m), (g, more, n) in itertools.product(found[a], found[level - 1 - a]):
                    for name in operators:
                        if BY_NAME[name].arity == 2:
                            w = BY_NAME[name].function(f, g)
                            w = -w if name == "sub" and w.sum() < 0 else w
                            if new(w):
                                found[level].append((w, used | more, m + n + 1))
    entries = [e for level in found.values() for e in level]
    return np.array([v / np.linalg.norm(v) for v, _, _ in entries]), np.array([n for _, _, n in entries])


def unexplained(columns, t, w):
    """Return the weighted fraction of variance of t that a constant and the columns leave, by least squares."""
    A = np.array([np.ones(len(t)), *columns]).T * w[:, None]
    A = A / np.linalg.norm(A, axis=0)
    rest = t * w - A @ np.linalg.lstsq(A, t * w, rcond=1e-14)[0]
    mean = np.average(t, weights=w * w)
    return float(rest @ rest / np.sum((w * (t - mean)) ** 2))
