"""Kernels of the genetic agent against NumPy and slow twins, and the island that drives them."""

import math
import pickle

import numpy as np
import pytest

from rsrm.agents import scoring
from rsrm.agents.genetic import compete, new_front, offer
from rsrm.agents.island import Island
from rsrm.agents.readout import error_of
from rsrm.agents.rng import below, new_rng, next_uint, uniform
from rsrm.agents.scoring import new_data, new_scratch, score, score_snapped
from rsrm.agents.seen import ILLEGAL, fingerprint, make_rules, refuse
from rsrm.agents.variation import MAX_CONSTANTS, cross, mutate, new_alphabet, put_random
from rsrm.evaluate import values
from rsrm.export import parse, to_sympy
from rsrm.expression import Expression
from rsrm.library import Library
from rsrm.problem import Problem

LIBRARY = Library(2, constants=True)
X = np.random.default_rng(1).uniform(0.5, 2.0, (2, 24))
SCRATCH = new_scratch(40, 24)


def splitmix(state, count):
    """Return numbers of the published splitmix64 in Python integers."""
    mask, out = (1 << 64) - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


def test_generator_is_splitmix64():
    rng = np.array([12345], np.uint64)
    assert [int(next_uint(rng)) for _ in range(5)] == splitmix(12345, 5)
    draws = [below(rng, 7) for _ in range(7000)]
    assert min(draws) == 0 and max(draws) == 6 and 850 < np.bincount(draws).min()
    u = [uniform(rng) for _ in range(2000)]
    assert 0 <= min(u) and max(u) < 1 and abs(np.mean(u) - 0.5) < 0.03
    assert new_rng(3) == new_rng(3) and new_rng(3) != new_rng(4)


def call_score(text, mode, y, weights=None):
    e = parse(text, LIBRARY)
    w = np.ones((1, 24)) if weights is None else weights[None]
    data = new_data(X, y[None], w, np.random.default_rng(0))
    tokens = e.expanded
    return e, score(tokens, len(tokens), e.constants, mode, 0, data, LIBRARY.tables, SCRATCH), data


@pytest.mark.filterwarnings("error")
def test_a_target_beyond_the_range_of_numbers_is_never_reached():
    _, (loss, key), _ = call_score("x0", scoring.RAW, np.ones(24), np.full(24, 1e200))
    assert not loss < 1e100 and key == 0


@pytest.mark.parametrize(("text", "terms"), [
    ("sin(x0)*x1 - exp(x1)/x0 + x0", ["sin(x0)*x1", "exp(x1)/x0", "x0"]),
    ("x0*x1", ["x0*x1"]),
    ("x0 + x0*1.5 + x1", ["x0", "x0*1.5", "x1"]),
])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_least_squares(text, terms, weighted):
    rng = np.random.default_rng(2)
    y = rng.standard_normal(24)
    w = rng.uniform(0.2, 3.0, 24) if weighted else np.ones(24)
    spread = np.sqrt(np.average((y - np.average(y, weights=w**2)) ** 2, weights=w**2))
    for mode in (scoring.RAW, scoring.SCALED, 6):
        _, (nrmse, key), _ = call_score(text, mode, y, w)
        if mode == scoring.RAW:
            r = y - values(parse(text, LIBRARY), X.T)[0]
        else:
            columns = [text] if mode == scoring.SCALED else terms
            A = np.array([values(parse(t, LIBRARY), X.T)[0] for t in columns] + [np.ones(24)]).T
            r = y - A @ np.linalg.lstsq(A * w[:, None], y * w, rcond=None)[0]
        assert nrmse == pytest.approx(np.sqrt(np.average(r**2, weights=w**2)) / spread, rel=1e-9)
        assert key != 0


def test_powers_fit_a_product_of_powers_exactly():
    y = 3.0 * X[0] ** 1.5 / X[1] ** 2
    _, (nrmse, _), _ = call_score("x0*x1", -3, np.log(y))
    assert nrmse < 1e-13
    _, (nrmse, _), _ = call_score("x0*(x1 + 1.5)", -3, np.log(y))
    assert nrmse > 1e-3


def test_invalid_expressions_score_infinity():
    for mode in (0, 1, 3):
        assert call_score("log(x0 - 2.5)", mode, X[0])[1] == (math.inf, 0)
    assert call_score("x0/x0", 1, X[0])[1][0] == math.inf


def test_equal_residuals_share_a_key_and_others_do_not():
    y = np.sin(3 * X[0]) + X[1]
    same = [call_score(t, 1, y)[1][1] for t in ("x0 + x1", "x1 + x0 + 2", "3 - x0 - x1")]
    assert len(set(same)) == 1
    assert call_score("x0 + 2*x1", 1, y)[1][1] != same[0]


