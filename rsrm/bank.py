"""The bank of sub-trees: what small expressions over some columns can be, each value once.

Asking which sub-tree explains a target is then a look-up (:mod:`rsrm.matching`) instead of a search. Enumeration is
bottom up by cost (nodes, functions counted more than once) over the operators that the library allows; values are
compared on a few rows, modulo commutativity, sign and scale, and the simplest representative is kept. Sub-trees of
good expressions can be added.
"""

import time
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from rsrm import compose
from rsrm._simd import LANES
from rsrm.bank_store import LEAF, Store, find_key, insert, new_store, value_key
from rsrm.enumeration import IS_NUMBER, binary_level, family, unary_level
from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import Expression, apply, variable
from rsrm.library import Library
from rsrm.primitives import BY_NAME, BY_OPCODE, OP_ADD, OP_DIV, OP_MUL, OP_POW, OP_SUB

ROWS = 32
"""Rows on which values are compared."""
CHUNK = 60_000
"""Candidates a compiled call looks at between two looks at the clock."""
COSTS = {"sqrt": 2, "cube": 2, "exp": 2, "log": 2, "sin": 2, "cos": 2, "abs": 2, "tan": 3, "asin": 3, "acos": 3,
         "atan": 3, "sinh": 3, "cosh": 3, "tanh": 3}
"""Levels an operator costs where it is not 1: arithmetic comes before functions, common functions before rare ones."""
MOST_POWERS = 4
"""Columns up to which powers of one column to another are shortcuts."""
EARLY = 3
"""Level of the shortcuts: that of an operator of two columns."""
FACTORS = np.array([-1.0, 2.0, 0.5, np.pi])
"""Factors tried inside functions where a scale cannot be moved outside; two nodes each."""


def variable_powers(X: np.ndarray, library: Library) -> list[Expression]:
    """Return powers of one column to another, as ``exp(x_j log(x_i))``, where there are few columns.

    Bases are positive columns, and 1 + x and 1 - x of columns between -1 and 1: rates and probabilities. Written out
    such a power is as large as the rest of many a law that holds one; with an operator ``pow`` it is one step.
    """
    n = library.n_variables
    if "pow" in library.operators or n > MOST_POWERS:
        return []
    found = []
    for i in range(n):
        x = variable(library, i)
        bases = [x] if X[i].min() > 0.0 else []
        if np.abs(X[i]).max() < 1.0:
            bases += [compose.linear(library, [(sign, x)], 1.0) for sign in (1.0, -1.0)]
        logs = [compose.outer("log", base) for base in bases if base is not None and np.ptp(X[i]) > 0.0]
        for log, j in product(logs, range(n)):
            if log is not None and j != i:
                exponent = compose.product(library, [(variable(library, j), 1.0), (log, 1.0)])
                found.append(None if exponent is None else compose.outer("exp", exponent))
    return [power for power in found if power is not None]


