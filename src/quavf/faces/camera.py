"""How far the camera's turning moved the picture from one look to the next."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from quavf.core.records import Floats, Image

LEFT_OVER = 0.95  # of the difference between two pictures: a shift must explain the rest
SMALLEST = 16  # pixels: nothing is told of pictures that are narrower or lower


def picture_shift(before: Image, now: Image) -> Floats:
    """(2,) x, y by which what `before` showed lies further right and down in `now`, pixels.

    Both are grey (H, W) of one size. Phase correlation (Kuglin & Hines 1975) finds the shift of
    what is sharpest, be it the room or somebody in it; it counts where it makes the pictures as a
    whole more alike, and zeros are returned otherwise. Roll of the camera and steps forward are
    not told.
    """
    still = np.zeros(2)
    if before.shape != now.shape or min(now.shape) < SMALLEST:
        return still
    window = _window(now.shape[1], now.shape[0])
    found, _ = cv2.phaseCorrelate(before.astype(np.float32), now.astype(np.float32), window)
    shift = np.array(found)
    if not np.round(shift).any():
        return shift
    explains = _difference(before, now, shift) < LEFT_OVER * _difference(before, now, still)
    return shift if explains else still


def _difference(before: Image, now: Image, shift: Floats) -> float:
    """Mean absolute difference of the parts that two pictures (H, W) so shifted have in common."""
    x, y = (int(part) for part in np.round(shift))
    height, width = now.shape
    old = before[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    new = now[max(y, 0) : height - max(-y, 0), max(x, 0) : width - max(-x, 0)]
    return float(np.mean(cv2.absdiff(old, new)))


@lru_cache(maxsize=4)
def _window(width: int, height: int) -> Floats:
    """(H, W) float32 weights that hide the borders, which two pictures do not have in common."""
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F))
