"""Check on the crops of a store that annotated boxes contain faces."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from quavf.core.records import CROP_SIZE, Image, Ints
from quavf.faces.config import DetectorOptions
from quavf.faces.crop import decode_jpeg
from quavf.faces.detect import FaceDetector, open_detector
from quavf.store import ClipStore, CropReader, Faces
from quavf.utils.progress import show_progress

log = logging.getLogger(__name__)

CROPS_OF_A_CLIP = 40  # that are looked at, evenly spread
LOW_SHARE = 0.3  # of boxes with a face: such a clip's annotations may be of other pictures
OFF_CENTRE = 0.25  # of a crop's side, between the face and the box
SIZES = (0.35, 2.5)  # of the face, in sizes of the box


@dataclass(frozen=True)
class BoxCheck:
    """How many of the boxes looked at contain a face, and clips in which few do, with the share."""

    n_looked: int
    n_found: int
    low: dict[str, float]

    @property
    def share(self) -> float:
        return self.n_found / self.n_looked if self.n_looked else float("nan")


def check_boxes(store: ClipStore, detector: str = "retinaface") -> BoxCheck:
    """Look for faces in a sample of each clip's crops, where their boxes are."""
    finder = open_detector(detector, DetectorOptions())
    n_looked, n_found, low = 0, 0, {}
    clips = store.clips()
    with show_progress("Checking boxes", len(clips)) as bar:
        for clip in clips:
            faces = store.faces(clip)
            rows = np.unique(np.linspace(0, len(faces) - 1, CROPS_OF_A_CLIP).astype(int))
            rows = rows[rows >= 0]
            found = _count(finder, CropReader(store, clip, faces), faces, rows)
            if len(rows) and found / len(rows) < LOW_SHARE:
                low[clip] = found / len(rows)
                log.warning("clip %s: %d of %d boxes contain a face", clip, found, len(rows))
            n_looked, n_found = n_looked + len(rows), n_found + found
            bar.advance(1, len(rows))
    return BoxCheck(n_looked, n_found, low)


def _count(detector: FaceDetector, reader: CropReader, faces: Faces, rows: Ints) -> int:
    """How many of these crops show a face in its box."""
    n = 0
    for row in rows.tolist():
        picture = decode_jpeg(reader.read(row))
        n += picture is not None and _has_face(detector, picture, faces, row)
    reader.close()
    return n


def _has_face(detector: FaceDetector, crop: Image, faces: Faces, row: int) -> bool:
    x0, x1, y0, y1 = faces.picture[row].tolist()
    left, top, right, bottom = faces.region[row].tolist()
    scale = np.array([(x1 - x0) / max(right - left, 1), (y1 - y0) / max(bottom - top, 1)])
    box = faces.box[row].reshape(2, 2)
    corners = (box - (left, top)) * scale + (x0, y0)  # (2, 2) of the box, in the crop
    side = float(np.sqrt(np.prod(corners[1] - corners[0])))
    for found in detector.detect(crop).boxes.reshape(-1, 2, 2):
        off = np.abs(found.mean(axis=0) - corners.mean(axis=0)).max()
        size = float(np.sqrt(np.prod(found[1] - found[0])))
        if off <= OFF_CENTRE * CROP_SIZE and SIZES[0] * side <= size <= SIZES[1] * side:
            return True
    return False
