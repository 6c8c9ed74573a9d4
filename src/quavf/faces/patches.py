"""Search the part of a picture around a known face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from quavf.core.records import Floats, Image, Ints
from quavf.faces.detect import Detections, FaceDetector, suppress_overlaps

PATCH_GROWTH = 3.0  # side of the patch around a known face, over the face's
PATCH_SHARE = 0.3  # of the picture's height: the patch's shortest side, room for small fast faces
PATCH_FACE = 48  # pixels of the face in the patch, where the detector works best
LONGEST_PATCH = 384  # pixels, whatever the face
SMALLEST_PATCH = 16  # pixels
FOLLOW_SCORE = 0.3  # detector's score for a face where one was known; new ones need more
BORDER = 0.02  # of a patch: a face this close to its border is cut off by it
OVERLAP = 0.4  # boxes that overlap more are one face


class View(Protocol):
    """A picture that is decoded as far as needed."""

    @property
    def time_s(self) -> float: ...

    @property
    def size(self) -> tuple[int, int]: ...

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        """A region (x1, y1, x2, y2) brought to `size` (width, height)."""
        ...

    def sketch(self) -> Image: ...

    def grey(self) -> Image: ...


def search_around(detector: FaceDetector, view: View, box: Floats) -> Detections:
    """The faces in the patch around `box` (4,), in pixels of the whole picture."""
    region, scale = search_patch(box, view.size)
    wide, high = region[2] - region[0], region[3] - region[1]
    if min(wide, high) < SMALLEST_PATCH:
        return Detections.none()
    size = max(round(wide * scale), SMALLEST_PATCH), max(round(high * scale), SMALLEST_PATCH)
    faces = to_picture(detector.detect(view.rgb(region, size)), wide / size[0], region[:2])
    return filter_by_score(_drop_cut_off(faces, region, view.size), FOLLOW_SCORE)


def search_patch(box: Floats, size: tuple[int, int]) -> tuple[tuple[int, int, int, int], float]:
    """Region (x1, y1, x2, y2) of the picture to search around a face, and its scale."""
    side = float(np.max(box[2:] - box[:2]))
    half = max(PATCH_GROWTH * side, PATCH_SHARE * size[1]) / 2
    centre = (box[:2] + box[2:]) / 2
    low = np.clip(np.floor(centre - half), 0, size).astype(int)
    high = np.clip(np.ceil(centre + half), 0, size).astype(int)
    scale = min(PATCH_FACE / max(side, 1.0), LONGEST_PATCH / (2 * half), 2.0)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])), scale


def to_picture(faces: Detections, scale: float, corner: Sequence[int]) -> Detections:
    """Faces of a part of a picture that begins at `corner`, in pixels of the whole picture."""
    offset = np.array([*corner, *corner], float)
    return Detections(faces.boxes * scale + offset, faces.scores)


def filter_by_score(faces: Detections, min_score: float) -> Detections:
    keep = faces.scores >= min_score
    return Detections(faces.boxes[keep], faces.scores[keep])


def merge_faces(parts: Sequence[Detections]) -> tuple[Detections, Ints]:
    """The best of several detections of one face, and their rows (N,) in all parts together."""
    if not parts:
        return Detections.none(), np.empty(0, np.int64)
    boxes = np.concatenate([p.boxes for p in parts])
    scores = np.concatenate([p.scores for p in parts])
    kept = suppress_overlaps(boxes, scores, OVERLAP)
    return Detections(boxes[kept], scores[kept]), kept.astype(np.int64)


def box_overlaps(a: Floats, b: Floats) -> Floats:
    """(A, B) intersection over union of boxes (A, 4) and (B, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)  # (A, B)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def _drop_cut_off(
    faces: Detections, region: tuple[int, int, int, int], size: tuple[int, int]
) -> Detections:
    """Drop faces cut off by the region's border, unless the picture ends there too."""
    margin = BORDER * min(region[2] - region[0], region[3] - region[1])
    low = np.where(np.array(region[:2]) > 0, np.array(region[:2]) + margin, -np.inf)
    high = np.where(np.array(region[2:]) < size, np.array(region[2:]) - margin, np.inf)
    whole = np.all((faces.boxes[:, :2] >= low) & (faces.boxes[:, 2:] <= high), axis=1)
    return Detections(faces.boxes[whole], faces.scores[whole])
