"""The cues of faces and sound as columns over time (docs/reference/cues.md).

`NaN` is a missing value, never zero: a face that the mesh cannot read, a frame that is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from quavf.core.records import CROP_SIZE, READY_MADE, CropGeometry, Floats, Image, Ints
from quavf.cues.mesh import (
    EYE_CORNERS,
    HEAD_CONFIDENCE,
    MESH_SIZE,
    MeshPoints,
    measure_tilt,
    mesh_square,
)
from quavf.cues.voice import STEP_SAMPLES
from quavf.faces.follow import box_side

GEOMETRY_COLUMNS = (
    "lip_opening",  # inner lips apart, over the mouth's width
    "mouth_width",  # over the distance of the outer corners of the eyes
    "yaw",  # degrees; 0: faces the camera, positive: turned to the picture's right
    "pitch",  # degrees; positive: turned up
    "roll",  # degrees; positive: tilted clockwise in the picture
    "eye_opening",  # lids apart, over the eye's width; mean of both eyes
    "gaze_yaw",  # degrees, relative to the head; positive: to the picture's right
    "gaze_pitch",  # degrees, relative to the head; positive: up
)
HEAD_COLUMNS = ("yaw", "pitch", "roll")
CUE_COLUMNS = (
    *GEOMETRY_COLUMNS,
    "confidence",  # of the mesh, in [0, 1]
    "face_size",  # px, longer side of the face box in the frame
)
FACE_COLUMNS = (*CUE_COLUMNS, "x", "y")  # middle of the face box, 0 to 1 over the frame
SOUND_COLUMNS = ("voice", "level_db")
GAZE_EVERY_S = 0.4  # the eyes of a person are read at most this often; in between: missing
CUE_SETTINGS = {
    "format": 4,
    "mesh": "mediapipe 0.10.14",
    "voice": "silero-vad 6.2.3",
    "gaze_every_s": GAZE_EVERY_S,
}
"""Identifies how cues are computed; stored tables with other settings count as missing."""

LEAST_CONFIDENCE = 0.5  # of the mesh; below it lips and eyes are missing; see `HEAD_CONFIDENCE`
LOWEST_DB = -100.0  # level of digital silence

# Points of the mesh; left and right are the picture's.
LIPS, MOUTH = (13, 14), (61, 291)  # inner lips, corners
EYES = ((159, 145), (33, 133)), ((386, 374), (362, 263))  # lids and corners of each
CHEEKS = (234, 454)
FOREHEAD, CHIN = 10, 152


@dataclass(frozen=True)
class FaceCues:
    """The cues of the faces of a clip, sorted by person and frame."""

    person: Ints  # (N,)
    frame: Ints  # (N,)
    time_s: Floats  # (N,)
    values: Floats  # (N, len(FACE_COLUMNS)) float32

    def __post_init__(self) -> None:
        n = len(self.person)
        assert self.values.shape == (n, len(FACE_COLUMNS)), self.values.shape
        assert len(self.frame) == len(self.time_s) == n, (len(self.frame), len(self.time_s), n)

    def __len__(self) -> int:
        return len(self.person)

    def __getitem__(self, column: str) -> Floats:
        """(N,) one of `FACE_COLUMNS`."""
        return np.asarray(self.values[:, FACE_COLUMNS.index(column)])


@dataclass(frozen=True)
class SoundCues:
    """The cues of a clip's sound from its start, one of each per 32 ms; empty without sound."""

    voice: Floats  # (S,) probability in [0, 1] that somebody is heard to speak
    level_db: Floats  # (S,) root mean square in dB of full scale, at least `LOWEST_DB`

    def __post_init__(self) -> None:
        assert self.voice.shape == self.level_db.shape, (self.voice.shape, self.level_db.shape)

    def __len__(self) -> int:
        return len(self.voice)


