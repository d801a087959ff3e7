"""The scikit-learn face: ``RSRM().fit(X, y)``."""

import pickle
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from rsrm import search as _search
from rsrm._deferred import deferred
from rsrm.agents.playing import check_agent
from rsrm.evaluate import values
from rsrm.export import infix, to_latex, to_sympy
from rsrm.grammar import make_limits
from rsrm.library import Library
from rsrm.primitives import DEFAULT_OPERATORS, check_operators
from rsrm.problem import Problem
from rsrm.selection import Candidate
from rsrm.warmup import compile_kernels

with deferred("scipy.stats", "pandas"):
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data

SELECTIONS = ("best", "accuracy", "score")
MOST_TEXT = 300
"""Characters of a message of scikit-learn, which may hold the data."""


@contextmanager
def _naming(arguments: str):
    """Put the names of the arguments before what scikit-learn says of them, and cut the data that it prints off."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        text = text if len(text) <= MOST_TEXT else text[:MOST_TEXT].rstrip() + " ..."
        raise ValueError(f"{arguments}: {text}") from error


class RSRM(RegressorMixin, BaseEstimator):
    """Find the equation behind data.

    Exact closed-form solvers and reductions of the target run first (about a second), then a Monte Carlo tree search
    guided by double Q-learning, genetic refinement and modulated sub-tree discovery [1]_ use the remaining time. The
    search ends when a law is exact and short, or when a limit is reached.

    Parameters
    ----------
    operators : sequence of str
        Operators that the equation may use, of: add sub mul div pow neg inv square cube sqrt exp log sin cos tan asin
        acos atan sinh cosh tanh abs.
    constants : bool
        Whether numbers may be fitted. If False, only small integers and simple fractions occur.
    max_size : int
        Largest number of nodes of an expression built token by token.
    max_depth : int
        Largest depth of such an expression.
    max_constants : int
        Largest number of fitted constants in such an expression.
    nested_constraints : dict, optional
        ``{"sin": {"cos": 0}}``: how often an operator may occur inside another one.
    loss : {"nrmse"}
        RMSE divided by the standard deviation of y.
    model_selection : {"best", "accuracy", "score"}
        "best": least description length; "accuracy": least loss; "score": steepest fall of the log loss on the front.
    max_time : float
        Seconds of wall clock, without the time to compile on the first use (:attr:`compile_time_`).
    max_evals : int, optional
        Largest number of scored expressions.
    target_nrmse : float
        A law below this loss counts as exact, and the search ends.
    n_islands : int
        Independent populations; results depend on it and on the seed, never on `n_jobs`.
    n_jobs : int, optional
        Islands run at the same time, through joblib.
    agent : rsrm.agents.Agent or type, optional
        An agent of your own as one more source of the search: an object with ``act(observation, info)``,
        ``learn(reward, terminated)`` and ``reset(seed)`` that plays ``rsrm/SymbolicRegression-v0`` (observations are
        tokens), or a class whose instances are made by ``agent(library, limits, seed)``. It gets the first turn
        and then a share of the time, as long as no exact law is known.
    random_state : int, RandomState or None
        Same seed, same equations (as long as `max_time` does not cut the search at another point).
    warm_start : bool
        Whether a second ``fit`` keeps the equations of the first as candidates.
    verbose : int
        0: silent; 1: a progress bar on the terminal; 2: also every new best equation.

    Attributes
    ----------
    equations_ : pandas.DataFrame
        Pareto front: complexity, loss, score, equation, sympy_format, lambda_format.
    expression_ : Expression
        The chosen equation.
    library_ : Library
    n_evaluations_ : int
    stop_reason_ : StopReason
    time_to_best_ : float
        Seconds after which the chosen equation was first seen.
    history_ : list of (seconds, nrmse, complexity)
    compile_time_ : float
        Seconds spent on compilation before the search began; 0 except in the first fit ever.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if X has column names.

    References
    ----------
    .. [1] Xu, Liu & Sun, "Reinforcement Symbolic Regression Machine", ICLR 2024, arXiv:2305.14656.

    Examples
    --------
    >>> import numpy as np
    >>> from rsrm import RSRM
    >>> X = np.linspace(1, 3, 20)[:, None]
    >>> RSRM(max_time=10, random_state=0).fit(X, X[:, 0]**3 + X[:, 0]).get_best()["equation"]
    'x0 + x0*x0*x0'
    """

    def __init__(self, *, operators=DEFAULT_OPERATORS, constants=True, max_size=40, max_depth=12, max_constants=10,
                 nested_constraints=None, loss="nrmse", model_selection="best", max_time=60, max_evals=None,
                 target_nrmse=1e-8, n_islands=1, n_jobs=None, agent=None, random_state=None, warm_start=False,
                 verbose=0):
        self.operators = operators
        self.constants = constants
        self.max_size = max_size
        self.max_depth = max_depth
        self.max_constants = max_constants
        self.nested_constraints = nested_constraints
        self.loss = loss
        self.model_selection = model_selection
        self.max_time = max_time
        self.max_evals = max_evals
        self.target_nrmse = target_nrmse
        self.n_islands = n_islands
        self.n_jobs = n_jobs
        self.agent = agent
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Find the equation of y over the columns of X.

        Parameters
        ----------
        X : array_like or DataFrame, shape (R, D)
        y : array_like, shape (R,)
        sample_weight : array_like, shape (R,), optional
            Weights of the squared residuals.

        Returns
        -------
        self : RSRM

        Raises
        ------
        ValueError
            If a parameter is out of range, or the data are not finite real numbers of matching shape with at least
            two rows.
        """
        options = self._options()
        with _naming("X, y"):
            X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        y = np.asarray(y, np.float64)
        weights = self._weights(sample_weight, len(y))
        names = tuple(str(n) for n in getattr(self, "feature_names_in_", ()))
        library = Library(X.shape[1], check_operators(self.operators), bool(self.constants), bool(self.constants),
                          variable_names=names)
        self.compile_time_ = compile_kernels()  # before the first kernel is called, or that compiles in silence
        make_limits(library, max_size=self.max_size, max_depth=self.max_depth, max_constants=self.max_constants,
                    nested_constraints=self.nested_constraints)  # refuses what is wrong before the search begins
        if weights is not None:
            # A row of weight zero says nothing, and must not count as a row that was explained.
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
            weights = None if (weights == weights[0]).all() else np.sqrt(weights / weights.mean())
        problem = Problem(np.ascontiguousarray(X.T), y, library, weights)
        state = self._warm_state(problem)
        try:
            # The matrices are small: threads of BLAS cost more than they give, and on a busy machine, where they wait
            # for each other, a hundred times as much, which no deadline foresees. Candidates that overflow are judged
            # by their values; NumPy's warnings would be about our trials and not about the user's data.
            with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
                for state in self._progress(_search.search(problem, options, state), options):
                    pass
        except KeyboardInterrupt:
            if state is None or state.best is None:
                raise
            state.stop_reason = _search.StopReason.INTERRUPTED
            warnings.warn("fit was interrupted: the best equation found so far is kept", stacklevel=2)
        self._store(state, library)
        return self

    def _options(self) -> "_search.Options":
        """Check the parameters and return the limits of the search."""
        check_operators(self.operators)
        if self.loss != "nrmse":
            raise ValueError(f"loss: only 'nrmse' is known, got {self.loss!r}")
        if self.model_selection not in SELECTIONS:
            raise ValueError(f"model_selection: choose from {', '.join(SELECTIONS)}, got {self.model_selection!r}")
        for name, low in (("max_time", 0), ("target_nrmse", 0), ("max_size", 1), ("max_depth", 1), ("n_islands", 1)):
            value = getattr(self, name)
            if not np.isreal(value) or not np.isfinite(value) or value < low or (low == 0 and value == 0):
                raise ValueError(f"{name}: must be {'positive' if low == 0 else f'at least {low}'}, got {value!r}")
        if self.max_constants < 0:
            raise ValueError(f"max_constants: must not be negative, got {self.max_constants!r}")
        if self.max_evals is not None and self.max_evals < 1:
            raise ValueError(f"max_evals: must be at least 1 or None, got {self.max_evals!r}")
        if self.agent is not None:
            check_agent(self.agent)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return _search.Options(
            max_time=float(self.max_time), max_evals=self.max_evals, target_nrmse=float(self.target_nrmse),
            max_size=int(self.max_size), max_depth=int(self.max_depth), max_constants=int(self.max_constants),
            nested_constraints=self.nested_constraints, n_islands=int(self.n_islands), n_jobs=self.n_jobs, seed=seed,
            agent=self.agent)

    @staticmethod
    def _weights(sample_weight, n_rows: int) -> np.ndarray | None:
        """Return the checked sample weights, or None."""
        if sample_weight is None:
            return None
        weights = np.asarray(sample_weight, np.float64)
        if weights.shape != (n_rows,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise ValueError(f"sample_weight: expected {n_rows} finite numbers >= 0, not all zero, "
                             f"got shape {weights.shape}")
        return weights

    def _progress(self, states, options):
        """Pass the states on, with a progress bar if asked for."""
        if not self.verbose:
            yield from states
            return
        from tqdm.auto import tqdm

        form = "{desc} |{bar}| {n:.0f}/{total:.0f} s"
        with tqdm(total=options.max_time, bar_format=form, leave=self.verbose > 1) as bar:
            shown = None
            for state in states:
                bar.n = min(state.elapsed, options.max_time)
                best = state.best
                if best is not None:
                    text = infix(best.expression, 4)
                    bar.set_description_str(f"{state.stage}: loss {best.nrmse:.2e}  {text[:60]}", refresh=False)
                    if self.verbose > 1 and text != shown:
                        bar.write(f"{state.elapsed:7.2f} s  loss {best.nrmse:.3e}  {text}")
                        shown = text
                bar.update(0)
                yield state

    def _warm_state(self, problem: Problem):
        """Return the state to go on from: with ``warm_start``, earlier equations rescored on the new data."""
        if not (self.warm_start and hasattr(self, "front_")):
            return None
        return _search.begin(problem, [c.expression for c in self.front_ if c.expression.library == problem.library])

    def _store(self, state, library: Library):
        """Set the fitted attributes."""
        if state is None or state.best is None:
            raise ValueError("y: no expression of these operators is finite on all rows of X")
        self.library_ = library
        self.front_ = state.pool.front()
        self.stop_reason_ = state.stop_reason
        self.n_evaluations_ = state.n_evaluations
        self.history_ = state.history
        self.fit_time_ = state.elapsed
        losses = np.array([c.nrmse for c in self.front_])
        complexities = np.array([c.complexity for c in self.front_])
        # PySR's score: fall of the log loss per node, from one equation of the front to the next.
        logs = np.log(np.maximum(losses, 1e-16))
        self.scores_ = np.r_[0.0, np.maximum(-np.diff(logs) / np.maximum(np.diff(complexities), 1), 0.0)]
        if self.model_selection == "accuracy":
            self.chosen_ = int(np.argmin(losses))
        elif self.model_selection == "score":
            good = losses <= 1.5 * losses.min()
            self.chosen_ = int(np.argmax(np.where(good, self.scores_, -1.0)))
        else:
            self.chosen_ = self.front_.index(state.best)
        self.expression_ = self.front_[self.chosen_].expression
        self.time_to_best_ = self.front_[self.chosen_].found_at

    @property
    def equations_(self):
        """Pareto front as a ``pandas.DataFrame``, simplest first."""
        import pandas as pd

        check_is_fitted(self)
        return pd.DataFrame({
            "complexity": [c.complexity for c in self.front_],
            "loss": [c.nrmse for c in self.front_],
            "score": self.scores_,
            "equation": [infix(c.expression, 6) for c in self.front_],
            "sympy_format": [to_sympy(c.expression) for c in self.front_],
            "lambda_format": [EquationFunction(c.expression) for c in self.front_],
        })

    def _pick(self, index) -> Candidate:
        check_is_fitted(self)
        index = self.chosen_ if index is None else index
        if not -len(self.front_) <= index < len(self.front_):
            raise ValueError(f"index: equations_ has {len(self.front_)} rows, got {index}")
        return self.front_[index]

    def predict(self, X, index=None):
        """Return the values of the chosen equation, or of row `index` of ``equations_``, shape (R,)."""
        candidate = self._pick(index)
        with _naming("X"):
            X = validate_data(self, X, dtype=np.float64, reset=False)
        return values(candidate.expression, X)[0]

    def sympy(self, index=None):
        """Return the equation as a sympy expression over the feature names."""
        return to_sympy(self._pick(index).expression)

    def latex(self, index=None, digits=4) -> str:
        """Return the equation as LaTeX with numbers of `digits` significant digits."""
        return to_latex(self._pick(index).expression, digits)

    def get_best(self):
        """Return the row of ``equations_`` that was chosen."""
        return self.equations_.iloc[self.chosen_]

    def plot_front(self, ax=None):
        """Draw the Pareto front; return the matplotlib axes."""
        from rsrm.plotting import plot_front

        return plot_front(self, ax)

    def plot_fit(self, X, y, ax=None):
        """Draw predictions against data; return the matplotlib axes."""
        from rsrm.plotting import plot_fit

        return plot_fit(self, X, y, ax)

    def save(self, path):
        """Write the fitted estimator to `path` (pickle; load with :meth:`load`)."""
        check_is_fitted(self)
        Path(path).write_bytes(pickle.dumps(self))

    @staticmethod
    def load(path) -> "RSRM":
        """Read an estimator written by :meth:`save`. Like every pickle, load only files you trust.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        estimator = pickle.loads(Path(path).read_bytes())
        if not isinstance(estimator, RSRM):
            raise ValueError(f"path: {path} holds a {type(estimator).__name__}, not an RSRM")
        return estimator


class EquationFunction:
    """One equation as a picklable function of X, shape (R, D)."""

    def __init__(self, expression):
        self.expression = expression

    def __call__(self, X):
        return values(self.expression, X)[0]

    def __repr__(self):
        return f"X -> {infix(self.expression, 6)}"
