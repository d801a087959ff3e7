"""The evaluator against recursion over NumPy arrays."""

from tests import naive_evaluate
import numpy as np
import pytest

from rsrm.evaluate import BLOCK, ROWS, evaluate, evaluate_batch, evaluate_rows, values
from rsrm.expression import Expression, apply, number, variable
from rsrm.library import PAD, PARAM0, Library
from rsrm.primitives import PRIMITIVES

LIB = Library(3)
SIZES = (1, 5, 8, 20, ROWS - 1, ROWS, ROWS + 3, 3 * ROWS + 17)


def grow(rng, size, operators=PRIMITIVES):
    """Return random prefix tokens of exactly `size` nodes."""
    if size == 1:
        return [int(rng.integers(0, LIB.first_promoted - len(PRIMITIVES)))]
    one = [p for p in operators if p.arity == 1]
    two = [p for p in operators if p.arity == 2]
    if size == 2 or rng.random() < 0.4:
        return [LIB.token(one[rng.integers(len(one))].name)] + grow(rng, size - 1, operators)
    left = int(rng.integers(1, size - 1))
    head = [LIB.token(two[rng.integers(len(two))].name)]
    return head + grow(rng, left, operators) + grow(rng, size - 1 - left, operators)


def sample(rng, n, largest=25):
    """Return random expressions."""
    found = []
    for _ in range(n):
        tokens = np.array(grow(rng, int(rng.integers(1, largest))), np.int16)
        found.append(Expression(tokens, rng.normal(size=int((tokens == LIB.constant).sum())), LIB))
    return found


def agree(got, want):
    """Return whether values agree; rounding may grow through a tree, and where a function is steep it decides."""
    close = np.isclose(got, want, rtol=1e-7, atol=1e-12, equal_nan=True)
    return close.mean() > 0.999 or close.all()


@pytest.mark.parametrize("rows", SIZES)
def test_values_agree_with_the_slow_twin(rows):
    rng = np.random.default_rng(rows)
    X = rng.normal(size=(3, rows))
    for e in sample(rng, 150):
        want = naive_evaluate.evaluate(e.tokens, e.constants, X, 3)
        got, ok = values(e, X.T)
        # Angles of ten digits and more turn the last bit of their argument into another value.
        if np.nanmax(np.abs(np.where(np.isfinite(want), want, 0.0)), initial=0.0) < 1e6:
            assert agree(got, want) or _ill_conditioned(e, X), e.tokens
        if np.array_equal(np.isfinite(got), np.isfinite(want)):
            assert ok == np.isfinite(want).all()


def _ill_conditioned(e, X):
    """Return whether a relative change of 1e-15 in the data moves the values by more than 1e-8."""
    with np.errstate(all="ignore"):
        a = naive_evaluate.evaluate(e.tokens, e.constants, X, 3)
        b = naive_evaluate.evaluate(e.tokens, e.constants * (1.0 + 1e-15), X * (1.0 + 1e-15), 3)
        return not np.allclose(a, b, rtol=1e-8, equal_nan=True)


@pytest.mark.parametrize("rows", SIZES)
def test_rational_expressions_agree_to_rounding(rows):
    rng = np.random.default_rng(rows)
    X = rng.uniform(0.5, 2.0, (3, rows))
    operators = [p for p in PRIMITIVES if p.name in ("add", "mul", "sqrt", "div", "square")]
    for _ in range(60):
        tokens = np.array(grow(rng, int(rng.integers(1, 12)), operators), np.int16)
        e = Expression(tokens, rng.uniform(0.5, 2.0, int((tokens == LIB.constant).sum())), LIB)
        got, ok = values(e, X.T)
        want = naive_evaluate.evaluate(tokens, e.constants, X, 3)
        assert ok == np.isfinite(want).all()
        np.testing.assert_allclose(got, want, rtol=1e-11)


@pytest.mark.parametrize("rows", SIZES)
def test_one_undefined_row_is_seen_and_the_others_stay_right(rows):
    for bad in {0, rows // 2, rows - 1}:
        X = np.random.default_rng(3).uniform(1.0, 2.0, (3, rows))
        X[0, bad] = -1.0
        e = apply(LIB, "add", apply(LIB, "log", variable(LIB, 0)), number(LIB, 2.0))
        got, ok = values(e, X.T)
        assert not ok and np.isnan(got[bad])
        keep = np.arange(rows) != bad
        np.testing.assert_allclose(got[keep], np.log(X[0, keep]) + 2.0, rtol=1e-14)
        stack, out = np.empty((e.length, BLOCK)), np.empty(rows)
        assert not evaluate(e.tokens, e.length, e.constants, X, LIB.tables, stack, out)


def test_nothing_outside_is_read_or_written():
    rng = np.random.default_rng(5)
    for rows in SIZES:
        store = np.full((5, rows), np.nan)  # variables beyond 0..2 do not exist for the library
        store[:3] = rng.uniform(1.0, 2.0, (3, rows))
        guarded = np.full(rows + 16, 7.25)
        for e in sample(rng, 20, 9):
            stack = np.full((e.length + 2, BLOCK), np.nan)
            evaluate_rows(e.tokens, e.length, e.constants, store[:3], LIB.tables, stack[1:-1], guarded[8:-8])
            assert (guarded[:8] == 7.25).all() and (guarded[-8:] == 7.25).all()
            assert np.isnan(stack[0]).all() and np.isnan(stack[-1]).all()


def test_batch_is_the_same_as_one_by_one():
    rng = np.random.default_rng(6)
    expressions = sample(rng, 80)
    X = rng.normal(size=(3, 77))
    longest = max(e.length for e in expressions)
    tokens = np.full((80, longest), PAD, np.int16)
    constants = np.zeros((80, longest))
    for i, e in enumerate(expressions):
        tokens[i, :e.length] = e.tokens
        constants[i, :len(e.constants)] = e.constants
    out, ok = np.empty((80, 77)), np.empty(80, np.bool_)
    lengths = np.array([e.length for e in expressions])
    evaluate_batch(tokens, lengths, constants, X, LIB.tables, np.empty((longest, BLOCK)), out, ok)
    for i, e in enumerate(expressions):
        want, fine = values(e, X.T)
        assert ok[i] == fine
        np.testing.assert_array_equal(out[i], want)


def test_promoted_operators_are_written_out():
    plain = Library(2)
    lib = plain.promote("wave", 1, [plain.token("sin"), plain.token("mul"), 0, PARAM0])
    e = Expression(np.array([lib.first_promoted, 1]), np.empty(0), lib)
    X = np.random.default_rng(7).normal(size=(33, 2))
    np.testing.assert_allclose(values(e, X)[0], np.sin(X[:, 0] * X[:, 1]), rtol=1e-14, atol=1e-16)


def test_wrong_columns_are_refused():
    with pytest.raises(ValueError, match="X"):
        values(variable(LIB, 0), np.ones((4, 2)))
