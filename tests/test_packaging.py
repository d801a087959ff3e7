"""The wheel holds the right files and nothing else, and the package imports from everywhere and stays light."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numba", "sklearn", "sympy", "pandas", "scipy", "matplotlib", "gymnasium", "networkx")
WHERE = "import rsrm, rsrm.envs, rsrm.agents; print(rsrm.__file__); print(rsrm.envs.__file__, rsrm.agents.__file__)"


def run(code, cwd, path=None, timeout=120):
    """Run `code` in a fresh interpreter in `cwd` with nothing but `path` added to its search path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True,
                          timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the sources, so that nothing is left in the repository."""
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for name in ("rsrm", "envs", "agents", "tests", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"rsrm"}
    for wanted in ("rsrm/__init__.py", "rsrm/library.py", "rsrm/envs/__init__.py", "rsrm/agents/__init__.py",
                   "rsrm/benchmarks/__main__.py", "rsrm/benchmarks/problems/nguyen.json"):
        assert wanted in names


def test_wheel_misses_no_source(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, target in (("rsrm", "rsrm"), ("envs", "rsrm/envs"), ("agents", "rsrm/agents")):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".json") and "__pycache__" not in path.parts:
                assert f"{target}/{path.relative_to(ROOT / folder)}" in names


def test_import_from_the_unpacked_wheel(unpacked, tmp_path):
    package, inner = run(WHERE, tmp_path, unpacked).splitlines()
    assert package.startswith(str(unpacked))
    assert all(p.startswith(str(unpacked / "rsrm")) for p in inner.split())


def test_import_inside_the_repository_root():
    package, inner = run(WHERE, ROOT).splitlines()
    assert package == str(ROOT / "rsrm" / "__init__.py")
    assert inner.split() == [str(ROOT / "envs" / "__init__.py"), str(ROOT / "agents" / "__init__.py")]


def test_installed_copy_is_shadowed_as_a_whole_inside_the_root(unpacked):
    # A regular install plus the root as working directory must not mix sources of two versions.
    package, inner = run(WHERE, ROOT, unpacked).splitlines()
    assert package == str(ROOT / "rsrm" / "__init__.py")
    assert inner.split()[0] == str(ROOT / "envs" / "__init__.py")


@pytest.mark.parametrize("place", ["root", "wheel"])
def test_import_is_light(place, unpacked, tmp_path):
    code = f"import sys, rsrm; print([m for m in {HEAVY} if m in sys.modules])"
    out = run(code, ROOT) if place == "root" else run(code, tmp_path, unpacked)
    assert out.strip() == "[]"


def test_no_top_level_names_leak(unpacked, tmp_path):
    code = ("import importlib.util, rsrm.envs, rsrm.agents\n"
            "print(importlib.util.find_spec('envs'), importlib.util.find_spec('agents'))")
    assert run(code, tmp_path, unpacked).strip() == "None None"


def test_what_scikit_learn_imports_beside_its_base_class_is_loaded_when_it_is_used():
    code = """
import sys, numpy as np, rsrm
x = np.arange(1.0, 21.0)[:, None]
model = rsrm.RSRM(max_time=20, random_state=0).fit(x, x[:, 0]**2)
print([m for m in ("scipy.stats", "pandas") if m in sys.modules])
from sklearn.utils import fixes
print(fixes._mode(np.array([1, 2, 2]))[0], fixes.pd.DataFrame.__name__)
import pandas, scipy.stats
print(pandas.DataFrame is fixes.pd.DataFrame, scipy.stats.rankdata([3.0, 1.0])[0])
frame = pandas.DataFrame({"radius": x[:, 0]})
print(rsrm.RSRM(max_time=20, random_state=0).fit(frame, x[:, 0]**2).sympy(), type(model.equations_) is pandas.DataFrame)
"""
    assert run(code, ROOT, timeout=300).splitlines() == ["[]", "[2] DataFrame", "True 2.0", "radius**2 True"]


def test_modules_that_are_loaded_are_not_put_off():
    code = """
import sys, decimal
from rsrm._deferred import deferred
try:
    with deferred("decimal", "colorsys", "fractions"):
        import colorsys, fractions
        print(sys.modules["decimal"] is decimal, type(colorsys).__name__, fractions.Fraction(2, 4))
        raise RuntimeError
except RuntimeError:
    print("colorsys" in sys.modules, colorsys.rgb_to_hsv(0.0, 0.0, 1.0)[2])
import colorsys as real
print(type(real).__name__, real.rgb_to_hsv is colorsys.rgb_to_hsv)
"""
    assert run(code, ROOT).splitlines() == ["True _Deferred 1/2", "False 1.0", "module True"]
