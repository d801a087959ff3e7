"""What both environments are made from: data, alphabet, limits, and the spaces that follow."""

import difflib
import importlib

import numpy as np
from gymnasium import spaces

from rsrm import grammar
from rsrm.constants import start_points
from rsrm.envs.episodes import CONTEXT, Task
from rsrm.library import DEFAULT_CAPACITY, PAD, Library
from rsrm.metrics import ETA, target_scale
from rsrm.primitives import DEFAULT_OPERATORS

N_STARTS = 4
"""Points from which constants are fitted."""

OBSERVATIONS = ("tokens", "context")


class Definition:
    """The arguments of an environment, checked.

    Parameters are those of :class:`rsrm.envs.SymbolicRegressionEnv`.

    Attributes
    ----------
    library : Library
    limits : grammar.Limits
    task : Task
    observation_space : gymnasium.spaces.Box
    action_space : gymnasium.spaces.Discrete
    """

    def __init__(self, X=None, y=None, *, problem=None, operators=None, constants=None, literals=True, max_size=30,
                 max_depth=10, max_constants=5, nested_constraints=None, nested_trigonometry=False, eta=ETA,
                 fit_constants=True,
                 observation="tokens", n_slots=DEFAULT_CAPACITY, feature_names=()):
        if observation not in OBSERVATIONS:
            raise ValueError(f"observation must be one of {', '.join(OBSERVATIONS)}, got {observation!r}")
        if not 0.0 < eta <= 1.0:
            raise ValueError(f"eta must lie in (0, 1], got {eta!r}")
        X, y, operators, constants = load_data(X, y, problem, operators, constants)
        self.observation = observation
        self.library = Library(X.shape[1], tuple(DEFAULT_OPERATORS if operators is None else operators),
                               constants=True if constants is None else bool(constants), literals=bool(literals),
                               variable_names=tuple(feature_names), capacity=n_slots)
        self._limits = {"max_size": max_size, "max_depth": max_depth, "max_constants": max_constants,
                        "nested_constraints": nested_constraints, "nested_trigonometry": nested_trigonometry}
        self.limits = grammar.make_limits(self.library, **self._limits)
        # Fits begin at the same points each time: an environment has no randomness of its own.
        starts = start_points(max(1, max_constants), N_STARTS if fit_constants else 0, np.random.default_rng(0))
        self.task = Task(np.ascontiguousarray(X.T), y, np.empty(0), target_scale(y), float(eta), starts)
        k = len(self.library)
        self.action_space = spaces.Discrete(k)
        if observation == "tokens":
            self.observation_space = spaces.Box(PAD, k - 1, (max_size,), np.int16)
        else:
            low = np.array([grammar.EMPTY, grammar.EMPTY, grammar.EMPTY, 0, 0], np.int16)
            high = np.array([k - 1, k - 1, k - 1, max_depth, max_size], np.int16)
            self.observation_space = spaces.Box(low, high, (len(CONTEXT),), np.int16)

    def promote(self, name: str, arity: int, body) -> int:
        """Fill a slot of the library (see :meth:`Library.promote`); return the token."""
        library = self.library.promote(name, arity, body)
        before, after = self.library.promoted, library.promoted
        slot = next(i for i, entry in enumerate(after) if i >= len(before) or entry is not before[i])
        self.library = library
        self.limits = grammar.make_limits(library, **self._limits)
        return library.first_promoted + slot


class ListedSpec:
    """Mix-in of environments whose specification is JSON-able also if their data came as arrays."""

    _spec = None

    @property
    def spec(self):
        """The specification that ``gymnasium.make`` leaves here."""
        return self._spec

    @spec.setter
    def spec(self, value):
        for name in ("X", "y"):
            if value is not None and isinstance(value.kwargs.get(name), np.ndarray):
                value.kwargs[name] = value.kwargs[name].tolist()
        self._spec = value


def load_data(X, y, problem, operators, constants):
    """Return X float64[R, D], y float64[R], operators and constants, of a problem of the catalogue or as they are.

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
    return *_check_data(X, y), operators, constants


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


def _check_data(X, y):
    """Return X float64[R, D] and y float64[R], or raise ValueError."""
    arrays = []
    for name, value in (("X", X), ("y", y)):
        if value is None:
            raise ValueError(f"{name} is missing: give both X and y")
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
        arrays.append(np.ascontiguousarray(array, np.float64))
        if not np.isfinite(arrays[-1]).all():
            raise ValueError(f"{name} holds NaN or infinity")
    X, y = arrays
    if X.ndim != 2 or X.shape[0] < 2 or X.shape[1] < 1:
        raise ValueError(f"X must have shape (rows, columns) with at least two rows and one column, got {X.shape}")
    if y.shape != (X.shape[0],):
        raise ValueError(f"y must have shape ({X.shape[0]},) as X has {X.shape[0]} rows, got {y.shape}")
    return X, y
