"""Follow known faces from picture to picture without the detector, by a mesh of each face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quavf.core.records import Array, Floats
from quavf.faces.detect import Detections
from quavf.faces.patches import View, box_overlaps

SMALLEST_MESH = 32  # pixels, longer side of a face box: below it a mesh sees nothing
SMALLEST_FOLLOWED = 35  # pixels: smaller faces are followed by the detector
FARTHEST = 0.5  # face sizes: a mesh further from where the face is expected is on something else
SIZE_RATIO = 1.5  # over which a mesh is not of the face that was expected
LARGEST_SHIFT = 0.25  # face sizes between detector and mesh: beyond, they see different faces
SHIFT_RATE = 0.3  # share of a new measurement in a face's shift
SEEN_OVERLAP = 0.3  # of a detection that confirms a followed face


@dataclass(frozen=True)
class MeshFaces:
    """The mesh's view of N faces of one picture."""

    boxes: Floats  # (N, 4) about where a detector would see the faces, pixels
    is_sure: Array  # (N,) bool: the mesh sees the face well enough to follow it
    cues: Floats  # (N, C) one column per `columns` of the follower; NaN: missing


class FaceFollower(Protocol):
    """Interface of a mesh that reads `columns` of each face."""

    columns: tuple[str, ...]

    def look(self, view: View, boxes: Floats) -> MeshFaces:
        """Read the mesh of the faces that are expected in `boxes` (N, 4)."""
        ...


@dataclass(eq=False)
class KnownFace:
    """A face that is followed."""

    box: Floats  # as last seen, shifted with the camera since
    seen_s: float
    speed: Floats  # (4,) pixels per second of each side, without the camera's motion
    score: float = 0.0  # the detector's, last
    shift: Floats | None = None  # (4,) detector's box minus the mesh's, in face sizes; None: the
    # mesh does not see this face
    reported: bool = False  # as lost

    def expected_box(self, time_s: float) -> Floats:
        """(4,) where the face should be at a time."""
        return np.asarray(self.box + self.speed * (time_s - self.seen_s))


@dataclass(frozen=True)
class LookFaces:
    """The faces of one look."""

    boxes: Floats  # (N, 4)
    scores: Floats  # (N,) the detector's; of followed faces, its last
    cues: Floats  # (N, C)
    shifts: Floats  # (N, 4) see `KnownFace`; NaN: the mesh does not see this face

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls, n_columns: int) -> LookFaces:
        return cls(*(np.empty(s) for s in ((0, 4), (0,), (0, n_columns), (0, 4))))

    def take(self, rows: Array) -> LookFaces:
        return LookFaces(self.boxes[rows], self.scores[rows], self.cues[rows], self.shifts[rows])

    def join(self, others: LookFaces) -> LookFaces:
        """These faces, then others."""
        names = ("boxes", "scores", "cues", "shifts")
        return LookFaces(*(np.concatenate([getattr(s, n) for s in (self, others)]) for n in names))


def box_side(boxes: Floats) -> Floats:
    """(...,) longer side of boxes (..., 4)."""
    return np.asarray(np.max(boxes[..., 2:] - boxes[..., :2], axis=-1))


def follow_faces(
    follower: FaceFollower, view: View, known: list[KnownFace]
) -> tuple[LookFaces, Array]:
    """Faces of known ones (K,) as the mesh sees them, and a mask (K,) of those it still sees."""
    if not known:
        return LookFaces.none(len(follower.columns)), np.zeros(0, bool)
    expected = np.stack([face.expected_box(view.time_s) for face in known])  # (K, 4)
    shifts = np.stack([face.shift for face in known if face.shift is not None])  # (K, 4)
    assert len(shifts) == len(known)
    mesh = follower.look(view, expected)
    boxes = mesh.boxes + shifts * box_side(mesh.boxes)[:, None]
    sides = box_side(boxes)
    middles, aims = ((b[:, :2] + b[:, 2:]) / 2 for b in (boxes, expected))
    ratio = sides / box_side(expected)
    seen = mesh.is_sure & (sides >= SMALLEST_FOLLOWED)
    seen &= np.linalg.norm(middles - aims, axis=1) <= FARTHEST * sides
    seen &= (ratio <= SIZE_RATIO) & (ratio >= 1 / SIZE_RATIO)
    seen &= np.all((middles >= 0) & (middles < np.array(view.size)), axis=1)
    scores = np.array([face.score for face in known])
    return LookFaces(boxes, scores, mesh.cues, shifts), seen


def confirm_faces(faces: LookFaces, found: Detections) -> tuple[LookFaces, Array]:
    """Compare followed faces (N,) with a detector's: updated faces, and a mask (N,) of those that
    it sees too."""
    boxes, scores = found.boxes, found.scores
    if not len(faces) or not len(boxes):
        return faces, np.zeros(len(faces), bool)
    overlap = box_overlaps(faces.boxes, boxes)  # (N, M)
    best = overlap.argmax(axis=1)
    seen = overlap.max(axis=1) >= SEEN_OVERLAP
    differ = (boxes[best] - faces.boxes) / box_side(faces.boxes)[:, None]
    shifts = faces.shifts + SHIFT_RATE * np.where(seen[:, None], differ, 0)
    updated = np.where(seen, scores[best], faces.scores)
    return LookFaces(faces.boxes, updated, faces.cues, shifts), seen


def meet_faces(
    follower: FaceFollower, view: View, found: Detections, min_score: float
) -> LookFaces:
    """Read the mesh of the faces that the detector found; those it sees well can be followed."""
    boxes, scores, n = found.boxes, found.scores, len(found)
    cues, shifts = np.full((n, len(follower.columns)), np.nan), np.full((n, 4), np.nan)
    large = np.flatnonzero(box_side(boxes) >= SMALLEST_MESH)
    if len(large):
        mesh = follower.look(view, boxes[large])
        cues[large] = mesh.cues
        differ = (boxes[large] - mesh.boxes) / box_side(mesh.boxes)[:, None]
        good = mesh.is_sure & (scores[large] >= min_score)
        good &= (box_side(boxes[large]) >= SMALLEST_FOLLOWED) & (
            np.abs(differ).max(axis=1) <= LARGEST_SHIFT
        )
        shifts[large[good]] = differ[good]
    return LookFaces(boxes, scores, cues, shifts)
