"""Measure how fast cues are read: the mesh, crops of a store, and sound.

    python benchmarks/cues.py [--crops 512] [--rounds 5]

One thread. Prints the processor time of the fastest round: milliseconds a face for the mesh alone,
crops a second for everything that `quavf cues` does with a crop, and how many times faster than
real time the voice detector is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from quavf.core.clock import SAMPLE_RATE, Clock
from quavf.cues.mesh import MESH_SIZE, FaceMesh
from quavf.cues.voice import VoiceDetector
from quavf.faces.crop import crop_geometry, encode_jpeg, render_crop
from quavf.store import ClipStore, Manifest, StoreConfig
from quavf.workflows.cues import compute_cues

FRAME = (1280, 720)
BOX = np.array([600.0, 300, 690, 420])
SOUND_S = 60


@dataclass(frozen=True)
class Speed:
    """Of one thread, by its processor time."""

    mesh_ms: float  # a face
    crops_per_s: float
    sound_rate: float  # seconds of sound a second


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--crops", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    speed = measure(options.crops, options.rounds)
    print(f"mesh: {speed.mesh_ms:.2f} ms a face")
    print(f"store: {speed.crops_per_s:.0f} crops a second")
    print(f"voice: {speed.sound_rate:.0f} times real time")


def measure(n_crops: int, rounds: int) -> Speed:
    """Measure in the current process."""
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (64, MESH_SIZE, MESH_SIZE, 3), np.uint8)
    sound = random.normal(0, 0.1, SOUND_S * SAMPLE_RATE).astype(np.float32)
    mesh, voice = FaceMesh(), VoiceDetector()
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", n_crops, random)
        store_s = fastest(lambda: remove_and_compute(store), rounds)
    return Speed(
        mesh_ms=fastest(lambda: mesh.read(pictures), rounds) / len(pictures) * 1e3,
        crops_per_s=n_crops / store_s,
        sound_rate=SOUND_S / fastest(lambda: voice.run(sound), rounds),
    )


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Return the processor seconds of the fastest of some rounds, after one to warm up."""
    work()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def remove_and_compute(store: ClipStore) -> None:
    for path in store.folder("clip").glob("cues*.parquet"):
        path.unlink()
    compute_cues(store.path)


def make_store(path: Path, n_crops: int, random: np.random.Generator) -> ClipStore:
    """Make a store of one clip of smooth noise, without sound."""
    store = ClipStore.create(path, StoreConfig("ego4d", "fixed", "grown"))
    geometry = crop_geometry(BOX, FRAME)
    assert geometry is not None
    x1, y1, x2, y2 = geometry.region
    with store.write_clip("clip") as writer:
        for frame in range(n_crops):
            noise = random.integers(0, 256, (15, 12, 3), np.uint8)
            patch = np.asarray(cv2.resize(noise, (x2 - x1, y2 - y1)), np.uint8)
            jpeg = encode_jpeg(render_crop(patch, geometry))
            writer.add_crop(1, frame, frame / 30, geometry, jpeg)
        writer.finish(
            Manifest("clip", "val", Clock(), (), None, n_crops, FRAME, "f", store.config.hash)
        )
    return store


if __name__ == "__main__":
    main()
