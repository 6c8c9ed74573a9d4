"""Ego4D annotations: what is read, what is mended and counted, what is refused with its place."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import AnnotationError
from quavf.core.records import Interval, Segment
from quavf.core.semantics import FIXED, REFERENCE
from quavf.faces.track import build_track, merge_tracks
from quavf.sources.ego4d import Ego4dIndex, read_ego4d, read_splits
from tests.helpers.annotations import clip, person, segment, span, still, write_annotations
from tests.helpers.data import REAL_MINI, needs_real

A = clip("a", [person(1, still(0, 5))], [segment("1", 0, 4, "0")])


def read(folder: Path, splits: Path | None = None, semantics: Any = FIXED) -> Ego4dIndex:
    return read_ego4d(folder, folder / "clips", splits, semantics)


def read_one(folder: Path, raw: Any, semantics: Any = FIXED) -> Any:
    (record,) = read(write_annotations(folder, [raw]), semantics=semantics).records
    return record


def test_one_clip(tmp_path: Path) -> None:
    record = read_one(tmp_path, A)
    assert (record.clip, record.split) == ("a", "train")
    assert record.media == tmp_path / "clips" / "a.mp4"
    assert record.segments == (Segment(1, 0, 4, 1),)
    assert list(record.tracks) == [1]
    (rows,) = record.tracks[1]
    assert rows.frames.tolist() == [0, 1, 2, 3, 4]
    assert rows.xywh[0].tolist() == [30, 30, 24, 24]
    assert record.notes == {}


def test_train_comes_before_val(tmp_path: Path) -> None:
    others = [{**A, "clip_uid": uid} for uid in ("z", "b")]
    index = read(write_annotations(tmp_path, train=[others[0]], val=[others[1], A]))
    assert [(r.clip, r.split) for r in index.records] == [
        ("z", "train"),
        ("b", "val"),
        ("a", "val"),
    ]
    assert index.clips == {"a", "b", "z"}


@pytest.mark.parametrize("missing", ["av_train.json", "av_val.json"])
def test_one_file_is_enough(tmp_path: Path, missing: str) -> None:
    write_annotations(tmp_path, [A], [{**A, "clip_uid": "b"}])
    (tmp_path / missing).unlink()
    assert len(read(tmp_path).records) == 1


def test_media_of_any_suffix(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mkv").write_bytes(b"")
    assert read_one(tmp_path, A).media == tmp_path / "clips" / "a.mkv"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (segment("1", 3, 9, "0"), Segment(1, 3, 9, 1)),
        (segment("1", 3, 9, None), Segment(1, 3, 9, 0)),
        (segment("1", 3, 9, None, is_at_me=True), Segment(1, 3, 9, 0)),  # only `target` counts
        (segment("1", 3, 9, "", is_at_me=False), Segment(1, 3, 9, 1)),
        (segment("1", 3, 9, 0), Segment(1, 3, 9, 1)),
        (segment("'3'", 3, 9), Segment(3, 3, 9, 0)),
        (segment('"3"', 3, 9), Segment(3, 3, 9, 0)),
        (segment(" 3 ", 3, 9), Segment(3, 3, 9, 0)),
        (segment(3, 3, 9), Segment(3, 3, 9, 0)),
        (segment("0", 3, 9), Segment(0, 3, 9, 0)),  # the wearer stays in the labels
        (segment("-1", 3, 9), Segment(-1, 3, 9, 0)),
        (segment("1", 3, 3), Segment(1, 3, 3, 0)),  # one frame
        (segment("1", 3.0, 9.0), Segment(1, 3, 9, 0)),
    ],
)
def test_segments(tmp_path: Path, item: dict[str, Any], expected: Segment) -> None:
    record = read_one(tmp_path, clip("a", [], [item]))
    assert record.segments == (expected,)


REVERSED = "segments that end before they start, or lie outside of any clip"
NO_NUMBER = "segments whose person is not a number"


@pytest.mark.parametrize(
    ("item", "note"),
    [
        (segment(None, 3, 9), "segments without a person"),
        ({"start_frame": 3, "end_frame": 9, "target": None}, "segments without a person"),
        (segment("x", 3, 9), NO_NUMBER),
        (segment("", 3, 9), NO_NUMBER),
        (segment("1.5", 3, 9), NO_NUMBER),
        (segment([1], 3, 9), NO_NUMBER),
        (segment("9" * 30, 3, 9), NO_NUMBER),
        (segment("9" * 5000, 3, 9), NO_NUMBER),
        (segment("1", 9, 3), REVERSED),
        (segment("1", -3, 9), REVERSED),
        (segment("1", float("nan"), 9), REVERSED),
        (segment("1", 3, float("nan")), REVERSED),
        (segment("1", 3, float("inf")), REVERSED),
        (segment("1", 3, 10**400), REVERSED),
    ],
)
def test_segments_left_out(
    tmp_path: Path, item: dict[str, Any], note: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is counted, and a warning names the clip; the clip's other segments stay."""
    record = read_one(tmp_path, clip("a", [person(1, still(0, 2))], [item, segment("1", 5, 6)]))
    assert record.segments == (Segment(1, 5, 6, 0),)
    assert record.notes == {note: 1}
    assert f"clip a: {note}: 1" in caplog.text