def test_snapped_coefficients_must_be_simple():
    y = 2.0 * X[0] ** 2 - X[1] / 3 + 1
    _, (nrmse, _), data = call_score("x0*x0 + x1", 3, y)
    assert nrmse < 1e-12 and score_snapped(0, data, SCRATCH) < 1e-12
    y = 2.123 * X[0] ** 2 - X[1] / 3 + 1
    _, (nrmse, _), data = call_score("x0*x0 + x1", 3, y)
    assert nrmse < 1e-12 and score_snapped(0, data, SCRATCH) > 1e-2


RULES = make_rules()


def mark(text, rules=RULES):
    e = parse(text, LIBRARY)
    n = e.complexity
    return fingerprint(e.expanded, n, rules, LIBRARY.tables, np.zeros(n + 1, np.uint64), np.zeros(n + 1, np.uint64),
                       np.zeros(n + 1, np.int64))


def test_fingerprint_is_canonical_and_knows_the_rules():
    assert mark("x0 + sin(x1*x0)")[0] == mark("sin(x0*x1) + x0")[0]
    assert mark("x0 - x1")[0] != mark("x1 - x0")[0]
    assert mark("x0/x1")[0] != mark("x1/x0")[0]
    for text in ("x0", "exp(x0)*x1", "sqrt(x0 + x1*x1)"):
        assert mark(text)[1] == parse(text, LIBRARY).depth
    for text in ("sin(x0 + cos(x1))", "exp(log(x0))", "x0*sin(2)", "x1 + (1.5 + 2)"):
        assert mark(text)[1] == ILLEGAL
    free = make_rules({"exp": {"sqrt": 0}}, True, True)
    assert mark("sin(cos(x1))", free)[1] == 3
    assert mark("exp(x0*sqrt(x1))", free)[1] == ILLEGAL
    texts = [f"{a}{op}{b}" for a in ("x0", "x1", "sin(x0)", "exp(x1)") for b in ("x0", "sqrt(x1)", "log(x0)")
             for op in "-/"]
    assert len({mark(t)[0] for t in texts}) == len(texts)


def test_refusal_is_of_repeats_that_are_no_shorter():
    table = np.zeros(16, np.uint32)
    key = np.uint64(0xABCDEF0000000005)
    assert not refuse(table, key, 9)
    assert refuse(table, key, 9) and refuse(table, key, 12)
    assert not refuse(table, key, 7) and refuse(table, key, 9)
    assert not refuse(table, key + np.uint64(1 << 40), 9), "another key in the same slot is not a repeat"


def test_every_child_is_a_complete_expression_with_its_constants():
    alphabet = new_alphabet(LIBRARY, [parse("x0*sin(x1 + 1.5)", LIBRARY)])
    rng = new_rng(0)
    arity, constant = LIBRARY.tables.arity, LIBRARY.constant
    a, b, c = (np.zeros(30, np.int16) for _ in range(3))
    ca, cb, cc = (np.zeros(MAX_CONSTANTS) for _ in range(3))
    made = set()
    for trial in range(3000):
        na, ma = put_random(rng, *alphabet, 2 + trial % 12, 0.3, constant, a, ca, 0, 0)
        nb, mb = put_random(rng, *alphabet, 2 + trial % 7, 0.3, constant, b, cb, 0, 0)
        if na < 0 or nb < 0:
            continue
        if trial % 2:
            n, m = cross(rng, a, na, ca, b, nb, cb, arity, constant, c, cc)
        else:
            n, m, structural = mutate(rng, a, na, ca, *alphabet, 0.2, arity, constant, c, cc)
        if n < 0:
            continue
        child = Expression(c[:n].copy(), cc[:m].copy(), LIBRARY)  # raises if it is not complete
        assert LIBRARY.tables.allowed[child.tokens].all()
        if trial % 2 and m:
            assert set(child.constants) <= set(ca[:ma]) | set(cb[:mb])
        made.add(child.tokens.tobytes())
    assert len(made) > 1500


