"""Where heads point."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.core.records import Interval
from quavf.sources.poses import list_runs, turn_ahead

HALF = float(np.sqrt(0.5))


@pytest.mark.parametrize(
    ("quaternion", "ahead"),
    [
        ((0, 0, 0, 1), (0, 0, 1)),
        ((0, 0, 0, 2), (0, 0, 1)),
        ((0, HALF, 0, HALF), (1, 0, 0)),  # a quarter turn about Y: from forward to the left
        ((HALF, 0, 0, HALF), (0, -1, 0)),  # about X: down
        ((0, 0, HALF, HALF), (0, 0, 1)),  # about Z: tilted only
        ((0, 1, 0, 0), (0, 0, -1)),
    ],
)
def test_way_ahead(quaternion: tuple[float, ...], ahead: tuple[float, ...]) -> None:
    np.testing.assert_allclose(turn_ahead(np.array([quaternion], float)), [ahead], atol=1e-12)


def test_way_ahead_as_the_rotation_matrix_says() -> None:
    turns = np.random.default_rng(0).normal(size=(50, 4))
    for turn, ahead in zip(turns, turn_ahead(turns), strict=True):
        v, w = turn[:3] / np.linalg.norm(turn), turn[3] / np.linalg.norm(turn)
        z = np.array([0.0, 0.0, 1.0])
        expected = z + 2 * np.cross(v, np.cross(v, z) + w * z)  # Rodrigues
        np.testing.assert_allclose(ahead, expected, atol=1e-12)


def test_runs() -> None:
    assert list_runs(3, np.array([1, 1, 0, 1], bool)) == [Interval(3, 0, 1), Interval(3, 3, 3)]
    assert list_runs(3, np.zeros(4, bool)) == []
