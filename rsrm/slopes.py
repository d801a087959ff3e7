"""Values of all sub-trees of an expression, and the derivatives of the whole with respect to them, by NumPy.

For the few expressions that a search looks into; compiled code has :mod:`rsrm.derivatives`.
"""

import numpy as np

from rsrm.expression import Expression, subtree_ends
from rsrm.primitives import BY_OPCODE

STEP = 1e-6
"""Relative step of the derivatives of single operators."""


def subtree_values(expression: Expression, X: np.ndarray) -> np.ndarray:
    """Return the values of the sub-trees that begin at each expanded token, float64[n, R], on X, float64[D, R].

    Rows that are not defined hold NaN or infinity.
    """
    library, tokens = expression.library, expression.expanded
    values = np.empty((len(tokens), X.shape[1]))
    numbers, stack = iter(expression.constants[::-1]), []
    with np.errstate(all="ignore"):
        for k in range(len(tokens) - 1, -1, -1):
            t = int(tokens[k])
            opcode = int(library.tables.opcode[t])
            if t < library.n_variables:
                values[k] = X[t]
            elif opcode in BY_OPCODE:
                values[k] = BY_OPCODE[opcode].function(*(values[stack.pop()] for _ in range(library.tables.arity[t])))
            else:
                values[k] = next(numbers) if t == library.constant else library.tables.literal[t]
            stack.append(k)
    return values


def subtree_slopes(expression: Expression, values: np.ndarray) -> np.ndarray:
    """Return the derivatives of the whole with respect to the sub-trees that begin at each token, float64[n, R].

    `values` are those of :func:`subtree_values`. Parents come before children in prefix order, so that one pass applies
    the chain rule; single operators are differentiated by central differences.
    """
    library, tokens = expression.library, expression.expanded
    ends = np.empty(len(tokens), np.int32)
    subtree_ends(tokens, len(tokens), library.tables.arity, ends)
    slopes = np.ones_like(values)
    with np.errstate(all="ignore"):
        for k, t in enumerate(tokens):
            operands = [k + 1, int(ends[k + 1])][:library.tables.arity[t]] if library.tables.arity[t] else []
            for i, operand in enumerate(operands):
                step = STEP * np.maximum(np.abs(values[operand]), STEP)
                high, low = (BY_OPCODE[int(library.tables.opcode[t])].function(
                    *(values[j] + sign * step if n == i else values[j] for n, j in enumerate(operands)))
                    for sign in (1.0, -1.0))
                slopes[operand] = slopes[k] * (high - low) / (2.0 * step)
    return slopes
