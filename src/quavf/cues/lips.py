"""Lips of small faces, which the face mesh reads better in a sharpened picture."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from quavf.core.records import Floats, Image
from quavf.cues.mesh import MESH_SIZE, MeshPoints
from quavf.cues.tracks import LEAST_CONFIDENCE

SMALL_FACE = 60.0  # px, longer side of the face box: larger faces do not gain
AMOUNT = 1.5  # of what the blurred picture lacks, added to the picture
BLUR_PX = 6.0  # standard deviation, of 192


class MeshReader(Protocol):
    """Finds face points in pictures, as `quavf.cues.mesh.FaceMesh`."""

    def run(self, pictures: Image) -> MeshPoints: ...


def read_lips(reader: MeshReader, pictures: Image, mesh: MeshPoints, sides: Floats) -> Floats:
    """Return the points (N, 468, 3) to measure lips by, in pixels of `pictures`.

    `pictures` (N, 192, 192, 3) have been read as `mesh`; `sides` (N,) are the longer sides of the
    face boxes in the frame, NaN where it is not known. Small faces are read again, sharpened. All
    others keep their points, and so do faces that are not seen again.
    """
    small = np.flatnonzero((sides < SMALL_FACE) & (mesh.confidence >= LEAST_CONFIDENCE))
    if not len(small):
        return mesh.points
    again = reader.run(np.stack([sharpen(picture) for picture in pictures[small]]))
    sure = again.confidence >= LEAST_CONFIDENCE
    points = mesh.points.copy()
    points[small[sure]] = again.points[sure]
    return points


def sharpen(picture: Image) -> Image:
    """Sharpen a picture (192, 192, 3) uint8 by what a blurred copy lacks (unsharp masking)."""
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(cv2.GaussianBlur(half, (0, 0), BLUR_PX / 2), (MESH_SIZE, MESH_SIZE))
    return np.asarray(cv2.addWeighted(picture, 1 + AMOUNT, blurred, -AMOUNT, 0), np.uint8)
