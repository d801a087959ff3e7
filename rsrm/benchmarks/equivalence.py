"""Is the equation found the law itself? A numeric witness, and the same with constants refitted.

Agreement on the training box proves little: a polynomial follows exp to 1e-10 there, and in a law of physics a term may
contribute 1e-12 of the value. The witness therefore looks at three places.

- *Box*: rows of the box itself, relative error below ``BOX_TOLERANCE`` on 99 of 100 rows. Errors are relative to the
  size of the terms summed, so that cancellation does not count against anybody.
- *Around*: the same rows with every variable scaled by a factor between 1/2 and 2.
- *Reach*: rows with every variable scaled by up to 16 decades, signs kept. Among these, for every term of every sum
  of the law (and every argument of a transcendental function, and every power with a variable exponent), the rows are
  chosen where it matters: the term is at least a tenth of the largest in its sum, that sum does not cancel, the
  argument lies between 0.1 and 30, and the same holds for everything around it up to the root. On 85 of 100 of them
  the relative error must stay below ``REACH_TOLERANCE``. A missing or approximated term errs by more than a tenth
  there on nearly all rows, whereas a coefficient that was fitted to few digits because its term is weak on the box
  still passes. Rows on which the equation found loses its digits by cancellation are left out, up to half of them. A
  term for which no such rows are found in 80,000 is not judged. The terms of the equation found are judged in the same
  way, so that nothing may be added that the law does not have, rounding residue apart.

Outside the box absolute values are compared: sqrt(u**2) is u where the box has u > 0, and the box itself decides the
sign. Rows on which the law has no finite real value are left out; rows on which only the equation found has none are
errors.
"""

from typing import NamedTuple

import numpy as np
import sympy as sp

from rsrm.benchmarks.formula import apply, evaluate, to_float

BOX_TOLERANCE = 1e-6
REACH_TOLERANCE = 1e-2
_BOX_SHARE = 0.99
_REACH_SHARE = 0.85
_JUDGED_SHARE = 0.5
_REACH_DECADES = (0.5, 2.0, 6.0, 16.0)
_REACH_ROWS = 5_000
_MIN_ROWS = 5
_MAX_ROWS = 100
_MATTERS = 0.1
_ARGUMENT = (0.1, 30.0)
_HUGE = 1e250
_RESIDUE = 1e-12
# Refitted constants count as right within this share of themselves without noise, and with noise within ten times its
# level up to a tenth: a law with a constant wrong by more is another law.
_CONSTANT_TOLERANCE = 1e-3
_CONSTANT_TOLERANCE_MAX = 0.1
# Weight of the distance from the constants found, against relative residuals, in a refit that stays near them.
_NEAR = 1e-3
# The same law may be written with more constants than it has, a(bx + c) for ax + b, but not with any number of them.
_SPARE_CONSTANTS = 6


class Verdict(NamedTuple):
    """What the comparison of an equation with the law says.

    Attributes
    ----------
    same_form : bool
        The skeletons agree: some values of the constants make the equation the law, and none of them vanishes.
    same_law : bool
        The constants agree too, within the tolerance that the noise allows.
    """

    same_form: bool
    same_law: bool


def _columns(X: np.ndarray) -> dict[str, np.ndarray]:
    return {f"x{i}": column for i, column in enumerate(X.T)}


