"""The face mesh that comes with the package against the original, and its square."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from quavf.cues.mesh import N_POINTS, FaceMesh, mesh_square

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
    found = FaceMesh(runtime=runtime).run(pictures)
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
    found = FaceMesh().run(pictures)
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