def with_voices(*voices: list[Any], **more: Any) -> dict[str, Any]:
    """Clip "a" whose wearer and person 1 have these voice segments."""
    raw: dict[str, Any] = json.loads(json.dumps(A))
    for owner, voice in zip(raw["persons"], voices, strict=False):
        owner["voice_segments"] = voice
    return {**raw, **more}


def test_speaking(tmp_path: Path) -> None:
    """Of the wearer, too, whose segments may stand in one of two places or in both."""
    own = [span(4, 6), span(0, 2, person="7")]  # the owner counts, whoever is named
    wearer = {"person_id": "0", "voice_segments": [own[1], span(8, 9)]}
    raw = with_voices(own, [span(3, 3, person=None)], camera_wearer=wearer)
    record = read_one(tmp_path, raw)
    assert record.speaking == (
        Interval(0, 0, 2),
        Interval(0, 4, 6),
        Interval(0, 8, 9),
        Interval(1, 3, 3),
    )
    assert record.notes == {}


def test_the_wearer_by_position_speaks_as_person_0(tmp_path: Path) -> None:
    raw = with_voices([span(4, 6)], [span(0, 1)])
    raw["persons"][0]["person_id"] = "5"
    assert read_one(tmp_path, raw, REFERENCE).speaking == (Interval(0, 4, 6), Interval(1, 0, 1))


@pytest.mark.parametrize("voices", [[[], []], [None, None], [None, []]])
def test_speaking_is_not_labelled(tmp_path: Path, voices: list[Any]) -> None:
    """Nobody ever speaks: then nobody has listened."""
    assert read_one(tmp_path, with_voices(*voices)).speaking is None


def test_voice_segments_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [span(9, 3), span(-1, 4), span(None, 4), span(0, float("nan")), span(0, 1e9)]
    raw = with_voices([], [*bad, span(5.0, 6.0)])
    raw["persons"].append({**person("x"), "voice_segments": [span(1, 2)]})
    record = read_one(tmp_path, raw)
    assert record.speaking == (Interval(1, 5, 6),)
    note = "voice segments that end before they start, or lie outside of any clip"
    assert record.notes == {note: 5, "persons whose id is not a number": 1}
    assert f"clip a: {note}: 5" in caplog.text


def test_looking(tmp_path: Path) -> None:
    """Every listed segment is positive, whatever `is_at_me` and `target` say."""
    looking = [
        segment("'2'", 7, 9, None, is_at_me=False),
        segment(1, 0, 4, "3", is_at_me=True),
        segment("1", 0, 4),
    ]
    record = read_one(tmp_path, {**A, "social_segments_looking": looking})
    assert record.looking == (Interval(1, 0, 4), Interval(2, 7, 9))


def test_looking_segments_left_out(tmp_path: Path) -> None:
    bad = [segment(None, 0, 1), segment("x", 0, 1), segment("1", 4, 1)]
    record = read_one(tmp_path, {**A, "social_segments_looking": [*bad, segment("1", 2, 3)]})
    assert record.looking == (Interval(1, 2, 3),)
    assert record.notes == {
        "looking segments without the number of a person": 2,
        "looking segments that end before they start, or lie outside of any clip": 1,
    }


def test_nobody_looks_or_nothing_is_labelled(tmp_path: Path) -> None:
    """An empty list beside talking segments: nobody looks. With neither: nothing is labelled."""
    assert read_one(tmp_path / "1", A).looking == ()
    assert read_one(tmp_path / "2", clip("a", [], [])).looking is None
    unknown = {key: value for key, value in A.items() if key != "social_segments_looking"}
    assert read_one(tmp_path / "3", unknown).looking is None
    assert read_one(tmp_path / "4", {**A, "social_segments_looking": None}).looking is None