def term_size(expression: sp.Expr, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Size of the terms behind the values of ``expression``: sums add sizes instead of values, shape (R,)."""

    def walk(node: sp.Expr) -> np.ndarray | float:
        if node.is_Symbol:
            return np.abs(columns[node.name])
        if not node.args:
            return abs(to_float(node))
        if node.is_Add:
            return sum(walk(argument) for argument in node.args)
        if node.is_Mul:
            return apply(node, [walk(argument) for argument in node.args])
        if node.is_Pow and node.exp.is_Integer and node.exp > 0:
            return apply(node, [walk(node.base), float(node.exp)])
        # Rounding in the argument moves a bounded function by more than its own value near a zero.
        return np.maximum(np.abs(evaluate(node, columns)), 1e-3 if isinstance(node, (sp.sin, sp.cos)) else 0.0)

    rows = len(next(iter(columns.values())))
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(walk(expression), dtype=float), (rows,))


def _agree_closely(law: sp.Expr, found: sp.Expr, X: np.ndarray, signed: bool) -> bool:
    columns = _columns(X)
    with np.errstate(all="ignore"):
        target, value, size = evaluate(law, columns), evaluate(found, columns), term_size(law, columns)
        if not signed:
            target, value = np.abs(target), np.abs(value)
        judged = np.isfinite(target) & (np.abs(target) < _HUGE) & (size > 0)
        if judged.sum() < _MIN_ROWS:
            return True
        error = np.abs(value - target)[judged] / size[judged]
    return bool(np.mean(error <= BOX_TOLERANCE) >= _BOX_SHARE)


def reach_rows(law: sp.Expr, X: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows far from the box on which each part of the law matters; one array of shape (r, D) a part."""
    chosen = []
    base = X[rng.integers(0, len(X), _REACH_ROWS * len(_REACH_DECADES))]
    decades = np.repeat(_REACH_DECADES, _REACH_ROWS)[:, None]
    # Variables move apart, and in a second half all together: differences of large alike variables need the latter.
    apart = base * 10.0 ** (decades * rng.uniform(-1, 1, base.shape))
    together = base * 10.0 ** (decades * rng.uniform(-1, 1, (len(base), 1)) + 0.5 * rng.uniform(-1, 1, base.shape))
    down = base * 10.0 ** (-decades * rng.uniform(0, 1, base.shape))
    up = base * 10.0 ** (decades * rng.uniform(0, 1, base.shape))
    rows = np.vstack([apart, together, down, up])
    columns = _columns(rows)
    arguments = []
    with np.errstate(all="ignore"):
        value = evaluate(law, columns)
        tame = np.isfinite(value) & (np.abs(value) < _HUGE) & (np.abs(value) > 1 / _HUGE)

        def values(node: sp.Expr) -> np.ndarray:
            return evaluate(node, columns)

        def walk(node: sp.Expr, matters: np.ndarray) -> None:
            if node.is_Add:
                terms = np.abs([values(argument) for argument in node.args])
                largest = terms.max(axis=0)
                sound = matters & (np.abs(values(node)) >= _MATTERS * largest)
                for argument, term in zip(node.args, terms, strict=True):
                    here = sound & (term >= _MATTERS * largest)
                    chosen.append(here)
                    walk(argument, here)
            elif node.is_Function or isinstance(node, sp.exp) or (node.is_Pow and not node.exp.is_number):
                inner = node.args[0] if not node.is_Pow else node.exp * sp.log(sp.Abs(node.base))
                size = np.abs(values(inner if not isinstance(node, sp.log) else node))
                arguments.append(size <= _ARGUMENT[1])
                here = matters & (size >= _ARGUMENT[0])
                chosen.append(here)
                for argument in node.args:
                    walk(argument, here)
            else:
                for argument in node.args:
                    walk(argument, matters)

        walk(law, tame)
    for small in arguments:
        tame = tame & small
    chosen.append(tame)
    picks = []
    for mask in chosen:
        places = np.flatnonzero(mask & tame)
        if len(places) >= _MIN_ROWS:
            picks.append(rows[rng.permutation(places)[:_MAX_ROWS]])
    return picks


def _agree_in_reach(law: sp.Expr, found: sp.Expr, picks: list[np.ndarray]) -> bool:
    for rows in picks:
        columns = _columns(rows)
        target, value = evaluate(law, columns), evaluate(found, columns)
        with np.errstate(all="ignore"):
            close = np.abs(np.abs(value) - np.abs(target)) <= REACH_TOLERANCE * np.abs(target)
            # Where the equation cancels, 1/2 - cos(2u)/2 for tiny u, rounding says nothing, unless it does everywhere.
            told = np.finfo(float).eps * term_size(found, columns) <= 0.1 * REACH_TOLERANCE * np.abs(target)
        judged = close[told] if np.mean(told) >= _JUDGED_SHARE else close
        if np.mean(judged) < _REACH_SHARE:
            return False
    return True


def prune(expression: sp.Expr, X: np.ndarray) -> sp.Expr:
    """Sums without the terms that are rounding residue on every row of X, below 1e-12 of the largest beside them."""
    columns = _columns(X)

    def walk(node: sp.Expr) -> sp.Expr:
        if not node.args:
            return node
        arguments = list(node.args)
        if node.is_Add:
            sizes = np.abs([evaluate(argument, columns) for argument in arguments])
            keep = ~np.all(sizes <= _RESIDUE * sizes.max(axis=0), axis=1)
            arguments = [argument for argument, kept in zip(arguments, keep, strict=True) if kept]
        return node.func(*map(walk, arguments))

    return walk(expression)


def witness(law: sp.Expr, found: sp.Expr, X: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether ``found`` has the values of ``law`` in, around and far beyond the rows X (see the module).

    Parameters
    ----------
    law, found : sympy.Expr
        In the symbols ``x0, x1, ...``.
    X : ndarray of shape (R, D)
        Rows of the box on which the law was to be found.
    rng : numpy.random.Generator
        Source of the rows outside.
    """
    X = X[rng.permutation(len(X))[:1000]]
    if _has_values_of(law, found, X, rng):
        return True
    pruned = prune(found, X)
    return pruned != found and _has_values_of(law, pruned, X, rng)


def _has_values_of(law: sp.Expr, found: sp.Expr, X: np.ndarray, rng: np.random.Generator) -> bool:
    around = np.repeat(X, -(-200 // len(X)), axis=0)
    around = around * 2.0 ** rng.uniform(-1, 1, around.shape)
    if not (_agree_closely(law, found, X, signed=True) and _agree_closely(law, found, around, signed=False)):
        return False
    if not _agree_in_reach(law, found, reach_rows(law, X, rng)):
        return False
    # The other way round: a term that only the equation has shows where that term matters.
    return _agree_in_reach(law, found, reach_rows(found, X, rng))


def skeleton(expression: sp.Expr) -> tuple[sp.Expr, list[sp.Symbol], np.ndarray]:
    """The expression with its constants replaced by parameters.

    Floats anywhere are constants; so are other numbers in sums and products, except a bare sign. Exponents that are
    integers or simple fractions belong to the form.

    Returns
    -------
    form : sympy.Expr
    parameters : list of sympy.Symbol
    values : ndarray of shape (C,)
    """
    parameters: list[sp.Symbol] = []
    values: list[float] = []

    def parameter(value: sp.Expr) -> sp.Symbol:
        parameters.append(sp.Symbol(f"c{len(parameters)}", real=True))
        values.append(to_float(value.evalf()))
        return parameters[-1]

    def walk(node: sp.Expr) -> sp.Expr:
        if node.is_Float:
            return parameter(node)
        if not node.args:
            return node
        if node.is_Add or node.is_Mul:
            numbers = [argument for argument in node.args if argument.is_number]
            others = [walk(argument) for argument in node.args if not argument.is_number]
            if numbers:
                constant = node.func(*numbers)
                others.append(constant if constant in (-1, 1) and node.is_Mul else parameter(constant))
            return node.func(*others)
        return node.func(*[walk(argument) for argument in node.args])

    return walk(expression), parameters, np.array(values)


def refit(law: sp.Expr, found: sp.Expr, X: np.ndarray) -> tuple[sp.Expr, np.ndarray, np.ndarray] | None:
    """``found`` with its constants fitted to the exact law on the rows X, from the values that it has.

    Returns
    -------
    tuple or None
        The refitted equation, the constants before and after (shape (C,)); None without constants, with
        far more of them than the law has, or without a fit.
    """
    from scipy.optimize import least_squares

    form, parameters, start = skeleton(found)
    most = 2 * len(skeleton(law)[1]) + _SPARE_CONSTANTS
    if not parameters or len(parameters) > min(most, len(X)) or not np.all(np.isfinite(start)):
        return None
    columns = _columns(X)
    target, size = evaluate(law, columns), term_size(law, columns)
    keep = np.isfinite(target) & (size > 0)
    if keep.sum() < max(_MIN_ROWS, len(parameters)):
        return None
    columns = {name: column[keep] for name, column in columns.items()}
    target, size = target[keep], size[keep]
    scale = np.where(start == 0, 1.0, np.abs(start))
    names = [p.name for p in parameters]

    def residual(relative: np.ndarray) -> np.ndarray:
        rows = {name: np.full(len(target), value) for name, value in zip(names, relative * scale, strict=True)}
        with np.errstate(all="ignore"):
            difference = (evaluate(form, columns | rows) - target) / size
        return np.where(np.isfinite(difference), np.clip(difference, -1e6, 1e6), 1e6)

    # Where the constants are more than the law has, most of their ways to fit it are far: the nearest is the fair one.
    near = least_squares(lambda relative: np.append(residual(relative), _NEAR * (relative - start / scale)),
                         start / scale, method="trf", max_nfev=60)
    solution = least_squares(residual, near.x, method="trf", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=60)
    final = solution.x * scale
    return form.xreplace(dict(zip(parameters, map(sp.Float, final), strict=True))), start, final


def compare(law: sp.Expr, found: sp.Expr, X: np.ndarray, rng: np.random.Generator, noise: float = 0.0) -> Verdict:
    """Judge an equation: by :func:`witness` as it stands, else after :func:`refit` of its constants.

    The refitted equation must pass the witness, and no constant may move by more than half of itself: one that
    vanishes stood at a term that the law does not have. ``same_law`` further asks every constant to lie within 1e-3
    of its refitted value, or within ``10 * noise`` (at most a tenth).

    Parameters
    ----------
    law, found : sympy.Expr
        In the symbols ``x0, x1, ...``.
    X : ndarray of shape (R, D)
    rng : numpy.random.Generator
    noise : float
        Relative noise of the target that was searched.
    """
    if witness(law, found, X, rng):
        return Verdict(True, True)
    box = X[rng.permutation(len(X))[:400]]
    # Rows of the box tell strong constants best; those of weak terms show only on rows out of reach.
    far = np.vstack([box, *(rows[:25] for rows in reach_rows(law, X, rng)[:20])])
    for rows in (box, far):
        fitted = refit(law, found, rows)
        if fitted is None:
            return Verdict(False, False)
        expression, before, after = fitted
        moved = np.abs(after - before)
        if np.all(moved <= 0.5 * np.abs(after)) and witness(law, expression, X, rng):
            tolerance = float(np.clip(10 * noise, _CONSTANT_TOLERANCE, _CONSTANT_TOLERANCE_MAX))
            return Verdict(True, bool(np.all(moved <= tolerance * np.abs(after))))
    return Verdict(False, False)
