from __future__ import annotations

import numpy as np
import pytest

from quavf.cues.stillness import find_still_faces
from quavf.cues.tracks import FACE_COLUMNS, FaceCues

RATE = 15


def cues(seconds: float, **spreads: float) -> FaceCues:
    """Person 3 with cues that move evenly over these spreads; the others keep still."""
    n = round(seconds * RATE)
    values = np.zeros((n, len(FACE_COLUMNS)), np.float32)
    for name, spread in spreads.items():
        values[:, FACE_COLUMNS.index(name)] = np.linspace(0, spread, n)
    return FaceCues(np.full(n, 3), np.arange(n) * 2, np.arange(n) / RATE, values)


@pytest.mark.parametrize(
    ("moves", "still"),
    [
        ({"lip_opening": 0.03, "mouth_width": 0.05, "eye_opening": 0.08, "pitch": 5}, {3}),
        ({"lip_opening": 0.05}, set()),
        ({"mouth_width": 0.08}, set()),
        ({"eye_opening": 0.15}, set()),
        ({"pitch": 8}, set()),
        ({"yaw": 30, "roll": 10}, {3}),  # somebody walks past a poster
    ],
)
def test_still_faces(moves: dict[str, float], still: set[int]) -> None:
    assert find_still_faces(cues(6, **moves)) == still


def test_a_face_must_be_read_for_long_enough() -> None:
    assert find_still_faces(cues(4)) == set()
    unread = cues(6)
    unread.values[:-30, FACE_COLUMNS.index("lip_opening")] = np.nan
    assert find_still_faces(unread) == set()
    assert find_still_faces(cues(0)) == set()
