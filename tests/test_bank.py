"""The bank against its naive twin, and the properties that users of it rely on."""

import pickle
import time

import numpy as np
import pytest

from rsrm._simd import LANES
from rsrm.bank import Bank
from rsrm.bank_store import new_store
from rsrm.closing import column
from rsrm.evaluate import values
from rsrm.expression import apply, variable
from rsrm.library import Library
from rsrm.primitives import BY_OPCODE
from tests import naive_bank


def make(operators, D=2, seed=0, **options):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 3.0, (D, 60))
    lib = Library(D, operators, constants=options.pop("constants", True), literals=options.pop("literals", True))
    return X, lib, Bank.enumerate(X, lib, rng=rng, **options)


@pytest.mark.parametrize("operators", [
    ("add", "mul"), ("add", "sub", "mul", "div"), ("mul", "sub", "sqrt", "exp", "log"),
    ("add", "div", "sin", "cos", "square")])
def test_entries_are_those_of_the_naive_enumeration(operators):
    X, lib, bank = make(operators, numbers=(), constants=False, literals=False, max_entries=3000, max_cost=5)
    everything, sizes = naive_bank.directions(bank.columns, operators, 5)
    unit = bank.values / np.linalg.norm(bank.values, axis=1, keepdims=True)
    assert len(bank) == len(everything)
    # Each naive value is there up to sign, and at the same complexity.
    cosine = np.abs(everything @ unit.T)
    at = cosine.argmax(1)
    np.testing.assert_allclose(cosine.max(1), 1.0, atol=1e-12)
    assert len(set(at)) == len(at)
    # Entries of one cost and value may differ in nodes, depending on the order inside the level.
    assert (bank.complexity[at] == sizes).mean() > 0.95


def test_entries_rebuild_to_expressions_with_the_same_values_and_allowed_operators_only():
    operators = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "tanh")
    X, lib, bank = make(operators, max_entries=4000)
    assert len(bank) == 4000
    rng = np.random.default_rng(3)
    for i in [*range(60), *rng.integers(0, len(bank), 300)]:
        e = bank.expression(int(i))
        np.testing.assert_allclose(column(e, bank.columns), bank.values[i], rtol=1e-9)
        used = {BY_OPCODE[int(c)].name for c in lib.tables.opcode[e.tokens] if int(c) in BY_OPCODE}
        assert used <= set(operators)
    with pytest.raises(IndexError):
        bank.expression(len(bank))


def test_no_two_entries_are_proportional():
    _, _, bank = make(("add", "sub", "mul", "div", "sqrt", "sin"), max_entries=2500)
    values = bank.values[~bank.is_number]
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    gram = np.abs(unit @ unit.T)
    np.fill_diagonal(gram, 0.0)
    assert gram.max() < 1.0 - 1e-15 and (gram > 1.0 - 1e-14).sum() <= 4


def test_find_add_capacity_pickle_and_errors():
    X, lib, bank = make(("add", "mul", "sin"), max_entries=500)
    assert len(bank) == 500
    v = bank.values[77]
    assert bank.find(-3.7 * v) == 77
    assert bank.find(v + 1e-3 * np.abs(v).max() * np.cos(np.arange(len(v)))) == -1
    assert bank.add([variable(lib, 0)]) == 0
    again = pickle.loads(pickle.dumps(bank))
    assert again.find(v) == 77 and again.expression(77) == bank.expression(77)
    light = bank.without_values()
    assert len(light) == 500 and len(pickle.dumps(light)) < 0.2 * len(pickle.dumps(bank))
    assert [light.expression(i) for i in range(0, 500, 7)] == [bank.expression(i) for i in range(0, 500, 7)]
    assert light.find(v) == -1 and light.add([apply(lib, "mul", variable(lib, 0), bank.expression(77))]) == 0
    small = Bank.enumerate(X, lib, max_entries=50, max_cost=3, rng=np.random.default_rng(0))
    new = apply(lib, "exp", apply(lib, "mul", variable(lib, 0), variable(lib, 1)))
    assert small.add([new, new]) == 1
    assert small.expression(len(small) - 1) == new
    with pytest.raises(ValueError, match="X"):
        Bank.enumerate(X[:1], lib, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="max_entries"):
        Bank.enumerate(X, lib, max_entries=0, rng=np.random.default_rng(0))


@pytest.mark.parametrize(("rows", "kept"), [(20, 24), (24, 24), (33, 32)])
def test_few_rows_take_less_room(rows, kept):
    X = np.random.default_rng(0).uniform(1.0, 2.0, (1, rows))
    bank = Bank.enumerate(X, Library(1), max_entries=50, rng=np.random.default_rng(0))
    assert bank.values.shape[1] == kept and len(set(bank.rows)) == min(rows, 32)


def test_given_leaves_are_built_upon():
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 2, (3, 40))
    lib = Library(3, ("add", "mul", "sin"))
    leaf = apply(lib, "mul", variable(lib, 0), variable(lib, 2))
    bank = Bank.enumerate(X, lib, leaves=[leaf], numbers=(), max_entries=100, max_cost=6, rng=rng)
    wanted = np.sin(X[0] * X[2])[bank.rows]
    assert bank.find(wanted) >= 0
    for i in range(len(bank)):
        assert 1 not in bank.expression(i).tokens


def test_same_seed_same_bank_and_the_deadline_holds():
    operators = ("add", "sub", "mul", "div", "sqrt", "exp", "log", "sin", "cos")
    a, b = (make(operators, D=3, max_entries=20_000)[2] for _ in range(2))
    np.testing.assert_array_equal(a.values, b.values)
    X = np.random.default_rng(0).uniform(1, 2, (3, 50))
    start = time.perf_counter()
    Bank.enumerate(X, Library(3, operators), max_entries=1_000_000, deadline=start + 0.2, rng=np.random.default_rng(0))
    assert time.perf_counter() - start < 0.6


def test_memory_stays_below_300_bytes_an_entry():
    bank = make(("add", "mul"), max_entries=20_000, max_cost=3)[2]
    capacity = len(bank.store.key)
    assert sum(a.nbytes for a in bank.store) < 300 * capacity


@pytest.mark.parametrize(("rows", "asked"), [(20, 20), (20, 48), (25, 30), (100, 30), (7, 3), (64, 17)])
def test_any_number_of_rows_can_be_asked_for(rows, asked):
    library = Library(2, ("add", "mul", "div", "pow", "sqrt", "log", "sin"))
    X = np.random.default_rng(rows).uniform(0.5, 2.0, (2, rows))
    bank = Bank.enumerate(X, library, max_entries=500, rng=np.random.default_rng(0), n_rows=asked)
    assert len(bank) == 500 and bank.values.shape[1] % LANES == 0 and bank.values.shape[1] >= min(rows, asked)
    np.testing.assert_array_equal(bank.columns, X[:, bank.rows])
    for i in range(0, 500, 7):
        wanted, ok = values(bank.expression(i), bank.columns.T)
        assert ok
        scale = bank.values[i] @ wanted / (wanted @ wanted)
        np.testing.assert_allclose(bank.values[i], scale * wanted, rtol=1e-9, atol=1e-12)


def test_kernels_never_see_parts_of_vectors():
    with pytest.raises(ValueError, match="n_rows"):
        new_store(10, 30)