@pytest.mark.parametrize(
    "change",
    [
        {"x": None},
        {"x": "left"},
        {"width": float("nan")},
        {"height": float("inf")},
        {"x": 1e7},
        {"x": 10**400},
        {"frame": None},
        {"frame": -1},
        {"frame": 10**7},
        {"frame": float("nan")},
        {"y": ...},  # missing
        {"frame": ...},
    ],
)
def test_track_rows_left_out(tmp_path: Path, change: dict[str, Any]) -> None:
    raw = json.loads(json.dumps(A))
    (row, *_) = raw["persons"][1]["tracking_paths"][0]["track"]
    row.update(change)
    row = {key: value for key, value in row.items() if value is not ...}
    raw["persons"][1]["tracking_paths"][0]["track"][0] = row
    record = read_one(tmp_path, raw)
    assert record.tracks[1][0].frames.tolist() == [1, 2, 3, 4]
    assert record.notes == {"track rows without five usable numbers": 1}


def test_rows_that_are_no_objects(tmp_path: Path) -> None:
    raw = clip("a", [{**person(1), "tracking_paths": [{"track": [None, [], "x", 3]}]}], [])
    record = read_one(tmp_path, raw)
    assert record.tracks[1][0].frames.shape == (0,)
    assert record.notes == {"track rows without five usable numbers": 4}


def test_people(tmp_path: Path) -> None:
    """Ids with stray quotes, two entries for one person, and people who are only labelled."""
    raw = clip(
        "a",
        [person("'2'", still(0, 2)), person(2, still(5, 6), still(8, 9)), person("x", still(0, 1))],
        [segment("2", 0, 1), segment("7", 0, 1), segment("0", 0, 1)],
    )
    record = read_one(tmp_path, raw)
    assert list(record.tracks) == [2]
    assert [rows.frames[0] for rows in record.tracks[2]] == [0, 5, 8]
    assert record.notes == {
        "people who are labelled but have no track": 1,
        "persons whose id is not a number": 1,
    }


WEARER_SECOND = {
    **clip("a", [], []),
    "persons": [
        person(1, still(0, 2)),
        person(0, still(0, 3), wearer=True),
        person(2, still(0, 4)),
    ],
}


def test_flag_wearer_by_position(tmp_path: Path) -> None:
    """The published system drops whoever is listed first."""
    assert sorted(read_one(tmp_path, WEARER_SECOND).tracks) == [1, 2]
    published = replace(FIXED, wearer_by_position=True)
    assert sorted(read_one(tmp_path, WEARER_SECOND, published).tracks) == [0, 2]


@pytest.mark.parametrize(
    "wearer", [person(0, still(0, 2)), person(3, still(0, 2), wearer=True)], ids=["id 0", "flag"]
)
def test_wearer_by_id_or_flag(tmp_path: Path, wearer: dict[str, Any]) -> None:
    raw = {**clip("a", [], []), "persons": [person(1, still(0, 2)), wearer]}
    assert list(read_one(tmp_path, raw).tracks) == [1]


