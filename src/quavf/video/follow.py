"""Follow faces of a raw video by the face mesh, which gives the next box and the cues."""

from __future__ import annotations

import math

import cv2
import numpy as np

from quavf.core.records import Floats, Image
from quavf.cues.iris import GazeReader
from quavf.cues.lips import read_lips
from quavf.cues.mesh import MESH_SIZE, FaceMesh, MeshPoints, mesh_square
from quavf.cues.tracks import (
    CHEEKS,
    CUE_COLUMNS,
    GAZE_EVERY_S,
    LEAST_CONFIDENCE,
    measure_faces,
)
from quavf.faces.follow import MeshFaces, box_side
from quavf.faces.patches import View

SURE = 0.7  # lowest confidence of a mesh that follows a face
LARGEST_YAW = 30.0  # degrees: beyond, the mesh wanders to the back of the head
# Sides (x1, y1, x2, y2) of RetinaFace's box from the middle of the mesh's extent, over its longer
# side, as a linear function of: 1, width and height over the longer side, sine of the yaw and its
# magnitude. Least squares over 481 faces of twelve real clips; the mean error is 0.021 in clips
# left out, as much as the detector's own between two scales (benchmarks/fit_mesh_boxes.py).
BOX_FIT = np.array(
    [
        [-0.0799, -0.3038, 0.1765, 0.2396],
        [-0.3018, 0.0509, 0.0708, -0.0006],
        [-0.0799, -0.3038, 0.1765, 0.2396],
        [0.0320, 0.0149, 0.0433, 0.0306],
        [0.0306, -0.0251, -0.0389, 0.0064],
    ]
)


class MeshFollower:
    """The face mesh as `quavf.faces.follow.FaceFollower`; its columns are `CUE_COLUMNS`."""

    columns: tuple[str, ...] = CUE_COLUMNS

    def __init__(self, mesh: FaceMesh | None = None, gaze: GazeReader | None = None) -> None:
        self._mesh, self._gaze = mesh or FaceMesh(), gaze or GazeReader()
        self._gaze_s = -math.inf  # time of the latest picture whose eyes were read

    def look(self, view: View, boxes: Floats) -> MeshFaces:
        """See `FaceFollower.look`."""
        cuts = [cut_square(view, mesh_square(box)) for box in boxes]
        pictures = np.stack([picture for picture, _ in cuts])
        mesh = self._mesh.run(pictures)
        gaze = self._read_gaze(view.time_s, pictures, mesh)
        squares = np.stack([square for _, square in cuts])  # (N, 3) left, top, side
        found = mesh_boxes(_to_frame(mesh.points, squares))
        lips = read_lips(self._mesh, pictures, mesh, box_side(found))
        points, lips = (_to_frame(p, squares).astype(np.float32) for p in (mesh.points, lips))
        cues = measure_faces(MeshPoints(points, mesh.confidence), found, gaze, lips)
        yaw = np.abs(cues[:, CUE_COLUMNS.index("yaw")])  # NaN where the mesh sees no face
        return MeshFaces(found, (mesh.confidence >= SURE) & (yaw <= LARGEST_YAW), cues)

    def _read_gaze(self, time_s: float, pictures: Image, mesh: MeshPoints) -> Floats:
        """(N, 2) gaze, NaN between the pictures whose eyes are read; see `GAZE_EVERY_S`."""
        gaze = np.full((len(pictures), 2), np.nan)
        if 0 < time_s - self._gaze_s < GAZE_EVERY_S - 1e-6:
            return gaze
        self._gaze_s = time_s
        sure = mesh.confidence >= LEAST_CONFIDENCE
        gaze[sure] = self._gaze.read(pictures[sure], mesh.points[sure])
        return gaze


def _to_frame(points: Floats, squares: Floats) -> Floats:
    """Bring points (N, 468, 3) from pictures to the squares (N, 3) that they were cut from."""
    moved = points * (squares[:, None, 2:] / MESH_SIZE)  # (N, 468, 3) pixels of the frame
    moved[..., :2] += squares[:, None, :2]
    return np.asarray(moved)


def cut_square(view: View, square: Floats) -> tuple[Image, Floats]:
    """Cut a square (4,) xyxy out of a picture: (192, 192, 3) RGB, and its left, top and side.

    The square grows to even pixels. Beyond the picture's border, the border is repeated.
    """
    left, top = (2 * math.floor(v / 2) for v in square[:2])
    side = max(2 * math.ceil(max(square[2] - left, square[3] - top) / 2), 2)
    width, height = view.size
    x1, y1 = (int(np.clip(v, 0, end - 2)) for v, end in ((left, width), (top, height)))
    x2, y2 = (
        int(np.clip(v + side, low + 2, end))
        for v, low, end in ((left, x1, width), (top, y1, height))
    )
    scale = MESH_SIZE / side
    a, b = (min(max(round((v - o) * scale), 0), MESH_SIZE - 1) for v, o in ((x1, left), (y1, top)))
    c, d = (
        min(max(round((v - o) * scale), low + 1), MESH_SIZE)
        for v, o, low in ((x2, left, a), (y2, top, b))
    )
    part = view.rgb((x1, y1, x2, y2), (c - a, d - b))
    if (c - a, d - b) != (MESH_SIZE, MESH_SIZE):
        edges = b, MESH_SIZE - d, a, MESH_SIZE - c
        part = np.asarray(cv2.copyMakeBorder(part, *edges, cv2.BORDER_REPLICATE), np.uint8)
    return part, np.array([left, top, side], float)


def mesh_boxes(points: Floats) -> Floats:
    """(N, 4) boxes as RetinaFace would give them, from mesh points (N, 468, 3), in their pixels."""
    terms, middles, sides = mesh_terms(points)
    return np.asarray(np.tile(middles, 2) + terms @ BOX_FIT * sides, float)


def mesh_terms(points: Floats) -> tuple[Floats, Floats, Floats]:
    """The terms of `BOX_FIT` (N, 5), middles (N, 2) and longer sides (N, 1) of mesh points."""
    low, high = points[..., :2].min(axis=1), points[..., :2].max(axis=1)  # (N, 2)
    extent, side = high - low, np.max(high - low, axis=1, keepdims=True)
    across = points[:, CHEEKS[1]] - points[:, CHEEKS[0]]  # (N, 3)
    yaw = np.sin(np.arctan2(across[:, 2], across[:, 0]))[:, None]
    terms = np.concatenate([np.ones_like(side), extent / side, yaw, np.abs(yaw)], axis=1)
    return terms, (low + high) / 2, side
