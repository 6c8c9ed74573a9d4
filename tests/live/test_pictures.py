"""Pictures as they come: order, doubles, one a tick, and leaving out when time is short."""

from __future__ import annotations

import numpy as np

from quavf.live.pictures import Pace, PictureQueue

PICTURE = np.zeros((2, 2, 3), np.uint8)


def chosen(times: list[float]) -> tuple[list[int], PictureQueue]:
    queue, ticks = PictureQueue(), []
    for time_s in times:
        queue.put(PICTURE, time_s)
        ticks += [tick for tick, _ in queue.take()]
    ticks += [tick for tick, _ in queue.take(is_end=True)]
    return ticks, queue


def test_one_picture_a_tick() -> None:
    ticks, queue = chosen([k / 30 for k in range(30)])
    assert ticks == list(range(15))
    assert queue.n_missing == queue.n_late == queue.n_doubled == 0


def test_neighbours_may_be_swapped_and_doubled() -> None:
    order = [0, 2, 1, 3, 3, 5, 4, 6]
    ticks, queue = chosen([k / 30 for k in order])
    assert ticks == [0, 1, 2, 3]
    assert (queue.n_doubled, queue.n_late) == (1, 0)


def test_what_comes_late_or_not_at_all_is_counted() -> None:
    ticks, queue = chosen([0.0, 0.4, 0.8, 0.1])
    assert ticks == [0, 6, 12]
    assert (queue.n_late, queue.n_missing) == (1, 10)


def test_a_busy_machine_looks_at_an_even_share() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    made = []
    for k in range(600):
        time_s = k / 15
        now[0] = max(now[0], time_s)
        if not pace.is_dropped(time_s):
            now[0] += 0.12  # a look takes nearly two ticks
            pace.note(0.12)
            made.append(k)
    assert 250 < len(made) < 340
    assert max(np.diff(made[50:])) <= 4
    assert now[0] - 599 / 15 < 0.6


def test_a_burst_after_a_stall_loses_nothing() -> None:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    for k in range(90):
        now[0] = max(now[0] + 0.01, k / 15 + (0.4 if 30 <= k < 36 else 0.0))
        assert not pace.is_dropped(k / 15)
        pace.note(0.01)
