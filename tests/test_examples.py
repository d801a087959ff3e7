"""The examples run from start to end, print what they promise and leave a picture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(name, folder, *options):
    done = subprocess.run([sys.executable, ROOT / "examples" / name, "--out", folder, *options], cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name, seconds, wanted", [
    ("kepler.py", 30, "P = a**(3/2)"),
    ("pendulum.py", 10, "m/s^2"),
])
def test_example_prints_and_draws(name, seconds, wanted, tmp_path):
    out = run(name, tmp_path, "--time", str(seconds))
    assert wanted in out.replace("a**1.5", "a**(3/2)").replace("a*sqrt(a)", "a**(3/2)")
    (picture,) = tmp_path.glob("*.png")
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_the_table_of_nguyen_has_its_twelve_rows(tmp_path):
    out = run("nguyen.py", tmp_path, "--time", "1")
    rows = [line for line in out.splitlines() if line.startswith("Nguyen-")]
    assert [r.split()[0] for r in rows] == [f"Nguyen-{k}" for k in range(1, 13)]
    assert (tmp_path / "nguyen.png").stat().st_size > 10_000
