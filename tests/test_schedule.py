"""Whose turn it is: values of turns, what is learned from recorded searches, and the order in a search."""

import json
from itertools import count, product
from time import perf_counter

import numpy as np
import pytest

from rsrm import cascade, schedule
from rsrm.agents.scheduling import GAMMA, LEVELS, Schedule, Situation, most_turns
from rsrm.benchmarks import schedule as benchmark
from rsrm.benchmarks.__main__ import main
from rsrm.benchmarks.catalogue import random_suite
from rsrm.benchmarks.schedule import Recorded, learn, play, record
from rsrm.library import Library
from rsrm.problem import Problem
from rsrm.turns import PAUSE

PLANE, CURVE = Situation(2, False, False), Situation(2, True, False)


def law(index, situation, found, seconds=0.5, turns=3):
    """A law that the sources a, b, c find after these turns (-1: never); all turns take as long."""
    return Recorded(index, situation, 0.0, ("a", "b", "c"), [[seconds] * turns] * 3, list(found))


def test_every_turn_has_tiles_of_its_own():
    names = [f"s{k}" for k in range(5)]
    board = Schedule(names)
    seen = set()
    for situation in map(Situation._make, product((1, 2, 3), (False, True), (False, True))):
        for turns in (np.zeros(5, int), np.full(5, 2), np.full(5, 3 * LEVELS)):
            tiles = board.tiles(situation, turns)
            assert tiles.min() >= 0 and tiles.max() < board.q.shape[1]
            owners = tiles // Schedule.TILES
            assert (owners == np.arange(5)).all(), "a tile belongs to one source"
            seen.update(map(tuple, tiles.T.tolist()))
    # Four kinds of data, rough or not, three times; a curve is one kind, however many columns.
    assert len(seen) == 5 * 4 * 2 * 3


def test_a_value_is_what_is_left_of_the_reward():
    board = Schedule(("a",))
    tiles = board.tiles(PLANE, np.zeros(1, int))
    for _ in range(300):
        board.learn(0, tiles, 0, 0.7, 0.2)
    assert board.values(tiles, 0)[0] == pytest.approx(0.7, abs=1e-6)
    assert board.values(tiles, 1)[0] == 0.0
    assert board.values(tiles)[0] == pytest.approx(0.35, abs=1e-6)


def test_played_times_are_sums_of_turns():
    one = law(1, PLANE, (2, -1, 1))
    assert play(one, None) == 6 * 0.5  # a b c a b c
    board = Schedule(("a", "b", "c"))
    board.q[:, board.tiles(PLANE, np.zeros(3, int))[0, 2]] = 1.0
    assert play(one._replace(found=[-1, -1, 0]), board) == 0.5
    assert play(one._replace(found=[-1, -1, -1]), board) == np.inf


def test_what_finds_laws_of_a_kind_comes_first_there():
    laws = [law(k, PLANE, (-1, 0, -1)) for k in range(8)] + [law(k, CURVE, (-1, -1, 1)) for k in range(8)]
    board = learn(laws, sweeps=150)
    assert board.choose(PLANE, {}, "abc") == "b"
    assert board.choose(CURVE, {}, "abc") == "c"
    assert board.choose(CURVE, {}, "ab") in ("a", "b"), "only what is there is chosen"
    assert play(laws[0], board) == 0.5 and play(laws[-1], board) == 1.0
    first = board.values(board.tiles(PLANE, np.zeros(3, int)))[1]
    assert first == pytest.approx(GAMMA**0.5, abs=0.06)


def test_a_quick_source_comes_before_a_slow_one_that_finds_as_much():
    found = ([-1, 0], [0, -1])
    laws = [Recorded(k, PLANE, 0.0, ("slow", "quick"), [[4.0], [0.2]], found[k % 2]) for k in range(10)]
    board = learn(laws, sweeps=150)
    assert board.choose(PLANE, {}, ("slow", "quick")) == "quick"
    assert {round(play(one, board), 9) for one in laws} == {0.2, 4.2}


