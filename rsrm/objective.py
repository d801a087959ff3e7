"""What an expression is worth on the data: the objective that every stage is measured by."""

from typing import NamedTuple

import numpy as np

from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import Expression
from rsrm.metrics import target_scale
from rsrm.primitives import BY_OPCODE
from rsrm.problem import Problem

SMALLEST = 1e-3
"""Values below this share of the scale have a noise of their own, whatever the noise of larger ones."""
FLOOR = 1e-14
"""Relative residuals below this are rounding: formulas that differ there are equally exact."""

UNIT = 2.0**-53
"""Largest relative error of a rounding."""
ROUNDINGS = 2.0
"""What y may have lost by rounding, in what the formula loses: it may have been computed in another way."""
SAMPLE, HALF, MOST = 60, 0.5, 0.98
"""Rows that tell whether rounding matters: not if it explains less than half of the residual on most of them."""
BOUND = 10.0
"""How many times larger a bound on rounding is, at most, than the largest share of it that rounding really takes."""
WIDER = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
NEARLY_EXACT = 1e-6
"""Relative residuals below this may be the rounding of the formula itself."""


class Score(NamedTuple):
    """What an expression is worth; all infinite where a value is not finite.

    Attributes
    ----------
    nrmse : float
        RMSE divided by the standard deviation of y.
    digits : float
        Mean over rows of ``log |residual / y|``, floored at ``log FLOOR``: it sees terms that are too weak to move the
        RMSE but matter on the rows where y is small. Of a nearly exact formula without what rounding explains.
    proportional : float
        What stands in for ``log nrmse`` in a likelihood if the noise of every row is proportional to its value f:
        ``log RMS(residual / f) + mean log |f / scale|``.
    """

    nrmse: float
    digits: float
    proportional: float


class Objective:
    """Scores expressions on all rows of a problem and counts the evaluations.

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    scale : float
        Standard deviation of y (weighted, if the problem has weights); 1 for a constant target.
    n_evaluations : int
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        squares = np.ones(problem.n_rows) if problem.weights is None else np.square(problem.weights)
        self.scale = target_scale(problem.y, squares)
        self.n_evaluations = 0
        self._out = np.empty(problem.n_rows)

    def values(self, expression: Expression) -> np.ndarray | None:
        """Return the values on all rows (valid until the next call), or None where one is not finite."""
        self.n_evaluations += 1
        tokens = expression.expanded
        stack = np.empty((len(tokens) + 1, BLOCK))
        ok = evaluate(tokens, len(tokens), expression.constants, self.problem.X, expression.library.tables, stack,
                      self._out)
        return self._out if ok else None

    def score(self, expression: Expression) -> Score:
        """Return the :class:`Score` of `expression`."""
        f = self.values(expression)
        if f is None:
            return Score(np.inf, np.inf, np.inf)
        y, w = self.problem.y, self.problem.weights
        with np.errstate(all="ignore"):  # squares of huge but finite values
            r = f - y
            nrmse = self._nrmse(r)
            # Rows where y vanishes are measured against a small share of the scale instead.
            units = np.maximum(np.abs(y), 1e-9 * self.scale)
            relative = np.abs(r) / units
            coarse = np.flatnonzero(relative > FLOOR)
            if nrmse < NEARLY_EXACT and len(coarse):
                # What is lost by cancellation, exp(z) - 1 for tiny z, is no fault of the law: neither what the formula
                # loses nor what y lost as its values were computed. Most approximations lose too little to matter,
                # which some of the rows tell.
                some = coarse[::len(coarse) // SAMPLE + 1]
                found = self._explained(expression, r, some) and self._explained(expression, r, coarse)
                if found is not None:
                    finer, beyond = found
                    relative[coarse] = beyond / units[coarse]
                    r[coarse] = np.where(np.abs(finer) < np.abs(r[coarse]), finer, r[coarse])
                    nrmse = self._nrmse(r)
            digits = float(np.mean(np.log(np.maximum(relative, FLOOR))))
            size = np.maximum(np.abs(f), SMALLEST * self.scale)
            ratio = r / size if w is None else r * w / size
            proportional = float(np.log(np.sqrt(np.mean(ratio * ratio))) + np.mean(np.log(size / self.scale)))
        if not (np.isfinite(nrmse) and np.isfinite(digits)):
            return Score(np.inf, np.inf, np.inf)
        return Score(nrmse, digits, proportional if np.isfinite(proportional) else np.inf)

    def _explained(self, expression: Expression, r: np.ndarray,
                   rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return residuals without the rounding of the formula, and what is beyond all rounding, or None if most is."""
        finer, lost = extended_values(expression, self.problem.X[:, rows])
        finer = (finer - self.problem.y[rows]).astype(np.float64)
        bounded = np.isfinite(finer) & (lost > 0.0)
        if WIDER and bounded.any():
            # Of `x*cos(u)/cos(u)` with huge u the bound is huge and its errors cancel: it would explain anything.
            off = np.abs(finer - r[rows])[bounded] / lost[bounded]
            lost = lost * min(1.0, BOUND * float(off.max()))
        beyond = np.maximum(np.abs(finer) - ROUNDINGS * lost, 0.0)
        if not np.isfinite(beyond).all() or np.mean(beyond > HALF * np.abs(r[rows])) > MOST:
            return None
        return finer, beyond

    def _nrmse(self, r: np.ndarray) -> float:
        """Return the weighted RMS of residuals in units of the scale."""
        w = self.problem.weights
        return float(np.sqrt(np.mean(np.square((r if w is None else r * w) / self.scale))))


def extended_values(expression: Expression, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values on X, float64[D, R], in the widest floats, and how far those of float64 may be off by rounding.

    By NumPy, for the few candidates that are nearly exact. The error of every operation is bounded by what the errors
    of its operands make of its result, and a rounding.

    Returns
    -------
    values : longdouble[R]
        No wider than float64 on some machines.
    errors : float64[R]
    """
    tables, library = expression.library.tables, expression.library
    numbers = iter(expression.constants[::-1])
    stack: list[tuple[np.ndarray, np.ndarray]] = []
    with np.errstate(all="ignore"):
        for t in expression.expanded[::-1]:
            opcode = int(tables.opcode[t])
            if t < library.n_variables:
                value, error = X[t].astype(np.longdouble), np.zeros(X.shape[1], np.longdouble)
            elif opcode in BY_OPCODE:
                function = BY_OPCODE[opcode].function
                operands = [stack.pop() for _ in range(tables.arity[t])]
                value = function(*(v for v, _ in operands))
                error = UNIT * np.abs(value)
                for k, (v, e) in enumerate(operands):
                    ends = [function(*(v + s * e if j == k else u for j, (u, _) in enumerate(operands)))
                            for s in (1.0, -1.0)]
                    error = error + np.fmax(*(np.abs(end - value) for end in ends))  # beyond a domain there is no value
            else:
                number = next(numbers) if t == library.constant else tables.literal[t]
                value = np.full(X.shape[1], number, np.longdouble)
                error = UNIT * np.abs(value)
            stack.append((value, error))
    return stack[0][0], stack[0][1].astype(np.float64)
