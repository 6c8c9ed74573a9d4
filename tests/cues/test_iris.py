"""Iris points against the original, cuts of eyes, and angles."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.cues.iris import EYE_SIZE, NEUTRAL_RISE, GazeReader, cut_eyes, gaze_angles
from quavf.cues.mesh import N_POINTS

CLOSE_PX = 0.01 * EYE_SIZE / 192


@pytest.mark.parametrize("runtime", ["auto", "openvino"])
def test_equals_stored_outputs_of_the_original(originals, runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    eyes = originals["eyes"].repeat(8, axis=1).repeat(8, axis=2)
    contours, irises = GazeReader(runtime=runtime).run(eyes)
    assert np.abs(contours.reshape(len(eyes), -1) - originals["contours"]).max() < CLOSE_PX
    assert np.abs(irises.reshape(len(eyes), -1) - originals["irises"]).max() < CLOSE_PX


def eye(right: float, up: float, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Contour and iris of an eye that is 20 wide, the iris off its neutral place by widths."""
    contour, iris = np.zeros((71, 3)), np.zeros((5, 3))
    contour[0], contour[8] = (22, 32, 0), (42, 32, 0)
    iris[0] = 32 + (-right if mirrored else right) * 20, 32 - (up + NEUTRAL_RISE) * 20, 0
    return contour, iris


@pytest.mark.parametrize(
    ("right", "up", "angles"),
    [(0, 0, (0, 0)), (0.1, 0, (13.9, 0)), (-0.1, 0.05, (-13.9, 6.9)), (1, -1, (90, -90))],
)
def test_angles(right: float, up: float, angles: tuple[float, float]) -> None:
    contours, irises = zip(eye(right, up, False), eye(right, up, True), strict=True)
    found = gaze_angles(np.stack(contours), np.stack(irises))
    assert found[0] == pytest.approx(angles, abs=0.1)


def test_eyes_that_converge_look_ahead() -> None:
    contours, irises = zip(eye(0.1, 0, False), eye(-0.1, 0, True), strict=True)
    assert gaze_angles(np.stack(contours), np.stack(irises))[0] == pytest.approx([0, 0])


def test_cuts_are_level_and_the_right_eye_is_mirrored() -> None:
    points = np.zeros((N_POINTS, 3), np.float32)
    points[33], points[133] = (40, 60, 0), (60, 80, 0)  # at 45 degrees
    points[362], points[263] = (100, 60, 0), (130, 60, 0)
    picture = np.zeros((192, 192, 3), np.uint8)
    picture[66:75, 46:55] = 255  # in the middle of the left eye
    picture[56:65, 126:135] = 255  # at the right eye's outer corner
    left, right = cut_eyes(picture, points)
    assert left.shape == right.shape == (EYE_SIZE, EYE_SIZE, 3)
    rows, columns = np.nonzero(left[..., 0] > 128)
    assert (rows.mean(), columns.mean()) == pytest.approx((31.5, 31.5), abs=1)
    rows, columns = np.nonzero(right[..., 0] > 128)
    assert columns.mean() == pytest.approx(31.5 - 32 / 2.3, abs=1)


def test_no_faces() -> None:
    none = np.empty((0, 192, 192, 3), np.uint8), np.empty((0, N_POINTS, 3))
    assert GazeReader().read(*none).shape == (0, 2)
