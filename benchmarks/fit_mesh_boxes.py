"""Fit the map from the face mesh's extent to the detector's boxes (`quavf.video.follow.BOX_FIT`).

    python benchmarks/fit_mesh_boxes.py VIDEO [VIDEO ...]

Looks at each video three times a second. Faces that both the detector, in a patch around the face,
and the mesh see well are used. Prints the map and its mean error, over the mesh's longer side, in
videos that were left out of the fit; and the detector's own, between whole picture and patch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quavf.core.records import Floats
from quavf.cues.mesh import MESH_SIZE, FaceMesh, mesh_square
from quavf.faces.config import DetectorOptions, SearchConfig
from quavf.faces.detect import open_detector
from quavf.faces.follow import SMALLEST_FOLLOWED, box_side
from quavf.faces.patches import box_overlaps, search_around
from quavf.faces.search import scan_picture
from quavf.sources.media.file import open_video_file
from quavf.sources.media.pictures import Frame
from quavf.video.follow import cut_square, mesh_terms

EVERY_S = 1 / 3
LEAST_SCORE = 0.5  # of the detector
LEAST_CONFIDENCE = 0.8  # of the mesh
LEAST_OVERLAP = 0.3  # of scan and patch: the same face


def read_faces(path: Path) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Box in the whole picture (4,), box in the patch (4,), and mesh (468, 3), in pixels."""
    detector = open_detector("retinaface", DetectorOptions(min_score=0.3))
    mesh, next_s = FaceMesh(), 0.0
    for frame in open_video_file(path).pictures():
        if frame.time_s < next_s:
            continue
        next_s = frame.time_s + EVERY_S
        scan = scan_picture(detector, frame, SearchConfig().scan_height).faces
        for box in scan.boxes[scan.scores >= LEAST_SCORE]:
            near = search_around(detector, frame, box).boxes
            overlap = box_overlaps(box[None], near)[0] if len(near) else np.zeros(0)
            if overlap.max(initial=0) < LEAST_OVERLAP:
                continue
            close = near[overlap.argmax()]
            points, confidence = read_mesh(mesh, frame, close)
            if confidence >= LEAST_CONFIDENCE and box_side(close) >= SMALLEST_FOLLOWED:
                yield box, close, points


def read_mesh(mesh: FaceMesh, frame: Frame, box: Floats) -> tuple[Floats, float]:
    """The mesh (468, 3) of a face in pixels of the picture, and its confidence."""
    picture, (left, top, side) = cut_square(frame, mesh_square(box))
    found = mesh.run(picture[None])
    points = found.points[0] * (side / MESH_SIZE)
    points[:, :2] += (left, top)
    return points, float(found.confidence[0])


def main(paths: list[str]) -> None:
    terms, targets, own, videos = [], [], [], []
    for number, path in enumerate(paths):
        for box, close, points in read_faces(Path(path)):
            term, middle, side = mesh_terms(points[None])
            terms.append(term[0])
            targets.append((close - np.tile(middle[0], 2)) / side[0])
            own.append(np.abs(box - close) / side[0])
            videos.append(number)
    x, y, video = np.array(terms), np.array(targets), np.array(videos)
    errors = []
    for number in np.unique(video):
        out = video == number
        fit = np.linalg.lstsq(x[~out], y[~out], rcond=None)[0]
        errors.append(np.abs(x[out] @ fit - y[out]))
    print(np.linalg.lstsq(x, y, rcond=None)[0].round(4).tolist())
    print(f"{len(x)} faces; mean error left out {np.concatenate(errors).mean():.4f}")
    print(f"the detector's own {np.mean(own):.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
