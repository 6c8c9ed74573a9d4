"""How much each departure from the published system matters: the figures of docs/differences.md.

    python scripts/measure_differences.py ROOT AUDIO VISUAL [QUALITY]
    python scripts/measure_differences.py

ROOT: a dataset in Ego4D's layout: annotations/, clips/, and, if there, split/ and
social_test/final_test_data/. AUDIO, VISUAL: checkpoints. QUALITY: scores in the published format,
else the scorer `light` judges. Without arguments: drawn clips and untrained miniature branches.

One flag of `quavf.semantics` is changed at a time, all others being the published system's.
"""
# ruff: noqa: T201

from __future__ import annotations

import copy
import logging
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from quavf.branches.audio import AudioBranch
from quavf.branches.checkpoint import load_branch
from quavf.branches.datasets import VisualTrainSet
from quavf.branches.predict import AudioPredictor, ClipData, VisualPredictor
from quavf.branches.train import BranchModule
from quavf.branches.visual import VisualBranch
from quavf.config import BranchSettings, TrainVisualConfig
from quavf.demo import AUDIO, VISUAL
from quavf.errors import ScoresError
from quavf.evaluation import EvaluateConfig, evaluate
from quavf.faces.crop import CROP_SIZE, CropGeometry, crop_regions, decode_jpeg, quality_region
from quavf.faces.quality import open_scorer
from quavf.faces.track import build_track, merge_tracks
from quavf.fusion import fuse
from quavf.metrics import mean_average_precision
from quavf.prepare import prepare_challenge, prepare_ego4d
from quavf.quality import import_quality, score_quality
from quavf.records import Array, ClipRecord, Floats, Ints
from quavf.scores import Scores
from quavf.semantics import FIXED, REFERENCE, Semantics
from quavf.simulate.drawn import DrawnConfig, draw_dataset
from quavf.sources.ego4d import read_ego4d
from quavf.sources.media import open_video
from quavf.store import ClipStore, CropReader
from quavf.windows import (
    WINDOW_SAMPLES,
    WindowConfig,
    audio_items,
    audio_read,
    audio_windows,
    frame_to_sample,
    n_labelled_ticks,
    training_piece,
    training_windows,
)

SCORER = "measured"
TRACK_FLAGS = [f.name for f in fields(Semantics)][1:6]
N_BATCHES, BATCH_SIZE = 20, 8  # of the batch-norm measurement
N_DRAWS = 10  # of the random validation pieces


@dataclass(frozen=True)
class Set:
    """What is measured on: a dataset, the stores made of it, and two branches."""

    root: Path
    store: ClipStore  # reference semantics
    mended: ClipStore  # fixed semantics
    challenge: ClipStore | None
    audio: AudioBranch
    visual: VisualBranch


def main(words: list[str]) -> None:
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        data = opened(words, Path(folder))
        print(f"Measured on {described(data)}")
        for measure in (tracks, regions, windows, pictures, times, reads, statistics):
            show(measure(data))
        show(validation_pieces(data))
        show(ties(data))
        show(everything(data))


def show(lines: Iterator[str]) -> None:
    for line in lines:
        print(f"- {line}", flush=True)


def opened(words: list[str], scratch: Path) -> Set:
    """The dataset of the command line, prepared twice, and its branches."""
    if words:
        root, audio, visual = Path(words[0]), load_branch(words[1]), load_branch(words[2])
    else:
        root = scratch / "drawn"
        draw_dataset(root, DrawnConfig(n_clips=4))
        audio = AudioBranch(AUDIO.audio, BranchSettings()).eval()
        visual = VisualBranch(VISUAL.visual, BranchSettings()).eval()
    assert isinstance(audio, AudioBranch) and isinstance(visual, VisualBranch)  # noqa: PT018
    splits = root / "split" if (root / "split").is_dir() else None
    stores = []
    for rules in (REFERENCE, FIXED):
        stores.append(scratch / rules.name)
        prepare_ego4d(root / "annotations", root / "clips", stores[-1], rules.name, splits)
    if (test := root / "social_test" / "final_test_data").is_dir():
        stores.append(scratch / "challenge")
        prepare_challenge(test, stores[-1])
    for store in stores[:2]:
        if len(words) > 3:
            import_quality(store, Path(words[3]), SCORER)
        else:
            score_quality(store)
            for clip in (light := ClipStore.open(store)).clips():
                light.write_quality(clip, SCORER, light.quality(clip, "light"), {})
    opened_stores = [ClipStore.open(path) for path in stores]
    return Set(root, *opened_stores[:2], (opened_stores + [None])[2], audio, visual)


