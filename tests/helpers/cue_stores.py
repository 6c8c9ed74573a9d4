"""Stores whose cues are simulated: no pictures, no sound, in milliseconds a clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quavf.core.clock import SAMPLE_RATE, Clock
from quavf.core.records import READY_MADE, Array, Interval, Segment
from quavf.cues.grid import COLUMNS, RATE, SIZE, CueGrid
from quavf.cues.tracks import FACE_COLUMNS, FaceCues, SoundCues
from quavf.cues.voice import STEP_S
from quavf.simulate.cue_noise import observe
from quavf.simulate.cue_scenes import CueScene, draw_talk
from quavf.store import ClipStore, Manifest, StoreConfig

SECONDS = 12.0


def make_cue_store(
    path: Path,
    splits: Sequence[str] = ("train", "train", "val"),
    seed: int = 0,
    *,
    segments: bool = True,
) -> ClipStore:
    """Conversations with labels of all kinds, and the cues that the networks would report.

    Without `segments`, only who speaks and who looks is labelled, as in movies.
    """
    store = ClipStore.create(path, StoreConfig("simulated", "fixed", "grown"))
    rng = np.random.default_rng(seed)
    for index, split in enumerate(splits):
        scene = draw_talk(rng, SECONDS)
        write_cue_clip(store, f"clip{index}", split, scene, observe(scene, rng), segments)
    return store


def write_cue_clip(
    store: ClipStore,
    clip: str,
    split: str,
    scene: CueScene,
    grid: CueGrid,
    segments: bool = True,
) -> None:
    """One clip with a (meaningless) crop for each face, its labels and its cues."""
    faces, sound = face_cues(grid), sound_cues(grid)
    with store.write_clip(clip) as writer:
        for person, frame in zip(faces.person.tolist(), faces.frame.tolist(), strict=True):
            writer.add_crop(person, frame, frame / 30, READY_MADE, b"no picture")
        n_samples = round(SECONDS * SAMPLE_RATE)
        writer.add_sound(np.zeros(n_samples, np.int16))
        writer.finish(
            Manifest(
                clip=clip,
                split=split,
                clock=Clock(),
                segments=_segments(scene) if segments else (),
                n_samples=n_samples,
                n_crops=len(faces),
                frame_size=(1280, 720),
                fingerprint=clip,
                config_hash=store.config.hash,
                speaking=(*_intervals(scene.speaking), *_intervals(scene.wearer[None], first=0)),
                looking=_intervals(scene.looking == 1),
            )
        )
    store.write_cues(clip, faces, sound)


def face_cues(grid: CueGrid) -> FaceCues:
    """The faces of a grid as a table; person k is number k + 1."""
    person, tick = np.nonzero(~np.isnan(grid.faces[:, :, SIZE]))
    values = np.full((len(person), len(FACE_COLUMNS)), np.nan, np.float32)
    for k, name in enumerate(COLUMNS):
        values[:, FACE_COLUMNS.index(name)] = grid.faces[person, tick, k]
    return FaceCues(person + 1, tick * 30 // RATE, tick / RATE, values)


def sound_cues(grid: CueGrid) -> SoundCues:
    """The sound of a grid in steps of 32 ms."""
    steps = np.arange(int(grid.n_ticks / RATE / STEP_S))
    ticks = np.minimum(np.round(steps * STEP_S * RATE).astype(int), grid.n_ticks - 1)
    return SoundCues(grid.voice[ticks], grid.level_db[ticks])


def _runs(row: Array) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(row.astype(int), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _intervals(rows: Array, first: int = 1) -> tuple[Interval, ...]:
    return tuple(
        Interval(k + first, 2 * start, 2 * stop - 1)
        for k, row in enumerate(rows)
        for start, stop in _runs(row)
    )


def _segments(scene: CueScene) -> tuple[Segment, ...]:
    found = []
    for k in range(scene.n_people):
        for start, stop in _runs(scene.speaking[k]):
            label = int(scene.to_me[k, start:stop].mean() > 0.5)
            found.append(Segment(k + 1, 2 * start, 2 * stop - 1, label))
    return tuple(found)