def without(key: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda raw: {k: v for k, v in raw.items() if k != key}


def put(key: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda raw: {**raw, key: value}


def in_person(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: {**raw, "persons": [raw["persons"][0], change(raw["persons"][1])]}


def in_segment(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: {
        **raw,
        "social_segments_talking": [change(raw["social_segments_talking"][0])],
    }


PERSON = r"clip 'a': persons\[1\]"
TALKING = r"clip 'a': social_segments_talking\[0\]"
MISSING = "is missing; is this an Ego4D AV annotation file"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("clip_uid"), rf"videos\[0\].clips\[0\]: 'clip_uid' {MISSING}"),
        (put("clip_uid", 5), r"videos\[0\].clips\[0\]: 'clip_uid' should be str, found 5"),
        (lambda raw: "x", r"clips\[0\]: expected an object with 'clip_uid', found 'x'"),
        (lambda raw: None, r"clips\[0\]: expected an object with 'clip_uid', found None"),
        (without("persons"), f"clip 'a': 'persons' {MISSING}"),
        (put("persons", {}), r"clip 'a': 'persons' should be list, found \{\}"),
        (put("persons", [3]), r"persons\[0\]: expected an object with 'person_id', found 3"),
        (without("social_segments_talking"), f"'social_segments_talking' {MISSING}"),
        (put("social_segments_talking", None), "talking' should be list, found None"),
        (put("social_segments_looking", 3), "looking' should be list, found 3"),
        (put("social_segments_looking", [3]), r"looking\[0\]: expected an object"),
        (in_person(without("person_id")), f"{PERSON}: 'person_id' {MISSING}"),
        (in_person(put("person_id", None)), f"{PERSON}: .* should be str or int, found None"),
        (in_person(put("person_id", True)), f"{PERSON}: .* should be str or int, found True"),
        (in_person(without("tracking_paths")), f"{PERSON}: 'tracking_paths' {MISSING}"),
        (
            in_person(put("tracking_paths", [{}])),
            rf"{PERSON}.tracking_paths\[0\]: 'track' {MISSING}",
        ),
        (in_person(put("tracking_paths", ["x"])), r"tracking_paths\[0\]: expected an object"),
        (in_segment(without("start_frame")), f"{TALKING}: 'start_frame' {MISSING}"),
        (in_segment(without("end_frame")), f"{TALKING}: 'end_frame' {MISSING}"),
        (in_segment(put("end_frame", "7")), f"{TALKING}: .* should be int or float, found '7'"),
        (in_segment(put("end_frame", True)), "should be int or float, found True"),
        (in_segment(lambda item: []), rf"{TALKING}: expected an object .* found \[\]"),
        (in_segment(put("start_frame", "x" * 500)), r"found 'x+\.\.\.$"),
    ],
)
def test_faults_are_named_with_their_place(
    tmp_path: Path, change: Callable[[Any], Any], says: str
) -> None:
    write_annotations(tmp_path, [change(json.loads(json.dumps(A)))])
    with pytest.raises(AnnotationError, match=rf"av_train\.json: .*{says}") as caught:
        read(tmp_path)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty; download"),
        ("{", "not valid JSON"),
        ("[]", r"expected an object with 'videos', found \[\]"),
        ("null", "expected an object with 'videos', found None"),
        ("{}", "'videos' is missing; is this an Ego4D AV"),
        ('{"videos": 3}', "'videos' should be list, found 3"),
        ('{"videos": [3]}', r"videos\[0\]: expected an object with 'clips'"),
        ('{"videos": [{}]}', r"videos\[0\]: 'clips' is missing"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "av_val.json").write_text(text)
    with pytest.raises(AnnotationError, match=rf"av_val\.json: {says}"):
        read(tmp_path)


def test_no_files(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AnnotationError, match=r"no av_train.json or av_val.json here; pass"):
            read(folder)


@pytest.mark.parametrize("raw", [{"videos": []}, {"videos": [{"clips": []}]}])
def test_files_without_clips(tmp_path: Path, raw: Any) -> None:
    (tmp_path / "av_train.json").write_text(json.dumps(raw))
    assert read(tmp_path).records == []


@pytest.mark.parametrize(
    "uid", ["../x", "/abs", "a/b", "", ".", "..", "a\\b", "x" * 5000, "a\nb", "a b", "\0"]
)
def test_hostile_ids(tmp_path: Path, uid: str) -> None:
    write_annotations(tmp_path, [{**A, "clip_uid": uid}])
    with pytest.raises(
        AnnotationError, match=r"av_train\.json: clip .* cannot name a file; use"
    ) as e:
        read(tmp_path)
    assert len(str(e.value)) < 400
    assert "\n" not in str(e.value)


def test_a_clip_annotated_twice(tmp_path: Path) -> None:
    write_annotations(tmp_path, [A], [A])
    with pytest.raises(
        AnnotationError, match=r"av_val\.json: clip 'a': .* annotated twice; remove"
    ):
        read(tmp_path)


def test_fingerprint_follows_the_annotation(tmp_path: Path) -> None:
    prints = []
    for name, raw in (
        ("same", A),
        ("again", json.loads(json.dumps(A))),
        ("label", clip("a", [person(1, still(0, 5))], [segment("1", 0, 4, None)])),
        ("box", clip("a", [person(1, still(0, 5, x=31))], [segment("1", 0, 4, "0")])),
    ):
        prints.append(read_one(tmp_path / name, raw).fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def lists(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"train_txt": "a\nb\n", "val_txt": "c"}, {"a": "train", "b": "train", "c": "val"}),
        ({"train_list": "a\r\nb", "valid_txt": "c"}, {"a": "train", "b": "train", "c": "val"}),
        ({"test_list": "\n\n a \n"}, {"a": "test"}),
        ({"train_txt": "a\na\n", "train_list": "a"}, {"a": "train"}),
        ({"train_txt": "", "val_txt": "c"}, {"c": "val"}),
        ({"full_txt": "x", "val_txt": "c"}, {"c": "val"}),
    ],
)
def test_splits(tmp_path: Path, files: dict[str, str], expected: dict[str, str]) -> None:
    assert read_splits(lists(tmp_path, **files)) == expected


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no clip ids in train.txt, val.txt"),
        ({"train_txt": "\n"}, "no clip ids in"),
        (
            {"train_txt": "a", "val_txt": "b\na"},
            r"val\.txt: clip a is in 'val' and in 'train'; keep",
        ),
    ],
)
def test_impossible_splits(tmp_path: Path, files: dict[str, str], says: str) -> None:
    with pytest.raises(AnnotationError, match=says):
        read_splits(lists(tmp_path / "split", **files))


