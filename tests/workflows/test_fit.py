"""Annotations beside media that are not those they were made on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.records import Floats
from quavf.faces.crop import decode_jpeg
from quavf.sources.config import Ego4dConfig
from quavf.sources.media.clip import OTHER_RATE
from quavf.store import ClipStore, CropReader
from quavf.workflows.fit import SCALED
from quavf.workflows.prepare import PrepareSummary, prepare_source
from tests.helpers.annotations import clip, person, segment, still, write_annotations
from tests.helpers.face_videos import FACE, turn, write_video

FACE_BOX = (200, 120, 260, 176)  # in pictures of 320 x 180
ROWS = still(0, 60, x=200, y=120, side=56)


def talk(**more: Any) -> Any:
    return {
        **clip(
            "a", [person(1, ROWS)], [segment("1", 0, 58, "0", start_time=0.0, end_time=58 / 30)]
        ),
        **more,
    }


def prepare(tmp_path: Path, annotated: Any, **options: Any) -> PrepareSummary:
    """Beside a good clip, so that a refused one is left out."""
    write_video(tmp_path / "clips" / "good.mp4", seconds=0.2, sound=None)
    good = clip("good", [person(1, still(0, 5))], [segment("1", 0, 4)])
    annotations = write_annotations(tmp_path / "annotations", [annotated, good])
    config = Ego4dConfig(annotations, tmp_path / "clips", **options)
    return prepare_source("ego4d", tmp_path / "store", config)


def shares_of_face(tmp_path: Path) -> Floats:
    """(N,) how much of the middle of each crop has the face's colour."""
    store = ClipStore.open(tmp_path / "store")
    faces = store.faces("a")
    reader, found = CropReader(store, "a", faces), []
    for row in range(len(faces)):
        picture = decode_jpeg(reader.read(row))
        assert picture is not None
        middle = picture[60:164, 60:164].astype(int)
        found.append((np.abs(middle - FACE).max(axis=2) < 70).mean())
    return np.array(found)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()


def video(tmp_path: Path, shrink: float = 1, **options: Any) -> Path:
    size = (round(320 * shrink), round(180 * shrink))
    x1, y1, x2, y2 = (round(side * shrink) for side in FACE_BOX)
    defaults: dict[str, Any] = {"seconds": 2.0, "sound": None, "size": size}
    return write_video(
        tmp_path / "clips" / "a.mp4",
        faces=lambda time_s: [(x1, y1, x2, y2)],
        **{**defaults, **options},
    )


def test_what_fits_is_not_noted(tmp_path: Path) -> None:
    video(tmp_path)
    summary = prepare(tmp_path, talk(video_metadata={"width": 320, "height": 180}))
    assert (summary.failed, dict(summary.notes)) == ({}, {"clips without sound": 2})
    assert shares_of_face(tmp_path).min() > 0.9


@pytest.mark.parametrize("shrink", [0.5, 0.8, 2])
def test_another_size_that_is_known_is_made_up_for(tmp_path: Path, shrink: float) -> None:
    video(tmp_path, shrink)
    summary = prepare(tmp_path, talk(width=320, height=180))
    assert summary.notes[SCALED] == 1
    assert shares_of_face(tmp_path).min() > 0.9


def test_the_size_can_be_given(tmp_path: Path) -> None:
    video(tmp_path, 0.5)
    write_video(tmp_path / "clips" / "good.mp4", seconds=0.2, sound=None)
    summary = prepare(tmp_path, talk(), frame_size="320x180")
    assert summary.notes[SCALED] == 1
    assert shares_of_face(tmp_path).min() > 0.9


def test_another_size_that_is_not_known_is_refused(tmp_path: Path) -> None:
    video(tmp_path, 0.5)
    summary = prepare(tmp_path, talk())
    assert "59 of 60 annotated boxes" in summary.failed["a"] or "60 of 60" in summary.failed["a"]
    assert "--frame-size" in summary.failed["a"]


def test_another_shape_is_refused(tmp_path: Path) -> None:
    video(tmp_path, size=(180, 320))
    summary = prepare(tmp_path, talk(width=320, height=180))
    assert "its pictures are 180x320, the annotated ones 320x180" in summary.failed["a"]


def test_pictures_turned_by_metadata_are_turned(tmp_path: Path) -> None:
    """The boxes are those of the picture that players show."""
    left = (
        180 - 176,
        200,
        180 - 120,
        260,
    )  # the face on its side
    path = write_video(
        tmp_path / "clips" / "a.mp4",
        seconds=2,
        sound=None,
        size=(180, 320),
        faces=lambda time_s: [left],
    )
    turn(path, 270)
    assert prepare(tmp_path, talk()).failed == {}
    assert shares_of_face(tmp_path).min() > 0.9


@pytest.mark.parametrize("fps", [25, 15, 60])
def test_another_frame_rate_is_read_by_time(tmp_path: Path, fps: int) -> None:
    """A face that jumps at 1.0 s: each crop shows it where it was annotated."""
    rows = still(0, 30, x=200, y=120, side=56) + still(30, 60, x=20, y=20, side=56)
    annotated = talk(persons=clip("a", [person(1, rows)], [])["persons"])
    write_video(
        tmp_path / "clips" / "a.mp4",
        seconds=2,
        sound=None,
        fps=fps,
        faces=lambda t: [FACE_BOX if t < 0.999 else (20, 20, 80, 76)],
    )
    summary = prepare(tmp_path, annotated)
    assert summary.notes[OTHER_RATE] == 1
    shares = shares_of_face(tmp_path)
    assert len(shares) > 55
    assert np.sum(shares < 0.9) <= 2  # where the picture before the jump was on screen
    assert ClipStore.open(tmp_path / "store").manifest("a").clock.fps == Fraction(30)


def test_the_whole_video_in_place_of_a_clip_is_refused(tmp_path: Path) -> None:
    video(tmp_path, seconds=9)
    summary = prepare(tmp_path, talk(clip_start_sec=10.0, clip_end_sec=12.0))
    assert "lasts 9.0 s, its annotations are of 2.0 s" in summary.failed["a"]


def test_frames_behind_the_end_are_counted_at_30_a_second(tmp_path: Path) -> None:
    video(tmp_path, seconds=8, fps=20)
    late = clip("a", [person(1, still(150, 240, x=200, y=120))], [segment("1", 150, 239)])
    summary = prepare(tmp_path, late)
    assert summary.notes[OTHER_RATE] == 1
    assert len(shares_of_face(tmp_path)) > 85
