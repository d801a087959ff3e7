"""From a candidate to a law: fit its constants, write it shorter, recognize its numbers."""

import numpy as np

from rsrm.closing import column
from rsrm.compose import snap
from rsrm.constants import fit
from rsrm.expression import Expression, subtree_ends
from rsrm.limits import INVERSE_PAIRS
from rsrm.objective import FLOOR, SMALLEST, Objective, extended_values
from rsrm.problem import Problem
from rsrm.selection import EXACT, Candidate, Pool, simple_cost
from rsrm.simplify import factored, simplify

TOLERANCES = (1e-11, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 5e-2)
FIT_ROWS = 2000
ALIKE, ALIKE_EXACT = 0.1, 1e-5
"""Relative distance from a simple ratio at which coefficients may have one, also of nearly exact candidates."""
GAIN = 12.0
"""Nats that writing a coefficient once is worth at most, or so."""
FACTORED = 6
"""Candidates with more constants are left as they are."""
PRUNED = 16
"""Terms are left out of candidates with at most this many constants."""
SAME = 1e-11
"""Relative difference of values that counts as none, where an operator is left out."""
MARGIN = 50.0
"""Candidates whose description is longer than the best by more nats than this are kept as they are."""


class Refiner:
    """Turns raw expressions of a stage into pool entries.

    Parameters
    ----------
    objective : Objective
        On all rows of the user's problem.
    pool : Pool
    rng : numpy.random.Generator
        Chooses the rows that constants are fitted on when there are more than ``FIT_ROWS``.
    """

    def __init__(self, objective: Objective, pool: Pool, rng: np.random.Generator):
        self.objective = objective
        self.pool = pool
        self.fit_problem = objective.problem.sample(FIT_ROWS, rng)

    def consider(self, expression: Expression, stage: str = "", found_at: float = 0.0) -> Candidate | None:
        """Score `expression`; if it is worth it, polish, simplify and recognize; return the best form kept, or None."""
        raw = self._add(expression, stage, found_at)
        if raw is None:
            return None
        best = self.pool.best()
        promising = raw.nrmse < EXACT and raw.complexity < best.complexity  # digits may come with the polish
        if self._length(raw) > self._length(best) + MARGIN and not promising:
            return raw
        best = self._unwrapped(self._keep_shorter(raw, simplify(expression)))
        if len(best.expression.constants):
            best = self._polished(best)
            best = self._pruned(best)
            best = self._recognized(best)
            best = self._settled(best)
            best = self._keep_shorter(best, simplify(best.expression))
            best = self._factored(best)
        return self._hoisted(best)

    def _scored(self, expression: Expression, like: Candidate) -> Candidate:
        return Candidate(expression, *self.objective.score(expression), like.found_at, like.stage)

    def _add(self, expression, stage, found_at) -> Candidate | None:
        candidate = Candidate(expression, *self.objective.score(expression), found_at, stage)
        return candidate if self.pool.add(candidate) else None

    def _length(self, candidate: Candidate) -> float:
        # Nearness decides which residual counts, and both sides of a comparison must use the same.
        return self.pool.description_length(candidate)

    def _better(self, old: Candidate, new: Candidate) -> Candidate:
        self.pool.add(new)
        return new if self._length(new) < self._length(old) else old

    def _keep_shorter(self, old: Candidate, expression: Expression) -> Candidate:
        return old if expression is old.expression else self._better(old, self._scored(expression, old))

    def _unwrapped(self, old: Candidate) -> Candidate:
        """Leave out absolute values and functions over their inverses where the data do not tell the difference."""
        library, tokens = old.expression.library, old.expression.expanded
        for k in range(len(tokens)):
            pair = tuple(library.name(u) for u in tokens[k:k + 2])
            gone = 1 if pair[0] == "abs" else 2 if pair in INVERSE_PAIRS else 0
            if gone:
                shorter = [Expression(np.delete(tokens, range(k, k + gone)), old.expression.constants, library)]
                if pair[0] == "abs":
                    shorter.append(_turned(old.expression, k))
                for expression in shorter:
                    new = old if expression is None else self._keep_shorter(old, expression)
                    if new is not old:
                        return self._unwrapped(new)
        return old

    def _hoisted(self, old: Candidate) -> Candidate:
        """Put operands in the place of operators, in an exact formula, where the data do not tell the difference.

        Of a column that is tiny beside the others the cosine is one, and the tanh is the column itself.
        """
        X, e = self.fit_problem.X, old.expression
        values = column(e, X) if old.nrmse < EXACT and self._length(old) <= self._length(self.pool.best()) else None
        if values is None:
            return old
        library, tokens = e.library, e.expanded
        n, arity, constant = len(tokens), library.tables.arity, tokens == library.constant
        ends = np.empty(n, np.int32)
        subtree_ends(tokens, n, arity, ends)
        for k in range(n):
            first = k + 1
            for _ in range(arity[tokens[k]]):
                kept = np.r_[:k, first:ends[first], ends[k]:n]
                first = ends[first]
                hoisted = Expression(tokens[kept], e.constants[np.isin(np.flatnonzero(constant), kept)], library)
                now = column(hoisted, X)
                if now is not None and np.allclose(now, values, rtol=SAME, atol=1e-2 * SAME * np.abs(values).max()):
                    new = self._keep_shorter(self._keep_shorter(old, hoisted), simplify(hoisted))
                    if new is not old:
                        return self._hoisted(new)
        return old

    def _polished(self, old: Candidate) -> Candidate:
        p, whole = self.fit_problem, self.objective.problem
        fitted, _ = fit(old.expression, p.X, p.y, even_weights(old, p, self.objective.scale), n_starts=0)
        best = self._better(old, self._scored(fitted, old))
        if FLOOR < best.nrmse < EXACT:  # digits are compared
            fitted, _ = fit(best.expression, p.X, p.y, self._relative(best.expression), n_starts=0)
            return self._better(best, self._scored(fitted, best))
        if p is not whole and best.nrmse > EXACT and self._length(best) <= self._length(self.pool.best()):
            # Noise is averaged over rows: the more of them, the closer the constants.
            weights = even_weights(best, whole, self.objective.scale)
            fitted, _ = fit(best.expression, whole.X, whole.y, weights, n_starts=0)
            best = self._better(best, self._scored(fitted, best))
        return best

    def _pruned(self, old: Candidate) -> Candidate:
        """Leave out, one at a time, the terms that the others can do without once they are fitted again."""
        best, p = old, self.fit_problem
        if best.nrmse > EXACT or len(best.expression.constants) > PRUNED:
            return best  # under noise, recognition tries zeros and moves the others along
        k = 0
        while k < len(best.expression.constants):
            constants = best.expression.constants.copy()
            constants[k] = 0.0
            shorter = simplify(Expression(best.expression.expanded, constants, best.expression.library))
            finite = np.isfinite(shorter.constants).all()  # a zero below a quotient makes none
            if shorter.complexity < best.expression.complexity and len(shorter.constants) and finite:
                fitted, _ = fit(shorter, p.X, p.y, p.weights, n_starts=0, max_iter=30)
                new = self._better(best, self._scored(fitted, best))
                if new is not best:
                    best, k = new, 0
                    continue
            k += 1
        return best

    def _recognized(self, old: Candidate) -> Candidate:
        """Replace constants by simple numbers, one at a time, where the description gets shorter."""
        best = old
        fixed = np.zeros(len(old.expression.constants), bool)
        gram = self._gram(old) if len(fixed) > 1 else None
        # Once one constant is right, those that leaned on it come closer to simple numbers: hence a second pass.
        for k in (*range(len(fixed)), *range(len(fixed))):
            value = best.expression.constants[k]
            if fixed[k]:
                continue
            tried = {float(value)}
            nearest = () if best.nrmse < EXACT else (float(round(value)),)  # large exponents are known to a percent
            found = best
            for simple in (0.0, *(snap(value, tolerance) for tolerance in TOLERANCES), *nearest):
                if simple in tried:
                    continue
                tried.add(simple)
                new = min((self._scored(Expression(best.expression.expanded, c, best.expression.library), best)
                           for c in self._moved(best.expression.constants, k, simple, fixed, gram)), key=self._length)
                if self._length(new) < self._length(found):
                    found, fixed[k] = new, True
                    if best.nrmse < EXACT:  # where digits tell, the closest simple number is the one
                        break
            best = found
        if best is not old:
            self.pool.add(best)
        return best

    def _factored(self, old: Candidate) -> Candidate:
        """Write a coefficient once for a sum where what is left of the others may be simple numbers."""
        few = 2 <= len(old.expression.constants) <= FACTORED
        if not few or self._length(old) > self._length(self.pool.best()) + GAIN:
            return old
        for expression in factored(old.expression, ALIKE_EXACT if old.nrmse < EXACT else ALIKE):
            new = self._recognized(self._scored(expression, old))
            if self._length(new) < self._length(old):
                self.pool.add(new)
                return self._factored(new)
        return old

    def _settled(self, old: Candidate) -> Candidate:
        """Fit what is no simple number once more, now that the others are, where digits are compared."""
        constants = old.expression.constants
        free = np.array([not np.isfinite(simple_cost(abs(c))) for c in constants], bool)
        if not FLOOR < old.nrmse < EXACT or not free.any() or free.all():
            return old
        p, best = self.fit_problem, old
        weights = self._relative(old.expression)
        for _ in range(2):
            J, f = self._jacobian(best.expression, weights), column(best.expression, p.X)
            if J is None or f is None or not np.isfinite((p.y - f) * weights).all():
                break
            moved = best.expression.constants.copy()
            J = J[free]
            size = np.maximum(np.linalg.norm(J, axis=1), 1e-300)
            moved[free] += np.linalg.lstsq((J / size[:, None]).T, (p.y - f) * weights)[0] / size
            new = self._keep_shorter(best, Expression(best.expression.expanded, moved, best.expression.library))
            if new is best:
                break
            best = new
        return best

    def _relative(self, expression: Expression) -> np.ndarray:
        """Return weights that make residuals relative to y: where it is small, more of its digits are known.

        Of rows on which the formula cancels, fewer are.
        """
        p = self.fit_problem
        lost = extended_values(expression, p.X)[1] / FLOOR
        return 1.0 / (np.maximum(np.abs(p.y), SMALLEST**3 * self.objective.scale) + np.where(lost > 0.0, lost, 0.0))

    @staticmethod
    def _moved(constants: np.ndarray, k: int, value: float, fixed: np.ndarray, gram: np.ndarray | None):
        """Yield the constants with the k-th set to `value`: the others as they are, and moved along to fit again."""
        moved = constants.copy()
        moved[k] = value
        yield moved
        others = ~fixed
        others[k] = False
        if gram is None or not others.any():
            return
        # Least squares of the linearized model: what is left of a step in one constant once the others follow.
        size = np.sqrt(np.maximum(np.diag(gram)[others], 1e-300))
        follow = np.linalg.lstsq(gram[np.ix_(others, others)] / np.outer(size, size),
                                 gram[others, k] / size * (value - constants[k]), rcond=1e-12)[0]
        moved = moved.copy()
        moved[others] -= follow / size
        yield moved

    def _gram(self, candidate: Candidate) -> np.ndarray | None:
        """Return J'J of the values with respect to the constants, float64[C, C], or None where it is not finite."""
        exact, e = candidate.nrmse < EXACT, candidate.expression
        J = self._jacobian(e, self._relative(e) if exact else
                           even_weights(candidate, self.fit_problem, self.objective.scale))
        if J is None:
            return None
        with np.errstate(all="ignore"):
            gram = J @ J.T
        return gram if np.isfinite(gram).all() else None

    def _jacobian(self, e: Expression, weights: np.ndarray | None) -> np.ndarray | None:
        """Return the weighted derivatives of the values with respect to the constants, float64[C, R], if finite."""
        columns = []
        for k, c in enumerate(e.constants):
            step = 1e-6 * (abs(c) or 1e-6)
            ends = []
            for sign in (1.0, -1.0):
                shifted = e.constants.copy()
                shifted[k] += sign * step
                ends.append(column(Expression(e.expanded, shifted, e.library), self.fit_problem.X))
            if any(v is None for v in ends):
                return None
            columns.append((ends[0] - ends[1]) / (2.0 * step) * (1.0 if weights is None else weights))
        J = np.array(columns)
        return J if np.isfinite(J).all() else None


