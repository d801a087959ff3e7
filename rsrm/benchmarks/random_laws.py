"""Suites of random laws: what the search does with problems that nobody has seen.

Every suite is a distribution, drawn with a fixed seed: nobody chose its laws, and other seeds give as many more as one
likes. Four kinds stand for what the published suites are made of:

* ``random_trees``: expression trees of operators drawn at random, hardly any numbers, 20 to 200 rows;
* ``random_sums``: sums of two to four terms with coefficients of two or three digits, each a product of powers and of a
  function with numbers inside, as in rate equations and in the tests of regression software;
* ``random_quotients``: products and quotients of powers, sums of squares, differences and functions of a few
  variables, as in physics, sometimes solved for another variable;
* ``random_rates``: rate equations along their trajectories (:mod:`rsrm.benchmarks.random_rates`).
"""

import numpy as np

from rsrm.benchmarks.random_rates import rate_problem

COUNT = 60
SEED = 20261125
_ROWS = 2000
_MOST = 1e4
"""A law whose largest value is further from its median than this many spreads shows one row only."""
_LEAST = 1e-2
"""Share of the spread that every variable has to account for."""

_UNARY = ("sin({})", "cos({})", "exp({})", "log({})", "sqrt({})", "({})**2", "tanh({})", "({})**3")
_BINARY = ("({} + {})", "({} - {})", "({} * {})", "({} / {})")


class _Draw:
    """Random pieces of text over some variables."""

    def __init__(self, rng: np.random.Generator, n_variables: int):
        self.rng = rng
        self.names = [f"x{i}" for i in range(n_variables)]

    def one(self, options):
        return options[self.rng.integers(len(options))]

    def number(self) -> str:
        """A number as people write it: mostly of two digits, sometimes negative."""
        size = 10.0 ** self.rng.uniform(-1.0, 1.0)
        return f"{size:.{self.rng.integers(1, 3)}g}"

    def tree(self, size: int) -> str:
        """A tree of `size` nodes."""
        if size == 1:
            return self.one(self.names) if self.rng.random() < 0.9 else self.one(("1", "2", "3"))
        if size == 2 or self.rng.random() < 0.35:
            return self.one(_UNARY).format(self.tree(size - 1))
        left = int(self.rng.integers(1, size - 1))
        return self.one(_BINARY).format(self.tree(left), self.tree(size - 1 - left))

    def power(self, name: str) -> str:
        return name + self.one(("", "", "", "**2", "**2", "**3", "**0.5"))

    def function(self, name: str) -> str:
        """A function of one variable with numbers inside."""
        form = self.one(("sin({a}*{x})", "cos({a}*{x} + {b})", "exp(-{a}*{x})", "log({a} + {x}**2)", "{x}/({a} + {x})",
                         "1/(1 + {a}*{x}**2)", "tanh({a}*{x})", "exp(-{x}**2/{a})", "sqrt({a} + {x}**2)", "abs({x})"))
        return form.format(x=name, a=self.number(), b=self.number())

    def term(self) -> str:
        chosen = self.rng.choice(self.names, min(int(self.rng.integers(1, 3)), len(self.names)), replace=False)
        factors = [self.function(name) if self.rng.random() < 0.35 else self.power(name) for name in chosen]
        return "*".join([self.number(), *factors])

    def sum(self) -> str:
        terms = [self.term() for _ in range(int(self.rng.integers(2, 5)))]
        return terms[0] + "".join(f" {self.one('+-')} {term}" for term in terms[1:])

    def quotient(self) -> str:
        """A law of all variables: parts that are joined until one is left."""
        parts = list(self.names)
        while len(parts) > 1:
            self.rng.shuffle(parts)
            a, b, *parts = parts
            form = self.one(("{a}*{b}", "{a}*{b}", "{a}/{b}", "{a}/{b}", "{a}*({b})**2", "{a}/({b})**2", "({a} + {b})",
                             "({a} - {b})", "({a}**2 + {b}**2)", "sqrt({a}**2 + {b}**2)", "{a}*sin({b})",
                             "{a}*cos({b})", "{a}*(1 - cos({b}))", "(1 + {a}*{b})", "(1 - {a}/{b})", "exp(-{a}/{b})",
                             "{a}/(1 + {b})", "1/(1/{a} + 1/{b})", "{a}*exp(-{b})", "sqrt({a}*{b})", "sqrt({a}/{b})"))
            parts.append(form.format(a=a, b=b) if form.startswith(("(", "sqrt", "exp"))
                         else f"({form.format(a=a, b=b)})")
        return self.one(("{}", "{}", "{}", "2*{}", "{}/2", "pi*{}", "4*pi*{}", "sqrt({})", "1/{}")).format(parts[0])


