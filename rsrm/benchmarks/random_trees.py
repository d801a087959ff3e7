"""Random expressions for timing, and the same expressions for pyoperon and gplearn."""

from typing import NamedTuple

import numpy as np

from rsrm.library import LITERALS, PAD, Library
from rsrm.primitives import OP_CONSTANT, OP_VARIABLE, PRIMITIVES, check_operators

OPERATORS = ("add", "sub", "mul", "div", "exp", "log", "sin", "cos")
_OPERON = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "exp": "Exp", "log": "Log", "sin": "Sin",
           "cos": "Cos", "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh", "square": "Square"}

# Nodes with one descendant can only be unary; this share elsewhere makes all operators of OPERATORS equally frequent.
_UNARY = 0.35


class Batch(NamedTuple):
    """Random expressions over one library; N expressions, L longest, C most constants."""

    library: Library
    tokens: np.ndarray  # int16[N, L], padded
    lengths: np.ndarray  # int64[N]
    constants: np.ndarray  # float64[N, C]


def _grow(rng, library, size, unary, binary, constant_share):
    """Return the prefix tokens of a random tree of exactly `size` nodes, by splitting sizes at random."""
    tokens: list[int] = []
    sizes = [size]
    while sizes:
        n = sizes.pop()
        if n == 1:
            fixed = rng.random() < constant_share
            tokens.append(library.constant if fixed else int(rng.integers(library.n_variables)))
        elif n == 2 or rng.random() < _UNARY:
            tokens.append(int(rng.choice(unary)))
            sizes.append(n - 1)
        else:
            tokens.append(int(rng.choice(binary)))
            left = int(rng.integers(1, n - 1))
            sizes.extend((n - 1 - left, left))
    return tokens


def random_batch(n, n_variables=3, smallest=5, largest=29, operators=OPERATORS, constant_share=0.3, seed=0) -> Batch:
    """Return `n` random expressions of uniformly drawn sizes.

    Raises
    ------
    ValueError
        If sizes are out of order or `operators` lacks unary or binary ones.
    """
    if not 1 <= smallest <= largest:
        raise ValueError(f"smallest: expected 1 <= smallest <= largest, got {smallest} and {largest}")
    rng = np.random.default_rng(seed)
    library = Library(n_variables, check_operators(operators))
    ids = np.array([library.token(name) for name in operators])
    unary, binary = (ids[library.tables.arity[ids] == arity] for arity in (1, 2))
    if not len(unary) or not len(binary):
        raise ValueError(f"operators: unary and binary ones are needed, got {list(operators)}")
    tokens = np.full((n, largest), PAD, np.int16)
    lengths = rng.integers(smallest, largest + 1, n)
    for row, size in zip(tokens, lengths, strict=True):
        row[:size] = _grow(rng, library, int(size), unary, binary, constant_share)
    return Batch(library, tokens, lengths, rng.standard_normal((n, largest // 2 + 1)))


def operon_trees(batch: Batch, hashes) -> list:
    """Return the batch as pyoperon trees; `hashes` are those of the data set's variables."""
    import pyoperon

    kind = pyoperon.NodeType
    opcode = batch.library.tables.opcode
    trees = []
    for tokens, length, constants in zip(batch.tokens, batch.lengths, batch.constants, strict=True):
        left = int((tokens == batch.library.constant).sum())
        nodes = []
        for t in tokens[:length][::-1]:  # postfix with the first argument last, as pyoperon wants it
            if opcode[t] == OP_VARIABLE:
                node = pyoperon.Node(kind.Variable)
                node.HashValue = node.CalculatedHashValue = hashes[t]
                node.Value = 1.0
            elif opcode[t] == OP_CONSTANT:
                left -= 1
                node = pyoperon.Node(kind.Constant)
                node.Value = float(constants[left])
            else:
                node = pyoperon.Node(getattr(kind, _OPERON[batch.library.name(int(t))]))
            nodes.append(node)
        tree = pyoperon.Tree(nodes)
        tree.UpdateNodes()
        trees.append(tree)
    return trees


def gplearn_programs(batch: Batch) -> list:
    """Return the batch as gplearn programs; gplearn protects division and logarithm, so values may differ."""
    from gplearn._program import _Program
    from gplearn.functions import _Function, _function_map

    functions = {p.name: _Function(p.function, p.name, p.arity) for p in PRIMITIVES} | _function_map
    programs = []
    for tokens, length, constants in zip(batch.tokens, batch.lengths, batch.constants, strict=True):
        used = iter(constants)
        program = []
        for t in tokens[:length]:
            op = batch.library.tables.opcode[t]
            if op == OP_VARIABLE:
                program.append(int(t))
            elif op == OP_CONSTANT:
                program.append(float(next(used)))
            else:
                program.append(functions[PRIMITIVES[t - batch.library.n_variables - 1 - len(LITERALS)].name])
        programs.append(_Program(list(functions.values()), {}, (2, 6), "full", batch.library.n_variables, (-1.0, 1.0),
                                 None, 0.0, 0.0, np.random.RandomState(0), program=program))
    return programs
