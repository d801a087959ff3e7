"""Thousands of episodes of symbolic regression stepped in one compiled call."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rsrm import grammar
from rsrm.envs import episodes as ep
from rsrm.envs.arguments import ListedSpec, check_whole
from rsrm.envs.definition import Definition, check_options
from rsrm.envs.text import draft_text, final_text


class Texts(Sequence):
    """The infix forms of episodes that ended, written when somebody reads them.

    A hundred episodes end in every step of a thousand copies, and writing them all takes longer than the step.
    ``texts[i]`` is a string, or None where no episode ended; ``np.array(texts)`` has dtype object.
    """

    def __init__(self, ended, illegal, final, library):
        self._row = np.where(ended, np.cumsum(ended) - 1, -1)
        self._tokens, self._constants = final.tokens[ended], final.constants[ended]
        self._illegal, self._library = illegal[ended], library

    def __len__(self):
        return len(self._row)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        row = self._row[i]
        if row < 0:
            return None
        tokens = self._tokens[row]
        return "" if self._illegal[row] else final_text(tokens[tokens >= 0], self._constants[row], self._library)

    def __array__(self, dtype=None, copy=None):
        array = np.empty(len(self), object)
        array[:] = list(self)
        return array


class SymbolicRegressionVectorEnv(ListedSpec, VectorEnv):
    """Many copies of :class:`rsrm.envs.SymbolicRegressionEnv`, which describes actions, observations and rewards.

    ``gymnasium.make_vec("rsrm/SymbolicRegression-v0", num_envs=1024, problem="Nguyen-7")`` makes it. Copy by copy it
    returns what ``gymnasium.vector.SyncVectorEnv`` over single environments returns; only ``infix`` is written lazily
    (:class:`Texts`) unless `lazy` is False.

    Parameters
    ----------
    num_envs : int
    X, y, problem, **options
        As for the single environment.
    autoreset_mode : gymnasium.vector.AutoresetMode or str
        "NextStep": the step after the last one begins the next episode and ignores its action. "SameStep": the last
        step does; what ended is in ``final_obs`` and ``final_info``. "Disabled": ``reset(options={"reset_mask": m})``.
    copy : bool
        Whether observations and masks are copies; else they are the environment's own arrays, overwritten by the next
        step.
    lazy : bool
        Whether ``infix`` is written when somebody reads it; else it is an array of objects, written at every step, on
        which wrappers such as gymnasium's ``DictInfoToList`` insist.
    render_mode : {"ansi"}, optional

    Raises
    ------
    ValueError
        If an argument is not possible; the text names it.
    """

    metadata: ClassVar[dict] = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(self, num_envs: int = 1, X=None, y=None, *, problem=None, autoreset_mode=AutoresetMode.NEXT_STEP,
                 copy: bool = True, lazy: bool = True, render_mode=None, **options):
        num_envs = check_whole("num_envs", num_envs, 1, 2**31 - 1)
        modes = [m.value for m in AutoresetMode]
        if autoreset_mode not in (*AutoresetMode, *modes):
            raise ValueError(f"autoreset_mode must be one of {', '.join(modes)}, got {autoreset_mode!r}")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode must be None or 'ansi', got {render_mode!r}")
        check_options(type(self).__name__, options)
        self._definition = Definition(X, y, problem=problem, **options)
        mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": mode}
        self.num_envs, self.render_mode, self._mode = num_envs, render_mode, mode
        self._copy, self._lazy = bool(copy), bool(lazy)
        self.single_observation_space = self._definition.observation_space
        self.single_action_space = self._definition.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._episodes = ep.allocate(num_envs, self._definition.limits)
        self._scratch = ep.allocate_scratch(self._definition.limits, len(self._definition.task.y))
        self._begun = False

    @property
    def library(self):
        """The alphabet, promoted operators included."""
        return self._definition.library

    @property
    def limits(self) -> grammar.Limits:
        """What expressions must keep to, as the agents of :mod:`rsrm.agents` take it."""
        return self._definition.limits

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, int8[N, K]."""
        return self._episodes.mask.copy()

    def promote(self, name: str, arity: int, body) -> int:
        """Make an operator available in every copy; see :meth:`rsrm.envs.SymbolicRegressionEnv.promote`."""
        token = self._definition.promote(name, arity, body)
        ep.refresh_masks(self._episodes, self._definition.limits)
        return token

    def reset(self, *, seed=None, options=None):
        """Begin episodes: all, or those of ``options["reset_mask"]``; ``options["promote"]`` fills slots first.

        Nothing depends on `seed`, an int or one for each copy.

        Raises
        ------
        ValueError
            If the mask is no bool[N] with a true element, the seeds are not N, or a promotion is refused.
        """
        options = options or {}
        super().reset(seed=self._seed(seed))
        which = options.get("reset_mask", np.ones(self.num_envs, np.bool_))
        if (not isinstance(which, np.ndarray) or which.shape != (self.num_envs,) or which.dtype != np.bool_
                or not which.any()):
            raise ValueError(f"options['reset_mask'] must be a bool array of shape ({self.num_envs},), not all False")
        self._definition.promote_all(options)
        if options.get("promote"):
            ep.refresh_masks(self._episodes, self._definition.limits)
        ep.begin_all(self._episodes, which, self._definition.limits)
        self._episodes.status[which] = ep.CONTINUES
        self._begun = True
        return self._observation(), {"action_mask": self._own(self._episodes.mask), "_action_mask": which.copy()}

    def step(self, actions):
        """Append one token to every expression; see the class for what follows an end."""
        episodes, definition = self._episodes, self._definition
        try:
            actions = np.ascontiguousarray(actions, np.int64)
        except OverflowError:  # any integer that no action has will do for one that int64 could not hold
            actions = np.clip(np.asarray(actions, object), -1, definition.limits.n_tokens).astype(np.int64)
        if actions.shape != (self.num_envs,):
            raise ValueError(f"actions must have shape ({self.num_envs},), got {actions.shape}")
        disabled = self._mode == AutoresetMode.DISABLED
        if not self._begun or (disabled and (episodes.status != ep.CONTINUES).any()):
            raise ResetNeeded("An episode is over (or was never begun): call reset() before step().")
        ep.advance_all(episodes, actions, self._mode == AutoresetMode.NEXT_STEP, definition.limits)
        any_ended = ep.finish_all(episodes, definition.task, self.library.tables, self._scratch) > 0
        ended, infos = episodes.status != ep.CONTINUES, {}
        if any_ended:
            infos = self._final_info(ended)
        if any_ended and self._mode == AutoresetMode.SAME_STEP:
            infos = {"final_info": infos, "_final_info": ended.copy()} | self._final_observation(ended)
            ep.begin_all(episodes, ended, definition.limits)
            episodes.status[:] = ep.CONTINUES
        infos |= {"action_mask": self._own(episodes.mask), "_action_mask": np.ones(self.num_envs, np.bool_)}
        return self._observation(), episodes.rewards.copy(), ended, np.zeros(self.num_envs, np.bool_), infos

    def render(self):
        """Return the expression of every copy so far as text."""
        if self.render_mode is None:
            return None
        if not self._begun:
            raise ResetNeeded("No episode was begun yet: call reset() before render().")
        state = self._episodes.state
        return tuple(
            f"y = {draft_text(row[:s[grammar.LENGTH]], int(s[grammar.OPEN]), self.library)}\n"
            for row, s in zip(self._episodes.tokens, state, strict=True))

    def _seed(self, seed) -> int | None:
        """Return the seed of the whole if there is one for all copies."""
        if seed is None or isinstance(seed, (int, np.integer)):
            return seed if seed is None else int(seed)
        seeds = () if isinstance(seed, str) or not hasattr(seed, "__len__") else seed
        if len(seeds) != self.num_envs or not all(s is None or isinstance(s, (int, np.integer)) for s in seeds):
            raise ValueError(f"seed must be an int, or one for each of the {self.num_envs} environments, got {seed!r}")
        return None

    def _own(self, array):
        return array.copy() if self._copy else array

    def _observation(self):
        return self._own(self._episodes.tokens if self._definition.observation == "tokens" else self._episodes.context)

    def _final_info(self, ended):
        final = self._episodes.final
        illegal = self._episodes.status == ep.ILLEGAL
        texts = Texts(ended, illegal, final, self.library)
        values = {"infix": texts if self._lazy else np.array(texts), "nrmse": np.where(ended, final.error, 0.0),
                  "complexity": np.where(ended, final.complexity, 0), "illegal": illegal}
        if self._mode == AutoresetMode.SAME_STEP:
            values["action_mask"] = np.zeros_like(self._episodes.mask)
        return values | {f"_{name}": ended.copy() for name in values}

    def _final_observation(self, ended):
        final = self._episodes.final
        rows = (final.tokens if self._definition.observation == "tokens" else final.context)[ended]
        observations = np.full(self.num_envs, None, object)
        for i, row in zip(np.flatnonzero(ended), rows, strict=True):
            observations[i] = row
        return {"final_obs": observations, "_final_obs": ended.copy()}