def _range(kind: str, rng: np.random.Generator) -> list[float]:
    if kind == "random_trees":
        return [[-1.0, 1.0], [0.0, 2.0], [0.5, 4.0], [-3.0, 3.0]][rng.integers(4)]
    if kind == "random_sums":
        return [[0.1, 3.0], [-3.0, 3.0], [0.5, 10.0]][rng.integers(3)]
    return [[1.0, 3.0], [1.0, 5.0]][rng.integers(2)]


def _text(kind: str, rng: np.random.Generator) -> tuple[str, int]:
    """Return a law and its number of variables."""
    if kind == "random_trees":
        n = int(rng.choice((1, 1, 2, 2, 3, 4)))
        return _Draw(rng, n).tree(int(rng.integers(2 * n + 3, 2 * n + 9))), n
    if kind == "random_sums":
        n = int(rng.choice((1, 2, 2, 3, 4)))
        return _Draw(rng, n).sum(), n
    n = int(rng.integers(2, 7))
    return _Draw(rng, n).quotient(), n


RANDOM_SUITES = ("random_trees", "random_sums", "random_quotients", "random_rates")


def random_facts(kind: str, evaluate, count: int = COUNT, seed: int = SEED) -> dict:
    """Return the facts of a suite in the form of the files in ``problems/``.

    Parameters
    ----------
    kind : str
        One of :data:`RANDOM_SUITES`.
    evaluate : callable
        ``evaluate(text, {name: float64[R]})`` returns the values of a law.
    count : int
        How many laws.
    seed : int

    Returns
    -------
    facts : dict
    """
    problems, systems = [], {}
    for k in range(1, count + 1):
        rng = np.random.default_rng([RANDOM_SUITES.index(kind), k, seed])
        if kind == "random_rates":
            problem, systems[f"{kind}-{k}"] = rate_problem(f"{kind}-{k}", evaluate, rng)
            problems.append(problem)
            continue
        while True:
            text, n = _text(kind, rng)
            low, high = _range(kind, rng)
            if _telling(text, n, low, high, evaluate, rng):
                break
        rows = int(rng.choice((20, 100, 200))) if kind == "random_trees" else int(rng.choice((100, 300, 1000)))
        problems.append({"name": f"{kind}-{k}", "variables": [f"x{i}" for i in range(n)], "expression": text,
                         "train": {"n": rows, "sampling": "uniform", "ranges": [low, high]},
                         "test": {"n": 1000, "sampling": "uniform", "ranges": [low, high]}})
    return {"suite": kind, "source": f"drawn at random, seed {seed}", "operators": None, "constants": None,
            "systems": systems, "problems": problems}


def _telling(text: str, n: int, low: float, high: float, evaluate, rng: np.random.Generator) -> bool:
    """Return whether a law is finite everywhere, no row dwarfs the others, and every variable matters."""
    columns = {f"x{i}": rng.uniform(low, high, _ROWS) for i in range(n)}
    with np.errstate(all="ignore"):
        y = evaluate(text, columns)
        if not np.isfinite(y).all() or np.std(y) == 0 or np.abs(y - np.median(y)).max() > 30 * np.std(y):
            return False
        if np.std(y) > _MOST or np.std(y) < 1e-2 * np.abs(np.mean(y)):
            return False
        for name in columns:
            shuffled = columns | {name: rng.permutation(columns[name])}
            if not np.std(evaluate(text, shuffled) - y) > _LEAST * np.std(y):
                return False
    return True
