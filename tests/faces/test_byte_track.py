"""ByteTrack: the numbers of the `trackers` package, and the best assignment."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from quavf.core.records import Floats, Ints
from quavf.faces.byte_track import ByteTracker, assign

Moment = tuple[float, Floats, Floats]  # time, boxes (N, 4), scores (N,)


def walk(seed: int, rate: float) -> list[Moment]:
    """Faces that wander, come and go, with looks at irregular times and missed faces."""
    rng = np.random.default_rng(seed)
    n_faces = int(rng.integers(1, 7))
    centres, sizes = rng.uniform(100, 900, (n_faces, 2)), rng.uniform(30, 160, n_faces)
    speeds = rng.normal(0, 4, (n_faces, 2))
    moments: list[Moment] = []
    time_s = 0.0
    for _ in range(80):
        time_s += rng.choice([1, 1, 1, 1, 1.02, 2, 3, 12]) / rate
        speeds += rng.normal(0, 2, speeds.shape)
        centres += speeds
        seen = rng.uniform(size=n_faces) < 0.85
        if not seen.any():
            continue
        half = sizes[:, None] * rng.uniform(0.45, 0.55, (n_faces, 2))
        boxes = np.concatenate([centres - half, centres + half], axis=1)[seen]
        moments.append((time_s, boxes, rng.uniform(0.3, 1.0, int(seen.sum()))))
    return moments


def numbers_of_trackers(moments: list[Moment], rate: float) -> list[Ints]:
    supervision = pytest.importorskip("supervision")
    trackers: Any = pytest.importorskip("trackers")
    tracker = trackers.ByteTrackTracker(
        lost_track_buffer=30,
        frame_rate=rate,
        track_activation_threshold=0.5,
        minimum_consecutive_frames=1,
        minimum_iou_threshold=0.1,
        iou=trackers.BIoU(buffer_ratio=0.5),
        high_conf_det_threshold=0.5,
    )
    found = []
    for time_s, boxes, scores in moments:
        rows = np.arange(len(boxes))
        seen = supervision.Detections(xyxy=boxes, confidence=scores, data={"row": rows})
        tracked = tracker.update(seen, timestamp=time_s)
        numbers = np.full(len(boxes), -1)
        numbers[np.asarray(tracked.data["row"])] = tracked.tracker_id
        found.append(numbers)
    return found


@pytest.mark.filterwarnings("ignore")  # about those packages' own dependencies
@pytest.mark.parametrize("rate", [5.0, 15.0, 30.0])
def test_numbers_are_those_of_trackers(rate: float) -> None:
    for seed in range(10):
        moments = walk(seed, rate)
        tracker = ByteTracker(rate)
        found = [tracker.update(time_s, boxes, scores) for time_s, boxes, scores in moments]
        expected = numbers_of_trackers(moments, rate)
        assert max(numbers.max() for numbers in expected) >= 1
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))


def test_a_new_start() -> None:
    tracker, box, sure = ByteTracker(10.0), np.array([[0.0, 0, 50, 50]]), np.array([0.9])
    assert [tracker.update(k / 10, box, sure)[0] for k in range(3)] == [-1, 0, 0]
    assert tracker.update(0.3, box + 10_000, sure)[0] == -1
    assert tracker.update(0.4, box, sure)[0] == 0
    assert tracker.update(2.0, box, sure)[0] == -1, "lost for more than a second"
    tracker.reset()
    assert [tracker.update(k / 10, box, sure)[0] for k in range(2)] == [-1, 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (3, 5), (5, 4)])
def test_assignments_are_the_best(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        values = rng.uniform(size=shape) * (rng.uniform(size=shape) < 0.6)
        pairs = assign(values)
        assert len({row for row, _ in pairs}) == len({c for _, c in pairs}) == min(shape)
        wide = values if shape[0] <= shape[1] else values.T
        best = max(
            sum(wide[row, column] for row, column in enumerate(columns))
            for columns in itertools.permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert sum(values[pair] for pair in pairs) == pytest.approx(best)
