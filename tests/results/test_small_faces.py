from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import ConfigError
from quavf.results.config import MomentsConfig
from quavf.results.records import PersonScores
from quavf.results.small_faces import find_small_faces
from quavf.results.video import VideoResult


def result(*sides: list[float], start_s: tuple[float, ...] = ()) -> VideoResult:
    """People with faces of these sizes, one a tenth of a second; person 1 comes first."""
    scores = {}
    for person, own in enumerate(sides, 1):
        side = np.array(own)
        box = np.stack([np.zeros_like(side), np.zeros_like(side), 0.7 * side, side], axis=1)
        times = (start_s[person - 1] if start_s else 0.0) + np.arange(len(own)) / 10
        scores[person] = PersonScores(times, np.arange(len(own)), box)
    return VideoResult(Path("v.mp4"), 10.0, Fraction(30), (1920, 1080), scores=scores)


@pytest.mark.parametrize(
    ("sides", "small"),
    [
        ([[300.0] * 10, [58.0] * 10], {2}),  # a crowd on a screen behind a speaker
        ([[300.0] * 10, [62.0] * 10], set()),
        ([[40.0] * 10, [33.0] * 10], set()),  # everybody is far away
        ([[31.0] * 10], {1}),
        ([[20.0] * 8 + [50.0] * 2], set()),  # comes nearer
        ([[300.0] * 4, [58.0] * 10], set()),  # mostly without anybody larger
        ([[]], set()),
    ],
)
def test_small_faces(sides: list[list[float]], small: set[int]) -> None:
    assert find_small_faces(result(*sides), MomentsConfig()) == small


def test_faces_of_other_scenes_do_not_count() -> None:
    """A wide shot after a close-up."""
    after = result([300.0] * 10, [50.0] * 10, start_s=(0.0, 1.0))
    assert find_small_faces(after, MomentsConfig()) == set()


def test_the_rule_can_be_switched_off() -> None:
    off = MomentsConfig(min_face=0, min_face_share=0)
    assert find_small_faces(result([300.0] * 5, [5.0] * 5), off) == set()


@pytest.mark.parametrize("settings", [{"min_face": -1.0}, {"min_face_share": 1.5}])
def test_settings_that_cannot_be_used(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        MomentsConfig(**settings)
