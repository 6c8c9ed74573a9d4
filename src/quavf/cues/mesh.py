"""Face mesh: 468 points of a face in a square picture (MediaPipe, Kartynnik et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from quavf.core.records import Floats, Image
from quavf.cues.network import open_network

MESH_SIZE = 192  # px, the side of the network's input
N_POINTS = 468
SQUARE_GROWTH = 1.5  # the square's side over the longer side of the face box
BATCH = 4  # pictures a call; more no longer fit the processor's cache
EYE_CORNERS = (33, 263)  # outer, of the picture's left and right eye
TILTED = 10.0  # degrees: a head tilted by more is turned upright and read again
MOST_TURNS = 2  # readings after the first
HEAD_CONFIDENCE = 0.05  # of the mesh; below it the angles of the head mean nothing


@dataclass(frozen=True)
class MeshPoints:
    """Face points in pictures of 192 x 192.

    `points` (N, 468, 3) float32: x right, y down, z away from the camera, in pixels of the
    picture; z is relative to the middle of the head and in the scale of x. `confidence` (N,)
    float32: the probability in [0, 1] that the picture shows a face where the points are.
    """

    points: NDArray[np.float32]
    confidence: NDArray[np.float32]


class FaceMesh:
    """Find face points in batches of square pictures, on `threads` threads.

    `runtime`: openvino, or ONNX Runtime for any other. Several threads may call `run` at once.
    """

    def __init__(self, threads: int = 1, runtime: str = "auto") -> None:
        self._network = open_network("face_mesh", threads, runtime)

    def run(self, pictures: Image) -> MeshPoints:
        """Return the points of `pictures` (N, 192, 192, 3) uint8 RGB.

        The network was trained on upright faces: of tilted ones it reports too little tilt and too
        much yaw. They are turned upright by the tilt that it reports, and read again. A reading
        counts if its confidence is no lower than that of the one before.
        """
        assert pictures.shape[1:] == (MESH_SIZE, MESH_SIZE, 3), pictures.shape
        assert pictures.dtype == np.uint8, pictures.dtype
        found = self.read(pictures)
        points, confidence = found.points, found.confidence
        turned = np.zeros(len(pictures))  # degrees, of each picture as it was read
        for _ in range(MOST_TURNS):
            tilt = measure_tilt(points)
            is_tilted = np.abs(tilt - turned) > TILTED
            rows = np.flatnonzero(is_tilted & (confidence >= HEAD_CONFIDENCE))
            if not len(rows):
                break
            turned[rows] = tilt[rows]
            pairs = zip(pictures[rows], turned[rows], strict=True)
            again = self.read(np.stack([turn_picture(*pair) for pair in pairs]))
            is_sure = again.confidence >= confidence[rows]
            rows = rows[is_sure]
            points[rows] = turn_points(again.points[is_sure], -turned[rows])
            confidence[rows] = again.confidence[is_sure]
        return MeshPoints(points, confidence)

    def read(self, pictures: Image) -> MeshPoints:
        """What the network says of `pictures`, as they are; see `run`."""
        points = np.empty((len(pictures), N_POINTS, 3), np.float32)
        logits = np.empty(len(pictures), np.float32)
        for start in range(0, len(pictures), BATCH):
            some = pictures[start : start + BATCH]
            blob = cv2.dnn.blobFromImages(list(some), 1 / 255)  # (B, 3, 192, 192)
            found, present = self._network({"picture": blob})  # (B, 1404), (B, 1)
            points[start : start + len(some)] = found.reshape(-1, N_POINTS, 3)
            logits[start : start + len(some)] = present[:, 0]
        confidence = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return MeshPoints(points, confidence.astype(np.float32))


def measure_tilt(points: Floats) -> Floats:
    """(N,) tilt of the line of the eyes in degrees, clockwise, of points (N, 468, 3)."""
    across = points[:, EYE_CORNERS[1], :2] - points[:, EYE_CORNERS[0], :2]  # (N, 2)
    return np.asarray(np.degrees(np.arctan2(across[:, 1], across[:, 0])), np.float64)


def turn_picture(picture: Image, degrees: float) -> Image:
    """Turn a picture (192, 192, 3) counter-clockwise around its middle; borders are repeated."""
    middle = (MESH_SIZE - 1) / 2  # pixel centres are at half a pixel
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1.0)
    turned = cv2.warpAffine(picture, turn, (MESH_SIZE, MESH_SIZE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def turn_points(points: Floats, degrees: Floats) -> NDArray[np.float32]:
    """Turn points (N, 468, 3) as `turn_picture` turns pictures, each by its angle (N,)."""
    angle = np.radians(degrees)[:, None]
    x, y = points[..., 0] - MESH_SIZE / 2, points[..., 1] - MESH_SIZE / 2
    turned = points.astype(np.float32)
    turned[..., 0] = x * np.cos(angle) + y * np.sin(angle) + MESH_SIZE / 2
    turned[..., 1] = y * np.cos(angle) - x * np.sin(angle) + MESH_SIZE / 2
    return turned


def mesh_square(box: Floats) -> Floats:
    """Return the square (4,) xyxy that the mesh looks at for a face box (4,) xyxy.

    1.5 times the longer side of the box, around its middle; it may reach beyond the picture.
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    half = SQUARE_GROWTH / 2 * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return np.array([x - half, y - half, x + half, y + half])
