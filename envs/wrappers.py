"""The action mask as part of the observation, where libraries look for it."""

import gymnasium
import numpy as np
from gymnasium import spaces

CONVENTIONS = {"pettingzoo": "observation", "rllib": "observations", "torchrl": "observation"}


class MaskInObservation(gymnasium.ObservationWrapper, gymnasium.utils.RecordConstructorArgs):
    """Make observations dicts that hold the action mask.

    Parameters
    ----------
    env : gymnasium.Env
        With ``action_masks()`` and discrete actions.
    convention : {"pettingzoo", "rllib", "torchrl"}
        Whose keys: ``observation`` and ``action_mask``; RLlib's examples call the former ``observations``. The mask is
        int8, for TorchRL's ``ActionMask`` bool.

    Raises
    ------
    ValueError
        If `convention` is unknown or `env` has no masks.
    """

    def __init__(self, env: gymnasium.Env, convention: str = "pettingzoo"):
        if convention not in CONVENTIONS:
            raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
        if not hasattr(env.unwrapped, "action_masks"):
            raise ValueError(f"env: {env} has no action_masks()")
        gymnasium.utils.RecordConstructorArgs.__init__(self, convention=convention)
        gymnasium.ObservationWrapper.__init__(self, env)
        self._key = CONVENTIONS[convention]
        self._dtype = np.bool_ if convention == "torchrl" else np.int8
        self.observation_space = spaces.Dict({
            self._key: env.observation_space, "action_mask": spaces.Box(0, 1, (int(env.action_space.n),), self._dtype)})

    def observation(self, observation):
        """Return `observation` beside the mask of the actions that are legal now."""
        return {self._key: observation, "action_mask": self.env.unwrapped.action_masks().astype(self._dtype)}
