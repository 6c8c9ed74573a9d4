"""What all formats tell: which stretches, of whom, without overlap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from quavf.core.errors import ConfigError
from quavf.report.formats.timeline import Stretch, build_timeline, write_one_line
from quavf.results.kinds import KINDS, LABEL_TALKING, LOOKING, SPEAKING, TALKING
from quavf.results.records import Moment
from tests.helpers.made_up_results import made_up
from tests.helpers.timelines import EMPTY, HARD

RESULT = replace(
    made_up(Path("in.mp4")),
    moments=(Moment(1, 1.0, 2.0, 0.8), Moment(2, 3.0004, 3.0004, 0.9)),
    speaking=(Moment(1, 0.5, 9.0, 0.7),),
    truth=(Moment(3, 4.0, 5.0),),
)


def test_stretches_of_a_result() -> None:
    timeline = build_timeline(RESULT)
    assert timeline.judged == (TALKING, SPEAKING, LABEL_TALKING)
    assert timeline.people == {1: "Person 1", 2: "Person 2", 3: "Person 3"}
    assert timeline.stretches == (
        Stretch(1, SPEAKING, 500, 9000, 0.7),
        Stretch(1, TALKING, 1000, 2000, 0.8),
        Stretch(2, TALKING, 3000, 3001, 0.9),
        Stretch(3, LABEL_TALKING, 4000, 5000, None),
    )
    assert timeline.duration_ms == 6000
    assert timeline.end_ms == 9000


def test_chosen_kinds() -> None:
    timeline = build_timeline(RESULT, (TALKING, LOOKING))
    assert timeline.judged == (TALKING,)
    assert {s.kind for s in timeline.stretches} == {TALKING}
    with pytest.raises(ConfigError, match=r"kind: 'talk' is not one of talking, speaking"):
        build_timeline(RESULT, ("talk",))


def test_tiers_are_of_people_with_stretches_and_do_not_overlap() -> None:
    tiers = HARD.list_tiers()
    assert {tier.person for tier in tiers} == {"Person 1", write_one_line(HARD.people[2])}
    assert len(tiers) == 2 * len(KINDS)
    labels = next(t for t in tiers if t.kind == LABEL_TALKING and t.person == "Person 1")
    assert labels.stretches == (Stretch(1, LABEL_TALKING, 1500, 3500, None),)
    talking = next(t for t in tiers if t.kind == TALKING and t.person == "Person 1")
    assert [(s.start_ms, s.end_ms) for s in talking.stretches] == [
        (0, 1),
        (1000, 2000),
        (2000, 3000),
    ]
    assert EMPTY.list_tiers() == []
    assert EMPTY.end_ms == 1
