"""Arguments of environments: checked, and written as JSON can hold them."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from numbers import Real

import numpy as np


def load_data(X, y, problem, operators, constants, feature_names=()):
    """Return the data and the alphabet of a problem of the catalogue, or those that are given.

    Returns
    -------
    X : float64[R, D]
    y : float64[R]
    operators, constants
        As given, or those of the problem.
    feature_names : tuple of str
        Of the D columns; empty if they have none.

    Raises
    ------
    ValueError
        If there are both data and the name of a problem, or neither, or the data are not finite real numbers that fit.
    """
    if (problem is None) == (X is None and y is None):
        raise ValueError("X, y, problem: give either X and y or the name of a problem, e.g. problem='Nguyen-7'")
    if problem is not None:
        known = _load_problem(problem)
        data = known.sample(0)
        X, y = data.X_train, data.y_train
        operators = known.operators if operators is None else operators
        constants = known.constants if constants is None else constants
    names = check_names(feature_names) or column_names(X)
    X, y = check_data(X, y)
    if names and len(names) != X.shape[1]:
        raise ValueError(f"feature_names: {len(names)} names for {X.shape[1]} columns of X")
    return X, y, operators, constants, names


def _load_problem(name):
    # The catalogue stands above this package: it is loaded by name, on demand, so that imports keep pointing one way
    # and nobody who brings data pays for it.
    catalogue = importlib.import_module("rsrm.benchmarks.catalogue")
    names = [p.name for suite in catalogue.SUITES for p in catalogue.load_suite(suite)]
    if name not in names:
        close = difflib.get_close_matches(str(name), names, 5, 0.4)
        raise ValueError(f"problem: no suite holds {name!r}; close names: {', '.join(close) or ', '.join(names[:5])}; "
                         f"suites: {', '.join(catalogue.SUITES)}")
    return catalogue.load_problem(name)


def check_data(X, y):
    """Return X float64[R, D] and y float64[R], or raise ValueError."""
    X, y = _real("X", X), _real("y", y)
    if X.ndim != 2 or X.shape[0] < 2 or X.shape[1] < 1:
        raise ValueError(f"X must have shape (rows, columns) with at least two rows and one column, got {X.shape}")
    if y.shape != (X.shape[0],):
        raise ValueError(f"y must have shape ({X.shape[0]},) as X has {X.shape[0]} rows, got {y.shape}")
    return X, y


def _real(name, value):
    """Return `value` as float64, or raise ValueError naming it."""
    if value is None:
        raise ValueError(f"{name} is missing: give both X and y")
    if np.ma.is_masked(value):  # np.asarray would take what the mask hides for data
        raise ValueError(f"{name} has masked values: drop those rows first")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no table of numbers, its rows have different lengths") from error
    kind = array.dtype.kind
    if kind not in "fiub" and not (kind == "O" and all(isinstance(v, Real) for v in array.flat)):
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # of wider floats
        array = np.ascontiguousarray(array, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return array


def column_names(X) -> tuple[str, ...]:
    """Return the column names of a data frame, or nothing if there are none, or others than distinct strings."""
    names = tuple(getattr(X, "columns", ()))
    return names if all(isinstance(n, str) for n in names) and len(set(names)) == len(names) else ()


def check_names(names) -> tuple[str, ...]:
    """Return `names`, given as `feature_names`, as a tuple of distinct strings, or raise ValueError."""
    if names is None:
        return ()
    found = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else (None,)
    if not all(isinstance(n, str) for n in found) or len(set(found)) != len(found):
        raise ValueError(f"feature_names must be distinct strings, one for each column of X, got {names!r}")
    return found


def check_whole(name: str, value, least: int, most: int) -> int:
    """Return `value` as an int, or raise ValueError if it is no whole number between `least` and `most`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return int(value)


def check_eta(eta) -> float:
    """Return `eta` as a float, or raise ValueError if it does not lie in (0, 1]."""
    if not isinstance(eta, Real) or not 0.0 < eta <= 1.0:
        raise ValueError(f"eta must lie in (0, 1], got {eta!r}")
    return float(eta)


def listed(value):
    """Return `value` with arrays, tables and sets inside it as lists, so that JSON can hold it."""
    if isinstance(value, Mapping):
        return {key: listed(v) for key, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [listed(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    # Arrays and the columns and tables of pandas, polars and others.
    return np.asarray(value).tolist() if hasattr(value, "__array__") else value


class ListedSpec:
    """Mix-in of environments whose specification is JSON-able also if their data came as arrays or tables."""

    _spec = None

    @property
    def spec(self):
        """The specification that ``gymnasium.make`` leaves here."""
        return self._spec

    @spec.setter
    def spec(self, value):
        if value is not None:
            names = column_names(value.kwargs.get("X"))
            if names and not value.kwargs.get("feature_names"):
                value.kwargs["feature_names"] = list(names)  # a list has none
            for name in value.kwargs:
                value.kwargs[name] = listed(value.kwargs[name])
        self._spec = value
