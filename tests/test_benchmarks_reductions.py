"""Random laws for the tree search over reductions: text and numbers agree, and runs keep their limits."""

from argparse import Namespace

import numpy as np
import sympy as sp

from rsrm.agents.reduction import Policy
from rsrm.benchmarks import reductions


def test_the_text_of_a_random_law_is_its_values():
    rng = np.random.default_rng(5)
    for _ in range(8):
        law = reductions.random_law(rng)
        D = len(law.X)
        assert reductions.VARIABLES[0] <= D <= reductions.VARIABLES[1] and np.isfinite(law.y).all()
        symbols = sp.symbols(f"x0:{D}", positive=True)
        parsed = sp.sympify(law.text, locals={s.name: s for s in symbols})
        assert parsed.free_symbols <= set(symbols)
        np.testing.assert_allclose(sp.lambdify(symbols, parsed, "numpy")(*law.X), law.y, rtol=1e-9, atol=1e-12)


def test_a_run_finds_an_easy_law_and_stops_at_its_limit_on_noise():
    X = np.random.default_rng(1).uniform(1.0, 4.0, (4, 600))
    easy = reductions.Law("", X, X[0] * X[1] / (X[2] + X[3]))
    found, _, fits, closings = reductions.run(easy, 60.0, Policy())
    assert found and fits > 0 and closings > 0
    hard = reductions.Law("", X, np.sin(40.0 * X).sum(0))
    found, seconds, *_ = reductions.run(hard, 0.5, Policy())
    assert not found and seconds < 3.0


def test_the_table_has_a_row_for_every_variant(capsys):
    reductions.main(Namespace(laws=1, time=0.5, seed=0, show=False))
    out = capsys.readouterr().out
    assert all(name in out for name in reductions.VARIANTS)
