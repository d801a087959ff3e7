"""Sums with unknown constants inside their terms, by variable projection.

``y = polynomial + sum_k (multipliers) * g_k(u; theta_k)``: for fixed theta the coefficients are linear and are
projected out (Golub & Pereyra 1973). theta is scanned on a grid adapted to the range of u, one block of columns at a
time, and all blocks are then refined together by Gauss-Newton steps on the parameters and the coefficients.
"""

import time
from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

from rsrm.compose import linear, product, snap
from rsrm.expression import Expression
from rsrm.families import Family, families
from rsrm.problem import Problem
from rsrm.regression import eliminate, exact_fit, snap_fit
from rsrm.targets import relative_weights
from rsrm.terms import Generator, Terms, compose_sum, monomials, presentable, subset, variable_generators

MAX_ROWS = 200
"""Rows used by the scan."""
DEPTH = 3
"""Blocks with an unknown constant at most."""
BEAM = 5
"""Sets of blocks that are refined and followed up at every depth."""
FOLLOWED = 4
"""Further blocks that each set is tried with."""
CONVERGED = 1e-10
CANCELLED = 300.0
"""Largest term of a sum, in units of y."""


class Block(NamedTuple):
    """One family over one argument, with its parameter."""

    family: Family
    argument: int
    theta: float


class _Model:
    """Base columns, multipliers, arguments and the scanned columns of all families.

    Parameters
    ----------
    problem : Problem
    multiplied : bool
        Whether functions of single variables are also tried times a variable.
    deadline : float
        Families that are not tabulated by then are left out.
    """

    def __init__(self, problem: Problem, multiplied: bool, deadline: float):
        generators = variable_generators(problem)
        self.generators = generators
        self.set_degree(1)
        self.multipliers = [np.ones(problem.n_rows)] + ([g.values for g in generators] if multiplied else [])
        self.arguments = list(generators)
        self._compound_arguments(problem.library)
        self._tabulate(families(problem.library), deadline)

    def set_degree(self, degree: int) -> None:
        """Let every sum contain a polynomial of that degree."""
        self.base = monomials(self.generators, degree)
        scale = np.sqrt(np.mean(self.base.values**2, axis=0))
        self.columns = self.base.values / np.where(scale > 0, scale, 1.0)

    def _compound_arguments(self, library):
        """Add sums of two and three variables, and squares when there are few variables, to the arguments."""
        generators = self.generators
        n = len(generators)
        for size in (2, 3) if n <= 6 else ():
            for chosen in combinations(generators, size):
                for signs in ((1.0, 1.0), (1.0, -1.0)) if size == 2 else ((1.0, 1.0, 1.0),):
                    e = linear(library, [(s, g.expression) for s, g in zip(signs, chosen, strict=True)])
                    v = sum(s * g.values for s, g in zip(signs, chosen, strict=True))
                    if e is not None and np.ptp(v) > 0:
                        self.arguments.append(Generator(v, e))
        for g in generators if n <= 2 else ():
            square = product(library, [(g.expression, 2.0)])
            if square is not None:
                self.arguments.append(Generator(g.values**2, square))

    def width(self, argument: int) -> int:
        """Return how many multipliers the functions of an argument take."""
        return len(self.multipliers) if argument < len(self.generators) else 1

    @np.errstate(all="ignore")
    def _tabulate(self, families_, deadline):
        """Evaluate every family on its grid over every argument: normalized columns, theta by theta."""
        self.table: list[tuple[Family, int, np.ndarray, int, int]] = []  # family, argument, thetas, columns each, start
        columns, start = [], 0
        for k, argument in enumerate(self.arguments):
            for family in families_:
                if time.perf_counter() > deadline or (k >= len(self.generators) and not family.sums):
                    continue
                thetas = []
                for theta in family.grid(argument.values):
                    values = self.block(Block(family, k, float(theta)))
                    values = values / np.linalg.norm(values, axis=0)
                    if np.isfinite(values).all():
                        thetas.append(float(theta))
                        columns.append(values)
                if thetas:
                    width = columns[-1].shape[1]
                    self.table.append((family, k, np.array(thetas), width, start))
                    start += width * len(thetas)
        self.tabulated = np.hstack(columns) if columns else np.empty((len(self.columns), 0))

    @np.errstate(all="ignore")
    def block(self, b: Block, theta: float | None = None) -> np.ndarray:
        """Return the columns of a block, float64[R, functions * multipliers]."""
        values = b.family.values(self.arguments[b.argument].values, b.theta if theta is None else theta)
        return np.column_stack([g * m for g in values for m in self.multipliers[:self.width(b.argument)]])