def described(data: Set) -> str:
    manifests = [data.store.manifest(clip) for clip in data.store.clips()]
    seconds = sum(m.n_samples or 0 for m in manifests) / 16_000
    n_segments = sum(s.person > 0 for m in manifests for s in m.segments)
    n_crops = sum(m.n_crops for m in manifests)
    return f"{len(manifests)} clips, {seconds:.0f} s, {n_segments} segments, {n_crops} crops"


def mended(flag: str) -> Semantics:
    return replace(REFERENCE, **{flag: False})


# Tracks and crops


def tracks(data: Set) -> Iterator[str]:
    old = boxes(data.root, REFERENCE)
    together = replace(REFERENCE, **dict.fromkeys(TRACK_FLAGS, False))
    cases = {flag: mended(flag) for flag in TRACK_FLAGS} | {"these five together": together}
    for flag, rules in cases.items():
        new = boxes(data.root, rules)
        line = f"{flag}: {len(new.keys() - old)} crops gained, {len(old.keys() - new)} lost"
        moved = [k for k in old.keys() & new if not np.allclose(old[k][0], new[k][0], atol=1e-6)]
        overlaps = [overlap(old[key][0], new[key][0]) for key in moved]
        n_cut = sum(bool((old[key][1] != new[key][1]).any()) for key in moved)
        if moved:
            line += (
                f", {len(moved)} boxes moved (overlap {np.mean(overlaps):.3f} on average, "
                f"{min(overlaps):.3f} at worst), {n_cut} crops cut elsewhere"
            )
        yield f"{line}; of {len(old)}"


Key = tuple[str, int, int]  # clip, person, frame


def boxes(root: Path, rules: Semantics) -> dict[Key, tuple[Floats, Ints]]:
    """Box and crop region of every frame of every track inside its person's segments."""
    splits = root / "split" if (root / "split").is_dir() else None
    found: dict[Key, tuple[Floats, Ints]] = {}
    for record in read_ego4d(root / "annotations", root / "clips", splits, rules).records:
        video = open_video(record.media)
        with video.container:
            for person, frames, values in person_tracks(record, rules):
                cut = crop_regions(values, video.size)
                keys = [(record.clip, person, frame) for frame in frames.tolist()]
                found |= dict(zip(keys, zip(values, cut, strict=True), strict=True))
    return found


def person_tracks(record: ClipRecord, rules: Semantics) -> Iterator[tuple[int, Ints, Floats]]:
    for person, parts in record.tracks.items():
        built = [track for part in parts if (track := build_track(part, rules)) is not None]
        track = merge_tracks(built, rules)
        if track is None or person < 1:
            continue
        inside = np.zeros(len(track.frames), bool)
        for s in record.segments:
            if s.person == person:
                inside |= (track.frames >= s.start_frame) & (track.frames <= s.last_frame)
        yield person, track.frames[inside], track.boxes[inside]


