"""Running suites: tasks over persistent worker processes, results as JSON lines, resumable.

A worker that crashes or overruns its time is replaced, and its task recorded as a failure.
"""

import json
import multiprocessing
import os
import platform
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from rsrm.benchmarks.catalogue import Problem
from rsrm.benchmarks.worker import ONE_THREAD, Settings, empty_row, serve

# Scoring and the finishing of a search come on top of its time; compiling, once, on top of the warm-up.
GRACE_SECONDS = 60.0
_START_SECONDS = 600.0


class Task(NamedTuple):
    """A problem and a seed."""

    problem: Problem
    seed: int


class _Worker:
    """A process, the task it holds, and when it must have answered."""

    def __init__(self, settings: Settings, warm_up: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, settings, warm_up), daemon=True)
        previous = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(ONE_THREAD)  # inherited by the process, which imports numpy before any of our code runs
        try:
            self.process.start()
        finally:
            for name, value in previous.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        self.task: Task | None = None
        self.ready = False
        self.deadline = time.monotonic() + warm_up + _START_SECONDS

    def give(self, task: Task, seconds: float) -> None:
        self.task = task
        self.deadline = time.monotonic() + seconds
        self.connection.send((task.problem.suite, task.problem.index, task.seed))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def provenance() -> dict[str, str]:
    """Commit, date and machine of a result row."""
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = "unknown"
    return {
        "commit": commit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def task_key(row: dict[str, Any]) -> str:
    """What makes two result rows the same task: suite, problem, seed and settings."""
    return json.dumps([row["suite"], row["problem"], row["seed"], row["settings"]], sort_keys=True)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON lines file; a last line cut off by a kill is left out.

    Raises
    ------
    ValueError
        If another line cannot be read.
    """
    if not path.is_file():
        return []
    rows = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"path: line {number} of {path} is not JSON ({error})") from error
    return rows


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add one row to a JSON lines file, repairing an unfinished last line first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as handle:
        if handle.tell() > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                handle.seek(0)
                handle.truncate(handle.read().rfind(b"\n") + 1)
        handle.write(json.dumps(row).encode() + b"\n")


def pending(tasks: Iterable[Task], settings: Settings, done: Sequence[dict[str, Any]]) -> list[Task]:
    """The tasks without a row of the same settings."""
    keys = {task_key(row) for row in done}
    return [task for task in tasks if task_key(empty_row(task.problem, task.seed, settings)) not in keys]


def run_tasks(
    tasks: Sequence[Task], settings: Settings, jobs: int = 1, warm_up: float = 3.0, grace: float = GRACE_SECONDS
) -> Iterator[dict[str, Any]]:
    """Result rows, as they come.

    Parameters
    ----------
    tasks : sequence of Task
    settings : Settings
    jobs : int
        Worker processes, each with one core.
    warm_up : float
        Seconds of each of two warm-up fits of a new worker; 0 for none.
    grace : float
        Seconds beyond ``settings.time`` before a worker is given up; without a time limit it never is.

    Raises
    ------
    RuntimeError
        If a worker cannot start.
    """
    queue = deque(tasks)
    workers = [_Worker(settings, warm_up) for _ in range(min(jobs, len(queue)))]
    limit = float("inf") if settings.time is None else settings.time + grace
    facts = provenance()
    try:
        while workers:
            soonest = min(worker.deadline for worker in workers)
            timeout = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
            answered = set(wait([worker.connection for worker in workers], timeout))
            for worker in list(workers):
                if worker.connection in answered:
                    row = _receive(worker, settings)
                elif time.monotonic() > worker.deadline:
                    row = _failure(worker, settings, "hang")
                else:
                    continue
                if row is not None:
                    yield row | facts
                if worker.ready and queue:
                    worker.give(queue.popleft(), limit)
                    continue
                worker.stop()
                workers.remove(worker)
                if queue and len(workers) < jobs:
                    workers.append(_Worker(settings, warm_up))
    finally:
        for worker in workers:
            worker.stop()


def _receive(worker: _Worker, settings: Settings) -> dict[str, Any] | None:
    """What a worker sent: a row, the text of an exception, or that it is ready."""
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        return _failure(worker, settings, f"crash, exit code {worker.process.exitcode}")
    if worker.task is None:
        worker.ready = True
        return None
    task, worker.task = worker.task, None
    if isinstance(message, str):
        worker.ready = False
        return empty_row(task.problem, task.seed, settings) | {"stop_reason": f"error: {message}"}
    return message


def _failure(worker: _Worker, settings: Settings, reason: str) -> dict[str, Any]:
    if worker.task is None:
        raise RuntimeError(f"a worker did not start ({reason}); its message, if any, is above")
    worker.ready = False
    return empty_row(worker.task.problem, worker.task.seed, settings) | {"stop_reason": reason}
