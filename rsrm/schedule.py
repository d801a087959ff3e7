"""Turns of the sources of a search in the order that double Q-learning found best, then by their shares."""

import json
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from rsrm.agents.scheduling import STEPS, Schedule, Situation, most_turns
from rsrm.turns import in_turns, turn

FILE = Path(__file__).with_name("schedule.json")
EVERY = 8
"""Turns, one of which belongs to an agent of the user's."""


@cache
def learned() -> Schedule:
    """Return the schedule that was learned beforehand."""
    values = json.loads(FILE.read_text(encoding="utf-8"))["values"]
    table = np.concatenate(list(values.values()))
    return Schedule(tuple(values), np.array([table, table]))


def learned_turns(sources: dict[str, Iterator], situation: Situation,
                  deadline: float) -> Iterator[tuple[str, Iterator]]:
    """Yield ``STEPS`` turns of the sources, whichever is worth most next; then, by their shares, what has not ended.

    Sources that the schedule does not know, an agent of the user's, get one turn in ``EVERY``.
    """
    schedule = learned()
    turns = dict.fromkeys(sources, 0)
    live = [name for name in sources if name in schedule.names]
    guests = [name for name in sources if name not in schedule.names]
    while live and (step := sum(turns.values())) < STEPS and time.perf_counter() < deadline:
        waiting = guests and step % EVERY == EVERY - 1
        name = guests[0] if waiting else schedule.choose(situation, turns, live)
        ended: list[bool] = []
        yield name, turn(sources[name], ended)
        turns[name] += 1
        if ended:
            del sources[name]
        for known in (live, guests):
            if name in known and (ended or known is live and turns[name] == most_turns(name)):
                known.remove(name)
    yield from in_turns(sources, deadline)