def even_weights(candidate: Candidate, problem: Problem, scale: float) -> np.ndarray | None:
    """Return the weights under which what a candidate leaves of y is equally large on all rows of a problem.

    `scale` is that of the objective it was scored by.
    """
    if candidate.residual >= np.log(max(candidate.nrmse, 1e-300)):
        return problem.weights
    size = np.abs(column(candidate.expression, problem.X))
    weights = 1.0 / np.maximum(size, SMALLEST * scale)
    return weights if problem.weights is None else weights * problem.weights


def _turned(expression: Expression, k: int) -> Expression | None:
    """Return the expression with ``b - a`` in the place of the operator at position k and its operand ``a - b``."""
    library, tokens = expression.library, expression.expanded
    if library.name(tokens[k + 1]) != "sub":
        return None
    ends = np.empty(len(tokens), np.int32)
    subtree_ends(tokens, len(tokens), library.tables.arity, ends)
    a, b, end = k + 2, ends[k + 2], ends[k]
    order = np.r_[:k + 1, b:end, a:b, end:len(tokens)]  # the difference takes the place of the operator
    order[k] = k + 1
    place = np.cumsum(tokens == library.constant) - 1
    constants = expression.constants[place[order[tokens[order] == library.constant]]]
    return Expression(tokens[order], constants, library)
