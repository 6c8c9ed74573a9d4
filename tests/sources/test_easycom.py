"""EasyCom's files as clip records, faults and all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import AnnotationError, ConfigError
from quavf.core.records import ClipRecord, Interval, Segment
from quavf.sources.config import EasyComConfig
from quavf.sources.easycom import index_easycom
from tests.helpers.easycom_files import every_frame, face, frames, pose, speech, write

BOX = (10.0, 20.0, 30.0, 50.0)
FACES = every_frame(range(1, 41), face(4, BOX))
LAST = 1199  # of a piece of a minute


def read(root: Path, **options: Any) -> list[ClipRecord]:
    records: Any = index_easycom(EasyComConfig(root, **options)).records
    assert all(isinstance(record, ClipRecord) for record in records)
    return list(records)


def read_one(root: Path, **options: Any) -> ClipRecord:
    (record,) = read(root, **options)
    return record


def test_pieces_with_their_split_and_files(tmp_path: Path) -> None:
    for session, piece in (
        (1, "01-00-288"),
        (1, "00-00-000"),
        (12, "00-00-000"),
        (10, "00-00-000"),
    ):
        write(tmp_path, "Face_Bounding_Boxes", session, FACES, piece)
    write(tmp_path, "Face_Bounding_Boxes", 99, FACES)
    write(tmp_path, "Face_Bounding_Boxes", 1, FACES, "notes")
    write(tmp_path, "Speech_Transcriptions", 1, [], "02-00-000")
    index = index_easycom(EasyComConfig(tmp_path))
    records: list[Any] = index.records
    assert [(r.clip, r.split) for r in records] == [
        ("Session_1_00-00-000", "train"),
        ("Session_1_01-00-288", "train"),
        ("Session_10_00-00-000", "test"),
        ("Session_12_00-00-000", "val"),
    ]
    assert index.notes == {
        "files that are not named <mm-ss-SSS>.json": 1,
        "pieces with speech but without face boxes, left out": 1,
        "sessions of no split, left out": 1,
    }
    first = records[0]
    assert first.media == tmp_path / "Main/Video_Compressed/Session_1/00-00-000.mp4"
    assert (first.sound, first.channels, first.every) == (None, (5, 6), 1)
    assert (first.facts.fps, first.facts.size) == (20, (1920, 1080))
    assert (first.speaking, first.looking, first.segments) == (None, None, ())
    assert first.notes == {
        "pieces without Speech_Transcriptions": 1,
        "pieces without Tracked_Poses": 1,
    }
    sound = tmp_path / "Main/Glasses_Microphone_Array_Audio/Session_1/00-00-000.wav"
    sound.parent.mkdir(parents=True)
    sound.touch()
    assert read(tmp_path / "Main")[0].sound == sound  # Main itself will do


def test_boxes_count_frames_from_one_and_only_short_gaps_are_filled(tmp_path: Path) -> None:
    people: dict[int, Any] = {
        1: [face(4, BOX), face(1, (0, 0, 5, 5))],
        2: face(4, BOX),
        7: [face("4", BOX)],
    }
    people |= {13: [face(4, BOX), face(2, BOX), face(4.0, (1, 1, 1, 2)), face(None, BOX)]}
    people |= {0: [face(4, BOX)], 14: [{"Participant_ID": 4, "x1": 1}], 15: [], 16: None}
    write(tmp_path, "Face_Bounding_Boxes", 1, [*frames(people), 5, {"Participants": []}])
    record = read_one(tmp_path)
    assert {p: [t.frames.tolist() for t in own] for p, own in record.tracks.items()} == {
        1: [[0]],
        4: [[0, 1, 6], [12]],
    }
    np.testing.assert_array_equal(record.tracks[4][0].xywh, [(10, 20, 20, 30)] * 3)
    notes = {k: n for k, n in record.notes.items() if not k.startswith("pieces without")}
    assert notes == {
        "boxes of a frame before the first": 1,
        "boxes of the wearer": 1,
        "boxes without a participant or four numbers": 2,
        "boxes without a size": 1,
        "frames without a number or a list of participants": 3,
    }


def test_speech_and_its_targets(tmp_path: Path) -> None:
    write(tmp_path, "Face_Bounding_Boxes", 1, FACES)
    said = [
        speech(4, 1, 20, "[2]"),
        speech(4, 31, 31, 3),
        speech("1", 5, 8, ["Group"]),
        speech(2, 21, 30, 4),
        speech(5, 10, 12, "somebody"),
        speech(5, 20, 22, "None"),
        speech(4, 9, 8, 2),
        speech(None, 1, 2, 2),
        speech(4, "1", 2, 2),
        7,
    ]
    write(tmp_path, "Speech_Transcriptions", 1, said)
    record = read_one(tmp_path)
    assert record.segments == (
        Segment(4, 0, 19, 1),
        Segment(4, 30, 30, 0),
        Segment(1, 4, 7, 1),
        Segment(5, 19, 21, 0),
    )
    assert record.speaking == (
        Interval(0, 20, 29),
        Interval(1, 4, 7),
        Interval(4, 0, 19),
        Interval(4, 30, 30),
        Interval(5, 9, 11),
        Interval(5, 19, 21),
    )
    assert record.unlabelled["talking"] == (Interval(5, 9, 11),)
    assert record.notes == {
        "pieces without Tracked_Poses": 1,
        "speech whose target cannot be read, not labelled": 1,
        "speech without a participant, or that ends before it starts": 4,
    }


WEARER = pose(2, (0, 1, 0), 0)


def test_looks_follow_from_the_poses(tmp_path: Path) -> None:
    """Participant 4 is 2 m ahead of the wearer; a heading of 180 is back to the wearer."""
    write(tmp_path, "Face_Bounding_Boxes", 1, every_frame(range(1, 41), face(4, BOX), face(7, BOX)))
    place = (0, 1, 2)
    heads: dict[int, Any] = {n: [WEARER, pose(4, place, 180 - 19)] for n in range(1, 11)}
    heads |= {n: [WEARER, pose(4, place, 180 + 21)] for n in range(11, 21)}
    heads |= {
        21: [WEARER, pose(4, place, 180, isUpSideDown=True)],
        22: [WEARER],
        23: pose(4, place, 180),
    }
    heads |= {n: [WEARER, pose(4, (2, 1, 2), 180 + 45)] for n in range(24, 41)}
    write(tmp_path, "Tracked_Poses", 1, frames(heads))
    record = read_one(tmp_path)
    assert record.looking == (Interval(4, 0, 9), Interval(4, 23, 39))
    assert record.unlabelled["looking"] == (
        Interval(4, 20, 22),
        Interval(4, 40, LAST),
        Interval(7, 0, LAST),  # no pose: the server wears no markers
    )
    assert record.notes == {
        "pieces without Speech_Transcriptions": 1,
        "poses that are upside down": 1,
    }
    assert read_one(tmp_path, look_angle=30.0).looking == (
        Interval(4, 0, 19),
        Interval(4, 23, 39),
    )
    assert read_one(tmp_path, look_angle=30.0).fingerprint == record.fingerprint


def test_poses_that_count_from_nought_or_point_backwards(tmp_path: Path) -> None:
    write(tmp_path, "Face_Bounding_Boxes", 1, FACES)
    heads = {n: [WEARER, pose(4, (0, 1, 2), 0 if n < 30 else 40)] for n in range(40)}
    write(tmp_path, "Tracked_Poses", 1, frames(heads))
    record = read_one(tmp_path)
    assert record.looking == (Interval(4, 0, 29),)
    assert record.notes == {
        "persons whose pose points away from the camera that sees their face, turned round": 1,
        "pieces without Speech_Transcriptions": 1,
    }


def test_boxes_beyond_the_picture_are_on_pictures_with_a_banner(tmp_path: Path) -> None:
    write(tmp_path, "Face_Bounding_Boxes", 8, every_frame([1], face(4, (1950, 20, 2050, 90))))
    assert read_one(tmp_path).facts.size is None
    write(tmp_path, "Face_Bounding_Boxes", 8, every_frame([1], face(4, (1800, 20, 2030, 90))))
    assert read_one(tmp_path).facts.size == (1920, 1080)


def test_damaged_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "Face_Bounding_Boxes", 1, FACES)
    write(tmp_path, "Face_Bounding_Boxes", 3, b"[{", "00-00-000")
    line = json.dumps([speech(4, 1, 2, "Group")]).encode().replace(b"[L]", b"caf\xe9")
    write(tmp_path, "Speech_Transcriptions", 1, line)
    write(tmp_path, "Tracked_Poses", 1, b"12")
    index = index_easycom(EasyComConfig(tmp_path))
    assert index.notes == {"pieces whose face boxes cannot be read, left out": 1}
    (record,) = index.records
    assert record.segments == (Segment(4, 0, 1, 1),)
    assert record.looking is None
    assert record.notes == {
        "files of Tracked_Poses that are not a list in JSON": 1,
        "files with bytes that are no UTF-8, replaced": 1,
    }


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no Main/Face_Bounding_Boxes in it"):
        read(tmp_path)
    write(tmp_path, "Face_Bounding_Boxes", 1, b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(AnnotationError, match="is a Git LFS pointer, not the file itself"):
        read(tmp_path)
    write(tmp_path, "Face_Bounding_Boxes", 1, b"")
    with pytest.raises(AnnotationError, match="that can be used"):
        read(tmp_path)
    bad: list[dict[str, Any]] = [
        {"channels": ()},
        {"channels": (0,)},
        {"look_angle": 0.0},
        {"every": -1},
    ]
    for options in bad:
        with pytest.raises(ConfigError, match=next(iter(options))):
            EasyComConfig(tmp_path, **options)
