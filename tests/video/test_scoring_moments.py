from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from quavf.results.config import MomentsConfig
from quavf.results.records import Person, PersonScores
from quavf.results.video import VideoResult
from quavf.video.scoring import add_moments


def talking(*sides: float) -> VideoResult:
    """People who talk to the wearer all the time, with faces of these sizes."""
    scores = {
        person: PersonScores(
            np.arange(20) / 10,
            np.arange(20),
            np.tile([0.0, 0, side, side], (20, 1)),
            {"fused": np.full(20, 0.9)},
        )
        for person, side in enumerate(sides, 1)
    }
    size = (1920, 1080)
    return VideoResult(Path("v.mp4"), 2.0, Fraction(30), size, scores=scores, notes=("A note.",))


def test_people_in_the_background_have_no_moments() -> None:
    result = add_moments(talking(300, 50, 45, 200), MomentsConfig(), 0.1)
    assert [m.person for m in result.moments] == [1, 4]
    assert result.notes == (
        "A note.",
        "2 people have faces too small to judge (under 32 pixels, or much smaller than the largest "
        "one): no moments for them.",
    )
    one = add_moments(result, MomentsConfig(min_face=0, min_face_share=0.16), 0.1)
    assert [m.person for m in one.moments] == [1, 2, 4]
    assert [note[:8] for note in one.notes] == ["A note.", "1 person"]
    everybody = add_moments(one, MomentsConfig(min_face=0, min_face_share=0), 0.1)
    assert len(everybody.moments) == 4
    assert everybody.notes == ("A note.",)


def test_faces_that_never_move_have_no_moments() -> None:
    persons = (Person(1, 0, 2), Person(2, 0, 2, is_still=True))
    result = add_moments(replace(talking(100, 100), persons=persons), MomentsConfig(), 0.1)
    assert [m.person for m in result.moments] == [1]
    assert result.notes[1] == (
        "1 person has a face without any movement, like in a picture: no moments for them."
    )
    both = add_moments(result, MomentsConfig(still_faces=True), 0.1)
    assert [m.person for m in both.moments] == [1, 2]
    assert both.notes == ("A note.",)
