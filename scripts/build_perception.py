"""Build the perception networks of `quavf.cues` from packages on the registry.

    pip install tflite ai-edge-litert onnx onnxruntime
    python scripts/build_perception.py [--wheels FOLDER]

Downloads two wheels (or takes them from FOLDER), rewrites the face mesh from TensorFlow Lite to
ONNX, copies the voice activity detector, and writes both with their licences and NOTICE.md to
`src/quavf/cues/networks/`, and reference outputs of the original files for the tests. Fails if a
rewritten network departs from its original.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tflite_to_onnx import convert

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ROOT / "src" / "quavf" / "cues" / "networks"
REFERENCE = ROOT / "tests" / "cues" / "perception.npz"

MEDIAPIPE = "mediapipe==0.10.14"  # 1.x ships no models
SILERO = "silero-vad==6.2.3"
MESH = "mediapipe/modules/face_landmark/face_landmark.tflite"
IRIS = "mediapipe/modules/iris_landmark/iris_landmark.tflite"
VOICE = "silero_vad/data/silero_vad_16k_sequence.onnx"
VOICE_STEP = "silero_vad/data/silero_vad_16k_op15.onnx"  # the same network, one step a call
LICENCES = {
    "LICENSE.mediapipe": (MEDIAPIPE, "mediapipe-0.10.14.dist-info/LICENSE"),
    "LICENSE.silero-vad": (SILERO, "silero_vad-6.2.3.dist-info/licenses/LICENSE"),
}
LARGEST_DIFFERENCE = {  # pixels of 192; log odds; pixels of 64
    "face_mesh": {"points": 0.005, "present": 1e-4},
    "iris": {"contours": 0.002, "irises": 0.002},
}

NOTICE = """# Perception networks

Trained by others, on real people. `scripts/build_perception.py` builds these files from packages
on the Python registry; nothing is trained or fine-tuned here.

## face_mesh.onnx

Copyright The MediaPipe Authors, Apache License 2.0 (`LICENSE.mediapipe`). 468 face points and a
face-present logit from a picture of 192 x 192.

Source: `{mesh}` in `{mediapipe}`, sha256 `{mesh_source_hash}`.

Changes: rewritten from TensorFlow Lite to ONNX with channels first; each PReLU as a scaled
convolution, ReLU and addition; channel padding as a convolution with the identity. Weights are
unchanged (half precision, as in the source). Points depart from the source by less than 0.005 px.

sha256 `{mesh_hash}`

## iris.onnx

Copyright The MediaPipe Authors, Apache License 2.0 (`LICENSE.mediapipe`). 71 points of an eye's
contour and 5 of its iris from a picture of 64 x 64.

Source: `{iris}` in `{mediapipe}`, sha256 `{iris_source_hash}`.

Changes: rewritten as the face mesh. Weights are unchanged (single precision, as in the source).
Points depart from the source by less than 0.002 px.

sha256 `{iris_hash}`

## voice.onnx

Copyright (c) 2020-present Silero Team, MIT License (`LICENSE.silero-vad`). Speech probability of
each 512 samples at 16 kHz.

Source: `{voice}` in `{silero}`, unchanged.

sha256 `{voice_hash}`
"""


def main() -> None:
    """Download, convert, compare with the originals, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="downloaded wheels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = options.wheels or download(Path(folder))
        mesh, iris = read(wheels, MEDIAPIPE, MESH), read(wheels, MEDIAPIPE, IRIS)
        voice = read(wheels, SILERO, VOICE)
        NETWORKS.mkdir(parents=True, exist_ok=True)
        for name, (package, path) in LICENCES.items():
            (NETWORKS / name).write_bytes(read(wheels, package, path))
        (NETWORKS / "face_mesh.onnx").write_bytes(convert(mesh, ("points", "present")))
        (NETWORKS / "iris.onnx").write_bytes(convert(iris, ("contours", "irises")))
        (NETWORKS / "voice.onnx").write_bytes(voice)
        notice = NOTICE.format(
            mesh=MESH,
            mediapipe=MEDIAPIPE,
            iris=IRIS,
            voice=VOICE,
            silero=SILERO,
            mesh_source_hash=sha256(mesh),
            mesh_hash=sha256((NETWORKS / "face_mesh.onnx").read_bytes()),
            iris_source_hash=sha256(iris),
            iris_hash=sha256((NETWORKS / "iris.onnx").read_bytes()),
            voice_hash=sha256(voice),
        )
        (NETWORKS / "NOTICE.md").write_text(notice)
        write_reference(mesh, iris, read(wheels, SILERO, VOICE_STEP))
    check("face_mesh", "tiles")
    check("iris", "eyes")


