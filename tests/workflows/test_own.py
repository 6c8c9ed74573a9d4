"""Videos that people labelled themselves become a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from quavf.cli import main
from quavf.core.errors import AnnotationError, ConfigError
from quavf.core.records import ClipRecord, Interval, Segment
from quavf.results.labels import (
    LABELS_FILE,
    LabelledPerson,
    Part,
    Stretch,
    VideoLabels,
    fingerprint_people,
    fingerprint_video,
    write_csv,
)
from quavf.results.records import Person, PersonBoxes
from quavf.results.video import VideoResult
from quavf.sources.config import OwnConfig
from quavf.store import ClipStore
from quavf.workflows.own import index_own
from quavf.workflows.prepare import prepare_source
from tests.helpers.face_videos import write_video

LENGTH_S = 4.0
LEFT, RIGHT = (40.0, 40.0, 90.0, 100.0), (220.0, 30.0, 270.0, 90.0)
MINE = (
    LabelledPerson(
        1,
        (Stretch(0.5, 1.0, "to_me"), Stretch(1.0, 1.5, "silent"), Stretch(3.0, 3.5, "to_others")),
    ),
    LabelledPerson(2, (Stretch(2.0, 3.0, "to_others"), Stretch(3.0, 3.5, "to_me", checked=False))),
)


def boxes(box: tuple[float, ...], start: int = 0, end: int = 120) -> PersonBoxes:
    frame = np.arange(start, end)
    return PersonBoxes(frame, frame / 30, np.tile(np.array(box), (len(frame), 1)))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video, the result of a run and labels of it; returns their folder."""
    video = write_video(tmp_path / "videos" / "dinner.mp4", seconds=LENGTH_S)
    found = {1: boxes(LEFT), 2: boxes(RIGHT, 0, 60), 3: boxes(RIGHT, 60, 120)}
    result = VideoResult(
        video,
        LENGTH_S,
        Fraction(30),
        (320, 180),
        tuple(Person(n, own.time_s[0], own.time_s[-1]) for n, own in found.items()),
        boxes=found,
    )

    def write(people: tuple[LabelledPerson, ...] = MINE, name: str = "a", **changes: str) -> Path:
        folder = tmp_path / "runs" / name
        result.write(folder)
        keys = {"fingerprint": fingerprint_video(video), "run": fingerprint_people(result)}
        labels = VideoLabels("dinner.mp4", people, LENGTH_S, **{**keys, **changes})
        labels.write(folder / LABELS_FILE)
        return folder

    (tmp_path / "videos").mkdir(exist_ok=True)
    return write


@pytest.fixture(autouse=True)
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir(exist_ok=True)
    return folder


def config(run: Path, **changes: object) -> OwnConfig:
    return OwnConfig(run.parents[1] / "videos", run.parent, **{"val": 0.0, **changes})  # type: ignore[arg-type]


def test_labels_become_segments_and_the_rest_is_unknown(run: Callable[..., Path]) -> None:
    (record,) = index_own(config(run())).records
    assert record.segments == (
        Segment(1, 15, 29, 1),
        Segment(1, 30, 44, 0),
        Segment(1, 90, 104, 0),
        Segment(2, 60, 89, 0),
    )
    assert record.speaking == (Interval(1, 15, 29), Interval(1, 90, 104), Interval(2, 60, 89))
    assert record.looking is None
    unknown = record.unlabelled["talking"]
    assert unknown == record.unlabelled["speaking"]
    assert [i for i in unknown if i.person == 1] == [
        Interval(1, 0, 14),
        Interval(1, 45, 89),
        Interval(1, 105, 121),
    ]
    assert [i for i in unknown if i.person == 0] == [Interval(0, 0, 121)]
    assert [i for i in unknown if i.person == 3] == [Interval(3, 0, 121)]  # found, not labelled


def test_the_store_has_their_faces(run: Callable[..., Path], tmp_path: Path) -> None:
    prepare_source("own", tmp_path / "store", config(run()))
    store = ClipStore.open(tmp_path / "store")
    (clip,) = store.clips("train")
    faces, manifest = store.faces(clip), store.manifest(clip)
    assert clip == "dinner"
    assert set(range(15, 45)) <= set(faces.frame[faces.person == 1].tolist())
    assert set(range(0, 120, 2)) <= set(faces.frame[faces.person == 1].tolist())  # context
    assert faces.geometry(faces.rows_of(2).start).box == RIGHT
    assert manifest.spoken == tuple(s for s in manifest.segments if s.start_frame != 30)
    assert prepare_source("own", tmp_path / "store", config(run())).skipped == 1


