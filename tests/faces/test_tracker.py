from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from quavf.core.errors import ConfigError
from quavf.faces.appearance import DESCRIPTOR
from quavf.faces.config import TrackConfig
from quavf.faces.search import FaceObservations
from quavf.faces.tracker import PersonTrack, track_persons

RATE = 10.0
Row = tuple[float, float, float, int]  # time, left, top, who (how it looks)


def look(who: int) -> np.ndarray:
    """Persons that do not look alike."""
    halves = np.zeros((2, DESCRIPTOR // 2), np.float32)
    halves[:, who] = 1
    return halves.ravel()


def no_turn(time_s: float) -> float:
    return 0.0


def found(
    rows: Sequence[Row],
    cuts: Sequence[float] = (),
    side: float = 50,
    pan: Callable[[float], float] = no_turn,
) -> FaceObservations:
    """`rows` say where people are; `pan` by how much the camera's turn moves all to the right."""
    rows = sorted((time_s, x + pan(time_s), y, who) for time_s, x, y, who in rows)
    return FaceObservations(
        times=np.array([r[0] for r in rows], float),
        boxes=np.array([[x, y, x + side, y + side] for _, x, y, _ in rows]).reshape(-1, 4),
        scores=np.full(len(rows), 0.9),
        appearance=np.array([look(who) for *_, who in rows], np.float32).reshape(-1, DESCRIPTOR),
        camera_motion=np.array([[pan(r[0]), 0.0] for r in rows]).reshape(-1, 2),
        cuts=np.array(cuts, float),
    )


def stay(start_s: float, end_s: float, x: float, who: int, speed: float = 0.0) -> list[Row]:
    times = np.arange(round(start_s * RATE), round(end_s * RATE)) / RATE
    return [(float(t), x + speed * (t - start_s), 100.0, who) for t in times]


def spans(tracks: Sequence[PersonTrack]) -> list[tuple[float, float]]:
    return [(round(float(t.times[0]), 3), round(float(t.times[-1]), 3)) for t in tracks]


def track(
    rows: Sequence[Row],
    cuts: Sequence[float] = (),
    pan: Callable[[float], float] = no_turn,
    **settings: float,
) -> list[PersonTrack]:
    return track_persons(found(rows, cuts, pan=pan), TrackConfig(**settings), RATE)


def test_nobody() -> None:
    assert track([]) == []


def test_numbers_follow_first_appearance() -> None:
    tracks = track(stay(1, 3, 500, 0) + stay(0, 3, 900, 1) + stay(2, 4, 100, 2))
    assert spans(tracks) == [(0.0, 2.9), (1.0, 2.9), (2.0, 3.9)]
    assert [t.boxes[0, 0] for t in tracks] == [900, 500, 100]


def test_the_first_face_of_a_track_belongs_to_it() -> None:
    assert spans(track(stay(0, 1, 10, 0))) == [(0.0, 0.9)]


def test_a_quick_face_is_followed() -> None:
    """As when the wearer's head turns: most of a face's width from one look to the next."""
    assert spans(track(stay(0, 2, 10, 0, speed=450) + stay(0, 2, 1200, 1, speed=450))) == [
        (0.0, 1.9), (0.0, 1.9)]  # fmt: skip


@pytest.mark.parametrize(("length_s", "n"), [(0.3, 0), (0.6, 0), (0.9, 1)])
def test_short_tracks_are_dropped(length_s: float, n: int) -> None:
    assert len(track(stay(0, length_s, 10, 0))) == n


@pytest.mark.parametrize(
    ("second", "n"),
    [
        (stay(2.5, 4, 120, 0), 1),  # soon, near, alike
        (stay(2.5, 4, 900, 0), 1),  # far away, but nobody else looks so
        (stay(9, 10, 900, 0), 1),
        (stay(70, 72, 900, 0), 2),  # too long ago
        (stay(3.5, 4.5, 120, 3), 2),  # somebody else in the same place
    ],
)
def test_broken_tracks_are_joined(second: list[Row], n: int) -> None:
    assert len(track(stay(0, 1.5, 100, 0) + second)) == n


def test_people_seen_at_once_are_never_one() -> None:
    assert len(track(stay(0, 3, 100, 0) + stay(1, 3, 600, 0))) == 2


def test_a_look_that_two_people_share_joins_neither() -> None:
    both = stay(0, 2, 100, 0) + stay(0, 2, 600, 0)
    assert len(track(both + stay(8, 10, 350, 0))) == 3


def test_nothing_is_joined_when_not_asked_for() -> None:
    assert len(track(stay(0, 1.5, 100, 0) + stay(5, 7, 100, 0), join_gap=0)) == 2


def test_a_cut_ends_tracks() -> None:
    rows = stay(0, 2, 100, 0) + stay(2, 4, 100, 1)
    assert spans(track(rows, cuts=[2.0])) == [(0.0, 1.9), (2.0, 3.9)]
    same = track(stay(0, 2, 100, 0) + stay(2, 4, 100, 0), cuts=[2.0])
    assert len(same) == 1  # the same face goes on as the same person,
    boxes, _ = same[0].at(np.array([1.95]), 1.0)
    assert np.isnan(boxes).all()  # but nothing is interpolated over the cut


def quick_turn(time_s: float) -> float:
    """Three faces' widths from one look to the next, for half a second, and back a second later."""
    away, back = np.clip(time_s - 1, 0, 0.5), np.clip(time_s - 2.5, 0, 0.5)
    return 1500 * float(away - back)


def test_a_turn_of_the_camera_breaks_no_track() -> None:
    tracks = track(stay(0, 4, 10, 0) + stay(0, 4, 160, 1), pan=quick_turn)
    assert spans(tracks) == [(0.0, 3.9), (0.0, 3.9)]
    assert tracks[0].boxes[:, 0].max() == 760  # boxes are where the picture shows them
    for one, left in zip(tracks, (10, 160), strict=True):
        expected = [left + quick_turn(t) for t in one.times.tolist()]
        np.testing.assert_allclose(one.boxes[:, 0], expected)


def test_without_knowing_the_turn_the_track_breaks() -> None:
    """That the sequence above is hard: the same boxes, the camera said to stand still."""
    unknown = found(stay(0, 4, 10, 0) + stay(0, 4, 160, 1), pan=quick_turn)
    unknown.camera_motion[:] = 0
    tracks = track_persons(unknown, TrackConfig(), RATE)
    assert spans(tracks) != [(0.0, 3.9), (0.0, 3.9)]


def test_people_who_cross_while_the_camera_turns_stay_two() -> None:
    rows = stay(0, 3, 0, 0, speed=200)
    rows += [(t, x, 130.0, who) for t, x, _, who in stay(0, 3, 600, 1, speed=-200)]
    tracks = track(rows, pan=quick_turn)
    assert spans(tracks) == [(0.0, 2.9), (0.0, 2.9)]
    for one, top in zip(tracks, (100, 130), strict=True):
        assert set(one.boxes[:, 1]) == {top}


def test_a_cut_ends_tracks_while_the_camera_turns() -> None:
    rows = stay(0, 1.3, 100, 0) + stay(1.3, 3, 100, 1)
    assert spans(track(rows, cuts=[1.3], pan=quick_turn)) == [(0.0, 1.2), (1.3, 2.9)]


def test_a_broken_track_is_joined_where_the_camera_left_it() -> None:
    """Hidden while the camera turned by 15 face sizes; another one is now in the old place."""
    rows = stay(0, 1.0, 100, 0) + stay(2.0, 4, 100, 0) + stay(1.6, 4, -650, 0)
    assert spans(track(rows, pan=quick_turn)) == [(0.0, 3.9), (1.6, 3.9)]


def person(*rows: tuple[float, float, int]) -> PersonTrack:
    times, lefts, pieces = (np.array(column) for column in zip(*rows, strict=True))
    boxes = np.stack([lefts, lefts * 0, lefts + 10, lefts * 0 + 10], axis=1).astype(float)
    return PersonTrack(times.astype(float), boxes, np.full(len(rows), 0.9), pieces)


@pytest.mark.parametrize(
    ("time_s", "left"),
    [(-0.1, None), (0.0, 0.0), (0.25, 5.0), (0.5, 10.0), (0.75, None), (3.0, 20.0), (3.1, None)],
)
def test_boxes_between_finds(time_s: float, left: float | None) -> None:
    boxes, scores = person((0.0, 0.0, 0), (0.5, 10.0, 0), (3.0, 20.0, 0)).at(
        np.array([time_s]), max_gap_s=1.0
    )
    assert np.isnan(scores[0]) == (left is None)
    np.testing.assert_allclose(boxes[0, 0], np.nan if left is None else left)


def test_one_find_has_a_box_at_its_time_only() -> None:
    boxes, _ = person((1.0, 3.0, 0)).at(np.array([0.9, 1.0, 1.1]), 1.0)
    np.testing.assert_array_equal(np.isnan(boxes[:, 0]), [True, False, True])


@pytest.mark.parametrize("name", ["min_length", "max_gap", "join_gap"])
def test_settings_under_zero(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        TrackConfig(**{name: -1.0})
