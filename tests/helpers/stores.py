"""A store made of nothing: coloured squares as faces, tones as voices, in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from quavf.core.clock import SAMPLE_RATE, Clock
from quavf.core.records import READY_MADE, Segment
from quavf.faces.crop import encode_jpeg
from quavf.store import ClipStore, Manifest, StoreConfig

SEGMENTS = (Segment(1, 0, 60, 1), Segment(2, 30, 95, 0), Segment(1, 80, 119, 0))
N_FRAMES = 120


def make_tiny_store(
    path: Path,
    splits: tuple[str, ...] = ("train", "train", "val"),
    sound: bool = True,
    faces: bool = True,
) -> ClipStore:
    """One 4 s clip for each split named; labels show in a face's colour and a voice's pitch."""
    store = ClipStore.create(path, StoreConfig("ego4d", "fixed", "grown"))
    rng = np.random.default_rng(0)
    for index, split in enumerate(splits):
        clip = f"clip{index}"
        with store.write_clip(clip) as writer:
            n_crops = 0
            for person, frame, label in _labelled_frames() if faces else ():
                crop = rng.integers(0, 60, (224, 224, 3), dtype=np.uint8)
                crop[..., 2 if label else 0] += np.uint8(150)
                writer.add_crop(person, frame, frame / 30, READY_MADE, encode_jpeg(crop))
                n_crops += 1
            if sound:
                writer.add_sound(_sound())
            writer.finish(
                Manifest(
                    clip=clip,
                    split=split,
                    clock=Clock(),
                    segments=SEGMENTS,
                    n_samples=N_FRAMES * SAMPLE_RATE // 30 + 1 if sound else None,
                    n_crops=n_crops,
                    frame_size=(640, 360),
                    fingerprint=str(index),
                    config_hash=store.config.hash,
                )
            )
        store.write_quality(clip, "light", np.linspace(0.4, 1.0, n_crops), {})
    return store


def _labelled_frames() -> list[tuple[int, int, int]]:
    labels = {
        (s.person, frame): s.label
        for s in SEGMENTS
        for frame in range(s.start_frame, s.last_frame + 1)
    }
    return [(person, frame, label) for (person, frame), label in sorted(labels.items())]


def _sound() -> np.ndarray:
    time = np.arange(N_FRAMES * SAMPLE_RATE // 30 + 1) / SAMPLE_RATE
    pitch = np.where(time < 2, 200.0, 900.0)
    return (8000 * np.sin(2 * np.pi * pitch * time)).astype(np.int16)


def make_store(
    path: Path,
    faces: Mapping[int, Sequence[int]],
    segments: Sequence[Segment] = (),
    n_samples: int | None = 2_000_000,
    clock: Clock | None = None,
    framing: str = "grown",
    clips: Sequence[str] = ("clip",),
    split: str = "test",
) -> ClipStore:
    """Clips alike with these people's `faces` (person: frames) and nothing else.

    Every crop has a slope of its own, sound sample n holds n modulo 30000.
    """
    store = ClipStore.create(path, StoreConfig("ego4d", "fixed", framing))
    rows = sorted((person, frame) for person, frames in faces.items() for frame in frames)
    for clip in clips:
        with store.write_clip(clip) as writer:
            for index, (person, frame) in enumerate(rows):
                slope = np.linspace(0, 40 + index * 37 % 200, 224).astype(np.uint8)
                crop = np.tile(slope[:, None], (224, 1, 3))
                writer.add_crop(person, frame, 0.0, READY_MADE, encode_jpeg(crop))
            if n_samples is not None:
                writer.add_sound(np.arange(n_samples) % 30_000)
            writer.finish(
                Manifest(
                    clip=clip,
                    split=split,
                    clock=clock or Clock(),
                    segments=tuple(segments),
                    n_samples=n_samples,
                    n_crops=len(rows),
                    frame_size=None,
                    fingerprint="0",
                    config_hash=store.config.hash,
                )
            )
        quality = np.random.default_rng(0).uniform(0.2, 1, len(rows))
        store.write_quality(clip, "light", quality, {})
    return store


def forget_sums(store: ClipStore, clip: str = "clip") -> None:
    """Make the clip look like one of an earlier version."""
    path = store.folder(clip) / "clip.json"
    content = json.loads(path.read_text())
    del content["files"], content["checksum"]
    path.write_text(json.dumps(content))
    for table in (store.folder(clip) / "quality").glob("*.parquet"):
        pq.write_table(pq.read_table(table).replace_schema_metadata(None), table)
