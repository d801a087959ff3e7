"""Scores of one answer: recovery of the law, accuracy, edit distance, complexity."""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from rsrm.benchmarks.edit_distance import normalized_edit_distance
from rsrm.benchmarks.equivalence import compare, witness
from rsrm.benchmarks.formula import evaluate, feature_symbols, has_numeric_form, rename
from rsrm.benchmarks.limits import limited

_SYMBOLIC_SECONDS = 1.0
_SURVIVES = 0.05
_CONSTANT_SPREAD = 1e-5
_WORST_R2 = -1e6
_RULE_ERROR = 1e-3


@dataclass(frozen=True)
class Score:
    """Scores of one equation.

    Attributes
    ----------
    recovered : bool
        The law itself: its form with the right constants (:func:`equivalence.compare`), or SRBench's rule as far as the
        values agree to 1e-3 of the standard deviation plus the noise.
    recovered_skeleton : bool
        The law but for the values of its constants.
    recovered_srbench : bool
        SRBench's rule alone.
    ned : float
        SRSD's normalized edit distance, 0 to 1.
    complexity : int
        Nodes of the sympy tree.
    """

    recovered: bool
    recovered_skeleton: bool
    recovered_srbench: bool
    ned: float
    complexity: int


def r2_score(y: np.ndarray, predicted: np.ndarray) -> float:
    """Coefficient of determination; a constant y asks for agreement within 1e-6, and nonsense gives -1e6.

    Parameters
    ----------
    y, predicted : ndarray of shape (R,)
    """
    predicted = np.asarray(predicted, dtype=float)
    if predicted.shape != y.shape or not np.all(np.isfinite(predicted)):
        return _WORST_R2
    scale = float(np.max(np.abs(y))) or 1.0  # squares of 1e-200 would underflow
    residual, centred = (y - predicted) / scale, (y - y.mean()) / scale
    total = float(centred @ centred)
    if total <= len(y) * 1e-28:
        return 1.0 if float(np.max(np.abs(residual))) <= 1e-6 else _WORST_R2
    with np.errstate(over="ignore"):
        return max(_WORST_R2, 1.0 - float(residual @ residual) / total)


def tree_size(expression: sp.Expr) -> int:
    """Nodes of the sympy tree, the complexity that SRBench reports."""
    return sum(1 for _ in sp.preorder_traversal(expression))


def round_floats(expression: sp.Expr) -> sp.Expr:
    """Floats rounded to three digits after the point and those below 1e-4 dropped, as in SRBench."""
    floats = expression.atoms(sp.Float)
    return expression.xreplace({f: sp.Integer(0) if abs(f) < 1e-4 else _shortest(round(float(f), 3)) for f in floats})


def _shortest(value: float) -> sp.Expr:
    # 2.000 and 2 must cancel exactly in a difference.
    return sp.Integer(int(value)) if value == int(value) else sp.Float(value)


def srbench_rule(law: sp.Expr, found: sp.Expr, X: np.ndarray, rng: np.random.Generator) -> bool:
    """SRBench's symbolic solution: rounded, the equation differs from the law by a constant or by a constant factor.

    La Cava et al. (2021), definition 4.1. Values on X refute most candidates at once. What is left is confirmed by
    simplification within a second or, where that does not finish or does not see it, by :func:`equivalence.witness`.
    The rule makes no sense for a constant law, nor for one whose constants do not survive the rounding (SRSD's
    physical constants): then the answer is no.

    Parameters
    ----------
    law, found : sympy.Expr
        In the symbols ``x0, x1, ...``.
    X : ndarray of shape (R, D)
    rng : numpy.random.Generator
    """
    if not law.free_symbols or any(abs(f - round(f, 3)) > _SURVIVES * abs(f) for f in map(float, law.atoms(sp.Float))):
        return False
    columns = {f"x{i}": column for i, column in enumerate(X.T)}
    rounded_law, rounded = round_floats(law), round_floats(found)
    target, value = evaluate(rounded_law, columns), evaluate(rounded, columns)
    usable = np.isfinite(target)
    if not usable.any() or not np.all(np.isfinite(value[usable])):
        return False
    target, value = target[usable], value[usable]
    shift = _constant(value - target, np.max(np.abs(target)))
    with np.errstate(all="ignore"):
        factor = _constant((value / target)[target != 0], 0.0)
    if shift is not None and _confirmed(rounded_law, rounded - rounded_law, rounded - shift, X, rng):
        return True
    if factor is None or abs(factor) < 1e-12:
        return False
    return _confirmed(rounded_law, rounded / rounded_law, rounded / factor, X, rng)


