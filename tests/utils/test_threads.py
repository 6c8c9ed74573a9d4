"""Threads that work ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from quavf.utils.threads import map_ahead, read_ahead


@pytest.mark.parametrize("n_threads", [None, 1, 3])
@pytest.mark.parametrize("n", [0, 1, 20])
def test_results_come_in_order(n: int, n_threads: int | None) -> None:
    def work(item: int) -> int:
        time.sleep(0.003 * (item % 3))
        return item * item

    assert list(map_ahead(work, range(n), n_threads)) == [k * k for k in range(n)]


def test_items_are_worked_on_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)
    assert list(map_ahead(lambda _: meeting.wait(), range(3), 3))


@pytest.mark.parametrize(("ahead", "expected"), [(1, 3), (2, 5)])
def test_no_more_items_are_taken_than_asked_for(ahead: int, expected: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for k in range(100):
            taken += 1
            yield k

    results = map_ahead(lambda k: k, items(), 2, ahead=ahead)
    assert next(results) == 0
    assert taken == expected
    results.close()  # type: ignore[attr-defined]


def test_errors_come_where_their_result_would() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = map_ahead(work, range(9), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_an_error_of_the_items_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        list(map_ahead(lambda k: k, items(), 1))


def test_reading_ahead_keeps_the_order() -> None:
    assert list(read_ahead(iter(range(100)), 3)) == list(range(100))
    assert list(read_ahead([])) == []


def test_what_is_read_ahead_is_limited_and_closed() -> None:
    seen: list[int] = []
    closed = threading.Event()

    def count() -> Iterator[int]:
        try:
            for k in range(1000):
                seen.append(k)
                yield k
        finally:
            closed.set()

    items = read_ahead(count(), 4)
    assert next(items) == 0
    assert closed.is_set() is False
    items.close()
    assert closed.is_set()
    assert len(seen) < 20


def test_errors_of_reading_are_raised() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("gone")

    items = read_ahead(fail())
    assert next(items) == 1
    with pytest.raises(ValueError, match="gone"):
        next(items)
