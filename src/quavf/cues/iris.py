"""Direction of the eyes from iris points (MediaPipe iris, Ablavatski et al. 2020)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from quavf.core.records import Floats, Image
from quavf.cues.network import open_network

EYE_SIZE = 64  # px, the side of the network's input
EYE_GROWTH = 2.3  # the input's side over the width of the eye
LEFT, RIGHT = (33, 133), (362, 263)  # mesh points: corners of the picture's left and right eye
CORNERS = (0, 8)  # contour points: the corners of the eye, from left to right
CENTRE = 0  # iris point
WIDTH_OVER_RADIUS = 2.4  # a human eye's width (30 mm) over the radius of the eyeball (12.5 mm)
NEUTRAL_RISE = 0.055  # eye widths from the line of the corners up to the iris, looking ahead
BATCH = 8  # eyes a call


class GazeReader:
    """Read where eyes look, relative to the head; several threads may call `read` at once."""

    def __init__(self, threads: int = 1, runtime: str = "auto") -> None:
        self._network = open_network("iris", threads, runtime)

    def read(self, pictures: Image, points: Floats) -> Floats:
        """Return yaw and pitch in degrees (N, 2) of the faces in (N, 192, 192, 3) uint8 RGB.

        `points` (N, 468, 3) are the mesh's, in pixels of these pictures. Positive: to the
        picture's right, and up. Both eyes count alike.
        """
        pairs = zip(pictures, points, strict=True)
        eyes = [eye for picture, face in pairs for eye in cut_eyes(picture, face)]
        if not eyes:
            return np.empty((0, 2))
        contours, irises = self.run(np.stack(eyes))
        return gaze_angles(contours, irises)

    def run(self, eyes: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return contours (N, 71, 3) and irises (N, 5, 3) in pixels of `eyes` (N, 64, 64, 3)."""
        found = []
        for start in range(0, len(eyes), BATCH):
            blob = cv2.dnn.blobFromImages(list(eyes[start : start + BATCH]), 1 / 255)
            found.append(self._network({"picture": blob}))  # (B, 213), (B, 15)
        contours, irises = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return contours.reshape(-1, 71, 3), irises.reshape(-1, 5, 3)


def cut_eyes(picture: Image, points: Floats) -> list[Image]:
    """Cut both eyes out of a face's picture, level, (64, 64, 3) each; the right one mirrored."""
    eyes = []
    for corners in (LEFT, RIGHT):
        start, end = (points[corner, :2].astype(np.float64) for corner in corners)
        across = (end - start) * EYE_GROWTH / EYE_SIZE  # (2,) one pixel of the cut
        turn = np.array([[across[0], -across[1]], [across[1], across[0]]])
        middle = (start + end) / 2 - turn @ np.full(2, (EYE_SIZE - 1) / 2)
        cut = cv2.warpAffine(
            picture,
            np.column_stack([turn, middle]),
            (EYE_SIZE, EYE_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        eyes.append(np.asarray(cut, np.uint8))
    return [eyes[0], eyes[1][:, ::-1]]


def gaze_angles(contours: Floats, irises: Floats) -> Floats:
    """Return yaw and pitch in degrees (N, 2) from both eyes of N faces.

    `contours` (2N, 71, 3) and `irises` (2N, 5, 3) alternate left eyes and mirrored right eyes. The
    iris' way from the middle of the eye, over the eye's width, is taken for the way of a point on a
    ball.
    """
    left, right = contours[:, CORNERS[0], :2], contours[:, CORNERS[1], :2]  # (2N, 2)
    width = np.linalg.norm(right - left, axis=1)  # (2N,)
    with np.errstate(divide="ignore", invalid="ignore"):
        way = (irises[:, CENTRE, :2] - (left + right) / 2) / width[:, None]  # (2N, 2)
    way = way.reshape(-1, 2, 2)  # (N, eyes, 2)
    across = (way[:, 0, 0] - way[:, 1, 0]) / 2
    up = -(way[:, 0, 1] + way[:, 1, 1]) / 2 - NEUTRAL_RISE
    ball = np.stack([across, up], axis=1) * WIDTH_OVER_RADIUS  # (N, 2)
    return np.asarray(np.degrees(np.arcsin(np.clip(ball, -1, 1))))
