"""Lips of small faces: which faces are read again, and in what picture."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.cues.lips import SMALL_FACE, read_lips, sharpen
from quavf.cues.mesh import MESH_SIZE, N_POINTS, MeshPoints

PICTURES = np.random.default_rng(0).integers(0, 256, (4, MESH_SIZE, MESH_SIZE, 3)).astype(np.uint8)
FIRST, AGAIN = 1.0, 2.0  # where the points are


class RecordingMesh:
    """Keeps the pictures that it reads; sees a face in them or not."""

    def __init__(self, confidence: float = 0.9) -> None:
        self.confidence, self.pictures = confidence, np.empty((0, MESH_SIZE, MESH_SIZE, 3))

    def run(self, pictures: np.ndarray) -> MeshPoints:
        self.pictures = pictures
        return mesh_at(AGAIN, [self.confidence] * len(pictures))


def mesh_at(place: float, confidence: list[float]) -> MeshPoints:
    points = np.full((len(confidence), N_POINTS, 3), place, np.float32)
    return MeshPoints(points, np.array(confidence, np.float32))


def test_small_faces_that_are_seen_are_read_again() -> None:
    reader = RecordingMesh()
    sides = np.array([SMALL_FACE - 1, SMALL_FACE, np.nan, 30.0])
    lips = read_lips(reader, PICTURES, mesh_at(FIRST, [0.9, 0.9, 0.9, 0.4]), sides)
    assert lips[:, 0, 0].tolist() == [AGAIN, FIRST, FIRST, FIRST]
    np.testing.assert_array_equal(reader.pictures, [sharpen(PICTURES[0])])


def test_a_face_that_is_not_seen_again_keeps_its_points() -> None:
    lips = read_lips(RecordingMesh(0.4), PICTURES, mesh_at(FIRST, [0.9] * 4), np.full(4, 40.0))
    assert (lips == FIRST).all()


@pytest.mark.parametrize("sides", [[60.0, 300], [np.nan, np.nan], []])
def test_without_small_faces_nothing_is_read(sides: list[float]) -> None:
    reader, n = RecordingMesh(), len(sides)
    mesh = mesh_at(FIRST, [0.9] * n)
    assert read_lips(reader, PICTURES[:n], mesh, np.array(sides)) is mesh.points
    assert len(reader.pictures) == 0


def test_sharpening_steepens_edges_and_keeps_flat_parts() -> None:
    picture = np.full((MESH_SIZE, MESH_SIZE, 3), 100, np.uint8)
    assert (sharpen(picture) == 100).all()
    picture[:, MESH_SIZE // 2 :] = 140
    row = sharpen(picture)[96, :, 0].astype(int)
    assert (row[0], row[-1]) == (100, 140)
    assert row[95] < 80
    assert row[96] > 160