def test_split_lists_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff\xfa\x00a")
    with pytest.raises(
        AnnotationError, match=r"train\.txt: cannot be read .*; expected a text file"
    ):
        read_splits(tmp_path)


def test_no_split_folder(tmp_path: Path) -> None:
    write_annotations(tmp_path, [A])
    with pytest.raises(AnnotationError, match="nowhere: no clip ids"):
        read(tmp_path, tmp_path / "nowhere")


def test_lists_decide_the_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also of clips that the file says otherwise of; what is listed nowhere is left out."""
    clips = [{**A, "clip_uid": uid} for uid in "abcd"]
    write_annotations(tmp_path, clips[:2], clips[2:])
    splits = lists(tmp_path / "split", train_txt="c", val_txt="a\nghost", test_txt="d\nunseen")
    index = read(tmp_path, splits)
    assert {r.clip: r.split for r in index.records} == {"a": "val", "c": "train", "d": "test"}
    assert index.clips == set("abcd")
    assert index.notes == {
        "clips not in any split list": 1,
        "clips in a split list without annotations": 1,  # test clips have none by design
    }
    assert "1 clips have no annotations: ghost" in caplog.text


def test_faultless_annotations_give_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        read_one(tmp_path, A)
    assert caplog.records == []


@needs_real
def test_real_annotations() -> None:
    index = read_ego4d(REAL_MINI / "annotations", REAL_MINI / "clips", REAL_MINI / "split", FIXED)
    assert [r.split for r in index.records].count("train") >= 1
    assert all(r.media.is_file() and r.segments for r in index.records)


def test_tracks_as_published_end_to_end(e2e_root: Path) -> None:
    """Every box of every frame of every person, all annotation faults included."""
    index = read_ego4d(e2e_root / "annotations", e2e_root / "clips", None, REFERENCE)
    assert len(index.records) == 4
    for record in index.records:
        expected = json.loads((e2e_root / "trackPath" / f"{record.clip}.json").read_text())
        found = {}
        for number, parts in record.tracks.items():
            built = [build_track(rows, REFERENCE) for rows in parts]
            merged = merge_tracks([track for track in built if track is not None], REFERENCE)
            if merged is not None:
                found[str(number)] = merged
        assert sorted(found) == sorted(key for key, value in expected.items() if value)
        for name, merged in found.items():
            assert merged.frames.tolist() == sorted(map(int, expected[name]))
            boxes = [expected[name][str(frame)] for frame in merged.frames]
            np.testing.assert_array_equal(merged.boxes, np.array(boxes))


def test_labels_as_published(e2e_root: Path) -> None:
    index = read_ego4d(e2e_root / "annotations", e2e_root / "clips", None, REFERENCE)
    for record in index.records:
        expected = json.loads((e2e_root / "ttm" / f"{record.clip}.json").read_text())
        labels = [
            Segment(
                row["person"], row["startFrame"], row["endFrame"], int(row["target"] is not None)
            )
            for row in expected
        ]
        assert list(record.segments) == labels


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_of_windows_editors(tmp_path: Path, encoding: str) -> None:
    """A byte order mark is no part of the first id."""
    (tmp_path / "train.txt").write_bytes("one\r\ntwo\r\n".encode(encoding))
    assert read_splits(tmp_path) == {"one": "train", "two": "train"}