def _constant(values: np.ndarray, scale: float) -> float | None:
    """The median, if all values are near it."""
    if not len(values):
        return None
    middle = float(np.median(values))
    spread = float(np.max(np.abs(values - middle)))
    return middle if spread <= _CONSTANT_SPREAD * max(scale, abs(middle)) else None


def _confirmed(law: sp.Expr, constant: sp.Expr, corrected: sp.Expr, X: np.ndarray, rng: np.random.Generator) -> bool:
    simplified = limited(_SYMBOLIC_SECONDS, lambda: round_floats(sp.simplify(constant)))
    if simplified is not None and simplified.is_number and simplified.is_finite:
        return True
    return witness(law, corrected, X, rng)


def _signed_symbols(X: np.ndarray) -> dict[str, sp.Symbol]:
    """Features known to be positive where they are: sympy then simplifies roots and logarithms as SRSD's does."""
    return {
        f"x{i}": sp.Symbol(f"x{i}", positive=True) if np.all(column > 0) else sp.Symbol(f"x{i}", real=True)
        for i, column in enumerate(X.T)
    }


def _fits(law: sp.Expr, found: sp.Expr, X: np.ndarray, tolerance: float) -> bool:
    """Whether the root mean square error is within ``tolerance`` of the standard deviation."""
    columns = {f"x{i}": column for i, column in enumerate(X.T)}
    return r2_score(evaluate(law, columns), evaluate(found, columns)) >= 1.0 - tolerance**2


def score(law: sp.Expr, found: sp.Expr, X: np.ndarray, noise: float = 0.0, seed: int = 0) -> Score:
    """All symbolic scores of an equation.

    Parameters
    ----------
    law, found : sympy.Expr
        In the symbols ``x0, x1, ...`` (matched by name).
    X : ndarray of shape (R, D)
        Rows of the box, best those that the search has not seen.
    noise : float
        Relative noise of the target that was searched.
    seed : int
        Seed of the fresh rows.
    """
    names = [f"x{i}" for i in range(X.shape[1])]
    symbols = dict(zip(names, feature_symbols(names), strict=True))
    law, found = rename(law, symbols), rename(sp.sympify(found), symbols)
    complexity = tree_size(found)
    known = found.free_symbols <= set(symbols.values()) and has_numeric_form(found)
    if not known or found.has(sp.nan, sp.zoo, sp.oo, sp.I):
        return Score(False, False, False, 1.0, complexity)
    rng = np.random.default_rng(seed)
    verdict = compare(law, found, X, rng, noise)
    if noise > 0 and not verdict.same_law:
        # The rule's constant shift, with the tolerance for constants that noise asks for: a small intercept is no miss.
        shift, without = found.as_independent(*found.free_symbols, as_Add=True)
        if shift != 0 and without != 0 and _fits(law, found, X, _RULE_ERROR + noise):
            verdict = max(verdict, compare(law, without, X, rng, noise))
    by_rule = verdict.same_law or srbench_rule(law, found, X, rng)
    # The rule forgives any shift and factor, were they as large as the law; we do so as far as the values still agree.
    same = verdict.same_law or (by_rule and _fits(law, found, X, _RULE_ERROR + noise))
    return Score(
        recovered=same,
        recovered_skeleton=verdict.same_form or same,
        recovered_srbench=by_rule,
        ned=normalized_edit_distance(*(rename(e, _signed_symbols(X)) for e in (law, found))),
        complexity=complexity,
    )