@np.errstate(all="ignore")
def _scan(model: _Model, z: np.ndarray, blocks: list[Block], kind: str, deadline: float) -> list[tuple[float, Block]]:
    """Return (unexplained share, block) of the best theta of every family of a kind and argument, best first."""
    A = np.hstack([model.columns, *(model.block(b) for b in blocks)])
    A = A / np.linalg.norm(A, axis=0)
    if not np.isfinite(A).all():
        return []
    U, s, _ = np.linalg.svd(A, full_matrices=False)
    Q = U[:, s > 1e-10 * s[0]]
    r = z - Q @ (Q.T @ z)
    total = r @ r
    found = []
    for family, argument, thetas, width, start in model.table:
        if time.perf_counter() > deadline or not family.name.startswith(kind):
            continue
        part = model.tabulated[:, start:start + width * len(thetas)]
        part = (part - Q @ (Q.T @ part)).reshape(len(z), len(thetas), width)
        gram = np.einsum("rta,rtb->tab", part, part) + 1e-10 * np.eye(width)
        b = np.einsum("rtb,r->tb", part, r)
        gain = np.einsum("tb,tb->t", b, np.linalg.solve(gram, b[:, :, None])[:, :, 0])
        t = int(np.argmax(gain))
        found.append((float(1.0 - gain[t] / total), Block(family, argument, float(thetas[t]))))
    found.sort(key=lambda item: item[0])
    return found


@np.errstate(all="ignore")
def _refine(model: _Model, z: np.ndarray, blocks: list[Block], deadline: float) -> tuple[list[Block], float]:
    """Return the blocks after Gauss-Newton steps on all parameters, and the relative residual."""
    norm = np.linalg.norm(z)

    def fit(thetas):
        parts = [model.block(b, t) for b, t in zip(blocks, thetas, strict=True)]
        A = np.hstack([model.columns, *parts])
        size = np.linalg.norm(A, axis=0)
        A = A / size
        if not np.isfinite(A).all():
            return None
        c = np.linalg.lstsq(A, z, rcond=1e-13)[0]
        r = z - A @ c
        return A, c / size, r, float(np.linalg.norm(r) / norm)

    thetas = np.array([b.theta for b in blocks])
    now = fit(thetas)
    if now is None:
        return blocks, np.inf
    for _ in range(25):
        if time.perf_counter() > deadline or now[3] < 1e-15:
            break
        A, c, r, error = now
        at = model.columns.shape[1]
        slopes = []
        for b, theta in zip(blocks, thetas, strict=True):
            h = 1e-6 * max(abs(theta), 1e-6)
            up, down = model.block(b, theta + h), model.block(b, theta - h)
            width = up.shape[1]
            slopes.append((up - down) @ c[at:at + width] / (2.0 * h))
            at += width
        S = np.column_stack(slopes)
        size = np.linalg.norm(S, axis=0)
        if not np.isfinite(S).all() or not (size > 0).all():
            break
        step = np.linalg.lstsq(np.hstack([A, S / size]), r, rcond=1e-13)[0][A.shape[1]:] / size
        step = np.clip(step, -0.5 * np.abs(thetas), 0.5 * np.abs(thetas))
        for _ in range(6):
            after = fit(thetas + step)
            if after is not None and after[3] < error:
                break
            step = 0.5 * step
        else:
            break
        thetas, now = thetas + step, after
        if now[3] > 0.999 * error and now[3] > 1e-8:
            break
    return [b._replace(theta=float(t)) for b, t in zip(blocks, thetas, strict=True)], now[3]


