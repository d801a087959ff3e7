"""The runner with a stub in place of the search: good and bad workers, resuming, the command line."""

import json
import sys
from pathlib import Path

import pytest

from rsrm.benchmarks.__main__ import main
from rsrm.benchmarks.catalogue import load_problem, load_suite
from rsrm.benchmarks.runner import Task, append_row, pending, read_rows, run_tasks, task_key
from rsrm.benchmarks.summary import format_summary, summarize
from rsrm.benchmarks.worker import Settings, empty_row, estimator_arguments, load_estimator, run_task

STUB = "benchmark_stub:Stub"
SCHEMA = {
    "suite", "problem", "index", "seed", "recovered", "recovered_skeleton", "recovered_srbench", "r2_test", "ned",
    "complexity", "seconds", "time_to_best", "evaluations", "equation", "truth", "stop_reason", "settings", "commit",
    "date", "machine",
}  # fmt: skip


@pytest.fixture(autouse=True)
def stub_on_path(monkeypatch):
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", folder)  # spawned workers inherit sys.path, not only the variable
    yield
    sys.modules.pop("benchmark_stub", None)


def stub_settings(**options):
    return Settings(estimator=STUB, time=0.5, options=options)


def test_estimator_gets_published_operators_and_else_its_own():
    settings = Settings(time=5, evals=100, options={"agent": "mcts"})
    assert estimator_arguments(load_problem("Jin-1"), 3, settings) == {
        "operators": ("add", "sub", "mul", "div", "sin", "cos", "exp", "square", "cube"), "constants": True,
        "max_time": 5, "max_evals": 100, "random_state": 3, "n_jobs": 1, "agent": "mcts",
    }  # fmt: skip
    assert estimator_arguments(load_problem("I.12.1"), 0, Settings(time=None)) == {"random_state": 0, "n_jobs": 1}


def test_task_scores_what_the_estimator_found():
    row = run_task(load_problem("Nguyen-1"), 0, stub_settings(formula="x0**3 + x0**2 + x0"))
    assert row["recovered"] and row["r2_test"] == pytest.approx(1) and row["ned"] == 0 and row["evaluations"] == 7
    assert row["time_to_best"] == 0.25 and row["complexity"] == 8
    row = run_task(load_problem("Nguyen-2"), 0, stub_settings())
    assert not row["recovered"] and row["r2_test"] < 0.99 and row["ned"] > 0


@pytest.mark.parametrize("mood, reason", [("crash", "crash"), ("hang", "hang"), ("raise", "error: Arithmetic")])
def test_a_bad_task_is_a_failure_and_the_run_goes_on(mood, reason):
    tasks = [Task(load_problem(name), 0) for name in ("Nguyen-1", "Jin-1", "Nguyen-2")]
    settings = stub_settings(mood=mood, victim=100)  # only Jin-1 has 100 rows
    grace = 6.0 if mood == "hang" else 60.0
    rows = {row["problem"]: row for row in run_tasks(tasks, settings, jobs=1, warm_up=0, grace=grace)}
    assert rows["Jin-1"]["stop_reason"].startswith(reason) and rows["Jin-1"]["equation"] is None
    assert rows["Nguyen-1"]["evaluations"] == rows["Nguyen-2"]["evaluations"] == 7
    assert all(set(row) == SCHEMA for row in rows.values())
    assert "100.0" not in format_summary(list(rows.values()))


def test_a_worker_that_cannot_start_ends_the_run():
    with pytest.raises(RuntimeError, match="did not start"):
        list(run_tasks([Task(load_problem("Nguyen-1"), 0)], stub_settings(mood="raise"), warm_up=0.1))


def test_command_line_writes_resumes_and_summarizes(tmp_path, capsys):
    out = tmp_path / "nguyen.jsonl"
    command = ["run", "nguyen", "--odd", "--seeds", "2", "--time", "1", "--estimator", STUB, "--warm-up", "0"]
    command += ["--out", str(out), "--problems", "Nguyen-1,Nguyen-2,Nguyen-3", "--set", "formula=x0**3 + x0**2 + x0"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("recovered ") >= 2 and "50.0" in printed
    lines = out.read_text().splitlines()
    assert {(row["problem"], row["seed"]) for row in map(json.loads, lines)} == {
        (problem, seed) for problem in ("Nguyen-1", "Nguyen-3") for seed in (0, 1)
    }
    # Killed in the middle of the last line: that one is run again, and no other.
    out.write_text("\n".join([*lines[:3], lines[3][:40]]))
    assert main(command) == 0
    again = out.read_text().splitlines()
    assert again[:3] == lines[:3] and len(again) == 4
    assert main(command) == 0 and out.read_text().splitlines() == again
    # Other settings are another run.
    assert main([*command, "--noise", "0.01"]) == 0
    assert len(read_rows(out)) == 8


def test_rows_are_matched_by_problem_seed_and_settings(tmp_path):
    problem, settings = load_problem("Nguyen-4"), stub_settings()
    row = empty_row(problem, 1, settings)
    append_row(tmp_path / "deep" / "a.jsonl", row)
    stored = read_rows(tmp_path / "deep" / "a.jsonl")
    tasks = [Task(problem, 0), Task(problem, 1)]
    assert pending(tasks, settings, stored) == tasks[:1]
    assert pending(tasks, Settings(estimator=STUB, time=2.0), stored) == tasks
    assert task_key(stored[0]) == task_key(row)
    (tmp_path / "b.jsonl").write_text("{broken\n{}\n")
    with pytest.raises(ValueError, match="line 1"):
        read_rows(tmp_path / "b.jsonl")


def test_summary_against_figures_counted_by_hand():
    problems = load_suite("nguyen")[:4]
    rows = [empty_row(problem, 0, Settings()) for problem in problems]
    rows[0] |= {"recovered": True, "time_to_best": 0.5, "r2_test": 1.0, "ned": 0.0}
    rows[1] |= {"recovered": True, "time_to_best": 20.0, "r2_test": 0.9999, "ned": 0.5}
    rows[2] |= {"time_to_best": 60.0, "r2_test": 0.5, "ned": 0.5}
    figures = summarize(rows)
    assert figures["recovery"] == 50 and figures["odd"] == 50 and figures["even"] == 50 and figures["accuracy"] == 50
    assert (figures["within_1"], figures["within_10"], figures["within_60"]) == (25, 25, 50)
    assert figures["seconds"] == 20 and figures["seconds_recovered"] == 10.25 and figures["ned"] == 0.5


def test_bad_arguments_are_named(capsys):
    for command, word in (
        (["run", "nguien"], "unknown suite"),
        (["run", "nguyen", "--problems", "Jin-1"], "problems"),
        (["run", "nguyen", "--jobs", "0"], "jobs"),
        (["run", "nguyen", "--estimator", "nowhere:Nobody"], "estimator"),
        (["run", "nguyen", "--set", "novalue"], "key=value"),
    ):
        with pytest.raises(SystemExit):
            main([*command, *([] if "--estimator" in command else ["--estimator", STUB])])
        assert word in capsys.readouterr().err
    with pytest.raises(ValueError, match="estimator"):
        load_estimator("json")


def test_list_names_every_suite(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "dysts: 411 problems" in printed and "srsd_hard_dummy: 50 problems" in printed
    assert "operators add sub mul div sin cos exp square cube constants" in printed
