"""Tables and pictures of results, from rows made by hand."""

import json

import numpy as np
import pytest

from rsrm.benchmarks.__main__ import main
from rsrm.benchmarks.catalogue import load_suite
from rsrm.benchmarks.pictures import _labels
from rsrm.benchmarks.report import comparison_table, comparisons, newest, published, suite_table
from rsrm.benchmarks.worker import Settings, empty_row

FACTS = {"commit": "abc", "date": "2026-01-01T00:00:00+00:00", "machine": "a machine"}


def made(suite, recovered, noise=0.0, data_dir=None, date=FACTS["date"]):
    """Rows of a whole suite; ``recovered`` says which by the number of the problem."""
    rows = []
    for problem in load_suite(suite):
        row = empty_row(problem, 0, Settings(noise=noise, data_dir=data_dir)) | FACTS | {"date": date}
        row |= {"equation": "x0", "complexity": 5, "evaluations": 9, "seconds": 60.0, "time_to_best": 0.5}
        row["r2_test"] = 0.9
        if recovered(problem.index):
            row |= {"recovered": True, "recovered_skeleton": True, "r2_test": 1.0, "ned": 0.0}
        rows.append(row)
    return rows


def test_published_groups_are_of_known_suites_and_sources():
    for group in published()["groups"]:
        assert all(load_suite(suite) for suite in group["suites"])
        assert set(group["figures"]) <= set(published()["sources"])
        assert set(group["read_off_a_plot"]) <= set(group["figures"])
        assert all(0 < value <= 100 for value in group["figures"].values())


def test_suite_table_counts_right():
    lines = suite_table(made("nguyen", lambda index: index <= 3)).splitlines()
    assert lines[-1] == "| nguyen | 0 | 12 x 1 | **25** | 33.3 / 16.7 | 25 / 25 / 25 | 0.5 | 25 | 0.750 |"


def test_a_group_is_compared_only_when_complete():
    rows = made("feynman", lambda index: True) + made("feynman_bonus", lambda index: False)
    assert comparisons(rows) == []
    assert comparisons([row for row in made("nguyen", lambda index: True) if row["index"] % 2]) == []
    rows += made("strogatz", lambda index: True)
    by_label = {group["label"]: figure for group, figure in comparisons(rows)}
    # 97 of 100, 0 of 19 and 14 of 14 are among SRBench's 130.
    assert by_label == {
        "SRBench ground truth": pytest.approx(100 * 111 / 130),
        "SRBench ground truth, R2 > 0.999": pytest.approx(100 * 111 / 130),
    }
    assert "| SRBench ground truth | **85.4** | QDSR (units) 91.6, RSRM 83.2*" in comparison_table(rows)
    # Original files, where there, take the place of simulated ones.
    rows += made("strogatz", lambda index: False, data_dir="somewhere")
    assert comparisons(rows)[0][1] == pytest.approx(100 * 97 / 130)


def test_the_newest_row_of_a_task_counts():
    old = made("jin", lambda index: False)
    new = made("jin", lambda index: True, date="2026-02-01T00:00:00+00:00")
    assert newest(new + old) == new


def test_report_prints_and_draws(tmp_path, capsys):
    from PIL import Image

    rows = made("nguyen", lambda index: index % 2) + made("livermore", lambda index: True)
    rows += made("strogatz", lambda index: index < 9, noise=0.01)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["report", str(path), "--out-dir", str(tmp_path / "pictures")]) == 0
    printed = capsys.readouterr().out
    assert "| Nguyen | **50** |" in printed and "Commits abc; 2026-01-01; a machine." in printed
    for name in ("recovery_over_time", "recovery_by_suite", "accuracy_complexity"):
        pixels = np.asarray(Image.open(tmp_path / "pictures" / f"{name}.png").convert("L"))
        assert pixels.std() > 10  # something is drawn
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path / "nothing.jsonl")])


def test_names_over_dots_do_not_overprint():
    for group in published()["groups"]:
        for line in (0, 1):
            labels = [(text, centre) for text, centre, at in _labels(group["figures"]) if at == line]
            boxes = sorted((centre - 0.55 * len(text), centre + 0.55 * len(text)) for text, centre in labels)
            assert all(left[1] <= right[0] for left, right in zip(boxes, boxes[1:], strict=False))