def choose_rows(X: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` row numbers of X (float64[D, R]): the extremes of each column, then random ones.

    Rows repeat if there are fewer than `n`.
    """
    rows = X.shape[1]
    if rows <= n:
        return np.resize(np.arange(rows), n)
    ends = np.concatenate([X.argmin(1), X.argmax(1)])
    rest = rng.permutation(rows)
    order = np.concatenate([ends[:n // 2], rest])
    _, first = np.unique(order, return_index=True)
    return order[np.sort(first)][:n]


@dataclass
class Bank:
    """Sub-trees with their values on S rows; use :meth:`enumerate` to make one.

    Attributes
    ----------
    library : Library
    columns : float64[D, S]
        The variables on the rows that were chosen.
    rows : int64[S]
        Which rows these are.
    store : Store
    leaves : list of Expression
        Entries given from outside: variables, numbers, added sub-trees.
    """

    library: Library
    columns: np.ndarray
    rows: np.ndarray
    store: Store
    leaves: list[Expression] = field(default_factory=list)

    @classmethod
    def enumerate(cls, X, library: Library, *, leaves=None, shortcuts=(), numbers=(1.0,), max_entries: int = 100_000,
                  max_cost: int = 14, deadline: float = np.inf, rng: np.random.Generator,
                  n_rows: int = ROWS) -> "Bank":
        """Return the bank of sub-trees over columns.

        Parameters
        ----------
        X : float64[D, R]
            One contiguous row per variable.
        library : Library
            Its allowed operators are the only ones used.
        leaves : sequence of Expression, optional
            What to build from; the variables by default.
        shortcuts : sequence of Expression
            Sub-trees that come at level :data:`EARLY` whatever their size, and that any function may be applied to.
        numbers : sequence of float
            Numbers among the leaves, if the library has literals or constants.
        max_entries : int
            Capacity; memory is below 300 bytes an entry at 32 rows.
        max_cost : int
            Last level: the number of nodes, with some operators counted more than once (:data:`COSTS`).
        deadline : float
            ``time.perf_counter()`` at which to stop.
        rng : numpy.random.Generator
            Chooses the rows, and the sample of a level that does not fit.
        n_rows : int
            S is the next multiple of the 8 that a vector holds; less where X has fewer rows, some of which stand twice.

        Raises
        ------
        ValueError
            If X does not fit the library, or the capacity is not positive.
        """
        X = np.ascontiguousarray(X, np.float64)
        if X.ndim != 2 or X.shape[0] != library.n_variables:
            raise ValueError(f"X: expected shape ({library.n_variables}, rows), got {X.shape}")
        if max_entries < 1:
            raise ValueError(f"max_entries: at least 1 is needed, got {max_entries}")
        n_rows = LANES * -(-min(n_rows, X.shape[1]) // LANES)
        rows = choose_rows(X, n_rows, rng)
        bank = cls(library, np.ascontiguousarray(X[:, rows]), rows, new_store(max_entries, n_rows))
        if leaves is None:
            leaves = [variable(library, i) for i in range(library.n_variables)]
        leaves = sorted(leaves, key=lambda e: e.complexity)
        bank._grow(leaves, shortcuts, numbers, max_cost, deadline, rng)
        return bank

    def __len__(self) -> int:
        """Return N, the number of entries."""
        return int(self.store.count[0])

    @property
    def values(self) -> np.ndarray:
        """Values of the entries, float64[N, S]."""
        return self.store.values[:len(self)]

    @property
    def complexity(self) -> np.ndarray:
        """Number of nodes of the entries, int16[N]."""
        return self.store.complexity[:len(self)]

    @property
    def is_number(self) -> np.ndarray:
        """Whether an entry is a number, bool[N]."""
        return (self.store.flags[:len(self)] & IS_NUMBER) != 0

    def expression(self, i: int) -> Expression:
        """Return entry `i` as an expression.

        Raises
        ------
        IndexError
            If there is no such entry.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"entry {i} of a bank of {len(self)}")
        s = self.store
        op = int(s.op[i])
        if op == LEAF:
            return self.leaves[s.left[i]]
        name = BY_OPCODE[op].name
        left = self.expression(int(s.left[i]))
        if s.right[i] >= 0:
            if op == OP_MUL and s.left[i] == s.right[i]:
                return compose.power(left, 2.0)
            return apply(self.library, name, left, self.expression(int(s.right[i])))
        factor = float(s.factor[i])
        if factor != 1.0:
            exact = float(FACTORS[np.argmin(np.abs(FACTORS - factor))])
            left = compose.product(self.library, [(left, 1.0)], exact)
        return compose.outer(name, left)

    def without_values(self) -> "Bank":
        """Return the same entries without what takes most of the memory: they can be written out; nothing is found."""
        return replace(self, store=self.store._replace(values=np.empty((0, len(self.rows))), key=np.empty(0, np.int64),
                                                       table=np.zeros(1, np.int32)))

    def find(self, v) -> int:
        """Return the entry with values proportional to `v` (float64[S]), or -1."""
        key, ok = value_key(np.ascontiguousarray(v, np.float64), self.store.probes)
        return int(find_key(key, self.store.key, self.store.table)) if ok else -1

    def add(self, expressions) -> int:
        """Add expressions (over the same library) as entries; return how many were new and fitted in."""
        return sum(self._add_leaf(e) >= 0 for e in expressions)

    def _add_leaf(self, expression: Expression, flags: int | None = None) -> int:
        tokens = expression.expanded
        tables = self.library.tables
        v = np.empty(self.columns.shape[1])
        stack = np.empty((len(tokens) + 1, BLOCK))
        if not evaluate(tokens, len(tokens), expression.constants, self.columns, tables, stack, v):
            return -1
        if flags is None:
            flags = 0
            for t in tokens:
                flags |= family(int(tables.opcode[t]))
        at = insert(self.store, v, LEAF, len(self.leaves), -1, 1.0, expression.complexity, flags)
        if at >= 0:
            self.leaves.append(expression)
        return at

    def _add_number(self, value: float) -> None:
        # All numbers are proportional to each other, so they bypass the comparison by value.
        s, n = self.store, len(self)
        if n == len(s.values):
            return
        s.values[n] = value
        s.key[n], s.op[n], s.left[n], s.right[n] = -1, LEAF, len(self.leaves), -1
        s.factor[n], s.complexity[n], s.flags[n] = 1.0, 1, IS_NUMBER
        s.count[0] += 1
        self.leaves.append(compose.constant(self.library, value))

    def _operators(self):
        """Return the opcodes to combine with: unary, binary."""
        allowed = set(self.library.operators)
        numbers = self.library.constants or self.library.literals
        if "pow" in allowed and numbers:
            allowed |= {"square", "cube", "sqrt"}
        # Signs and scales are not told apart, and a square is a product.
        unary = [BY_NAME[n].opcode for n in allowed if BY_NAME[n].arity == 1 and n != "neg"]
        if "div" in allowed and numbers:
            unary = [op for op in unary if op != BY_NAME["inv"].opcode]
        binary = [op for op in (OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_POW) if BY_OPCODE[op].name in allowed]
        return np.array(sorted(unary), np.int64), np.array(binary, np.int64)

    def _grow(self, leaves, shortcuts, numbers, max_cost, deadline, rng) -> None:
        unary, binary = self._operators()
        costs = np.array([COSTS.get(BY_OPCODE[int(op)].name, 1) for op in unary], np.int64)
        writable = self.library.constants or self.library.literals
        probe = variable(self.library, 0)
        factors = np.array([c for c in FACTORS if writable and compose.product(self.library, [(probe, 1.0)], c)])
        start = [0, 0]
        for level in range(1, max_cost + 1):
            for leaf in leaves:
                if leaf.complexity == level:
                    self._add_leaf(leaf)
            if level == 1 and writable:
                for value in numbers:
                    self._add_number(value)
            if level == EARLY:
                for shortcut in shortcuts:
                    self._add_leaf(shortcut, 0)
            if level > 1:
                for cost in np.unique(costs):
                    self._unary(level - cost, start, unary[costs == cost], np.ones(1), 1, deadline)
                    if len(factors):
                        self._unary(level - cost - 2, start, unary[costs == cost], factors, 3, deadline)
                complete = self._binary(level, start, binary, deadline, rng)
                if not complete or len(self) == len(self.store.values):
                    return
            start.append(len(self))

    def _unary(self, level, start, ops, factors, nodes, deadline) -> None:
        if level < 1:
            return
        lo, hi = start[level], start[level + 1]
        step = max(1, CHUNK // (len(ops) * len(factors)))
        for i in range(lo, hi, step):
            if time.perf_counter() > deadline:
                return
            unary_level(self.store, i, min(hi, i + step), ops, factors, nodes)

    def _binary(self, level, start, ops, deadline, rng) -> bool:
        """Combine all pairs of the level; return whether none was left out."""
        if not len(ops):
            return time.perf_counter() < deadline
        splits = [(a, level - 1 - a) for a in range(1, level) if a <= level - 1 - a]
        pairs = sum((start[a + 1] - start[a]) * (start[b + 1] - start[b]) for a, b in splits)
        room = len(self.store.values) - len(self)
        stride = max(1, pairs * len(ops) // max(1, 6 * room))
        for a, b in splits:
            first, last = start[b], start[b + 1]
            width = max(1, (last - first) * len(ops) // stride)
            step = max(1, CHUNK // width)
            for i in range(start[a], start[a + 1], step):
                if time.perf_counter() > deadline or len(self) == len(self.store.values):
                    return False
                binary_level(self.store, i, min(start[a + 1], i + step), first, last, ops, stride,
                             int(rng.integers(1, 2**62)))
        return stride == 1
