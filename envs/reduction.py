"""The environment of reductions: an episode makes a problem smaller until a closing explains it."""

from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from rsrm.closings import CHEAP as CLOSINGS
from rsrm.closings import EXACT, decades
from rsrm.envs.arguments import ListedSpec, check_whole, load_data
from rsrm.envs.reductions import (
    COLUMN, PROPOSAL, STATE, Node, Nodes, observe_columns, observe_proposals, observe_state,
)
from rsrm.export import infix
from rsrm.expression import Expression
from rsrm.library import Library
from rsrm.objective import Objective
from rsrm.primitives import DEFAULT_OPERATORS
from rsrm.problem import Problem

ROWS = 500
"""Rows that reductions and closings see; laws are scored on all."""


class ReductionEnv(ListedSpec, gymnasium.Env):
    r"""Find the equation behind data by making the problem smaller, then closing it.

    ## Description
    A data set holds D variables and a target y. A *reduction* turns it into a smaller one by computation on the data:
    it folds columns in which the law is odd or even, divides y by a factor, subtracts a term from a function of y,
    merges two variables into one, or drops a variable that does not matter (the forms `A + f`, `A * f` and `A ** f` of
    Xu, Liu & Sun, "Reinforcement Symbolic Regression Machine", ICLR 2024, arXiv 2305.14656, read off the gradient of a
    smooth surrogate model). A *closing* looks for a law of the problem that remains, which is then written in the
    original variables. Choices are few and telling, other than when an expression is built token by token: see
    `rsrm/SymbolicRegression-v0` for that. The estimator's own tree search
    (:class:`rsrm.agents.reduction.ReductionSearch`) moves by the same transitions and closings.

    ## Action Space
    `Discrete(K + 6)` with K = `n_slots`.

    | Ids     | Action                                                                             |
    |---------|------------------------------------------------------------------------------------|
    | 0 .. K-1| the reductions that the data support best, most convincing first                   |
    | K       | close by a number, an affine function or a power law                               |
    | K+1     | close by a quotient of polynomials                                                 |
    | K+2     | close by powers, products and sums over a dictionary of shapes, and by exponentials|
    | K+3     | close by one or two sub-expressions of a bank, also inside an outer function       |
    | K+4     | undo the last reduction                                                            |
    | K+5     | stop                                                                               |

    `info["actions"]` names what each of them would do now, e.g. `"merge id(x2) -1 id(x3)"`; columns are numbered within
    the reduced problem. Legal (`info["action_mask"][a] == 1`, :meth:`action_masks`) are

    $$\text{mask}_a = \begin{cases} [a < \text{number of proposals}] & a < K \\
    [\text{not tried at this problem in this episode}] & K \le a < K + 4 \\
    [\text{depth} > 0] & a = K + 4 \\ 1 & a = K + 5. \end{cases}$$

    An illegal action raises nothing: it ends the episode with reward 0.

    ## Observation Space
    `Dict` of `Box(float32)`; every number lies in [-1, 1].

    | Key         | Shape    | Numbers                                                                     |
    |-------------|----------|-----------------------------------------------------------------------------|
    | `state`     | (8,)     | 1 - e(u), 1 - e(surrogate error), columns / D, depth / (depth + 4), share of|
    |             |          | the steps left; of y: share above 0, spread in decades, skewness            |
    | `columns`   | (D, 5)   | of each column: 1, share above 0, spread, largest magnitude m / (1 + m),    |
    |             |          | share of the proposals that use it up; zeros where no column is left        |
    | `proposals` | (K, 11)  | of each proposal: its kind (fold, drop, factor, term, merge, scale, shear)  |
    |             |          | as one hot, relative spread of what must be constant, cost, 1 - e(error of  |
    |             |          | the surrogate after it), share of the columns left; zeros in empty slots    |

    Here e(v) = -log10(v) / 10, clipped to [0, 1]. `gymnasium.wrappers.FlattenObservation` makes one vector of it.

    ## Rewards
    With u the NRMSE over all rows of the best law found in the episode, u = 1 before the first (the mean of y),

    $$R_t = e(u_t) - e(u_{t-1}), \qquad e(u) = \min\bigl(1, \max(0, -\tfrac{1}{10}\log_{10} u)\bigr),$$

    so that the return of an episode is e of what it leaves unexplained: 1 for an exact law, 0.1 for each decade.
    Reductions, undo and stop are worth 0 by themselves.

    ## Starting State
    The problem as it was given. Nothing is random, and nothing is limited by the clock: the same actions give the same
    episode whatever the seed.

    ## Episode End
    The episode terminates when a law is exact (NRMSE at most 1e-10), at a stop, at an illegal action, or after
    `max_steps` actions, whose remainder is part of the observation. It is never truncated. The last `info` holds
    `infix` (the best law as text, "" if there is none), `nrmse`, `complexity` (0 if there is none) and `illegal`.

    ## Arguments
    ```python
    import gymnasium
    import rsrm.envs

    env = gymnasium.make("rsrm/Reduction-v0", problem="I.9.18")
    env = gymnasium.make("rsrm/Reduction-v0", X=X, y=y, n_slots=4, max_steps=8)
    ```

    Parameters
    ----------
    X : array_like or data frame, shape (R, D), and y : array_like, shape (R,), optional
        Real finite data; reductions see at most 500 rows, drawn once.
    problem : str, optional
        A name of the catalogue of `rsrm.benchmarks` instead of X and y; brings its operators and constants along.
    operators : sequence of str, optional
        Names of operators that laws may use; add sub mul div sqrt exp log sin cos asin acos tanh abs by default.
    constants : bool, optional
        Whether laws may hold fitted numbers.
    n_slots : int
        K, from 1 to 8.
    max_steps : int
        Actions of an episode at most, up to 1000.
    feature_names : sequence of str, optional
        Names of the variables in `infix`; by default those of the columns of a data frame, else x0, x1, ...
    render_mode : {"ansi", "rgb_array", "human"}, optional
        Text; a picture of the reduced problem; a window (needs matplotlib).

    Raises
    ------
    ValueError
        If an argument is not possible; the text names it.

    ## Vectorized environment
    ```python
    envs = gymnasium.make_vec("rsrm/Reduction-v0", num_envs=4, vectorization_mode="async", problem="I.9.18")
    ```
    steps copies in processes: a closing takes longer than handing its result over.

    ## Version History
    * v0: first version (2026)
    """

    metadata: ClassVar[dict] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 4}

    def __init__(self, X=None, y=None, *, problem=None, operators=None, constants=None, n_slots=8, max_steps=12,
                 feature_names=None, render_mode=None):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}")
        n_slots, max_steps = check_whole("n_slots", n_slots, 1, 8), check_whole("max_steps", max_steps, 1, 1000)
        X, y, operators, constants, names = load_data(X, y, problem, operators, constants, feature_names)
        constants = True if constants is None else bool(constants)
        library = Library(X.shape[1], DEFAULT_OPERATORS if operators is None else operators, constants, constants,
                          variable_names=names)
        self._whole = Problem(np.ascontiguousarray(X.T), y, library)
        self._objective = Objective(self._whole)
        self._n_slots, self._max_steps, self.render_mode = n_slots, max_steps, render_mode
        self._undo, self._stop = n_slots + len(CLOSINGS), n_slots + len(CLOSINGS) + 1
        self.action_space = spaces.Discrete(self._stop + 1)
        d = X.shape[1]
        self.observation_space = spaces.Dict({
            "state": spaces.Box(-1.0, 1.0, (len(STATE),), np.float32),
            "columns": spaces.Box(-1.0, 1.0, (d, len(COLUMN)), np.float32),
            "proposals": spaces.Box(-1.0, 1.0, (self._n_slots, len(PROPOSAL)), np.float32)})
        rows = slice(None)
        if len(y) > ROWS:
            rows = np.sort(np.random.default_rng(0).choice(len(y), ROWS, replace=False))
        self._nodes = Nodes(self._whole.take(rows), n_slots)
        self._canvas = None
        self._over, self._path = True, ()
        self._best: Expression | None = None
        self._unexplained, self._last = 1.0, ""

    def __getstate__(self):
        return self.__dict__ | {"_canvas": None}  # a window cannot be copied

    @property
    def library(self) -> Library:
        """The alphabet of the laws."""
        return self._whole.library

    @property
    def problem(self) -> Problem:
        """The reduced problem that the episode stands at."""
        return self._node.problem

    @property
    def _node(self) -> Node:
        return self._nodes[self._path]

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, int8[K + 6]; the name is that of sb3-contrib."""
        mask = np.zeros(int(self.action_space.n), np.int8)
        if not self._over:
            mask[:len(self._node.proposals)] = 1
            mask[self._n_slots:self._undo] = [(self._path, name) not in self._tried for name in CLOSINGS]
            mask[self._undo], mask[self._stop] = len(self._path) > 0, 1
        return mask

    def reset(self, *, seed=None, options=None):
        """Begin an episode at the problem as it was given."""
        super().reset(seed=seed)
        self._nodes.trim()
        self._path: tuple[int, ...] = ()
        self._tried: set[tuple] = set()
        self._best = None
        self._unexplained, self._steps, self._over, self._last = 1.0, 0, False, "start"
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info()

    def step(self, action):
        """Reduce, close, undo or stop; see the class for rewards and the end."""
        if self._over:
            raise ResetNeeded("The episode is over (or was never begun): call reset() before step().")
        action = int(action)
        before, mask = self._unexplained, self.action_masks()
        self._steps += 1
        illegal = not 0 <= action < len(mask) or not bool(mask[action])
        self._last = "illegal" if illegal else self._texts()[action]
        self._over = illegal or action == self._stop
        if self._over:
            pass
        elif action < self._n_slots:
            self._path = (*self._path, action)
        elif action < self._undo:
            self._close(CLOSINGS[action - self._n_slots])
        else:
            self._path = self._path[:-1]
        self._over = bool(self._over or self._unexplained <= EXACT or self._steps >= self._max_steps)
        info = self._info()
        if self._over:
            best = self._best
            info |= {"infix": "" if best is None else infix(best), "illegal": illegal,
                     "nrmse": float("inf") if best is None else self._unexplained,
                     "complexity": 0 if best is None else best.complexity}
        if self.render_mode == "human":
            self.render()
        return self._observation(), decades(self._unexplained) - decades(before), self._over, False, info

    def render(self):
        """Return the reduced problem, the last action and the best law so far as text, or a picture of them."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode: gymnasium.make(..., render_mode='ansi')")
            return None
        if not self._last:
            raise ResetNeeded("No episode was begun yet: call reset() before render().")
        problem, model = self._node.problem, self._node.surrogate
        law = "none" if self._best is None else infix(self._best, 6)
        title = f"{self._last} -> {problem.n_variables} columns"
        verdict = f"law: {law} (NRMSE {self._unexplained:.3g})"
        if self.render_mode == "ansi":
            error = "" if model is None else f", surrogate error {model.error:.2g}"
            proposals = "\n".join(f"  {k}: {r.text}" for k, (r, _, _) in enumerate(self._node.proposals))
            return f"{title}{error}; {verdict}\n" + (f"{proposals}\n" if proposals else "")
        # Drawing is for those who ask for it; matplotlib is no dependency.
        from rsrm.envs.rendering import Canvas

        if self._canvas is None:
            self._canvas = Canvas(self.render_mode == "human", self.metadata["render_fps"])
        return self._canvas.draw(f"{title}\n{verdict}", problem.X[0], problem.y, problem.library.variable_names[0])

    def close(self):
        """Close the window."""
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None

    def _close(self, name: str) -> None:
        self._tried.add((self._path, name))
        found, nrmse = self._node.close(name, self._objective)
        if nrmse < self._unexplained:
            self._best, self._unexplained = found, float(nrmse)

    def _observation(self):
        node, d = self._node, self._whole.n_variables
        left = 1.0 - self._steps / self._max_steps
        return {"state": observe_state(node, self._unexplained, len(self._path), left, d),
                "columns": observe_columns(node, d), "proposals": observe_proposals(node, self._n_slots)}

    def _texts(self) -> tuple[str, ...]:
        reductions = [r.text for r, _, _ in self._node.proposals]
        empty = [""] * (self._n_slots - len(reductions))
        return (*reductions, *empty, *(f"close: {name}" for name in CLOSINGS), "undo", "stop")

    def _info(self):
        return {"action_mask": self.action_masks(), "actions": self._texts()}