def test_turns_in_a_search(monkeypatch):
    board = Schedule(("bank", "mixtures"))
    board.q[:, board.tiles(PLANE, np.zeros(2, int))[0, 1]] = 1.0  # the first turn of mixtures
    monkeypatch.setattr(schedule, "learned", lambda: board)
    asked = []

    def source(name, most=np.inf):
        for k in count():
            if k >= most:
                return
            asked.append(name)
            yield PAUSE

    sources = {"bank": source("bank", 2), "mixtures": source("mixtures"), "agent": source("agent")}
    names = []
    for name, turn in schedule.learned_turns(sources, PLANE, perf_counter() + 60.0):
        names.append(name)
        list(turn)
        if len(names) == 40:
            break
    assert names[:2] == ["mixtures", "bank"]
    assert names[:8].count("agent") == 1 and names[7] == "agent", "one turn in eight is the guest's"
    assert asked.count("bank") == 2 and names.count("bank") == 3, "what has ended is not asked again"
    assert names.count("mixtures") > most_turns("mixtures"), "what has not goes on"
    assert list(schedule.learned_turns({"bank": source("bank")}, PLANE, perf_counter() - 1.0)) == []


def test_the_schedule_knows_the_sources_of_the_cascade(monkeypatch):
    x = np.random.default_rng(0).uniform(1.0, 3.0, (2, 60))
    hard = Problem(x, np.cos(x[0] * x[1] ** 2 + np.exp(np.sin(3.0 * x[0]))) + x[1] ** 0.3, Library(2))
    seen = {}

    def capture(sources, situation, deadline):
        seen.update(names=set(sources), situation=situation)
        return iter(())

    monkeypatch.setattr(cascade, "learned_turns", capture)
    limits = dict(max_size=12, max_depth=6, max_constants=3, nested_constraints=None)
    monkeypatch.setattr(cascade, "direct_stages", lambda *_: iter(()))
    monkeypatch.setattr(cascade, "noise_level", lambda *_: cascade.Noise(0.02, False))
    for _, stage in cascade.stages(hard, limits, perf_counter() + 60.0, np.random.default_rng(0), lambda n: None,
                                   lambda: 1.0, list, list):
        list(stage)
    assert seen["names"] == set(schedule.learned().names)
    assert seen["situation"] == Situation(2, False, True)


def test_recorded_searches(monkeypatch):
    monkeypatch.setattr(benchmark, "most_turns", lambda name: 7 if name == "mixtures" else 1)
    row = json.loads(json.dumps(record(random_suite("random_sums", 1, benchmark.SEED)[0])))
    assert set(row["sources"]) == set(schedule.learned().names)
    assert all(len(run["seconds"]) == 1 for name, run in row["sources"].items() if name != "mixtures")
    found = row["sources"]["mixtures"]["found"]
    assert found is not None, "the sources do not find the law any more"
    one = Recorded.of({"index": 1} | row)
    alone = one._replace(names=("mixtures",), seconds=[row["sources"]["mixtures"]["seconds"]], found=[found])
    assert play(alone, None) == pytest.approx(row["opening"] + sum(row["sources"]["mixtures"]["seconds"][:found + 1]))


@pytest.mark.parametrize("part", ["2", "a/b", "0/2", "3/2", "1/2/3", "1/"])
def test_parts_that_are_none_are_refused(part, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["schedule", str(tmp_path / "log.jsonl"), "--laws", "1", "--part", part])
    assert "part: expected K/N" in capsys.readouterr().err


def test_every_part_records_its_laws(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "RANDOM_SUITES", ("random_sums",))
    monkeypatch.setattr(benchmark, "record", lambda problem: {"opening": 0.1})
    log = tmp_path / "log.jsonl"
    for part in ("2/2", "1/2"):
        assert main(["schedule", str(log), "--laws", "5", "--part", part]) == 0
    assert [json.loads(line)["index"] for line in log.read_text().splitlines()] == [2, 4, 1, 3, 5]


def test_the_command_learns_from_a_log(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "SWEEPS", 20)
    log, out = tmp_path / "log.jsonl", tmp_path / "schedule.json"
    with log.open("w") as file:
        for index in range(10):
            sources = {name: {"seconds": [0.5, 0.5], "found": 0 if name == "b" else None, "ended": False}
                       for name in "abc"}
            file.write(json.dumps({"suite": "random_sums", "index": index, "seed": 1, "opening": 0.2,
                                   "situation": [2, False, False], "sources": sources}) + "\n")
        file.write(json.dumps({"suite": "random_sums", "index": 11, "seed": 1, "opening": 0.2}) + "\n")
    assert main(["schedule", str(log), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "of 10" in printed and "round and round" in printed
    values = json.loads(out.read_text())["values"]
    assert set(values) == set("abc") and all(len(v) == Schedule.TILES for v in values.values())
    log.write_text("")
    with pytest.raises(SystemExit):
        main(["schedule", str(log), "--out", str(out)])
