"""Annotated rows become one box a frame: the published rules, and each mended one by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quavf.core.records import Track, TrackRows
from quavf.core.semantics import FIXED, REFERENCE, Semantics
from quavf.faces.track import build_track, has_negative_size, merge_tracks
from tests.helpers.data import GOLDEN, needs_golden

Row = tuple[int, float, float, float, float]  # frame, x, y, width, height


def rows(*items: Row) -> TrackRows:
    values = np.array(items, float).reshape(-1, 5)
    return TrackRows(values[:, 0].astype(np.int64), values[:, 1:])


def at(*frames: int) -> TrackRows:
    """Rows whose left edge tells their frame."""
    return rows(*[(frame, float(frame), 10.0, 20.0, 30.0) for frame in frames])


def as_dict(track: Track | None) -> dict[int, list[float]] | None:
    return (
        None
        if track is None
        else dict(zip(track.frames.tolist(), track.boxes.tolist(), strict=True))
    )


def lefts(track: Track | None) -> dict[int, float] | None:
    found = as_dict(track)
    return None if found is None else {frame: box[0] for frame, box in found.items()}


@needs_golden
@pytest.mark.parametrize(
    "case",
    [
        "gapless",
        "one_gap",
        "two_gaps",
        "single",
        "two_frames_adjacent",
        "two_frames_gap",
        "reversed",
        "negatives",
        "reversed_one_gap",
        "duplicate",
        "otherperson_row",
    ],
)
def test_as_published(case: str) -> None:
    golden = json.loads((GOLDEN / "track_interp.json").read_text())
    items: list[dict[str, Any]] = golden["input_tracks"][case]
    person = items[0]["Person ID"]
    own = [row for row in items if row["Person ID"] == person]
    keys = ("frameNumber", "x", "y", "width", "height")
    track = build_track(rows(*[tuple(row[key] for key in keys) for row in own]), REFERENCE)
    expected = golden["output_by_person"][person]
    assert (as_dict(track) or {}) == {int(frame): box for frame, box in expected.items()}


@needs_golden
def test_all_golden_cases_are_in_the_table() -> None:
    golden = json.loads((GOLDEN / "track_interp.json").read_text())
    mark = test_as_published.pytestmark  # type: ignore[attr-defined]
    (table,) = [m.args[1] for m in mark if m.name == "parametrize"]
    assert sorted(table) == sorted(golden["input_tracks"])


@pytest.mark.parametrize("semantics", [FIXED, REFERENCE], ids=["fixed", "reference"])
@pytest.mark.parametrize(
    "empty",
    [
        rows(),
        rows((5, 0, 0, -1, 10)),
        rows((5, 0, 0, 10, -1), (6, 0, 0, -10, -10), (7, 5, 5, -0.5, 3)),
    ],
    ids=["no rows", "negative", "all negative"],
)
def test_nothing_usable(empty: TrackRows, semantics: Semantics) -> None:
    assert build_track(empty, semantics) is None


@pytest.mark.parametrize(
    ("annotated", "expected"),
    [
        (at(7), {7: 7.0}),
        (at(7, 8), {7: 7.0, 8: 8.0}),
        (at(7, 9), {7: 7.0, 8: 8.0, 9: 9.0}),
        (at(9, 8, 6, 5), {5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0, 9: 9.0}),
        (at(9, 8, 7), {7: 7.0, 8: 8.0, 9: 9.0}),
        (at(6, 5, 8), {5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0}),
        (rows((5, 1, 0, 1, 1), (5, 9, 0, 1, 1)), {5: 9.0}),
        (rows((5, 1, 0, 1, 1), (6, 2, 0, 1, 1), (5, 3, 0, 1, 1)), {5: 3.0, 6: 2.0}),
        (rows((5, 0, 0, 9, 9), (6, 50, 0, -1, 9), (7, 2, 0, 9, 9)), {5: 0.0, 6: 1.0, 7: 2.0}),
        (rows((5, 4, 0, -1, 9), (6, 5, 0, 1, 9)), {6: 5.0}),
        (rows((5, 4, 0, 0, 0)), {5: 4.0}),  # no area: the crop will say so
    ],
    ids=[
        "one frame",
        "two",
        "one-frame gap",
        "reversed with a gap",
        "reversed",
        "shuffled with a gap",
        "one frame twice: the last row",
        "a frame twice, far apart",
        "a negative row is a gap",
        "a negative first row",
        "zero size",
    ],
)
def test_fixed(annotated: TrackRows, expected: dict[int, float]) -> None:
    assert lefts(build_track(annotated, FIXED)) == expected


def test_flag_lose_last_frame() -> None:
    annotated = at(5, 6, 8)
    published = replace(FIXED, lose_last_frame=True)
    assert lefts(build_track(annotated, FIXED)) == {5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0}
    assert lefts(build_track(annotated, published)) == {5: 5.0, 6: 6.0, 7: 7.0}
    assert build_track(at(5), published) is None
    assert lefts(build_track(at(5), replace(REFERENCE, lose_last_frame=False))) == {5: 5.0}


def test_flag_pair_rows_in_order() -> None:
    """With exactly one missing frame, every later box lands a frame early; reversed: backwards."""
    mended = replace(REFERENCE, pair_rows_in_order=False)
    assert lefts(build_track(at(5, 6, 8, 9), REFERENCE)) == {5: 5.0, 6: 6.0, 7: 8.0, 8: 9.0}
    assert lefts(build_track(at(5, 6, 8, 9), mended)) == {5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0}
    assert lefts(build_track(at(9, 8, 6, 5), REFERENCE)) == {5: 9.0, 6: 8.0, 7: 6.0, 8: 5.0}
    assert lefts(build_track(at(9, 8, 6, 5), mended)) == {5: 5.0, 6: 6.0, 7: 7.0, 8: 8.0}
    only = replace(FIXED, pair_rows_in_order=True)
    assert lefts(build_track(at(6, 5), only)) == {5: 6.0, 6: 5.0}
    assert lefts(build_track(at(5, 7), only)) == {5: 5.0, 6: 6.0, 7: 7.0}  # 2 rows, 3 frames


@pytest.mark.parametrize(
    ("xywh", "shifted", "cut"),
    [
        ((-3.0, -4.0, 10.0, 20.0), [0, 0, 10, 20], [0, 0, 7, 16]),
        ((-3.0, 5.0, 10.0, 20.0), [0, 5, 10, 25], [0, 5, 7, 25]),
        ((5.0, -0.5, 10.0, 20.0), [5, 0, 15, 20], [5, 0, 15, 19.5]),
        ((-30.0, 5.0, 10.0, 20.0), [0, 5, 10, 25], [0, 5, 0, 25]),  # wholly outside: no area
        ((0.0, 0.0, 10.0, 20.0), [0, 0, 10, 20], [0, 0, 10, 20]),
    ],
)
def test_flag_shift_negative_boxes(
    xywh: tuple[float, ...], shifted: list[float], cut: list[float]
) -> None:
    annotated = rows((5, *xywh))  # type: ignore[arg-type]
    assert as_dict(build_track(annotated, FIXED)) == {5: cut}
    assert as_dict(build_track(annotated, replace(FIXED, shift_negative_boxes=True))) == {
        5: shifted
    }


def boxes(left: float, *frames: int) -> Track:
    return Track(np.array(frames), np.tile([left, 0.0, left + 10, 10.0], (len(frames), 1)))


def test_flag_merge_tracks_in_file_order() -> None:
    late, early = boxes(2, 3, 4, 5), boxes(1, 1, 2, 3, 4)  # in file order
    assert lefts(merge_tracks([late, early], FIXED)) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
    in_order = replace(FIXED, merge_tracks_in_file_order=True)
    assert lefts(merge_tracks([late, early], in_order)) == {1: 1, 2: 1, 3: 1, 4: 1, 5: 2}
    assert lefts(merge_tracks([early, late], in_order)) == {1: 1, 2: 1, 3: 2, 4: 2, 5: 2}


def test_tracks_that_start_together_keep_the_files_order() -> None:
    tracks = [boxes(1, 3, 4), boxes(2, 3), boxes(3, 3, 4, 5)]
    for semantics in (FIXED, REFERENCE):
        assert lefts(merge_tracks(tracks, semantics)) == {3: 3, 4: 3, 5: 3}


def test_merge_of_none_and_one() -> None:
    assert merge_tracks([], FIXED) is None
    assert lefts(merge_tracks([boxes(1, 8, 9)], FIXED)) == {8: 1, 9: 1}


def test_has_negative_size() -> None:
    mask = has_negative_size(rows((1, -5, -5, 0, 0), (2, 0, 0, -1, 1), (3, 0, 0, 1, -1)))
    assert mask.tolist() == [False, True, True]
    assert has_negative_size(rows()).shape == (0,)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.integers(-50, 50),
            st.integers(-50, 50),
            st.integers(-2, 40),
            st.integers(-2, 40),
        ),
        max_size=12,
    ),
    st.permutations(range(12)),
)
def test_fixed_tracks_are_sound(items: list[Row], order: list[int]) -> None:
    """Every annotated frame keeps its last box, gaps lie between their ends, order is no matter."""
    track = build_track(rows(*items), FIXED)
    usable = {f: (x, y, w, h) for f, x, y, w, h in items if w >= 0 and h >= 0}
    if not usable:
        assert track is None
        return
    assert track is not None
    assert track.frames.tolist() == list(range(min(usable), max(usable) + 1))
    assert (track.boxes >= 0).all()
    assert (track.boxes[:, 2:] >= track.boxes[:, :2]).all()
    found = as_dict(track)
    assert found is not None
    for frame, (x, y, w, h) in usable.items():
        cut = [max(x, 0), max(y, 0), max(x + w, 0), max(y + h, 0)]
        np.testing.assert_allclose(found[frame], cut, atol=1e-12)
    if len({item[0] for item in items}) == len(items):
        shuffled = [items[k] for k in order if k < len(items)]
        assert as_dict(build_track(rows(*shuffled), FIXED)) == found
