"""Estimate how far a turn of the camera moved the picture."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from quavf.core.records import Floats, Image

LEFT_OVER = 0.95  # a shift counts if it reduces the pictures' difference below this share
SMALLEST = 16  # pixels: no shift is estimated for pictures narrower or lower than this


def estimate_shift(before: Image, now: Image) -> Floats:
    """(2,) shift of the picture to the right and down, pixels, from `before` to `now`.

    Both are grey (H, W) of one size. Phase correlation (Kuglin & Hines 1975) finds the shift of
    the sharpest content, which may be the room or a person. The shift counts only if it makes the
    whole pictures more similar; zeros otherwise. Camera roll and forward motion are not estimated.
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
    """Mean absolute difference of two pictures (H, W) where they overlap after a shift."""
    x, y = (int(part) for part in np.round(shift))
    height, width = now.shape
    old = before[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    new = now[max(y, 0) : height - max(-y, 0), max(x, 0) : width - max(-x, 0)]
    return float(np.mean(cv2.absdiff(old, new)))


@lru_cache(maxsize=4)
def _window(width: int, height: int) -> Floats:
    """(H, W) float32 weights that hide the borders, which two pictures do not have in common."""
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F))
