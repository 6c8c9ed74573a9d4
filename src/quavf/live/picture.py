"""A picture given as an array, as the face search reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from quavf.core.records import Image

GREY_SIDE = 320  # pixels of the longer side, as for files
SKETCH = (64, 36)  # width and height of the samples that tell camera cuts

Picture = Image | Callable[[], Image]
"""A picture (H, W, 3) RGB uint8, or a function that makes it when it is needed."""


@dataclass(frozen=True)
class ArrayView:
    """An RGB picture as `quavf.faces.patches.View`."""

    picture: Image  # (H, W, 3)
    time_s: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.picture.shape[1], self.picture.shape[0]

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        """A region (x1, y1, x2, y2) brought to `size` (width, height)."""
        x1, y1, x2, y2 = region
        part = self.picture[y1:y2, x1:x2]
        if part.shape[1::-1] == size:
            return part
        shrinks = size[0] <= part.shape[1] and size[1] <= part.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)

    def sketch(self) -> Image:
        """(36, 64, 3) samples of the picture."""
        return np.asarray(cv2.resize(self.picture, SKETCH, interpolation=cv2.INTER_NEAREST))

    def grey(self) -> Image:
        """(h, w) brightness, `GREY_SIDE` along the longer side."""
        width, height = self.size
        scale = GREY_SIDE / max(width, height)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        small = self.rgb((0, 0, width, height), size)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