def overlap(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common
    return float(common / union) if union else 1.0


def regions(data: Set) -> Iterator[str]:
    judge, rules = open_scorer("light"), mended("unpad_wrong_side")
    n_crops, changes, shares = 0, [], []
    for clip in data.store.clips():
        faces = data.store.faces(clip)
        n_crops += len(faces)
        reader = CropReader(data.store, clip, faces)
        padded = (faces.picture[:, 1] < CROP_SIZE) | (faces.picture[:, 3] < CROP_SIZE)
        for row in np.flatnonzero(padded):
            picture = decode_jpeg(reader.read(int(row)))
            geometry = CropGeometry(
                *(tuple(c[row].tolist()) for c in (faces.region, faces.picture))
            )
            box = faces.box[row]
            old, new = (quality_region(picture, geometry, box, r) for r in (REFERENCE, rules))
            scores = [0.0 if r is None else judge.score([r])[0] for r in (old, new)]
            changes.append(scores[1] - scores[0])
            fitted = faces.picture[row, 1] * faces.picture[row, 3] / CROP_SIZE
            shares.append((CROP_SIZE - fitted) / fitted)
        reader.close()
    line = f"unpad_wrong_side: {len(changes)} of {n_crops} crops are padded right or at the bottom"
    if changes:
        line += (
            f", the part that is kept is {np.mean(shares):.2f} of the picture on average; `light` "
            f"score changed by {np.abs(changes).mean():.3f} (at most {np.abs(changes).max():.3f})"
        )
    yield line


# Windows and sound


def windows(data: Set) -> Iterator[str]:
    def counted(rules: Semantics) -> tuple[int, int]:
        n_windows = n_used = 0
        for clip in data.store.clips():
            faces, manifest = data.store.faces(clip), data.store.manifest(clip)
            quality = data.store.quality(clip, SCORER)
            for segment in manifest.segments:
                own = faces.rows_of(segment.person)
                if segment.person < 1 or own.start == own.stop:
                    continue
                found = training_windows(
                    faces.frame[own], quality[own], segment, WindowConfig(), rules, manifest.clock
                )
                n_windows += len(found.centres)
                n_used += 1
        return n_windows, n_used

    old, n_segments = counted(REFERENCE)
    new, _ = counted(mended("scan_two_frames_short"))
    yield f"scan_two_frames_short: {new - old} training windows added to {old} ({n_segments} segments)"


def times(data: Set) -> Iterator[str]:
    rules, clock = mended("float_sample_times"), data.store.manifest(data.store.clips()[0]).clock
    n_early = sum(
        frame_to_sample(f, clock, REFERENCE) != frame_to_sample(f, clock, rules)
        for f in range(9000)
    )
    n_items = n_differ = n_ticks = 0
    for clip in data.store.clips():
        manifest = data.store.manifest(clip)
        found = [
            audio_items(manifest.segments, manifest.n_samples or 0, manifest.clock, r)
            for r in (REFERENCE, rules)
        ]
        for old, new in zip(*found, strict=True):
            n_items += 1
            n_differ += old != new
            length = old.end_sample - old.start_sample
            n_ticks += n_labelled_ticks(length, REFERENCE) != n_labelled_ticks(length, rules)
    yield (
        f"float_sample_times: {n_early} of the 9000 frames of five minutes at "
        f"{float(clock.fps):g} fps start one sample early; {n_differ} of {n_items} audio items "
        f"differ by a sample, {n_ticks} by a labelled output"
    )
    yield from heard(data, "float_sample_times")


def reads(data: Set) -> Iterator[str]:
    flag = "shift_short_reads"
    for name, store in (("clips", data.store), ("challenge", data.challenge)):
        if store is None:
            continue
        shifts = [shift for clip in store.clips() for shift in read_shifts(ClipData(store, clip))]
        moved = [shift for shift in shifts if shift]
        mean_s = np.mean(moved) / 16_000 if moved else 0
        yield f"{flag} ({name}): {len(moved)} of {len(shifts)} reads moved, by {mean_s:.2f} s"
    yield from heard(data, flag)


def read_shifts(clip: ClipData) -> Iterator[int]:
    """By how many samples the published system reads each window too early."""
    clock, n_samples = clip.manifest.clock, clip.manifest.n_samples or 0
    for span in clip.spans:
        rows = clip.rows(span)
        if rows.start == rows.stop:
            continue
        start = frame_to_sample(span.start_frame, clock, REFERENCE)
        end = min(frame_to_sample(span.last_frame + 1, clock, REFERENCE), n_samples)
        n_ticks = int(clip.faces.frame[rows][-1]) - span.start_frame + 1
        for window in audio_windows(n_ticks):
            length = max(end - start, 0)
            old = audio_read(window, length, REFERENCE)[0]
            yield audio_read(window, length, mended("shift_short_reads"))[0] - old


def heard(data: Set, flag: str) -> Iterator[str]:
    for name, store in (("clips", data.store), ("challenge", data.challenge)):
        if store is not None:
            old, new = (audio_scores(store, data.audio, r) for r in (REFERENCE, mended(flag)))
            yield f"{flag} ({name}): audio scores {changed(old, new)}"


@cache
def audio_scores(store: ClipStore, branch: AudioBranch, rules: Semantics) -> Floats:
    predictor = AudioPredictor(branch)
    predictor.rules = rules
    return np.concatenate([predictor.faces(ClipData(store, clip)) for clip in store.clips()])


def changed(old: Floats, new: Floats) -> str:
    there = ~np.isnan(new - old)
    difference, spread = np.abs(new - old)[there], old[there].std()
    hit = difference[difference > 1e-6]
    line = f"changed on {len(hit)} of {len(difference)} frames"
    if not len(hit):
        return line
    return (
        f"{line}, by {hit.mean():.2g} (at most {hit.max():.2g}): {hit.mean() / spread:.1%} of their "
        f"standard deviation"
    )


# The visual branch


def pictures(data: Set) -> Iterator[str]:
    flag = "lopsided_valid_crop"
    old, new = (visual_scores(data.store, data.visual, r)[0] for r in (REFERENCE, mended(flag)))
    yield f"{flag}: visual scores {changed(old, new)}"
    yield f"{flag}: validation mAP {judged(data, visual=old)} -> {judged(data, visual=new)}"


@cache
def visual_scores(
    store: ClipStore, branch: VisualBranch, rules: Semantics
) -> tuple[Floats, Floats]:
    predictor = VisualPredictor(branch, SCORER)
    predictor.rules = rules
    parts = [predictor.faces(ClipData(store, clip)) for clip in store.clips()]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def statistics(data: Set) -> Iterator[str]:
    config = TrainVisualConfig("reference", SCORER, data.visual.config)
    samples = VisualTrainSet(data.store, config, SCORER)
    module = BranchModule(copy.deepcopy(data.visual), None, config).train()
    loader = DataLoader(samples, BATCH_SIZE, shuffle=True, generator=torch.Generator())
    for _, (crops, quality, _) in zip(range(N_BATCHES), loader, strict=False):
        with torch.no_grad():
            module.branch(crops, quality)
    before, after = data.visual.state_dict(), module.branch.state_dict()
    means, spreads = [], []
    for key in before:
        if key.endswith("running_mean"):
            variance = before[key.replace("mean", "var")]
            means.append(((after[key] - before[key]).abs() / variance.sqrt()).mean())
            ratio = after[key.replace("mean", "var")] / variance
            spreads.append((ratio.log2().abs().mean() / 2).exp2())
    old = visual_scores(data.store, data.visual, REFERENCE)[0]
    new = visual_scores(data.store, module.branch.eval(), REFERENCE)[0]
    flag = f"moving_batch_norm ({N_BATCHES} batches of {BATCH_SIZE} windows)"
    yield (
        f"{flag}: means moved by {torch.stack(means).mean():.2f} standard deviations, deviations "
        f"by a factor of {torch.stack(spreads).mean():.2f}; visual scores {changed(old, new)}"
    )
    yield f"{flag}: validation mAP {judged(data, visual=old)} -> {judged(data, visual=new)}"


# What has no flag, and everything at once


def validation_pieces(data: Set) -> Iterator[str]:
    """mAP of the outputs for random pieces of the validation sound, as published."""
    predictor, rng, values = AudioPredictor(data.audio), random.Random(0), []
    for _ in range(N_DRAWS):
        labels, scores = [], []
        for clip in data.store.clips("val"):
            manifest = data.store.manifest(clip)
            found = audio_items(
                manifest.segments, manifest.n_samples or 0, manifest.clock, REFERENCE
            )
            for item in found:
                start, end = training_piece(item.end_sample - item.start_sample, rng)
                sound = data.store.sound(clip, item.start_sample + start, item.start_sample + end)
                n_ticks = n_labelled_ticks(len(sound), REFERENCE)
                padded = np.pad(sound, (0, WINDOW_SAMPLES - len(sound)))
                scores.append(predictor._windows(padded[None])[0, :n_ticks])
                labels.append(np.full(n_ticks, item.segment.label))
        values.append(mean_average_precision(np.concatenate(labels), np.concatenate(scores)))
    yield (
        f"random validation pieces: audio mAP {min(values):.3f} to {max(values):.3f} over "
        f"{N_DRAWS} draws of the same weights; frame protocol "
        f"{judged(data, audio=audio_scores(data.store, data.audio, REFERENCE))}"
    )


def ties(data: Set) -> Iterator[str]:
    labels = rows(data.store, data.store.clips("val"))[1]
    constant = np.full(len(labels), 0.5)
    orders = [np.sort(labels), np.sort(labels)[::-1], labels]
    values = [mean_average_precision(order, constant, ties="stable") for order in orders]
    safe = mean_average_precision(labels, constant)
    yield (
        f"ties: constant scores, published: {min(values):.3f} to {max(values):.3f} by the order of "
        f"the rows; tie-safe: {safe:.3f}"
    )


def rows(store: ClipStore, clips: list[str]) -> tuple[list[tuple[str, int, int]], Array]:
    """Key and label of every face inside a labelled segment."""
    keys, labels = [], []
    for clip in clips:
        faces = store.faces(clip)
        for s in store.manifest(clip).segments:
            own = faces.rows_of(s.person) if s.person > 0 else slice(0, 0)
            frames = faces.frame[own]
            frames = frames[(frames >= s.start_frame) & (frames <= s.last_frame)]
            keys += [(clip, s.person, int(frame)) for frame in frames]
            labels += [s.label] * len(frames)
    return keys, np.array(labels)


def everything(data: Set) -> Iterator[str]:
    for rules, store in ((REFERENCE, data.store), (FIXED, data.mended)):
        audio = audio_scores(store, data.audio, rules)
        visual, quality = visual_scores(store, data.visual, rules)
        n_crops = sum(store.manifest(clip).n_crops for clip in store.clips())
        yield (
            f"all flags, {rules.name}: {n_crops} crops; validation mAP: audio "
            f"{judged(data, audio=audio, store=store)}, visual "
            f"{judged(data, visual=visual, store=store)}, fused "
            f"{judged(data, fused=fuse(audio, visual, quality), store=store)}"
        )


def judged(data: Set, store: ClipStore | None = None, **columns: Floats) -> str:
    """Validation mAP by the frame protocol, of one column of scores of all faces of a store."""
    store = store or data.store
    clips = store.clips()
    faces = [store.faces(clip) for clip in clips]
    names = np.concatenate([np.full(len(f), c, object) for c, f in zip(clips, faces, strict=True)])
    person, frame = (np.concatenate([getattr(f, n) for f in faces]) for n in ("person", "frame"))
    missing = np.full(len(names), np.nan)
    values = {name: missing for name in ("audio", "visual", "quality", "fused")} | columns
    scores = Scores(names, person, frame, **values)
    wanted = store.clips("val")
    segments = [(c, s) for c in wanted for s in store.manifest(c).segments]
    config = EvaluateConfig(n_resamples=0)
    try:
        protocol = evaluate(scores.take(np.isin(names, wanted)), segments, config).frame
    except ScoresError:
        return "none (one class only)"
    result = protocol.systems[next(iter(columns))]
    return "none" if result is None or result.map is None else f"{result.map:.4f}"


if __name__ == "__main__":
    main(sys.argv[1:])