def test_crossover_takes_a_subtree_of_each_parent():
    a, b = parse("sin(x0)*3.5 + exp(x0*4.5)", LIBRARY), parse("x1/2.5 - sqrt(x1*5.5)", LIBRARY)
    rng, c, cc = new_rng(1), np.zeros(30, np.int16), np.zeros(MAX_CONSTANTS)
    pad = [np.concatenate([e.constants, np.zeros(MAX_CONSTANTS)]) for e in (a, b)]
    texts = {str(to_sympy(parse("x0", LIBRARY)))}
    for _ in range(200):
        n, m = cross(rng, a.expanded, a.complexity, pad[0], b.expanded, b.complexity, pad[1], LIBRARY.tables.arity,
                     LIBRARY.constant, c, cc)
        child = Expression(c[:n].copy(), cc[:m].copy(), LIBRARY)
        tokens, whole = child.tokens.tolist(), b.expanded.tolist()
        # What a and the child share at both ends, taken away, must be a sub-tree of b.
        slices = [whole[i:j] for i in range(len(whole)) for j in range(i + 1, len(whole) + 1)]
        assert any(tokens[:i] == a.expanded.tolist()[:i] and tokens[i:i + len(s)] == s
                   and tokens[i + len(s):] == a.expanded.tolist()[len(a.expanded) - (n - i - len(s)):]
                   for s in slices for i in range(n - len(s) + 1))
        texts.add(tuple(tokens))
    assert len(texts) > 20


def test_tournament_prefers_the_fitter():
    rng, fitness = new_rng(0), np.arange(50.0)
    low = np.mean([compete(rng, fitness, 50, 5, 1.0) for _ in range(500)])
    high = np.mean([compete(rng, fitness, 50, 5, -1.0) for _ in range(500)])
    assert low < 13 and high > 37


def test_front_keeps_no_dominated_entry():
    front = new_front(10)
    tokens, constants = np.zeros(10, np.int16), np.zeros(MAX_CONSTANTS)
    assert offer(front, tokens, 5, constants, 0.5, 0, 0)
    assert not offer(front, tokens, 5, constants, 0.5, 0, 0)
    assert not offer(front, tokens, 7, constants, 0.6, 0, 0)
    assert offer(front, tokens, 3, constants, 0.7, 0, 0)
    assert offer(front, tokens, 7, constants, 0.1, 0, 0)


def island(y, seed=0, constants=False, operators=("add", "sub", "mul", "div", "sin", "cos", "exp", "log"), **options):
    return Island.create(Problem(X, y, Library(2, operators, constants=constants)), seed=seed, max_size=20, **options)


def test_an_island_finds_laws_and_reports_true_errors():
    law = island(np.sin(X[0] ** 2) * X[1] + X[0])
    improvements = law.round(evaluations=300000)
    expression, error = law.pareto()[-1]
    assert error < 1e-9 and any(e == expression for e, _ in improvements)
    for e, err in law.pareto():
        assert err == pytest.approx(np.sqrt(np.mean((values(e, X.T)[0] - law.problem.y) ** 2)) / np.std(law.problem.y),
                                    rel=1e-6, abs=1e-12)
        assert set(e.library.name(int(t)) for t in e.expanded) <= {
            *law.problem.library.operators, "x0", "x1", "1", "2", "pi", "C"}
        assert all(v * 12 == pytest.approx(round(v * 12)) for v in e.constants)


def test_constants_inside_are_fitted():
    found = 0
    for seed in range(3):  # a single one may be caught in a local optimum
        law = island(2.5 * np.exp(-0.7 * X[0] ** 2) + 1.3, constants=True, seed=seed)
        law.round(evaluations=60000)
        found += law.pareto()[-1][1] < 1e-9
    assert found >= 2


def test_results_depend_on_the_seed_only_and_survive_pickling():
    y = np.tanh(X[0]) * X[1]
    a, b, c = island(y, 5), island(y, 5), island(y, 6)
    a.round(evaluations=10000)
    a.round(evaluations=10000)
    b.round(evaluations=10000)
    b = pickle.loads(pickle.dumps(b))
    b.round(evaluations=10000)
    c.round(evaluations=20000)
    assert a.hall == b.hall and a.n_evaluations == b.n_evaluations
    assert a.hall != c.hall


def test_weights_decide_which_rows_count():
    w = np.where(np.arange(24) < 20, 1.0, 0.0)
    y = X[0] * X[1] + np.where(w > 0, 0.0, 50.0)
    law = Island.create(Problem(X, y, Library(2), w), seed=0, max_size=12)
    law.round(evaluations=30000)
    assert law.pareto()[-1][1] < 1e-9
    assert error_of(law.problem, parse("x0*x1", Library(2))) < 1e-9


def test_limits_are_checked():
    law = island(X[0])
    with pytest.raises(ValueError, match="limit"):
        law.round()
    with pytest.raises(ValueError, match="negative"):
        law.round(seconds=-1.0)
