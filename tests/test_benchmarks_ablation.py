"""The ablation: paired statistics, what is switched off, and a table of real runs."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from rsrm import RSRM
from rsrm.benchmarks.__main__ import main
from rsrm.benchmarks.ablation import Result, compare
from rsrm.benchmarks.without import MODULES, SWITCHES


def test_paired_runs_are_compared():
    reference = [Result(True, 0.5, 100)] * 8 + [Result(False, 2.0, 900)] * 4
    other = [Result(True, 0.7, 100)] + [Result(False, 2.0, 900)] * 9 + [Result(True, 1.0, 10)] * 2
    lost, won, p, slower, low, high = compare(reference, other)
    assert (lost, won) == (7, 2)
    assert p == pytest.approx(2 * binom.cdf(2, 9, 0.5))
    difference = [0.2] + [1.5] * 7 + [0.0] * 2 + [-1.0] * 2
    assert slower == pytest.approx(np.mean(difference))
    error = np.std(difference) / np.sqrt(12)
    assert low == pytest.approx(slower - 1.96 * error, abs=0.15)
    assert high == pytest.approx(slower + 1.96 * error, abs=0.15)
    assert compare(reference, reference)[:4] == (0, 0, 1.0, 0.0)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_part_is_off_during_a_fit_only(name, monkeypatch):
    part = SWITCHES[name].part

    def known():
        return {(module.__name__, k): getattr(module, k) for module in MODULES for k in part if hasattr(module, k)}

    usual, during = known(), []
    monkeypatch.setattr(RSRM, "fit", lambda self, X, y, sample_weight=None: during.append(known()))
    SWITCHES[name]().fit(None, None)
    assert {k for _, k in usual} == set(part)
    assert during == [{(module, k): part[k] for module, k in usual}]
    assert all(part[k] is not value for (_, k), value in usual.items())
    assert known() == usual


def test_a_search_without_a_stage_never_names_it():
    X = np.random.default_rng(0).uniform(0.5, 2.0, (40, 2))
    y = X[:, 0] * X[:, 1] ** 2 + X[:, 0]
    usual = RSRM(max_time=20, random_state=0).fit(X, y)
    assert usual.front_[usual.chosen_].stage == "direct"
    without = SWITCHES["no direct solvers"](max_time=20, random_state=0).fit(X, y)
    assert without.front_[without.chosen_].stage not in ("direct", "mixtures")
    assert without.front_[without.chosen_].nrmse < 1e-9


def test_without_mixtures_a_sum_with_an_inner_constant_is_another_stage_s():
    X = np.random.default_rng(0).uniform(0.5, 3.0, (150, 2))
    y = 7 * X[:, 1] ** 2 * np.exp(-X[:, 0] ** 2 / 2.2) - np.sqrt(X[:, 1]) * np.sqrt(X[:, 0] ** 2 + 0.23)
    usual = RSRM(max_time=30, random_state=0).fit(X, y)
    assert usual.front_[usual.chosen_].nrmse < 1e-9
    without = SWITCHES["no mixtures"](max_time=2, random_state=0).fit(X, y)
    assert all(candidate.stage != "mixtures" for candidate in without.front_)


def test_runs_are_kept_and_not_repeated(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    command = ["ablation", "--problems", "Livermore-18,Nguyen-1", "--seeds", "2", "--time", "0.2", "--variants",
               "no tree search", "--out", str(out)]
    assert main(command) == 0
    first = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 8 and {row["variant"] for row in rows} == {"everything", "no tree search"}
    assert all(0 < row["seconds"] <= 0.2 for row in rows)
    assert main(command) == 0
    assert capsys.readouterr().out == first and len(out.read_text().splitlines()) == 8
    lines = [line for line in first.splitlines() if line.startswith(("everything", "no tree search"))]
    found = [sum(row["recovered"] for row in rows if row["variant"] == v) for v in ("everything", "no tree search")]
    assert [f"{n}/4" in line for n, line in zip(found, lines, strict=True)] == [True, True]


def test_unknown_variants_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["ablation", "--variants", "no luck"])
    assert "no luck" in capsys.readouterr().err


def test_problems_without_published_operators_get_those_of_the_estimator(capsys):
    assert main(["ablation", "--problems", "I.12.1,random_trees-1", "--seeds", "1", "--time", "0.3", "--variants",
                 "no tree search"]) == 0
    assert "I.12.1                  1  1" in capsys.readouterr().out  # y = mu*N
