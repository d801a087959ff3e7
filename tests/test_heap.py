"""Free memory is given back now and then, where the C library can."""

import ctypes

import pytest

from rsrm import _heap


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(_heap.time, "perf_counter", lambda: now[0])
    return now


def test_memory_is_given_back_at_intervals(monkeypatch, clock):
    calls = []
    monkeypatch.setattr(_heap, "_trim", lambda: calls.append)
    heap = _heap.Heap()
    for seconds, expected in ((0.0, 0), (0.9, 0), (1.1, 1), (1.9, 1), (2.2, 2)):
        clock[0] = 100.0 + seconds * _heap.EVERY
        heap.tidy()
        assert len(calls) == expected


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_other_c_libraries_are_left_alone(monkeypatch, clock, error):
    def no_library(name):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    _heap._trim.cache_clear()
    heap = _heap.Heap()
    clock[0] += 2.0 * _heap.EVERY
    heap.tidy()
    assert heap.last == clock[0]
    _heap._trim.cache_clear()