def test_joined_and_split_people(run: Callable[..., Path]) -> None:
    people = (
        LabelledPerson(2, (Stretch(1.0, 3.0, "to_me"),), (Part(2), Part(3))),
        LabelledPerson(1, (), (Part(1, 0.0, 2.0),)),
        LabelledPerson(4, (Stretch(2.0, 3.0, "silent"),), (Part(1, 2.0, LENGTH_S),)),
    )
    (record,) = index_own(config(run(people))).records
    assert isinstance(record, ClipRecord)
    (joined,), (later,) = record.tracks[2], record.tracks[4]
    np.testing.assert_array_equal(joined.frames, np.arange(120))
    np.testing.assert_allclose(joined.xywh[[0, -1]], [(220, 30, 50, 60)] * 2)
    np.testing.assert_array_equal(later.frames, np.arange(60, 120))
    assert record.tracks[1][0].frames.max() == 59
    assert 3 not in record.tracks


def test_the_end_of_the_labels_is_for_validation(run: Callable[..., Path]) -> None:
    train, val = index_own(config(run(), val=0.2)).records
    assert (train.split, val.split) == ("train", "val")
    assert val.clip == "dinner_later"
    # 2.5 s are labelled, in all; the last 0.5 s of them are those of person 1 from 3 s on
    assert val.segments == (Segment(1, 90, 104, 0),)
    assert Segment(1, 90, 104, 0) not in train.segments
    assert Interval(1, 45, 121) in train.unlabelled["talking"]


def test_a_table_of_labels(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    labels = VideoLabels.read(folder / LABELS_FILE)
    (wanted,) = index_own(config(folder)).records
    (folder / LABELS_FILE).unlink()
    (tmp_path / "labels").mkdir()
    write_csv(tmp_path / "labels" / "all.csv", [labels])
    elsewhere = OwnConfig(tmp_path / "videos", tmp_path / "labels", folder.parent, val=0.0)
    (record,) = index_own(elsewhere).records
    assert isinstance(record, ClipRecord)
    assert isinstance(wanted, ClipRecord)
    assert (record.segments, record.speaking) == (wanted.segments, wanted.speaking)
    assert record.tracks.keys() == wanted.tracks.keys()


def test_a_moved_video_is_found(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    (tmp_path / "videos" / "2026").mkdir()
    moved = tmp_path / "videos" / "2026" / "dinner.mp4"
    (tmp_path / "videos" / "dinner.mp4").rename(moved)
    (record,) = index_own(config(folder)).records
    assert isinstance(record, ClipRecord)
    assert record.media == moved
    (tmp_path / "videos" / "2027").mkdir()
    other = tmp_path / "videos" / "2027" / "dinner.mp4"
    other.write_bytes(b"")
    with pytest.raises(AnnotationError, match=r"there are 2 files called dinner\.mp4 below"):
        index_own(config(folder))
    moved.unlink()
    other.unlink()
    with pytest.raises(AnnotationError, match=r"there are no files called dinner\.mp4 below"):
        index_own(config(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "0" * 16}, "of another file than"),
        ({"run": "0" * 16}, "of another run, whose people have other numbers"),
        ({"people": (LabelledPerson(9, MINE[0].stretches),)}, "has no person 9"),
        ({"people": ()}, "no labels"),
    ],
)
def test_what_does_not_belong_together(
    run: Callable[..., Path], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(AnnotationError, match=message):
        index_own(config(run(**changes)))


def test_two_files_of_one_video(run: Callable[..., Path]) -> None:
    folder = run()
    (folder / "copy.json").write_text((folder / LABELS_FILE).read_text())
    with pytest.raises(AnnotationError, match="keep one of them"):
        index_own(config(folder))


def test_labels_without_a_result(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    (tmp_path / "alone").mkdir()
    (folder / LABELS_FILE).rename(tmp_path / "alone" / "dinner.labels.json")
    with pytest.raises(AnnotationError, match="has no result; name the folder"):
        index_own(OwnConfig(tmp_path / "alone", tmp_path / "alone"))


def test_a_turned_video_is_refused(run: Callable[..., Path]) -> None:
    folder = run()
    media = {"turn": 90, "audio_track": None}
    (folder / "run.json").write_text(json.dumps({"config": {"video": {"media": media}}}))
    with pytest.raises(AnnotationError, match="'turn': 90"):
        index_own(config(folder))


def test_options() -> None:
    with pytest.raises(ConfigError, match="val: 1"):
        replace(OwnConfig(Path(), Path()), val=1.0)


def test_the_command(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run()
    words = ["--videos", str(tmp_path / "videos"), "--labels", str(folder)]
    assert main(["prepare", "own", *words, "--store", str(tmp_path / "store")]) == 0
    assert ClipStore.open(tmp_path / "store").clips() == ["dinner", "dinner_later"]
