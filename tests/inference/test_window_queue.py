"""Windows by the order in which their crops come: every window once, with its own crops."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.core.windows import EMPTY
from quavf.inference.window_queue import SlotRows, WindowQueue, needed_rows

N_SLOTS = 5
NO_WINDOWS = np.empty((0, N_SLOTS), np.int64)


def laid(*slots: np.ndarray) -> list[SlotRows]:
    """Parts with qualities that tell their windows apart."""
    n_before = np.cumsum([0, *(len(part) for part in slots)])
    return [(part, n + np.arange(len(part))) for part, n in zip(slots, n_before, strict=False)]


def random_windows(n: int, n_rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slots = np.sort(rng.integers(0, n_rows, (n, N_SLOTS)), axis=1)
    slots[rng.random(slots.shape) < 0.3] = EMPTY
    return slots


def gone_through(parts: list[SlotRows], batch: int, n_most: int) -> tuple[np.ndarray, list[int]]:
    """(W, T) the rows that each window got, by its quality, and how many crops were held."""
    queue = WindowQueue(parts, N_SLOTS)
    held, sizes = np.array([EMPTY]), []
    got = np.full((len(queue), N_SLOTS), -100)

    def take() -> None:
        while queue.n_ready(len(held) - 1):
            windows, slots, quality = queue.take(len(held) - 1, n_most)
            assert len(windows) <= n_most
            np.testing.assert_array_equal(windows, quality)
            assert (got[windows] == -100).all()
            got[windows] = held[slots]

    for first in range(0, len(queue.rows), batch):
        held = np.append(held, queue.rows[first : first + batch])
        sizes.append(len(held) - 1)
        take()
        held = np.append(held[:1], held[1 + queue.forget() :])
    take()
    return got, sizes


PARTS = {
    "one": [random_windows(40, 30, seed=0)],
    "several, overlapping and out of order": [
        random_windows(20, 30, seed=1),
        random_windows(7, 12, seed=2),
        NO_WINDOWS,
        random_windows(9, 30, seed=3),
    ],
    "all slots empty": [np.full((3, N_SLOTS), EMPTY), random_windows(4, 9, seed=4)],
    "only empty slots": [np.full((2, N_SLOTS), EMPTY)],
    "no windows": [NO_WINDOWS],
    "no parts": [],
}


@pytest.mark.parametrize("batch", [1, 4, 1000])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_every_window_gets_its_crops(parts: list[np.ndarray], batch: int) -> None:
    got, _ = gone_through(laid(*parts), batch, n_most=3)
    np.testing.assert_array_equal(got, np.concatenate([NO_WINDOWS, *parts]))


def test_no_more_is_held_than_windows_reach_over() -> None:
    centres = np.arange(5000)[:, None]
    slots = centres + np.arange(-2, 3) * 5
    slots[(slots < 0) | (slots >= 5000)] = EMPTY
    got, sizes = gone_through(laid(slots[:2500], slots[2500:]), batch=8, n_most=16)
    np.testing.assert_array_equal(got, slots)
    assert max(sizes) <= 8 + 4 * 5


def test_scores_come_back_by_part() -> None:
    parts = [random_windows(n, 9, seed=n) for n in (3, 0, 2)]
    found = WindowQueue(laid(*parts), N_SLOTS).by_part(np.arange(5.0))
    assert [scores.tolist() for scores in found] == [[0, 1, 2], [], [3, 4]]
    assert WindowQueue([], N_SLOTS).by_part(np.empty(0)) == []


def test_needed_rows() -> None:
    rows = needed_rows(laid(np.array([[7, EMPTY, 3]]), np.array([[3, 9, EMPTY]])))
    assert rows.tolist() == [3, 7, 9]
    assert needed_rows([]).tolist() == []
