"""How far the picture moved: quavf.faces.camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from quavf.core.records import Image
from quavf.faces.camera import estimate_shift

SIZE = (320, 180)


def room(seed: int = 0) -> Image:
    """Shapes of all sizes, large ones and fine ones, wider than a picture."""
    rng = np.random.default_rng(seed)
    total = np.zeros((480, 960))
    for cell in (4, 8, 16, 32):
        shapes = rng.normal(0, 12, (480 // cell, 960 // cell))
        total += cv2.resize(shapes, (960, 480), interpolation=cv2.INTER_CUBIC)
    return np.clip(total + 120, 0, 255).astype(np.uint8)


def seen(x: int, y: int, wall: Image | None = None) -> Image:
    """What a camera that points there sees."""
    wall = room() if wall is None else wall
    return wall[y : y + SIZE[1], x : x + SIZE[0]]


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (-40, 7), (0, -30), (110, 0), (-90, -45)])
def test_shifts_are_estimated(shift: tuple[int, int]) -> None:
    before, now = seen(300, 150), seen(300 - shift[0], 150 - shift[1])
    np.testing.assert_allclose(estimate_shift(before, now), shift, atol=0.5)


def test_somebody_who_moves_is_not_the_camera() -> None:
    before, now = seen(300, 150).copy(), seen(300, 150).copy()
    before[60:120, 60:100] = now[60:120, 140:180] = 250
    assert estimate_shift(before, now).tolist() == [0, 0]


def test_what_shows_nothing_has_not_moved() -> None:
    plain = np.full(SIZE[::-1], 90, np.uint8)
    np.testing.assert_allclose(estimate_shift(plain, plain), 0, atol=1e-3)
    np.testing.assert_allclose(estimate_shift(plain, plain * 2), 0, atol=1e-3)
    rng = np.random.default_rng(0)
    for _ in range(10):
        noisy = [(plain + rng.normal(0, 3, plain.shape)).astype(np.uint8) for _ in range(2)]
        assert np.abs(estimate_shift(*noisy)).max() <= 0.5


def test_pictures_that_cannot_be_compared_have_not_moved() -> None:
    assert estimate_shift(seen(0, 0), room()).tolist() == [0, 0]
    tiny = np.zeros((8, 300), np.uint8)
    assert estimate_shift(tiny, tiny).tolist() == [0, 0]
