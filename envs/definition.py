"""What both environments are made from: data, alphabet, limits, and the spaces that follow."""

import difflib
import inspect

import numpy as np
from gymnasium import spaces

from rsrm import grammar
from rsrm.constants import start_points
from rsrm.envs.arguments import check_eta, check_whole, load_data
from rsrm.envs.episodes import CONTEXT, Task
from rsrm.library import DEFAULT_CAPACITY, PAD, Library
from rsrm.metrics import ETA, target_scale
from rsrm.primitives import DEFAULT_OPERATORS

N_STARTS = 4
"""Points from which constants are fitted."""

OBSERVATIONS = ("tokens", "context")
MOST_SLOTS, MOST_TOKENS = 1000, 4096
"""The tables of the grammar grow with the square of the number of tokens."""


def check_options(owner: str, options: dict) -> None:
    """Raise TypeError, in the name of the class `owner`, if :class:`Definition` does not know one of `options`."""
    known = list(inspect.signature(Definition).parameters)
    unknown = [name for name in options if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, 1)
        raise TypeError(f"{owner}() got an unexpected keyword argument {unknown[0]!r}; "
                        + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"))


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
                 fit_constants=True, observation="tokens", n_slots=DEFAULT_CAPACITY, feature_names=None):
        if observation not in OBSERVATIONS:
            raise ValueError(f"observation must be one of {', '.join(OBSERVATIONS)}, got {observation!r}")
        eta, n_slots = check_eta(eta), check_whole("n_slots", n_slots, 0, MOST_SLOTS)
        X, y, operators, constants, names = load_data(X, y, problem, operators, constants, feature_names)
        self.observation = observation
        if X.shape[1] + n_slots > MOST_TOKENS - 100:
            raise ValueError(f"X, n_slots: columns and slots are at most {MOST_TOKENS - 100} together, "
                             f"got {X.shape[1]} and {n_slots}")
        self.library = Library(X.shape[1], DEFAULT_OPERATORS if operators is None else operators,
                               constants=True if constants is None else bool(constants), literals=bool(literals),
                               variable_names=names, capacity=n_slots)
        self._limits = {"max_size": max_size, "max_depth": max_depth, "max_constants": max_constants,
                        "nested_constraints": nested_constraints, "nested_trigonometry": nested_trigonometry}
        self.limits = grammar.make_limits(self.library, **self._limits)
        # Fits begin at the same points each time: an environment has no randomness of its own.
        starts = start_points(max(1, max_constants), N_STARTS if fit_constants else 0, np.random.default_rng(0))
        self.task = Task(np.ascontiguousarray(X.T), y, np.empty(0), target_scale(y), eta, starts)
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
        # Both or none, also if the limits refuse.
        self.limits, self.library = grammar.make_limits(library, **self._limits), library
        return library.first_promoted + slot

    def promote_all(self, options: dict | None) -> None:
        """Promote what ``options["promote"]`` of a reset lists, all of it or nothing.

        Raises
        ------
        ValueError
            If it is no sequence of ``(name, arity, body)``, or one of them is refused.
        """
        promotions = (options or {}).get("promote", ())
        if (not isinstance(promotions, (list, tuple))
                or any(not isinstance(p, (list, tuple)) or len(p) != 3 for p in promotions)):
            raise ValueError(f"options['promote'] must be a list of (name, arity, body), got {promotions!r}")
        before = self.library, self.limits
        try:
            for promotion in promotions:
                self.promote(*promotion)
        except ValueError:
            self.library, self.limits = before
            raise
