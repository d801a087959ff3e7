"""The hall of fame against a plain dictionary."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsrm.expression import Expression, apply, number, variable
from rsrm.hall_of_fame import HallOfFame, front_scores
from rsrm.library import Library

LIBRARY = Library(2)


def tower(height, seed=0):
    """Return an expression of complexity 2*height + 1 with one constant."""
    e = number(LIBRARY, float(seed))
    for _ in range(height):
        e = apply(LIBRARY, "add", variable(LIBRARY, 0), e)
    return e


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 10), st.integers(0, 9)), max_size=30))
def test_it_keeps_the_minimum_of_each_complexity(entries):
    hall, twin = HallOfFame(LIBRARY, 11), {}
    for height, error, seed in entries:
        e = tower(height, seed)
        expected = e.complexity <= 11 and error < twin.get(e.complexity, (np.inf,))[0]
        assert hall.add(e, error) == expected
        if expected:
            twin[e.complexity] = (error, e)
    assert len(hall) == len(twin)
    for n, (error, e) in twin.items():
        assert hall.get(n) == e and hall.errors[n] == error
    front = hall.pareto()
    expected = [(e, err) for n, (err, e) in sorted(twin.items()) if all(err < twin[k][0] for k in twin if k < n)]
    assert front == expected
    if twin:
        assert hall.best()[1] == min(err for err, _ in twin.values()) == front[-1][1]
    copy = pickle.loads(pickle.dumps(hall))
    assert copy == hall


def test_not_finite_errors_are_refused():
    hall = HallOfFame(LIBRARY, 9)
    assert not hall.add(tower(0), np.nan) and not hall.add(tower(0), np.inf)
    assert hall.best() is None and hall.select() is None and hall.get(1) is None and hall.get(99) is None


def test_selection_rules():
    hall = HallOfFame(LIBRARY, 20)
    for height, error in ((0, 1.0), (1, 0.01), (2, 0.009), (3, 0.001), (4, 0.00099)):
        hall.add(tower(height), error)
    assert hall.select("accuracy")[0] == tower(4)
    assert hall.select("score")[0] == tower(1)
    assert hall.select("best")[0] == tower(3)
    scores = front_scores(hall.pareto())
    assert scores[0] == 0 and scores[1] == pytest.approx(np.log(100) / 2)
    with pytest.raises(ValueError, match="rule"):
        hall.select("nicest")
    with pytest.raises(ValueError, match="max_complexity"):
        HallOfFame(LIBRARY, 0)


def test_promoted_operators_are_written_out():
    library = LIBRARY.promote("shift", 1, [LIBRARY.token("add"), -2, LIBRARY.token("1")])
    e = Expression(np.array([library.first_promoted, 0]), np.empty(0), library)
    hall = HallOfFame(library, 9)
    assert hall.add(e, 0.5)
    assert hall.get(3).tokens.tolist() == [LIBRARY.token("add"), 0, LIBRARY.token("1")]
