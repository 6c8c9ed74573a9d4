"""Simulated clips straight into a store: faces and sound, and the truth, but no video."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from quavf.core.clock import Clock
from quavf.core.errors import ConfigError, StoreError
from quavf.core.semantics import FIXED
from quavf.faces.crop import crop_geometry, encode_jpeg, render_crop
from quavf.simulate.clip import DirectClip, direct_clip
from quavf.simulate.config import SimulateConfig
from quavf.simulate.media import to_pcm
from quavf.simulate.world import ClipKey
from quavf.store import ClipStore, ClipWriter, Manifest, StoreConfig
from quavf.utils.files import config_hash, user_os_errors
from quavf.utils.parallel import EngineConfig, each
from quavf.utils.progress import progress
from quavf.workflows.prepare import PrepareSummary, summarise
from quavf.workflows.simulate import clip_keys, world_settings, write_truth

EVERY = 15  # frames: the half second between the crops of a window
CLOCK = Clock()  # of every simulated clip
TRUTH = "truth.parquet"  # in a clip's folder


def prepare_simulated(
    store: Path,
    config: SimulateConfig,
    *,
    every: int = EVERY,
    engine: EngineConfig | None = None,
) -> PrepareSummary:
    """Simulate clips into a store, with the labels, boxes and sound that `simulate` would give.

    Faces are drawn every `every` frames, in labelled segments and outside, without the traces of
    video compression; the test split is labelled like the others. Beside each clip's files lies
    `truth.parquet`. Clips that are there are kept, so more clips can be added to the same world.
    """
    if every < 1:
        raise ConfigError(f"every is {every}; draw at least every 15th frame, 1 for all")
    path = Path(store)
    target = ClipStore.create(path, StoreConfig("simulated", FIXED.name, "grown"))
    fingerprint = config_hash({**world_settings(config), "every": every})
    keys = clip_keys(config)
    _check_strangers(target, {key.name for key in keys}, fingerprint)
    missing = [key for key in keys if not target.holds(key.name)]
    bar = progress("Simulating", len(keys))
    with user_os_errors(path), target.alone(), bar as shown:
        shown.advance(len(keys) - len(missing))
        job = partial(_write, target, config, fingerprint, every)
        for _ in each(job, missing, engine):
            shown.advance(1, round(config.seconds * CLOCK.fps))
    summary = PrepareSummary(path, skipped=len(keys) - len(missing))
    return summarise(target, summary, Counter())


def _check_strangers(store: ClipStore, names: set[str], fingerprint: str) -> None:
    for clip in store.clips():
        if clip not in names or not store.has(clip, fingerprint):
            raise StoreError(
                f"{store.path}: holds clip {clip}, which these settings do not make; choose "
                "another --store, or delete this one"
            )


def _write(
    store: ClipStore, config: SimulateConfig, fingerprint: str, every: int, key: ClipKey
) -> None:
    clip = direct_clip(config, key)
    sound = to_pcm(clip.sound)
    with store.writing(key.name) as writer:
        n_empty = _write_crops(writer, clip, every)
        writer.add_sound(sound)
        write_truth(writer.folder / TRUTH, clip.table)
        writer.finish(
            Manifest(
                clip=key.name,
                split=key.split,
                clock=CLOCK,
                segments=clip.segments,
                n_samples=len(sound),
                n_crops=writer.n_crops,
                frame_size=clip.painter.size,
                fingerprint=fingerprint,
                config_hash=store.config.hash,
                notes={"boxes without any pixel in the frame": n_empty} if n_empty else {},
            )
        )


def _write_crops(writer: ClipWriter, clip: DirectClip, every: int) -> int:
    """Draw and write the faces; how many had no pixel in the frame."""
    n_empty = 0
    for crop in clip.crops(every, everywhere=True):
        geometry = crop_geometry(np.array(crop.grown), clip.painter.size)
        if geometry is None:
            n_empty += 1
            continue
        jpeg = encode_jpeg(render_crop(crop.region, geometry))
        place = (crop.box.tolist(), geometry.region, geometry.picture)
        writer.add_crop(crop.person, crop.frame, CLOCK.frame_to_s(crop.frame), place, jpeg)
    return n_empty
