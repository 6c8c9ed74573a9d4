"""Colours of a picture and of the people in it: to detect camera cuts and to recognise people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from quavf.core.records import Floats, Image

HUES, SATURATIONS = 12, 4
DESCRIPTOR = 2 * HUES * SATURATIONS  # length of an appearance descriptor
SCENE_BINS = 4  # of each colour, for camera cuts


def scene_colours(sketch: Image) -> Floats:
    """(64,) share of the picture's samples in each bin of a coarse colour histogram."""
    coarse = sketch.reshape(-1, 3).astype(np.int64) * SCENE_BINS // 256
    index = (coarse[:, 0] * SCENE_BINS + coarse[:, 1]) * SCENE_BINS + coarse[:, 2]
    shares: Floats = np.bincount(index, minlength=SCENE_BINS**3) / len(index)
    return shares


def describe_appearance(picture: Image, box: Floats) -> Floats:
    """(DESCRIPTOR,) colours of a face with its hair, and of the clothes below it.

    Two histograms of hue and saturation, square roots of shares: their dot products are
    Bhattacharyya coefficients. NaN where less than half of a part is inside the picture.
    """
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    face = (x1 - 0.15 * w, y1 - 0.3 * h, x2 + 0.15 * w, y2)
    chest = (x1 - 0.4 * w, y2 + 0.25 * h, x2 + 0.4 * w, y2 + 1.1 * h)
    return np.concatenate([_colours(picture, part) for part in (face, chest)])


def similarity(a: Floats, b: Floats) -> float:
    """Similarity of two descriptors, 0 to 1; NaN when they have no part in common."""
    halves = np.stack([a * b]).reshape(2, -1).sum(axis=1)  # NaN for a part that one lacks
    there = halves[~np.isnan(halves)]
    return float(there.mean()) if len(there) else float("nan")


def _colours(picture: Image, part: Sequence[float]) -> Floats:
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (round(float(side)) for side in part)
    area = max(x2 - x1, 1) * max(y2 - y1, 1)
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if (x2 - x1) * (y2 - y1) < area / 2 or x2 - x1 < 2 or y2 - y1 < 2:
        return np.full(HUES * SATURATIONS, np.nan)
    hsv = cv2.cvtColor(picture[y1:y2, x1:x2], cv2.COLOR_RGB2HSV)
    counts: Any = cv2.calcHist([hsv], [0, 1], None, [HUES, SATURATIONS], [0, 180, 0, 256])
    return np.asarray(np.sqrt(counts.ravel() / counts.sum()))
