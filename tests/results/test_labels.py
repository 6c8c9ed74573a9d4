"""The label file and its table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quavf.core.errors import AnnotationError
from quavf.results.labels import (
    LabelledPerson,
    Part,
    Stretch,
    VideoLabels,
    fingerprint_people,
    fingerprint_video,
    read_csv,
    write_csv,
)
from tests.helpers.made_up_results import made_up

ANNA = LabelledPerson(
    1,
    (Stretch(0.5, 2.25, "to_me"), Stretch(2.25, 4.0, "silent"), Stretch(5.0, 6.0, "to_others")),
    (Part(1, 0.0, 3.0), Part(3, 3.0, 10.0)),
    "Anna, with a comma",
)
BEN = LabelledPerson(4, (Stretch(1.0, 2.0, "to_me", checked=False),))
LABELS = VideoLabels("dinner.mp4", (ANNA, BEN), 10.0, "abc", "def")


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    LABELS.write(tmp_path / "labels.json")
    assert VideoLabels.read(tmp_path / "labels.json") == LABELS


def test_drafts_are_no_labels() -> None:
    assert LABELS.labelled_s == pytest.approx(1.75 + 1.75 + 1.0)
    assert [len(p.stretches) for p in LABELS.checked.people] == [3, 0]


def test_a_table_keeps_the_checked_stretches(tmp_path: Path) -> None:
    nameless = LabelledPerson(1, ANNA.stretches)
    write_csv(tmp_path / "labels.csv", [VideoLabels("dinner.mp4", (nameless, BEN))])
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[:2] == ["video,person,start_s,end_s,label", "dinner.mp4,1,0.500,2.250,to_me"]
    (found,) = read_csv(tmp_path / "labels.csv")
    assert found == VideoLabels("dinner.mp4", (nameless,))
    assert found.people[0].list_parts() == (Part(1),)


def test_a_table_keeps_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", [LABELS])
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines[0] == "video,person,name,start_s,end_s,label"
    assert lines[1] == 'dinner.mp4,1,"Anna, with a comma",0.500,2.250,to_me'
    (found,) = read_csv(tmp_path / "labels.csv")
    assert [p.name for p in found.people] == [ANNA.name]


def edit(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(LABELS.to_json())), **changes}


def person(**changes: Any) -> dict[str, Any]:
    return edit(people=[{"person": 1, "stretches": [], **changes}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no file of labels"),
        ({}, "no file of labels"),
        (edit(version=2), "version 2, this version reads 1"),
        (edit(people=None), "people"),
        (edit(people=[{}]), "people, number 1"),
        (edit(people=[{"person": 1}, {"person": 1}]), "different numbers"),
        (person(person=0), "from 1"),
        (person(stretches=[{"start_s": 2, "end_s": 1, "label": "to_me"}]), "from 2 to 1 s"),
        (person(stretches=[{"start_s": 0, "end_s": "nan", "label": "to_me"}]), "not a stretch"),
        (person(stretches=[{"start_s": 0, "end_s": 1, "label": "loud"}]), "'loud' is not one of"),
        (
            person(
                stretches=[
                    {"start_s": 0, "end_s": 2, "label": "to_me"},
                    {"start_s": 1, "end_s": 3, "label": "silent"},
                ]
            ),
            "overlap at 1 s",
        ),
    ],
)
def test_what_is_wrong_is_named(content: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message) as error:
        VideoLabels.from_json(content, "x.json")
    assert str(error.value).startswith("x.json: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,person\n", "no column start_s"),
        ("video,person,start_s,end_s,label\na.mp4,1,0,1,loud\n", "line 2: label 'loud'"),
        ("video,person,start_s,end_s,label\na.mp4,x,0,1,to_me\n", "line 2: "),
        ("video,person,start_s,end_s,label\na.mp4,1\n", "line 2: "),
        (
            "video,person,start_s,end_s,label\na.mp4,1,0,2,to_me\na.mp4,1,1,2,silent\n",
            "person 1: two stretches overlap",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_csv(tmp_path / "labels.csv")


def test_a_video_is_known_by_its_ends(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x" * 3_000_000)
    known = fingerprint_video(video)
    assert len(known) == 16
    video.write_bytes(b"x" * 2_999_999 + b"y")
    assert fingerprint_video(video) not in (known, "")
    assert fingerprint_video(tmp_path / "missing.mp4") == ""


def test_other_people_have_another_fingerprint(tmp_path: Path) -> None:
    two, three = (made_up(tmp_path / "a.mp4", n_persons=n) for n in (2, 3))
    assert fingerprint_people(two) != fingerprint_people(three)
