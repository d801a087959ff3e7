"""The environment of symbolic regression: an episode writes an expression token by token."""

from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from rsrm import grammar
from rsrm.envs import episodes as ep
from rsrm.envs.arguments import ListedSpec
from rsrm.envs.definition import Definition, check_options
from rsrm.envs.text import draft_text, final_text
from rsrm.expression import Expression, expand, expanded_length


class SymbolicRegressionEnv(ListedSpec, gymnasium.Env):
    r"""Find the equation behind data by writing it token by token.

    ## Description
    A data set of R rows holds D variables and a target. An episode writes an expression in prefix order, one token a
    step: ``x0*sin(x1)`` is ``mul, x0, sin, x1``. When no argument is missing any more the expression is evaluated on
    all rows and rewarded for its accuracy and its brevity. The problem is that of Xu, Liu & Sun, "Reinforcement
    Symbolic Regression Machine", ICLR 2024 (arXiv 2305.14656), and of Petersen et al., "Deep symbolic regression",
    ICLR 2021.

    ## Action Space
    `Discrete(K)`: the token ids of the library.

    | Ids                | Token                                                         |
    |--------------------|---------------------------------------------------------------|
    | 0 .. D-1           | variables                                                     |
    | D                  | a constant, whose value is fitted when the episode ends       |
    | D+1 .. D+3         | literals 1, 2, pi                                             |
    | D+4 .. D+8         | add sub mul div pow                                           |
    | D+9 .. D+15        | neg inv square cube sqrt exp log                              |
    | D+16 .. D+25       | sin cos tan asin acos atan sinh cosh tanh abs                 |
    | the last `n_slots` | promoted operators, masked until :meth:`promote` fills a slot |

    An action t is legal (`info["action_mask"][t] == 1`, :meth:`action_masks`) if, with it,

    $$\text{size} + w \cdot \text{growth}(t) \le \text{max\_size}, \quad
    d + \text{reach}(t) \le \text{max\_depth}, \quad c + w \cdot \text{constants}(t) \le \text{max\_constants},$$

    and no rule forbids it: no sin, cos or tan inside each other, no operator directly over its inverse, no operator
    over constants only, and what `nested_constraints` says. Here size counts tokens and open arguments with promoted
    operators written out, d is the depth of the argument to be filled, c the constants so far, and w how often the
    argument occurs. A variable is always legal, so an episode can always be finished. An illegal action raises
    nothing: it ends the episode with the floor reward 0.

    ## Observation Space
    `observation="tokens"`: `Box(-1, K-1, (max_size,), int16)`, the prefix so far, filled up with -1.

    `observation="context"`: `Box(int16)` of five numbers, the convention of the field:

    | Num | Observation                                   | Min | Max       |
    |-----|-----------------------------------------------|-----|-----------|
    | 0   | last action                                   | -1  | K-1       |
    | 1   | parent of the argument to be filled           | -1  | K-1       |
    | 2   | its sibling, if that is written already       | -1  | K-1       |
    | 3   | its depth, 1 at the root and 0 at the end     | 0   | max_depth |
    | 4   | open arguments                                | 0   | max_size  |

    ## Rewards
    0 at every step but the last, and there

    $$R = \frac{\eta^{l}}{1 + \text{NRMSE}}, \qquad
    \text{NRMSE} = \frac{1}{\sigma_y}\sqrt{\frac{1}{R}\sum_i (\hat y_i - y_i)^2},$$

    where l counts tokens, promoted operators as one. R lies in [0, 1]; it is 0 if a value is not finite.

    ## Starting State
    The empty expression with one open argument. Nothing is random: the same actions give the same episode whatever the
    seed.

    ## Episode End
    The episode terminates when the expression is complete or an action is illegal. It is never truncated: `max_size`
    bounds its length. The last `info` holds `infix` (the expression as text, constants fitted), `nrmse`, `complexity`
    (tokens with promoted operators written out) and `illegal`.

    ## Arguments
    ```python
    import gymnasium
    import rsrm.envs

    env = gymnasium.make("rsrm/SymbolicRegression-v0", problem="Nguyen-7", observation="context")
    env = gymnasium.make("rsrm/SymbolicRegression-v0", X=X, y=y, operators=("add", "mul", "sin"))
    ```

    Parameters
    ----------
    X : array_like or data frame, shape (R, D), and y : array_like, shape (R,), optional
        Real finite data.
    problem : str, optional
        A name of the catalogue of `rsrm.benchmarks` instead of X and y; brings its operators and constants along.
    operators : sequence of str, optional
        Names of the table above; add sub mul div sqrt exp log sin cos asin acos tanh abs by default.
    constants, literals : bool
        Whether the fitted constant, and 1, 2 and pi, are actions.
    max_size, max_depth, max_constants : int
        Limits of the written-out expression.
    nested_constraints : dict, optional
        ``{"sin": {"exp": 0}}``: at most no exp on any path below a sin.
    nested_trigonometry : bool
        Whether sin, cos and tan may stand inside each other.
    eta : float
        Discount of the reward per token, in (0, 1].
    fit_constants : bool
        Whether constants are fitted at the end of an episode (Levenberg-Marquardt, a few starts); else they are 1.
    observation : {"tokens", "context"}
    n_slots : int
        Slots for promoted operators.
    feature_names : sequence of str, optional
        Names of the variables in `infix`; by default those of the columns of a data frame, else x0, x1, ...
    render_mode : {"ansi", "rgb_array", "human"}, optional
        Text; a picture; a window (needs matplotlib).

    `reset(options={"promote": [(name, arity, body), ...]})` promotes operators before the episode begins.

    Raises
    ------
    ValueError
        If an argument is not possible; the text names it.

    ## Vectorized environment
    ```python
    envs = gymnasium.make_vec("rsrm/SymbolicRegression-v0", num_envs=1024, problem="Nguyen-7")
    ```
    makes a :class:`rsrm.envs.SymbolicRegressionVectorEnv`, which steps all copies in one compiled call and knows
    gymnasium's three autoreset modes.

    ## Version History
    * v0: first version (2026)
    """

    metadata: ClassVar[dict] = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 4}

    def __init__(self, X=None, y=None, *, problem=None, render_mode=None, **options):
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode must be one of {self.metadata['render_modes']}, got {render_mode!r}")
        check_options(type(self).__name__, options)
        self._definition = Definition(X, y, problem=problem, **options)
        self.observation_space = self._definition.observation_space
        self.action_space = self._definition.action_space
        self.render_mode = render_mode
        self._episode = ep.allocate(1, self._definition.limits)
        self._scratch = ep.allocate_scratch(self._definition.limits, len(self._definition.task.y))
        self._canvas = None
        self._bind()

    def _bind(self):
        # Views of the one episode: a compiled call costs about as much as the arrays it is handed.
        self._views = tuple(a[0] for a in self._episode[:4])
        self._state, self._tokens, self._context, self._mask = self._views

    def __getstate__(self):
        # Copies of views would be arrays of their own; a window cannot be copied.
        bound = ("_views", "_state", "_tokens", "_context", "_mask", "_canvas")
        return {name: value for name, value in self.__dict__.items() if name not in bound}

    def __setstate__(self, state):
        self.__dict__.update(state, _canvas=None)
        self._bind()

    @property
    def library(self):
        """The alphabet, promoted operators included."""
        return self._definition.library

    @property
    def limits(self) -> grammar.Limits:
        """What expressions must keep to, as the agents of :mod:`rsrm.agents` take it."""
        return self._definition.limits

    @property
    def expression(self) -> Expression | None:
        """The finished expression with its constants, or None while an episode runs or if it ended otherwise."""
        if self._episode.status[0] != ep.COMPLETE:
            return None
        tokens, library = self._prefix(), self.library
        written = np.empty(expanded_length(tokens, len(tokens), library.tables), np.int16)
        expand(tokens, len(tokens), library.tables, written)
        n = np.count_nonzero(written == library.constant)
        return Expression(written, self._episode.final.constants[0, :n].copy(), library)

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, int8[K]; the name is that of sb3-contrib."""
        return self._mask.copy()

    def promote(self, name: str, arity: int, body) -> int:
        """Make an operator available as an action, from now on; the spaces stay what they are.

        Parameters
        ----------
        name : str
        arity : int
            0, 1 or 2.
        body : sequence of int
            Prefix tokens; ``rsrm.library.PARAM0`` and ``PARAM1`` (-2, -3) stand for the arguments.

        Returns
        -------
        token : int
            The new action.

        Raises
        ------
        ValueError
            If no slot is free or `body` is not an operator of this arity.
        """
        token = self._definition.promote(name, arity, body)
        ep.refresh_masks(self._episode, self._definition.limits)
        return token

    def reset(self, *, seed=None, options=None):
        """Begin an episode; ``options={"promote": [(name, arity, body), ...]}`` fills slots first."""
        super().reset(seed=seed)
        self._definition.promote_all(options)
        ep.begin(*self._views, self._definition.limits)
        self._episode.status[0] = ep.CONTINUES
        if self.render_mode == "human":
            self.render()
        return self._observation(), {"action_mask": self.action_masks()}

    def step(self, action):
        """Append the token `action`; see the class for rewards and the end."""
        if self._state[grammar.OPEN] == 0:
            raise ResetNeeded("The episode is over (or was never begun): call reset() before step().")
        definition = self._definition
        # Any integer that no action has will do for one that compiled code could not hold.
        action = min(max(int(action), -1), definition.limits.n_tokens)
        status = ep.advance(*self._views, action, definition.limits)
        info = {"action_mask": self._mask.copy()}
        gain, ended = 0.0, status != ep.CONTINUES
        if ended:
            episode = self._episode
            episode.status[0] = status
            ep.finish_all(episode, definition.task, self.library.tables, self._scratch)
            gain = float(episode.rewards[0])
            info |= {"infix": self._final_text(), "nrmse": float(episode.final.error[0]),
                     "complexity": int(episode.final.complexity[0]), "illegal": status == ep.ILLEGAL}
        if self.render_mode == "human":
            self.render()
        return self._observation(), gain, ended, False, info

    def render(self):
        """Return the expression so far as text, or a picture of it beside the data."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode: gymnasium.make(..., render_mode='ansi')")
            return None
        over, error = self._episode.status[0] != ep.CONTINUES, float(self._episode.final.error[0])
        if not over and self._state[grammar.OPEN] == 0:
            raise ResetNeeded("No episode was begun yet: call reset() before render().")
        text = self._final_text() if over else draft_text(self._prefix(), int(self._state[grammar.OPEN]), self.library)
        if self.render_mode == "ansi":
            return f"y = {text}" + (f"   NRMSE {error:.3g}, reward {self._episode.rewards[0]:.3f}\n" if over else "\n")
        # Drawing is for those who ask for it; matplotlib is no dependency.
        from rsrm.envs.rendering import Canvas

        if self._canvas is None:
            self._canvas = Canvas(self.render_mode == "human", self.metadata["render_fps"])
        values = self._scratch.values if over and np.isfinite(error) else None
        task = self._definition.task
        return self._canvas.draw(f"y = {text}", task.X[0], task.y, self.library.variable_names[0], values, error)

    def close(self):
        """Close the window."""
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = None

    def _observation(self):
        return (self._tokens if self._definition.observation == "tokens" else self._context).copy()

    def _prefix(self):
        return self._tokens[:self._state[grammar.LENGTH]]

    def _final_text(self):
        if self._episode.status[0] == ep.ILLEGAL:
            return ""
        return final_text(self._prefix(), self._episode.final.constants[0], self.library)
