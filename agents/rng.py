"""Random numbers inside compiled code: the state is an argument, so that results depend on the seed only.

The generator is splitmix64 (Steele, Lea & Flood, OOPSLA 2014): one uint64 of state, full period, passes BigCrush.
"""

import numpy as np

from rsrm._jit import njit_leaf


def new_rng(seed) -> np.ndarray:
    """Return a generator state, uint64[1], from an integer, a SeedSequence or a Generator."""
    if isinstance(seed, np.random.Generator):
        return seed.integers(0, 2**64, 1, np.uint64)
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(seed)
    return seed.generate_state(1, np.uint64)


@njit_leaf
def mix(z):
    """Return the splitmix64 finalizer of a uint64: a bijection whose output bits each depend on all input bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit_leaf
def next_uint(rng):
    """Advance `rng`, uint64[1], in place and return 64 random bits."""
    rng[0] += np.uint64(0x9E3779B97F4A7C15)
    return mix(rng[0])


@njit_leaf
def below(rng, n):
    """Return an int64 uniform on 0 .. n - 1; n must be below 2**31."""
    return np.int64(((next_uint(rng) >> np.uint64(33)) * np.uint64(n)) >> np.uint64(31))


@njit_leaf
def uniform(rng):
    """Return a float64 uniform on [0, 1)."""
    return np.float64(next_uint(rng) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit_leaf
def normal(rng):
    """Return an approximately standard normal float64 (sum of twelve uniforms minus six)."""
    total = -6.0
    for _ in range(12):
        total += uniform(rng)
    return total
