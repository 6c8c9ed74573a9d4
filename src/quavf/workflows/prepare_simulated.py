"""Prepare a store of simulated clips directly: faces, sound and truth, without video."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from quavf.core.clock import Clock
from quavf.core.errors import ConfigError, StoreError
from quavf.core.semantics import FIXED
from quavf.faces.crop import crop_geometry, encode_jpeg, render_crop
from quavf.simulate.clip import SimulatedClip, build_simulated_clip
from quavf.simulate.config import SimulateConfig
from quavf.simulate.media import to_pcm
from quavf.simulate.truth import list_looking, list_speaking
from quavf.simulate.world import ClipKey, draw_world
from quavf.store import ClipStore, ClipWriter, Manifest, StoreConfig
from quavf.utils.files import config_hash, explain_os_errors
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress
from quavf.workflows.prepare import PrepareSummary, summarise
from quavf.workflows.simulate import list_clip_keys, list_world_settings, write_truth_table

EVERY = 15  # frames: the half second between crops of a window
CLOCK = Clock()  # of all simulated clips
TRUTH = "truth.parquet"  # in the folder of each clip


def prepare_simulated(
    store: Path,
    config: SimulateConfig,
    *,
    every: int = EVERY,
    engine: EngineConfig | None = None,
) -> PrepareSummary:
    """Simulate clips into a store, with the labels, boxes and sound of `simulate_clips`.

    Faces are rendered every `every` frames, inside and outside labelled segments, without video
    compression. The test split is labelled like the others. Each clip's folder also holds
    `truth.parquet`. Existing clips are kept, so the number of clips can be increased later.
    """
    if every < 1:
        raise ConfigError(f"every is {every}; it must be at least 1 (a face in every frame)")
    path = Path(store)
    target = ClipStore.create(path, StoreConfig("simulated", FIXED.name, "grown"))
    fingerprint = config_hash({**list_world_settings(config), "every": every})
    keys = list_clip_keys(config)
    _check_existing_clips(target, {key.name for key in keys}, fingerprint)
    missing = [key for key in keys if not target.has_clip(key.name)]
    unlabelled = _find_unlabelled(target, keys)
    bar = show_progress("Simulating", len(keys))
    with explain_os_errors(path), target.lock(), bar as shown:
        for _ in run_each(partial(_write_intervals, target, config), unlabelled, engine):
            pass
        shown.advance(len(keys) - len(missing))
        job = partial(_write_clip, target, config, fingerprint, every)
        for _ in run_each(job, missing, engine):
            shown.advance(1, round(config.seconds * CLOCK.fps))
    summary = PrepareSummary(path, skipped=len(keys) - len(missing))
    return summarise(target, summary, Counter())


def _check_existing_clips(store: ClipStore, names: set[str], fingerprint: str) -> None:
    for clip in store.clips():
        if clip not in names or not store.is_current(clip, fingerprint):
            raise StoreError(
                f"{store.path}: holds clip {clip}, which these settings do not make; choose "
                "another --store, or delete this one"
            )


def _find_unlabelled(store: ClipStore, keys: list[ClipKey]) -> list[ClipKey]:
    """The clips that an earlier version made without labels of speaking and looking."""
    return [
        key
        for key in keys
        if store.has_clip(key.name) and store.manifest(key.name).speaking is None
    ]


def _write_intervals(store: ClipStore, config: SimulateConfig, key: ClipKey) -> None:
    world = draw_world(config, key)
    store.write_intervals(key.name, list_speaking(world), list_looking(world))


def _write_clip(
    store: ClipStore, config: SimulateConfig, fingerprint: str, every: int, key: ClipKey
) -> None:
    clip = build_simulated_clip(config, key)
    sound = to_pcm(clip.sound)
    with store.write_clip(key.name) as writer:
        n_empty = _write_crops(writer, clip, every)
        writer.add_sound(sound)
        write_truth_table(writer.folder / TRUTH, clip.table)
        writer.finish(
            Manifest(
                clip=key.name,
                split=key.split,
                clock=CLOCK,
                segments=clip.segments,
                n_samples=len(sound),
                n_crops=writer.n_crops,
                frame_size=clip.renderer.size,
                fingerprint=fingerprint,
                config_hash=store.config.hash,
                notes={"boxes without any pixel in the frame": n_empty} if n_empty else {},
                speaking=clip.speaking,
                looking=clip.looking,
            )
        )


def _write_crops(writer: ClipWriter, clip: SimulatedClip, every: int) -> int:
    """Render and write the faces; return how many lie outside the frame."""
    n_empty = 0
    for crop in clip.render_faces(every, everywhere=True):
        geometry = crop_geometry(crop.box, clip.renderer.size)
        if geometry is None:
            n_empty += 1
            continue
        jpeg = encode_jpeg(render_crop(crop.region, geometry))
        writer.add_crop(crop.person, crop.frame, CLOCK.frame_to_s(crop.frame), geometry, jpeg)
    return n_empty