def measure_faces(
    mesh: MeshPoints, boxes: Floats, gaze: Floats | None = None, lips: Floats | None = None
) -> Floats:
    """Return the cues (N, len(CUE_COLUMNS)) of meshes in picture proportions.

    The points' scale does not matter. `boxes` (N, 4) xyxy are the face boxes in pixels of the
    frame; NaN where the frame is not known. `gaze` (N, 2) yaw and pitch of the eyes in degrees,
    relative to the head. `lips` (N, 468, 3) are the points that tell lips and mouth, if not those
    of `mesh` (see `quavf.cues.lips`). Of small, blurred faces the mesh still tells where the head
    points when it no longer tells lips from noise: its angles correlate with the truth by 0.85 at
    a confidence of 0.1, its lips only above 0.5 (rendered faces of known pose).
    """
    p = mesh.points.astype(np.float64)  # (N, 468, 3)
    q = p if lips is None else lips.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        eyes = [_distance(p, lids) / _distance(p, corners) for lids, corners in EYES]
        across, down = p[:, CHEEKS[1]] - p[:, CHEEKS[0]], p[:, CHIN] - p[:, FOREHEAD]  # (N, 3)
        geometry = np.stack(
            [
                _distance(q, LIPS) / _distance(q, MOUTH),
                _distance(q, MOUTH) / _distance(q, EYE_CORNERS),
                np.degrees(np.arctan2(across[:, 2], across[:, 0])),
                np.degrees(np.arctan2(-down[:, 2], down[:, 1])),
                measure_tilt(p),
                (eyes[0] + eyes[1]) / 2,
                *(np.full((2, len(p)), np.nan) if gaze is None else gaze.T),
            ],
            axis=1,
        )  # (N, len(GEOMETRY_COLUMNS))
    angles = np.isin(GEOMETRY_COLUMNS, HEAD_COLUMNS)
    geometry[np.ix_(~(mesh.confidence >= LEAST_CONFIDENCE), ~angles)] = np.nan
    geometry[np.ix_(~(mesh.confidence >= HEAD_CONFIDENCE), angles)] = np.nan
    return np.column_stack([geometry, mesh.confidence, box_side(boxes)])


def _distance(points: Floats, pair: tuple[int, int]) -> Floats:
    """(N,) distance of two points in the picture."""
    return np.asarray(np.linalg.norm(points[:, pair[0], :2] - points[:, pair[1], :2], axis=1))


def with_places(values: Floats, boxes: Floats, frame_size: tuple[int, int] | None) -> Floats:
    """Add where faces are: (N, len(CUE_COLUMNS)) become (N, len(FACE_COLUMNS)).

    `boxes` (N, 4) xyxy pixels; `frame_size` is width, height, None if it is not known.
    """
    size = np.array(frame_size or (np.nan, np.nan), float)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 / size  # (N, 2)
    return np.column_stack([values, middles]).astype(np.float32)


def frame_box(geometry: CropGeometry) -> Floats:
    """Return the face box (4,) of a crop in its frame; NaN if no frame is known."""
    known = geometry != READY_MADE
    return np.array(geometry.box, float) if known else np.full(4, np.nan)


def cut_square(picture: Image, square: Floats) -> Image:
    """Cut a square (4,) xyxy out of a picture, as the mesh reads it: (192, 192, 3) uint8.

    Beyond the border, the border is repeated.
    """
    side = float(square[2] - square[0])
    if side > MESH_SIZE:  # averaging avoids false detail
        scale = MESH_SIZE / side
        size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
        shrunk = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        factors = np.array([size[0] / picture.shape[1], size[1] / picture.shape[0]] * 2)
        return _warp(np.asarray(shrunk, np.uint8), square * factors)
    return _warp(picture, square)


def cut_crop_square(crop: Image, geometry: CropGeometry, framing: str = "grown") -> Image:
    """Cut the mesh's square out of a stored crop (224, 224, 3): (192, 192, 3) uint8.

    Undoes the crop's stretching and padding, so that the face has the frame's proportions.
    `framing` says what a crop of an unknown frame shows; see `ClipIndex`.
    """
    if geometry == READY_MADE and framing == "grown":
        quarter = CROP_SIZE / 4
        geometry = replace(geometry, box=(quarter, quarter, 3 * quarter, 3 * quarter))
    x0, x1, y0, y1 = geometry.picture
    left, top, right, bottom = geometry.region
    scale = np.array([(x1 - x0) / (right - left), (y1 - y0) / (bottom - top)] * 2)
    square = mesh_square(np.array(geometry.box)) - np.array([left, top, left, top])
    return _warp(crop[y0:y1, x0:x1], square * scale)


def _warp(picture: Image, rectangle: Floats) -> Image:
    """Bring a rectangle (4,) xyxy of a picture to (192, 192, 3)."""
    x1, y1, x2, y2 = rectangle
    sx, sy = (x2 - x1) / MESH_SIZE, (y2 - y1) / MESH_SIZE
    # pixel centres are at half a pixel
    to_source = np.array([[sx, 0, x1 + sx / 2 - 0.5], [0, sy, y1 + sy / 2 - 0.5]])
    cut = cv2.warpAffine(
        picture,
        to_source,
        (MESH_SIZE, MESH_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(cut, np.uint8)


def sound_levels(samples: Floats) -> Floats:
    """(ceil(N / 512),) levels of samples (N,) in [-1, 1], dB of full scale."""
    padded = np.pad(np.asarray(samples, np.float64), (0, -len(samples) % STEP_SAMPLES))
    counts = np.full(len(padded) // STEP_SAMPLES, float(STEP_SAMPLES))
    if len(samples) % STEP_SAMPLES:
        counts[-1] = len(samples) % STEP_SAMPLES
    power = np.square(padded).reshape(-1, STEP_SAMPLES).sum(axis=1) / counts  # (S,)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (LOWEST_DB / 10))), np.float32)
