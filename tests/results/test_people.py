"""People of a result as they were labelled: named, joined and split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quavf.core.errors import AnnotationError
from quavf.results.labels import (
    LabelledPerson,
    Part,
    Stretch,
    VideoLabels,
    fingerprint_people,
    write_csv,
)
from quavf.results.people import apply_people, find_labels
from quavf.results.records import Moment
from quavf.results.video import VideoResult
from tests.helpers.made_up_results import made_up

RESULT = replace(
    made_up(Path("in.mp4"), n_persons=3),
    moments=(Moment(1, 0.5, 1.5, 0.7), Moment(2, 2.0, 4.0, 0.8), Moment(3, 4.5, 5.0, 0.9)),
    speaking=(Moment(2, 1.0, 5.0, 0.6),),
    notes=("Far away: person 1 (40 % of the time) and person 2 (30 %).",),
)


def label(*people: LabelledPerson) -> VideoLabels:
    return VideoLabels("in.mp4", people, 6.0, run=fingerprint_people(RESULT))


def test_without_names_nothing_changes() -> None:
    plain = label(LabelledPerson(1, (Stretch(0, 1, "to_me"),)), LabelledPerson(2, (), (Part(2),)))
    assert apply_people(RESULT, plain) is RESULT
    assert apply_people(RESULT, None) is RESULT


def test_names() -> None:
    named = apply_people(RESULT, label(LabelledPerson(1, name="Anna\u202e\n")))
    assert [p.title for p in named.persons] == ["Anna", "Person 2", "Person 3"]
    assert named.notes == ("Far away: Anna (40 % of the time) and person 2 (30 %).",)
    assert named.moments == RESULT.moments
    np.testing.assert_array_equal(named.scores[1].time_s, RESULT.scores[1].time_s)


def test_joined_people_are_one() -> None:
    joined = apply_people(RESULT, label(LabelledPerson(1, (), (Part(1), Part(3)), "Anna")))
    assert [(p.number, p.title) for p in joined.persons] == [(1, "Anna"), (2, "Person 2")]
    assert [m.person for m in joined.moments] == [1, 2, 1]
    assert len(joined.scores[1]) == len(RESULT.scores[1]) + len(RESULT.scores[3])
    assert (np.diff(joined.scores[1].time_s) >= 0).all()
    assert (np.diff(joined.boxes[1].time_s) >= 0).all()
    assert joined.persons[0].last_s == max(RESULT.persons[k].last_s for k in (0, 2))


def test_a_split_person_is_two() -> None:
    people = (
        LabelledPerson(2, (), (Part(2, 0.0, 3.0),), "Ben"),
        LabelledPerson(4, (), (Part(2, 3.0, 6.0),), "Carl"),
    )
    split = apply_people(RESULT, label(*people))
    assert [p.title for p in split.persons] == ["Person 1", "Ben", "Person 3", "Carl"]
    assert split.moments[1:3] == (Moment(2, 2.0, 3.0, 0.8), Moment(4, 3.0, 4.0, 0.8))
    assert split.speaking == (Moment(2, 1.0, 3.0, 0.6), Moment(4, 3.0, 5.0, 0.6))
    assert split.scores[2].time_s.max() < 3.0 <= split.scores[4].time_s.min()
    assert len(split.scores[2]) + len(split.scores[4]) == len(RESULT.scores[2])
    assert split.persons[3].first_s == 3.0
    assert "person 2 (30 %)" in split.notes[0]


def test_a_result_keeps_names(tmp_path: Path) -> None:
    apply_people(RESULT, label(LabelledPerson(1, name="Anna"))).write(tmp_path)
    assert [p.name for p in VideoResult.read(tmp_path).persons] == ["Anna", "", ""]


def test_labels_beside_a_result(tmp_path: Path) -> None:
    assert find_labels(tmp_path, RESULT) is None
    labels = label(LabelledPerson(2, (Stretch(0, 1, "to_me"),), name="Ben"))
    write_csv(tmp_path / "in.labels.csv", [replace(labels, video="other.mp4"), labels])
    found = find_labels(tmp_path, RESULT)
    assert found is not None
    assert found.people[0].name == "Ben"
    replace(labels, people=()).write(tmp_path / "labels.json")
    assert find_labels(tmp_path, RESULT) == replace(labels, people=())
    replace(labels, run="another").write(tmp_path / "labels.json")
    with pytest.raises(AnnotationError, match=r"labels\.json: its labels are of another run"):
        find_labels(tmp_path, RESULT)
