"""Modulated sub-tree discovery: fragments of the best expressions become new tokens, as long as they help.

Three steps (Xu, Liu & Sun, ICLR 2024, section 3.3, with a test before the promotion):

* *mining*: the sub-trees of the best expressions, shared ones once, form a directed graph (networkx) whose edges go
  from an expression to its arguments; a fragment is supported by every expression that contains it;
* *promotion*: a fragment is scored by what it explains of y beyond what is explained already, in the three forms
  ``A + f``, ``A * f`` and ``A ** f`` (each a projection), not by how often it occurs: promoting what is merely frequent
  hurts the search. The best fill free slots of the library; a fragment that contains a variable twice or a smaller
  fragment once also yields an operator of arity 1;
* *demotion*: a promoted operator that occurs in no improvement for some rounds gives its slot back.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rsrm.evaluate import BLOCK, evaluate
from rsrm.expression import Expression, subtree_end
from rsrm.library import MAX_BODY, PARAM0, Library
from rsrm.problem import Problem

if TYPE_CHECKING:
    import networkx as nx

PATIENCE = 3
"""Rounds without being part of an improvement after which an operator is demoted."""
LEAST_GAIN = 0.02
"""Share of the unexplained variance that a fragment has to explain before it takes a slot."""
MAX_FRAGMENT = 12
"""Largest fragment; larger ones are whole formulas rather than parts of one."""


def subtrees(expression: Expression) -> list[Expression]:
    """Return the sub-trees of `expression` in prefix order, itself first; promoted operators are written out."""
    library, tokens = expression.library, expression.expanded
    offsets = np.concatenate([[0], np.cumsum(tokens == library.constant)])
    found = []
    for start in range(len(tokens)):
        stop = subtree_end(tokens, start, library.tables.arity)
        found.append(Expression(tokens[start:stop].copy(), expression.constants[offsets[start]:offsets[stop]].copy(),
                                library))
    return found


def sharing_graph(expressions: list[Expression]) -> "nx.DiGraph":
    """Return the graph of shared sub-expressions.

    Nodes are expressions (hashable by value) with the attribute ``support``, the number of `expressions` that contain
    them; edges go to the arguments, with the attribute ``position`` (0 or 1).
    """
    import networkx as nx  # takes longer to load than most laws to find

    graph = nx.DiGraph()
    for expression in expressions:
        parts = subtrees(expression)
        for part in set(parts):
            if part not in graph:
                graph.add_node(part, support=0)
            graph.nodes[part]["support"] += 1
        arity = expression.library.tables.arity
        for start, part in enumerate(parts):
            child = start + 1
            for position in range(arity[part.tokens[0]]):
                graph.add_edge(part, parts[child], position=position)
                child += parts[child].complexity
    return graph


def fragments(graph: "nx.DiGraph", max_complexity: int = MAX_FRAGMENT) -> list[Expression]:
    """Return the sub-trees of a graph that may be promoted, best supported first: no leaves, no numbers only."""
    found = []
    for part, data in graph.nodes(data=True):
        n = part.library.n_variables
        if 2 <= part.complexity <= max_complexity and (part.tokens < n).any():
            found.append((-data["support"], part.complexity, part.tokens.tobytes(), part.constants.tobytes(), part))
    return [entry[-1] for entry in sorted(found, key=lambda e: e[:-1])]


def column(expression: Expression, X: np.ndarray) -> np.ndarray | None:
    """Return the values on X, float64[D, R], or None where one is not finite."""
    tokens = expression.expanded
    out = np.empty(X.shape[1])
    ok = evaluate(tokens, len(tokens), expression.constants, X, expression.library.tables,
                  np.empty((len(tokens) + 1, BLOCK)), out)
    return out if ok else None


def explained(problem: Problem, values: np.ndarray, base: np.ndarray | None = None) -> float:
    """Return the largest share of y's unexplained variance that a fragment explains in one of three forms.

    ``A + f``: y on {1, base, f}. ``A * f**q``: log|y| on {1, log|base|, log|f|}. ``A ** f``: log|y| on
    {1, log|base|, f}. Unexplained is what {1, base} leave in the same space.

    Parameters
    ----------
    problem : Problem
    values : float64[R]
        Of the fragment.
    base : float64[R], optional
        What is explained already, e.g. by the best simpler expression.
    """
    w = np.ones(problem.n_rows) if problem.weights is None else problem.weights
    one = np.ones(problem.n_rows)
    known = [one] if base is None else [one, base]
    shares = [_share(problem.y, known, values, w)]
    # Logarithms need y away from zero, and weights that count their residuals as those of y.
    if np.all(problem.y > 0) or np.all(problem.y < 0):
        log_y, relative = np.log(np.abs(problem.y)), w * np.abs(problem.y)
        usable = base is not None and np.all(base != 0)
        known = [one, np.log(np.abs(base))] if usable else [one]
        if np.all(values != 0):
            shares.append(_share(log_y, known, np.log(np.abs(values)), relative))
        shares.append(_share(log_y, known, values, relative))
    return max(shares)


def _share(y: np.ndarray, known: list[np.ndarray], f: np.ndarray, w: np.ndarray) -> float:
    """Return how much of what `known` columns leave of y is explained by f, between 0 and 1."""
    basis, _ = np.linalg.qr(np.array([v / np.abs(v).max() for v in known if v.any()]).T * w[:, None])
    if not f.any():
        return 0.0
    target, probe = y * w, f / np.abs(f).max() * w  # scaled: squares of large values would overflow
    size = np.linalg.norm(probe)
    target = target - basis @ (basis.T @ target)
    probe = probe - basis @ (basis.T @ probe)
    length, left = np.linalg.norm(probe), np.linalg.norm(target)
    if not (length > 1e-9 * size and left > 1e-12 * np.linalg.norm(y * w)):
        return 0.0
    return float((probe @ target / (length * left)) ** 2)


def body_of_arity_one(fragment: Expression) -> tuple[int, ...] | None:
    """Return the body with its most frequent variable replaced by the parameter, or None if that is a primitive."""
    tokens = fragment.expanded
    leaves = tokens[tokens < fragment.library.n_variables]
    if len(tokens) < 3 or len(leaves) == 0:
        return None
    variable = np.bincount(leaves).argmax()
    return tuple(PARAM0 if t == variable else int(t) for t in tokens)


@dataclass
class SubtreeDiscovery:
    """What is promoted now, and what it was good for; picklable.

    Attributes
    ----------
    library : Library
        With the promoted operators.
    slots : int
        Most operators promoted at a time.
    idle : dict of int to int
        Rounds since the operator of a token was last part of an improvement.
    failed : set
        Bodies that were demoted: they are not promoted again.
    """

    library: Library
    slots: int = 8
    idle: dict[int, int] = field(default_factory=dict)
    failed: set[tuple[int, ...]] = field(default_factory=set)

    def update(self, problem: Problem, front: list[tuple[Expression, float]],
               improvements: list[tuple[Expression, float]]) -> list[Expression]:
        """Demote what did not help, promote what explains most; return the promoted fragments.

        Parameters
        ----------
        problem : Problem
            Rows that fragments are scored on.
        front : list of (Expression, float)
            Best expressions and their errors.
        improvements : list of (Expression, float)
            Expressions found since the last call; operators that occur in one of them have helped.
        """
        self._demote([e for e, _ in improvements])
        chosen = self._rank(problem, front)
        bodies = self._bodies()
        for fragment in chosen:
            for arity, body in ((0, tuple(int(t) for t in fragment.expanded)), (1, body_of_arity_one(fragment))):
                if len(self.idle) >= min(self.slots, self.library.capacity):
                    return chosen
                if body is None or body in bodies or body in self.failed or len(body) > MAX_BODY:
                    continue
                # Constants of a body are fitted anew wherever it stands.
                token = self._free_slot()
                self.library = self.library.promote(f"f{token - self.library.first_promoted}", arity, body)
                self.idle[token] = 0
                bodies.add(body)
        return chosen

    def _rank(self, problem: Problem, front) -> list[Expression]:
        """Return the fragments that explain enough, most first."""
        graph = sharing_graph([e for e, _ in front])
        known = column(front[0][0], problem.X) if front else None
        scored = []
        for fragment in fragments(graph):
            values = column(fragment, problem.X)
            if values is None:
                continue
            gain = explained(problem, values, known)
            if gain > LEAST_GAIN:
                scored.append((gain - 0.01 * fragment.complexity, fragment))
        scored.sort(key=lambda entry: -entry[0])
        return [fragment for _, fragment in scored[:2 * self.slots]]

    def _bodies(self) -> set[tuple[int, ...]]:
        return {entry.body for entry in self.library.promoted if entry is not None}

    def _free_slot(self) -> int:
        taken = [entry is not None for entry in self.library.promoted]
        return self.library.first_promoted + (taken.index(False) if False in taken else len(taken))

    def _demote(self, improvements: list[Expression]) -> None:
        """Count a round for every operator; take the slots of those that were idle too long."""
        parts = {tuple(int(t) for t in part.tokens) for e in improvements for part in subtrees(e)}
        for token in list(self.idle):
            entry = self.library.promoted[token - self.library.first_promoted]
            helped = any(_matches(entry.body, part, self.library) for part in parts)
            self.idle[token] = 0 if helped else self.idle[token] + 1
            if self.idle[token] > PATIENCE:
                self.library = self.library.demote(token)
                self.failed.add(entry.body)
                del self.idle[token]


def _matches(body: tuple[int, ...], tokens: tuple[int, ...], library: Library) -> bool:
    """Return whether `tokens` is the body with some sub-tree in place of its parameter."""
    arity = library.tables.arity
    argument: tuple[int, ...] | None = None
    k = 0
    for t in body:
        if k >= len(tokens):
            return False
        if t == PARAM0:
            stop = subtree_end(np.array(tokens), k, arity)
            if argument is not None and tokens[k:stop] != argument:
                return False
            argument = tokens[k:stop]
            k = stop
        elif tokens[k] != t:
            return False
        else:
            k += 1
    return k == len(tokens)
