"""Speed of the parts of a search beside the evaluator: fits of constants, the bank, pairs from the bank.

One reverse sweep over a tape costs 0.35 microseconds an iteration at 20 rows; as a kernel called by symbol it does not
add 2.5 s of compilation to each caller.
"""

from collections.abc import Iterator

import numpy as np

from rsrm._jit import njit
from rsrm.bank import Bank
from rsrm.benchmarks.timing import alternate
from rsrm.constants import fit_constants, fit_scaled, workspace
from rsrm.evaluate import values
from rsrm.expression import Expression, apply, number, variable
from rsrm.library import Library
from rsrm.matching import match_pairs, orthonormal
from rsrm.matching_kernels import distinct_projections

BANK_ENTRIES = 300_000
PAIRS_OF = 4_000


@njit(cache=False)
def _fit_all(tokens, starts, X, y, tables, result, ws, scaled):
    """Fit from every start; return the number of exact fits."""
    exact = 0
    none = np.empty(0)
    for s in range(starts.shape[0]):
        if scaled:
            _, sse, _, _ = fit_scaled(tokens, len(tokens), starts[s], X, y, none, tables, 50, result, ws)
        else:
            _, sse = fit_constants(tokens, len(tokens), starts[s], X, y, none, tables, 50, result, ws)
        exact += sse < 1e-18
    return exact


def _skeletons() -> dict[str, Expression]:
    lib = Library(1)
    x = variable(lib, 0)

    def times(c, f):
        return apply(lib, "mul", number(lib, c), f)

    decay, wave = apply(lib, "exp", times(-0.8, x)), apply(lib, "sin", times(1.3, x))
    return {
        "exp(c x)": decay,
        "c x + c": apply(lib, "add", times(1.7, x), number(lib, 0.4)),
        "sin(c x + c)": apply(lib, "sin", apply(lib, "add", times(1.3, x), number(lib, 0.4))),
        "c exp(c x) + sin(c x)": apply(lib, "add", times(1.7, decay), wave),
    }


def constants(args) -> Iterator[dict]:
    """Time fits of constants from starts within half of the truth."""
    rng = np.random.default_rng(0)
    for name, expression in _skeletons().items():
        truth, tables = expression.constants, expression.library.tables
        starts = truth * rng.uniform(0.5, 1.5, (1000, len(truth)))
        for rows in (20, 64):
            X = rng.uniform(0.0, 2.0, (1, rows))
            y, _ = values(expression, X.T)
            ws, result = workspace(expression.length, len(truth), rows), np.empty(len(truth))
            arguments = (expression.tokens, starts, X, y, tables, result, ws, False)
            seconds = alternate({"rsrm": lambda a=arguments: _fit_all(*a)}, args.repeats)["rsrm"]
            yield {"what": f"fit of {name}, {rows} rows", "us": float(np.median(seconds)) * 1e3,
                   "exact": _fit_all(*arguments) / len(starts)}


def _enumerate(n_variables: int, entries: int) -> Bank:
    X = np.random.default_rng(0).uniform(0.5, 2.0, (n_variables, 64))
    library = Library(n_variables, ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos"))
    return Bank.enumerate(X, library, max_entries=entries, rng=np.random.default_rng(1))


def bank(args) -> Iterator[dict]:
    """Time the enumeration of 300,000 distinct sub-trees on 32 rows."""
    for n_variables in (1, 2, 3, 5):
        store = _enumerate(n_variables, args.entries).store
        seconds = float(np.median(alternate({"rsrm": lambda d=n_variables: _enumerate(d, args.entries)},
                                            args.repeats)["rsrm"]))
        yield {"what": f"bank of {store.count[0]} over {n_variables} variables", "s": seconds, "target": 0.12,
               "candidates_per_s": float(store.count[1] / seconds), "candidates_per_s_target": 4e6,
               "bytes_each": sum(a.nbytes for a in store) / int(store.count[0]), "bytes_each_target": 300.0}


def pairs(args) -> Iterator[dict]:
    """Time all pairs of 4,000 sub-trees for one and for four targets against the matrix product alone."""
    store = _enumerate(2, min(args.entries, 100_000)).store
    m = min(PAIRS_OF, int(store.count[0]) // 2)
    rows = store.values.shape[1]
    U = np.empty((m, rows))
    basis = orthonormal(np.ones((1, rows)))
    U = U[:distinct_projections(store.values, int(store.count[0]), basis, store.probes, U, np.empty(m, np.int64))]
    other = U.copy()  # of a matrix with itself NumPy computes one half only
    for n_targets in (1, 4):
        targets = np.random.default_rng(0).standard_normal((n_targets, rows))
        targets -= targets.mean(axis=1, keepdims=True)
        targets /= np.linalg.norm(targets, axis=1, keepdims=True)
        seconds = alternate({"rsrm": lambda t=targets: match_pairs(U, t, 100), "blas": lambda: U @ other.T,
                             "half": lambda: U @ U.T}, args.repeats)
        yield {"what": f"pairs of {len(U)}, {n_targets} targets", "ms": float(np.median(seconds["rsrm"])) * 1e3,
               "to_blas": float(np.median(seconds["rsrm"] / seconds["blas"])), "target": 1.5,
               "to_symmetric_blas": float(np.median(seconds["rsrm"] / seconds["half"]))}
