"""Turns: several sources of expressions share the time by the clock."""

import time
from collections.abc import Iterator

from rsrm.expression import Expression

TURN = 0.5
"""Seconds that a source runs before the next one gets its turn."""
SHARE = {"islands": 3.0, "reductions": 2.0, "noisy": 2.0, "bank": 1.0, "direct": 1.0, "skeletons": 2.0,
         "separable": 1.0, "mixtures": 3.0, "triples": 1.0, "fewer columns": 3.0, "periodic": 1.0,
         "monomial trees": 2.0, "exact trees": 1.0, "separated": 1.0, "remainders": 2.0, "leading terms": 1.0,
         "agent": 2.0}
"""Shares of the time that the sources get."""
LEAST_TURN = 0.05
"""Seconds that a turn counts at least: a source that pauses is not asked again at once."""
PAUSE = object()
"""Yielded by a source that has nothing to do until others have found more: its turn ends."""


def in_turns(sources: dict[str, Iterator], deadline: float) -> Iterator[tuple[str, Iterator]]:
    """Yield turns of the sources by their shares until all have ended."""
    used = {name: 0.0 for name in sources}
    while sources and time.perf_counter() < deadline:
        # Steps differ in length, so that shares are kept by the clock and not by counting turns.
        name = min(sources, key=lambda n: used[n] / SHARE[n])
        ended: list[bool] = []
        began = time.perf_counter()
        yield name, turn(sources[name], ended)
        used[name] += max(time.perf_counter() - began, LEAST_TURN)
        if ended:
            del sources[name]


def turn(source: Iterator, ended: list | None = None) -> Iterator[Expression | None]:
    """Yield from `source` for one turn; append to `ended` if it is exhausted."""
    stop = time.perf_counter() + TURN
    while time.perf_counter() < stop:
        try:
            expression = next(source)
        except StopIteration:
            if ended is not None:
                ended.append(True)
            return
        if expression is PAUSE:
            return
        yield expression
