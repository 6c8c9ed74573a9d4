"""The face mesh that comes with the package against the original, and its square."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from quavf.core.records import Floats, Image
from quavf.cues.mesh import (
    EYE_CORNERS,
    MESH_SIZE,
    N_POINTS,
    TILTED,
    FaceMesh,
    MeshPoints,
    measure_tilt,
    mesh_square,
    turn_picture,
    turn_points,
)
from quavf.cues.tracks import CUE_COLUMNS, HEAD_COLUMNS, cut_square, measure_faces
from quavf.sources.media.file import open_video_file
from tests.helpers.data import REAL_TALK

CLOSE_PX = 0.01  # of 192
CLOSE = 1e-4


@pytest.fixture(scope="module")
def reference(originals):
    return originals, originals["tiles"].repeat(16, axis=1).repeat(16, axis=2)


@pytest.mark.parametrize("runtime", ["auto", "openvino"])
def test_equals_stored_outputs_of_the_original(reference, runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    stored, pictures = reference
    found = FaceMesh(runtime=runtime).read(pictures)
    assert np.abs(found.points.reshape(len(pictures), -1) - stored["points"]).max() < CLOSE_PX
    assert np.abs(found.confidence - 1 / (1 + np.exp(-stored["present"]))).max() < CLOSE


def test_equals_the_original_in_litert(reference) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    mediapipe = importlib.util.find_spec("mediapipe")
    if mediapipe is None or mediapipe.origin is None:
        pytest.skip("mediapipe 0.10.14 is not installed")
    file = Path(mediapipe.origin).parent / "modules" / "face_landmark" / "face_landmark.tflite"
    if not file.is_file():
        pytest.skip(f"{file} is missing: this version ships no models")
    network = interpreter.Interpreter(str(file))
    network.allocate_tensors()
    _, pictures = reference
    found = FaceMesh().read(pictures)
    points, present = (output["index"] for output in network.get_output_details())
    for k, picture in enumerate(pictures):
        network.set_tensor(0, picture[None].astype(np.float32) / 255)
        network.invoke()
        original = network.get_tensor(points).reshape(N_POINTS, 3)
        assert np.abs(found.points[k] - original).max() < CLOSE_PX
        probability = 1 / (1 + np.exp(-network.get_tensor(present).item()))
        assert abs(found.confidence[k] - probability) < CLOSE


@pytest.mark.parametrize("n", [0, 1, 5])
def test_batches(reference, n: int) -> None:
    _, pictures = reference
    some = np.concatenate([pictures, pictures])[:n]
    found = FaceMesh(threads=2).run(some)
    assert found.points.shape == (n, N_POINTS, 3)
    assert found.confidence.shape == (n,)
    if n > 4:
        np.testing.assert_allclose(found.points[4], found.points[0], atol=1e-3)


def test_square_stands_around_the_middle_of_the_box() -> None:
    square = mesh_square(np.array([10.0, 20.0, 30.0, 60.0]))
    assert square.tolist() == [-10.0, 10.0, 50.0, 70.0]


def face_at(tilt: float, confidence: float = 0.9) -> MeshPoints:
    """A level row of points, turned clockwise by `tilt` degrees."""
    points = np.zeros((1, N_POINTS, 3), np.float32)
    points[..., :2] = MESH_SIZE / 2
    points[0, EYE_CORNERS[0], 0] -= 30
    points[0, EYE_CORNERS[1], 0] += 30
    return MeshPoints(turn_points(points, np.array([-tilt])), np.array([confidence], np.float32))


class ToldMesh(FaceMesh):
    """Says of the pictures of each reading what it is told to."""

    def __init__(self, *answers: list[MeshPoints]) -> None:
        self.answers, self.pictures = answers, list[Image]()

    def read(self, pictures: Image) -> MeshPoints:
        told = self.answers[len(self.pictures)]
        self.pictures.append(pictures)
        assert len(told) == len(pictures)
        return MeshPoints(
            np.concatenate([m.points for m in told]), np.concatenate([m.confidence for m in told])
        )


def test_tilted_heads_are_read_again_upright() -> None:
    """An upright head is left alone; so is one that is read with less confidence when turned."""
    pictures = np.random.default_rng(0).integers(0, 256, (5, MESH_SIZE, MESH_SIZE, 3), np.uint8)
    first = [face_at(0), face_at(20), face_at(-40), face_at(TILTED - 0.1), face_at(30, 0.01)]
    mesh = ToldMesh(first, [face_at(15, 0.95), face_at(-3, 0.8)], [face_at(2, 0.95)])
    found = mesh.run(pictures)
    wanted = [0, 37, -40, TILTED - 0.1, 30]
    np.testing.assert_allclose(measure_tilt(found.points), wanted, atol=1e-3)
    np.testing.assert_allclose(found.confidence, [0.9, 0.95, 0.9, 0.9, 0.01])
    turned = [turn_picture(pictures[1], 20), turn_picture(pictures[2], -40)]
    np.testing.assert_allclose(mesh.pictures[1], turned, atol=1)
    np.testing.assert_allclose(mesh.pictures[2], [turn_picture(pictures[1], 35)], atol=1)


def test_points_turn_with_their_picture() -> None:
    picture = np.zeros((MESH_SIZE, MESH_SIZE, 3), np.uint8)
    picture[40:44, 130:134] = 255  # around (132, 42)
    point = np.tile(np.array([132.0, 42, 7], np.float32), (1, N_POINTS, 1))
    for degrees in (25.0, -70.0):
        rows, columns = np.nonzero(turn_picture(picture, degrees)[..., 0] > 127)
        middle = [columns.mean() + 0.5, rows.mean() + 0.5, 7]
        np.testing.assert_allclose(turn_points(point, np.array([degrees]))[0, 0], middle, atol=0.3)


@pytest.fixture(scope="module")
def real_face() -> Image:
    """A face, tilted by 9 degrees to its right."""
    if not REAL_TALK.is_dir():
        pytest.skip(f"there is no {REAL_TALK}")
    frame = next(iter(open_video_file(REAL_TALK / "vr2.mp4").pictures()))
    return cut_square(
        frame.rgb((0, 0, *frame.size), frame.size), mesh_square(np.array([210, 230, 590, 610]))
    )


def head_angles(points: Floats) -> Floats:
    """Yaw, pitch and roll of one face in degrees."""
    mesh = MeshPoints(points.astype(np.float32), np.ones(1, np.float32))
    cues = measure_faces(mesh, np.full((1, 4), np.nan))[0]
    return np.array([cues[CUE_COLUMNS.index(name)] for name in HEAD_COLUMNS])


@pytest.mark.parametrize("degrees", [-50.0, -35.0, -20.0, 20.0, 35.0])
def test_angles_of_a_real_head_turn_with_its_picture(real_face: Image, degrees: float) -> None:
    """Angles of a turned picture are those of the picture, turned."""
    mesh = FaceMesh()
    upright = head_angles(turn_points(mesh.run(real_face[None]).points, np.array([degrees])))
    turned = turn_picture(real_face, degrees)[None]
    assert np.abs(head_angles(mesh.run(turned).points) - upright).max() < 4