def _compose(model: _Model, problem: Problem, blocks: list[Block], exact: bool) -> Expression | None:
    """Return the expression of the sparse fit with the given blocks, their parameters snapped."""
    generators = list(model.generators)
    factors = list(model.base.factors)
    columns = [model.base.values]
    for b in blocks:
        theta = snap(b.theta, 1e-7 if exact else 1e-2 * problem.noise)
        values = b.family.values(model.arguments[b.argument].values, theta)
        if b.family.name == "exp":  # the scan shifts and scales its argument, the expression does not
            values = [np.exp(theta * model.arguments[b.argument].values)]
        elif b.family.name == "power":
            values = [model.arguments[b.argument].values ** theta]
        for v, e in zip(values, b.family.build(model.arguments[b.argument].expression, theta), strict=True):
            if e is None or not np.isfinite(v).all():
                return None
            generators.append(Generator(v, e))
            g = len(generators) - 1
            for k, m in enumerate(model.multipliers[:model.width(b.argument)]):
                factors.append(((g, 1.0),) if k == 0 else tuple(sorted(((g, 1.0), (k - 1, 1.0)))))
                columns.append((v * m)[:, None])
    terms = Terms(np.hstack(columns), factors, generators)
    if exact:
        weights = relative_weights(problem.y)
        fit = exact_fit(terms, problem.y, weights)
    else:
        weights = np.ones(problem.n_rows) if problem.weights is None else problem.weights
        fit = next(iter(eliminate(terms, problem.y, weights, keep=1)), None)
    if fit is None or len(fit.support) > 12:
        return None
    size = np.abs(fit.coefficients) * np.sqrt(np.mean(terms.values[:, fit.support]**2, axis=0))
    if size.max() > CANCELLED * np.sqrt(np.mean(problem.y**2)):
        return None  # a function seen through a keyhole: huge terms that cancel
    fit = snap_fit(terms, fit, problem.y, weights, 1e-7 if exact else 0.1 * problem.noise)
    return compose_sum(terms, fit.support, fit.coefficients)


def tuned_sums(problem: Problem, deadline: float, rng: np.random.Generator) -> Iterator[Expression]:
    """Yield a low-degree polynomial plus up to three terms with an unknown inner constant each.

    Terms are sines and cosines, exponentials, logistic functions, tanh, poles, logarithms, roots and absolute values of
    one variable (or a sum of variables), alone or times a variable.

    Parameters
    ----------
    problem : Problem
    deadline : float
        Of ``time.perf_counter``.
    rng : numpy.random.Generator
        Chooses the rows when there are many.
    """
    if problem.n_rows < 12 or np.ptp(problem.y) == 0:
        return
    rows = MAX_ROWS if problem.noise == 0 else 2 * MAX_ROWS
    part = subset(problem, rows, rng)
    if not variable_generators(part):
        return
    n = len(variable_generators(part))
    z = part.y / np.std(part.y)
    settings = [(False, 1)]
    settings += [(False, d) for d in (2, 3) if part.n_rows > 4 * comb(n + d, d) + 20]
    if part.n_rows > 2 * (n + 1) * (n + 6):
        settings.append((True, 2))
    seen: set = set()
    model = None
    for multiplied, degree in settings:
        if time.perf_counter() > deadline:
            return
        if model is None or multiplied:
            model = _Model(part, multiplied, deadline)
        model.set_degree(degree)
        # All families together first; then one kind at a time, which a greedy choice cannot lead astray so easily.
        for kind in ("", "pole", "logistic", "exp", "wave"):
            for candidate in _search(model, part, z, kind, deadline):
                if candidate not in seen:
                    seen.add(candidate)
                    yield candidate
            if seen:
                return


def _search(model: _Model, problem: Problem, z: np.ndarray, kind: str, deadline: float) -> Iterator[Expression]:
    """Yield the sums that converge, fewest blocks first: a beam search over sets of blocks."""
    exact = problem.noise == 0
    floor = CONVERGED if exact else 1.1 * problem.noise
    starts = [[block] for _, block in _scan(model, z, [], kind, deadline)[:2 * BEAM]]
    for depth in range(1, DEPTH + 1):
        refined, found = [], []
        for blocks in starts:
            if time.perf_counter() > deadline:
                return
            blocks, error = _refine(model, z, blocks, deadline)
            refined.append((error, blocks))
            if error < floor:
                candidate = presentable(_compose(model, problem, blocks, exact))
                if candidate is not None:
                    found.append(candidate)
                    if len(found) == 2:
                        break
        if found:
            yield from sorted(found, key=lambda e: e.complexity)
            return
        width = model.columns.shape[1] + (depth + 1) * 2 * len(model.multipliers)
        if depth == DEPTH or width > problem.n_rows - 4:
            return
        refined.sort(key=lambda item: item[0])
        starts = []
        for _, blocks in refined[:BEAM]:
            if time.perf_counter() > deadline:
                return
            starts += [[*blocks, block] for _, block in _scan(model, z, blocks, kind, deadline)[:FOLLOWED]]