def download(folder: Path) -> Path:
    """Download both wheels without their dependencies; any platform's holds the same files."""
    wanted = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11"]
    for package in (MEDIAPIPE, SILERO):
        platform = ["--platform", "manylinux_2_17_x86_64"] if package == MEDIAPIPE else []
        command = [sys.executable, "-m", "pip", "download", *wanted, *platform]
        subprocess.run([*command, "--dest", str(folder), package], check=True)
    return folder


def read(wheels: Path, package: str, path: str) -> bytes:
    """Read a file of a package's wheel."""
    name, version = package.replace("-", "_").split("==")
    (wheel,) = wheels.glob(f"{name}-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_reference(mesh: bytes, iris: bytes, voice: bytes) -> None:
    """Write inputs made from a seed and the outputs of the original files."""
    random = np.random.RandomState(13)
    tiles = random.randint(0, 256, (4, 12, 12, 3)).astype(np.uint8)
    pictures = enlarge(tiles, 16)  # (4, 192, 192, 3)
    points, present = run_litert(mesh, pictures)
    sound = buzzing_sound(random)
    eyes = random.randint(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    contours, irises = run_litert(iris, enlarge(eyes, 8))  # of (4, 64, 64, 3)
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        REFERENCE,
        tiles=tiles,
        points=points,
        present=present[:, 0],
        eyes=eyes,
        contours=contours,
        irises=irises,
        sound=sound,
        voice=run_voice(voice, sound / np.float32(32768)),
    )


def buzzing_sound(random: np.random.RandomState) -> Any:
    """(25600,) int16: a buzz like a voice, on and off, in noise."""
    time = np.arange(25_600) / 16_000
    pitch = np.cumsum(130 + 30 * np.sin(2 * np.pi * 3 * time)) / 16_000
    buzz = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 20))
    spoken = np.sin(2 * np.pi * 1.5 * time) > -0.3
    return ((0.15 * buzz * spoken + 0.003 * random.randn(len(time))) * 32767).astype(np.int16)


def enlarge(tiles: Any, times: int) -> Any:
    return tiles.repeat(times, axis=1).repeat(times, axis=2)


def run_litert(network: bytes, pictures: Any) -> list[Any]:
    """Both outputs (N, values) of a network for (N, H, W, 3) uint8, by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=network)
    interpreter.allocate_tensors()
    outputs = [output["index"] for output in interpreter.get_output_details()]
    found: list[list[Any]] = [[] for _ in outputs]
    for picture in pictures:
        interpreter.set_tensor(0, picture[None].astype(np.float32) / 255)
        interpreter.invoke()
        for values, output in zip(found, outputs, strict=True):
            values.append(interpreter.get_tensor(output).ravel().copy())
    return [np.stack(values) for values in found]


def run_voice(voice: bytes, samples: Any) -> Any:
    """(N / 512,) speech probabilities, one call a step."""
    import onnxruntime

    session = onnxruntime.InferenceSession(voice, providers=["CPUExecutionProvider"])
    padded = np.concatenate([np.zeros(64, np.float32), samples])
    state, found = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(samples), 512):
        feed = {"input": padded[None, start : start + 576], "state": state, "sr": np.array(16_000)}
        probability, state = session.run(None, feed)
        found.append(probability.item())
    return np.array(found, np.float32)


def check(name: str, tiles: str) -> None:
    """Compare a rewritten network with the reference."""
    import onnxruntime

    stored = np.load(REFERENCE)
    limits = LARGEST_DIFFERENCE[name]
    pictures = enlarge(stored[tiles], 16 if name == "face_mesh" else 8).transpose(0, 3, 1, 2)
    network = onnxruntime.InferenceSession(NETWORKS / f"{name}.onnx")
    found = network.run(list(limits), {"picture": pictures.astype(np.float32) / 255})
    for (output, limit), values in zip(limits.items(), found, strict=True):
        difference = np.abs(values.reshape(stored[output].shape) - stored[output]).max()
        assert difference < limit, (output, difference)


if __name__ == "__main__":
    main()
