"""A quality score that needs no network, from the pixels of a face region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from quavf.core.errors import ConfigError
from quavf.core.records import Array, Floats, Image
from quavf.faces.quality.scorer import ScorerOptions, check_regions

SIDE_GROWTH = 1.2  # a region's side over the face box's side: 0.1 more on each side
GRID = 64  # px; every region is brought to this square, so that sharpness is relative to the face
CHUNK = 256  # regions measured at once: bounds memory at some 20 MB

# Each term is 1 - exp(-(x / scale)^power): 0 for nothing, 0.63 at the scale, 1 for plenty.
SIDE_SCALE_PX = 50.0  # power 1, so that more pixels always help a little: 24 px 0.38, 150 px 0.95
SHARPNESS_SCALE = 0.15  # sharp faces measure 0.25-0.5, a blur of 4 % of the width 0.06
LIGHT_SCALE = 25.0  # luma; low, so that dark skin in fair light (50 and more) is not penalised
CONTRAST_SCALE = 30.0  # luma; lit faces span 90-150
BURNT_SCALE = 0.40  # share of the face that is burnt out; a few bright spots are harmless
CONFIDENCE_SCALE = 0.45  # detectors give 0.9 and more to a plain face, about 0.5 to a doubtful one
BURNT_LUMA = 245.0  # compression and averaging keep burnt-out skin below 255
# Of noise alone, differences follow a normal law, and the 95th percentile of their size is this
# many times the median. What exceeds it comes from edges.
NOISE_TAIL = 2.906
DIRECTION_FLOOR = 0.05  # few edges in one direction do not mean blur
CONTRAST_FLOOR = 4.0  # luma; keeps flat pictures, where only rounding is left, from looking sharp


class LightScorer:
    """Product of size, sharpness, light, contrast, burnt-out area and detector confidence.

    Each term is in [0, 1] and can veto. The score measures how much of a face can be seen, not
    whether it is a face or where it looks. The scales were set on real faces
    (docs/experiments/face_quality.md).
    """

    name = "light"

    def __init__(self, options: ScorerOptions | None = None) -> None:
        if options is not None and options.weights is not None:
            raise ConfigError(
                f"quality scorer 'light': takes no weights, found {options.weights}; leave "
                "--weights out or use the scorer 'fan'"
            )
        self.settings: dict[str, Any] = {
            "grid": GRID,
            "side_scale_px": SIDE_SCALE_PX,
            "sharpness_scale": SHARPNESS_SCALE,
            "light_scale": LIGHT_SCALE,
            "contrast_scale": CONTRAST_SCALE,
            "burnt_scale": BURNT_SCALE,
            "burnt_luma": BURNT_LUMA,
            "confidence_scale": CONFIDENCE_SCALE,
            "noise_tail": NOISE_TAIL,
            "direction_floor": DIRECTION_FLOOR,
            "contrast_floor": CONTRAST_FLOOR,
        }

    def score(self, regions: Sequence[Image], confidences: Floats | None = None) -> Floats:
        """(N,) float64; see `QualityScorer.score`."""
        product: Floats = np.prod(list(self.terms(regions, confidences).values()), axis=0)
        return product

    def terms(
        self, regions: Sequence[Image], confidences: Floats | None = None
    ) -> dict[str, Floats]:
        """The factors of the score by name, each (N,) float64 in [0, 1]: why a score is low."""
        check_regions(regions)
        assert confidences is None or len(confidences) == len(regions)
        areas = np.array([r.shape[0] * r.shape[1] for r in regions], dtype=np.float64)
        chunks = [_grids(regions[i : i + CHUNK]) for i in range(0, len(regions), CHUNK)]
        measured = [_measure(chunk) for chunk in chunks] or [np.empty((4, 0))]
        sharpness, light, contrast, burnt = np.concatenate(measured, axis=1)
        trust = np.ones(len(regions))
        if confidences is not None:
            known = np.clip(confidences, 0.0, 1.0)
            trust = np.where(np.isnan(known), 1.0, _saturate(known, CONFIDENCE_SCALE, 2))
        return {
            "size": _saturate(np.sqrt(areas) / SIDE_GROWTH, SIDE_SCALE_PX, 1),
            "sharpness": _saturate(sharpness, SHARPNESS_SCALE, 2),
            "light": _saturate(light, LIGHT_SCALE, 2),
            "contrast": _saturate(contrast, CONTRAST_SCALE, 2),
            "exposure": 1.0 - _saturate(burnt, BURNT_SCALE, 2),
            "confidence": trust,
        }


def _saturate(x: Floats, scale: float, power: int) -> Floats:
    """1 - exp(-(x / scale)^power)."""
    term: Floats = -np.expm1(-((x / scale) ** power))
    return term


def _grids(regions: Sequence[Image]) -> Floats:
    """Luma of each region on the grid, (N, GRID, GRID) float32 in [0, 255].

    Shrunk by averaging, which also removes sensor noise; enlarged linearly, which stays blurred.
    """
    grids = np.empty((len(regions), GRID, GRID), dtype=np.float32)
    for grid, region in zip(grids, regions, strict=True):
        luma = cv2.cvtColor(region, cv2.COLOR_RGB2GRAY).astype(np.float32)
        height, width = luma.shape
        small = cv2.resize(
            luma, (min(width, GRID), min(height, GRID)), interpolation=cv2.INTER_AREA
        )
        grid[:] = cv2.resize(small, (GRID, GRID), interpolation=cv2.INTER_LINEAR)
    return grids


def _ellipse() -> Array:
    """(GRID, GRID) bool: the ellipse in the face box, the region without what it was grown by."""
    axis = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    radius = 1 / SIDE_GROWTH
    inside: Array = axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2
    return inside


def _measure(grids: Floats) -> Floats:
    """Sharpness, median luma, contrast, burnt share of (N, GRID, GRID) luma grids: (4, N) float64.

    The median is the skin's, whatever is behind the head. Sharpness is the geometric mean over
    both directions, because a turning camera blurs in one alone.
    """
    ellipse = _ellipse()
    luma = grids[:, ellipse]  # (N, P)
    spread = luma.std(axis=1, dtype=np.float64) + CONTRAST_FLOOR
    # central differences; the ring that has none is outside the ellipse
    across = np.gradient(grids, axis=2)[:, ellipse]  # (N, P)
    down = np.gradient(grids, axis=1)[:, ellipse]  # (N, P)
    edges = [_edges(differences) / spread + DIRECTION_FLOOR for differences in (across, down)]
    sharpness = np.sqrt(edges[0] * edges[1]) - DIRECTION_FLOOR
    dark, median, bright = np.percentile(luma, [5, 50, 95], axis=1)  # each (N,)
    return np.stack([sharpness, median, bright - dark, (luma >= BURNT_LUMA).mean(axis=1)])


def _edges(differences: Floats) -> Floats:
    """How far the strongest of (N, P) differences exceed what noise would give: (N,), luma."""
    median, strong = np.percentile(np.abs(differences), [50, 95], axis=1)  # each (N,)
    excess: Floats = np.maximum(strong - NOISE_TAIL * median, 0.0)
    return excess
