"""Small stores with four faces a clip, and how to predict on them in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quavf.core.clock import Clock
from quavf.core.records import READY_MADE, Segment
from quavf.faces.crop import encode_jpeg
from quavf.inference.config import PredictConfig
from quavf.store import ClipStore, Manifest, StoreConfig

CONFIG = PredictConfig(encoder_heads=2, n_heads=2, backbone="test_vit", device="cpu")
SEGMENTS = (Segment(1, 0, 30, 1), Segment(2, 0, 30, 0))
FACES = [(1, 0), (1, 15), (2, 3), (2, 30)]


def make_store(
    path: Path,
    splits: tuple[str, ...],
    labelled: bool = True,
    segments: tuple[Segment, ...] = SEGMENTS,
) -> ClipStore:
    """A clip for each split: four faces of two people, or of one where nothing is labelled."""
    store = ClipStore.create(path, StoreConfig("ego4d", "fixed", "grown"))
    for index, split in enumerate(splits):
        clip = f"clip{index}"
        with store.write_clip(clip) as writer:
            for person, frame in FACES:
                crop = np.full((224, 224, 3), 40 * person + frame, np.uint8)
                person = person if labelled else 1
                writer.add_crop(person, frame, 0.0, READY_MADE, encode_jpeg(crop))
            writer.add_sound(np.arange(40_000) * (index + 1) % 9000)
            own = segments if labelled else ()
            writer.finish(
                Manifest(clip, split, Clock(), own, 40_000, 4, None, "0", store.config.hash)
            )
        store.write_quality(clip, "light", np.array([0.2, 0.9, 0.5, 0.7]), {})
    return store
