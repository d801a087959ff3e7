"""The command line end to end, and what it says when the input is wrong."""

import numpy as np
import pandas as pd
import pytest

from rsrm.cli import main


@pytest.fixture
def table(tmp_path, rng):
    x = rng.uniform(1.0, 3.0, (30, 2))
    frame = pd.DataFrame({"length": x[:, 0], "note": "a", "width": x[:, 1], "area": x[:, 0] * x[:, 1]})
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    return path


def run(*arguments):
    return main([str(a) for a in arguments])


def test_finds_the_law_and_saves_it(table, tmp_path, capsys):
    from rsrm.estimator import RSRM

    out = tmp_path / "model.pkl"
    assert run(table, "--target", "area", "--features", "length, width", "--time", 30, "--seed", 1, "--quiet",
               "--operators", "add,mul", "--out", out) == 0
    text = capsys.readouterr().out
    assert "area = length*width" in text.replace("width*length", "length*width")
    assert "nodes" in text and "> " in text
    model = RSRM.load(out)
    np.testing.assert_allclose(model.predict(pd.DataFrame({"length": [2.0], "width": [5.0]})), [10.0], rtol=1e-9)


def test_incomplete_rows_are_reported(table, capsys):
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, "1.0,a,,2.0"]))
    assert run(table, "--features", "length,width", "--time", 30, "--quiet", "--operators", "mul") == 0
    assert "1 of 31 rows" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, message", [
    (("--target", "volume"), "no column 'volume'"),
    (("--features", "length,depth"), "no column 'depth'"),
    (("--target", "area"), "'note' holds values that are no numbers"),
    (("--features", "area"), "is the target"),
    (("--features", "length", "--operators", "add,plus"), "plus"),
    (("--features", "length", "--time", "-1"), "max_time"),
    (("--features", "length", "--out", "/no/such/folder/model.pkl"), "out: there is no folder"),
])
def test_errors_are_one_clear_line(table, capsys, arguments, message):
    assert run(table, "--quiet", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("rsrm: ") and message in error and len(error.splitlines()) == 1


def test_files_that_are_no_tables(tmp_path, capsys):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    picture = tmp_path / "picture.csv"
    picture.write_bytes(bytes(range(128, 256)))
    single = tmp_path / "single.csv"
    single.write_text("y\n1\n2\n")
    for path, message in ((tmp_path / "none.csv", "no file"), (empty, "no CSV table"), (picture, "no CSV table"),
                          (single, "no column")):
        assert run(path) == 2
        assert message in capsys.readouterr().err
