"""The speed benchmark: the rivals get the same expressions, and every measurement runs."""

import argparse
import json

import numpy as np
import pytest

from rsrm.benchmarks import speed
from rsrm.benchmarks.random_trees import gplearn_programs, operon_trees, random_batch
from rsrm.evaluate import values
from rsrm.expression import Expression


def expressions(batch):
    for tokens, length, constants in zip(batch.tokens, batch.lengths, batch.constants, strict=True):
        m = int((tokens == batch.library.constant).sum())
        yield Expression(tokens[:length], constants[:m], batch.library)


def test_sizes_and_mix():
    batch = random_batch(2000)
    assert batch.lengths.mean() == pytest.approx(17.0, abs=0.5)
    assert all(e.length == n for e, n in zip(expressions(batch), batch.lengths, strict=True))
    names = [batch.library.name(int(t)) for t in batch.tokens[batch.tokens >= 0]]
    counts = np.array([names.count(name) for name in ("add", "div", "exp", "cos")])
    assert counts.max() < 1.2 * counts.min()


def test_pyoperon_gets_the_same_expressions():
    pyoperon = pytest.importorskip("pyoperon")
    batch = random_batch(200, smallest=1, largest=9)
    X = np.random.default_rng(0).uniform(0.5, 2.0, (40, 3))
    data = np.asfortranarray(X, np.float32)
    dataset = pyoperon.Dataset(data)
    out = np.empty((200, 40), np.float32)
    trees = operon_trees(batch, [v.Hash for v in dataset.Variables])
    pyoperon.EvaluateTrees(trees, dataset, pyoperon.Range(0, 40), out, 1)
    close = [np.allclose(values(e, X)[0], row, rtol=1e-2, atol=1e-3, equal_nan=True)
             for e, row in zip(expressions(batch), out, strict=True)]
    assert np.mean(close) > 0.9  # single precision and other edges


def test_gplearn_gets_the_same_expressions():
    pytest.importorskip("gplearn")
    batch = random_batch(100, smallest=1, largest=9)
    X = np.random.default_rng(0).uniform(0.5, 2.0, (40, 3))
    with np.errstate(all="ignore"):
        close = [np.allclose(values(e, X)[0], p.execute(X), rtol=1e-9, equal_nan=True)
                 for e, p in zip(expressions(batch), gplearn_programs(batch), strict=True)]
    assert np.mean(close) > 0.7  # gplearn protects logarithm and division


@pytest.mark.parametrize("name", ["evaluator", "constants", "scaling", "bank", "pairs", "search", "islands"])
def test_measurements_run_and_are_written(name, tmp_path, capsys):
    if name == "evaluator":
        pytest.importorskip("pyoperon")  # this measurement is a comparison
    parser = argparse.ArgumentParser()
    speed.add_arguments(parser)
    out = tmp_path / "speed.json"
    speed.main(parser.parse_args(["--only", name, "--trees", "20", "--repeats", "1", "--evaluations", "400",
                                  "--entries", "2000", "--out", str(out)]))
    rows = json.loads(out.read_text())["rows"]
    assert rows and all(row["measurement"] == name and row["what"] for row in rows)
    assert all(v > 0 for row in rows for v in row.values() if isinstance(v, float))
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="repeats"):
        speed.main(argparse.Namespace(trees=1, repeats=0, evaluations=1, entries=1, seconds=1, rows=1))
    with pytest.raises(ValueError, match="smallest"):
        random_batch(1, smallest=3, largest=2)
    with pytest.raises(ValueError, match="operators"):
        random_batch(1, operators=("sin",))
