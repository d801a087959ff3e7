"""The examples about agents run from start to end, in little."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("name", "options", "wanted", "picture"), [
    ("compare_agents.py", ("60", "2"), "Nguyen-9   genetic", "compare_agents.png"),
    ("custom_agent.py", ("Nguyen-7", "40", "1"), "the front, by the source", None),
])
def test_example_prints_and_draws(name, options, wanted, picture, tmp_path):
    done = subprocess.run([sys.executable, ROOT / "examples" / name, *options], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert wanted in done.stdout
    if picture:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_example_of_ppo_learns_more_than_chance(tmp_path):
    pytest.importorskip("sb3_contrib", reason="the extra rl is not installed")
    done = subprocess.run([sys.executable, ROOT / "examples" / "train_maskable_ppo.py", "Nguyen-7", "8000"],
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
                          timeout=240)
    assert done.returncode == 0, done.stderr
    random, learned = (line.split("mean reward ")[1] for line in done.stdout.splitlines() if "mean reward" in line)
    assert float(learned.split(" in the last")[0].split()[-1]) > 1.3 * float(random.split(",")[0])
