"""The catalogue of benchmark problems: published suites, each with its sampling, operators, noise and split.

Facts (formulas, ranges, numbers of rows) lie in ``problems/*.json``. A suite with a published operator set states it,
and whether fitted constants belong to it; for the others both are ``None``, and the search keeps its defaults.
"""

import csv
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sympy as sp

from rsrm.benchmarks.formula import evaluate, feature_symbols, parse
from rsrm.benchmarks.random_laws import RANDOM_SUITES, random_facts
from rsrm.benchmarks.sampling import draw_columns, trajectory

SUITES = (
    "nguyen",
    "nguyen_variants",
    "nguyen_c",
    "constant",
    "jin",
    "r_rational",
    "livermore",
    "feynman",
    "feynman_bonus",
    "strogatz",
    "srsd_easy",
    "srsd_medium",
    "srsd_hard",
    "srsd_easy_dummy",
    "srsd_medium_dummy",
    "srsd_hard_dummy",
    "dysts",
    "textbook",
    *RANDOM_SUITES,
)
_DUMMY = "_dummy"
_MAX_REDRAWS = 200


class Data(NamedTuple):
    """Rows of one problem: ``X`` of shape (R, D), ``y`` of shape (R,); noise is on ``y_train`` only."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    feature_names: list[str]


@dataclass(frozen=True)
class Problem:
    """One law to be found.

    Attributes
    ----------
    name, suite : str
    index : int
        Number within its suite, from 1.
    variables : tuple of str
        Columns of X in order, distractors included.
    expression : str
        The law as text in these variables.
    train, test : mapping
        How rows are drawn: ``n``, ``sampling``, ``ranges`` or ``t_span``.
    operators : tuple of str or None
        Published operator set; None where the suite has none.
    constants : bool or None
        Whether the published set has fitted constants.
    rejection : mapping
        ``abs_y_ge``, ``abs_y_gt``, ``abs_y_lt``: rows whose target is beyond are drawn again, as non-finite ones are.
    system : mapping or None
        Differential equations behind a trajectory.
    """

    name: str
    suite: str
    index: int
    variables: tuple[str, ...]
    expression: str
    train: Mapping[str, Any]
    test: Mapping[str, Any]
    operators: tuple[str, ...] | None = None
    constants: bool | None = None
    rejection: Mapping[str, float] = field(default_factory=dict)
    system: Mapping[str, Any] | None = None

    @cached_property
    def truth(self) -> sp.Expr:
        """The law as sympy, in the features ``x0, x1, ...`` that a search without column names uses."""
        symbols = feature_symbols([f"x{i}" for i in range(len(self.variables))])
        return parse(self.expression, dict(zip(self.variables, symbols, strict=True)))

    def target(self, X: np.ndarray) -> np.ndarray:
        """The law without noise on X of shape (R, D)."""
        return evaluate(self.truth, {f"x{i}": column for i, column in enumerate(X.T)})

    def sample(
        self,
        seed: int | np.random.Generator = 0,
        noise: float = 0.0,
        n: int | None = None,
        data_dir: str | Path | None = None,
    ) -> Data:
        """Draw training and test rows.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            The same integer gives the same rows for the same problem.
        noise : float
            Target noise of SRBench: ``y_train += N(0, noise * sqrt(mean(y_train**2)))``; test rows stay exact.
        n : int, optional
            Training rows, instead of the published number.
        data_dir : path, optional
            Folder with original files, where a suite has some; used for problems whose file is there.

        Raises
        ------
        ValueError
            If ``noise`` is negative or too few valid rows can be drawn.
        """
        if noise < 0:
            raise ValueError(f"noise: must not be negative, got {noise}")
        if not isinstance(seed, np.random.Generator):
            seed = np.random.default_rng([zlib.crc32(self.name.encode()), seed])
        kind = self.train["sampling"]
        if kind == "trajectories":
            X_train, X_test = self._split(self._all_states(data_dir), seed)
        elif kind == "trajectory":
            X_train, X_test = self._window(self.train), self._window(self.test)
        else:
            X_train, X_test = self._draw(self.train, seed, n), self._draw(self.test, seed)
        if n is not None and n < len(X_train):
            X_train = X_train[np.sort(seed.choice(len(X_train), n, replace=False))]
        y_train, y_test = self.target(X_train), self.target(X_test)
        if noise:
            y_train = y_train + seed.normal(0.0, noise * np.sqrt(np.mean(y_train**2)), len(y_train))
        return Data(X_train, np.array(y_train), X_test, np.array(y_test), list(self.variables))

    def _draw(self, spec: Mapping, rng: np.random.Generator, n: int | None = None) -> np.ndarray:
        n = spec["n"] if n is None else n
        kinds, ranges = spec["sampling"], spec["ranges"]
        if isinstance(kinds, str):
            kinds = [kinds] * len(self.variables)
        if np.ndim(ranges) == 1:
            ranges = [ranges] * len(self.variables)
        X = draw_columns(kinds, ranges, n, rng)
        if all(kind == "grid" for kind in kinds):
            return X
        X = X[self._valid(X)]
        for _ in range(_MAX_REDRAWS):
            if len(X) >= n:
                return X[:n]
            more = draw_columns(kinds, ranges, n, rng)
            X = np.vstack([X, more[self._valid(more)]])
        raise ValueError(f"n: only {len(X)} of {n} valid rows of {self.name} could be drawn")

    def _valid(self, X: np.ndarray) -> np.ndarray:
        y = self.target(X)
        size = np.abs(y)
        valid = np.isfinite(y)
        valid &= ~(size >= self.rejection.get("abs_y_ge", np.inf))
        valid &= ~(size > self.rejection.get("abs_y_gt", np.inf))
        return valid & ~(size < self.rejection.get("abs_y_lt", 0.0))

    def _window(self, spec: Mapping) -> np.ndarray:
        times = np.linspace(*spec["t_span"], spec["n"])
        states = trajectory(self.system, self.system["initial_conditions"], times)
        columns = [*self.system["variables"], "t"]
        return states[:, [columns.index(v) for v in self.variables]]

    def _all_states(self, data_dir: str | Path | None) -> np.ndarray:
        path = Path(data_dir) / self.train["file"] if data_dir is not None else None
        if path is not None and path.is_file():
            with path.open(newline="") as handle:
                rows = list(csv.DictReader(handle))
            return np.array([[float(row[v]) for v in self.variables] for row in rows])
        first, last = self.system["t_span"]
        times = np.linspace(first, last, self.system["n"], endpoint=False)
        starts = self.system["initial_conditions"]
        return np.vstack([trajectory(self.system, start, times)[:, :-1] for start in starts])

    def _split(self, X: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        order = rng.permutation(len(X))
        n_test = round(len(X) * self.test["n"] / (self.train["n"] + self.test["n"]))
        return X[order[n_test:]], X[order[:n_test]]


def _values(text: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    names = list(columns)
    law = parse(text, dict(zip(names, feature_symbols(names), strict=True)))
    return evaluate(law, columns) if law.free_symbols else np.full(len(columns[names[0]]), np.nan)


@cache
def _suite_facts(name: str) -> dict:
    if name in RANDOM_SUITES:
        return random_facts(name, _values)
    return json.loads((files("rsrm.benchmarks") / "problems" / f"{name}.json").read_text())


def suite_source(name: str) -> str:
    """Who published the suite."""
    return _suite_facts(name.removesuffix(_DUMMY))["source"]


def load_suite(name: str) -> list[Problem]:
    """All problems of a suite in published order.

    Raises
    ------
    ValueError
        If ``name`` is not in ``SUITES``.
    """
    if name not in SUITES:
        raise ValueError(f"name: unknown suite {name!r}; known: {', '.join(SUITES)}")
    problems = _problems(name, _suite_facts(name.removesuffix(_DUMMY)))
    return [add_dummies(problem) for problem in problems] if name.endswith(_DUMMY) else problems


@cache
def random_suite(kind: str, count: int, seed: int) -> list[Problem]:
    """So many laws of one of ``RANDOM_SUITES``, drawn with another seed than the suite has."""
    return _problems(kind, random_facts(kind, _values, count, seed))


def _problems(suite: str, facts: dict) -> list[Problem]:
    operators = facts["operators"]
    return [
        Problem(
            name=entry["name"],
            suite=suite,
            index=index,
            variables=tuple(entry["variables"]),
            expression=entry["expression"],
            train=entry["train"],
            test=entry.get("test", entry["train"]),
            operators=tuple(operators) if operators is not None else None,
            constants=facts["constants"],
            rejection=facts.get("rejection", {}),
            system=facts["systems"][entry["system"]] if "system" in entry else None,
        )
        for index, entry in enumerate(facts["problems"], start=1)
    ]


def load_problem(name: str) -> Problem:
    """The problem of this name, from whichever suite holds it first.

    Raises
    ------
    ValueError
        If no suite has it.
    """
    for suite in SUITES:
        for problem in load_suite(suite):
            if problem.name == name:
                return problem
    raise ValueError(f"name: no suite holds a problem {name!r}")


def add_dummies(problem: Problem) -> Problem:
    """The problem with distractor columns, by SRSD's rule (Matsubara et al., 2024).

    One, two or three columns, each at a random position, each log-uniform on ``[10**(k-1), 10**(k+1)]`` with ``k`` from
    -32 to 32, half of them with random signs. The draw depends on the name alone: it belongs to the problem.
    """
    rng = np.random.default_rng(zlib.crc32(problem.name.encode()))
    variables = list(problem.variables)
    kinds = problem.train["sampling"]
    kinds = [kinds] * len(variables) if isinstance(kinds, str) else list(kinds)
    ranges = problem.train["ranges"]
    ranges = [ranges] * len(variables) if np.ndim(ranges) == 1 else list(ranges)
    for number in range(rng.integers(1, 4)):
        position = int(rng.integers(0, len(variables) + 1))
        centre = int(rng.integers(-32, 33))
        variables.insert(position, f"dummy{number}")
        kinds.insert(position, "loguniform_pm" if rng.random() < 0.5 else "loguniform")
        ranges.insert(position, [10.0 ** (centre - 1), 10.0 ** (centre + 1)])
    spec = {"sampling": kinds, "ranges": ranges}
    return replace(
        problem,
        name=f"{problem.name}-dummy",
        variables=tuple(variables),
        train={**problem.train, **spec},
        test={**problem.test, **spec},
    )
