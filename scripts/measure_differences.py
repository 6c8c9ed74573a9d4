"""Measure how much each difference from the published system matters.

    python scripts/measure_differences.py ROOT AUDIO VISUAL [QUALITY]
    python scripts/measure_differences.py

ROOT: a dataset in the Ego4D layout: annotations/, clips/, and optionally split/ and
social_test/final_test_data/. AUDIO, VISUAL: checkpoints. QUALITY: scores in the published format;
default: the scorer `light`. Without arguments: simulated clips and tiny untrained branches.

Changes one flag of `quavf.core.semantics` at a time; all others stay as published.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import copy
import logging
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import ScoresError
from quavf.core.records import CROP_SIZE, Floats, Ints
from quavf.core.semantics import FIXED, REFERENCE, Semantics
from quavf.core.windows import (
    WINDOW_SAMPLES,
    AudioItem,
    WindowConfig,
    audio_items,
    audio_read,
    audio_windows,
    frame_to_sample,
    n_labelled_ticks,
    training_piece,
    training_windows,
)
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.metrics import mean_average_precision
from quavf.evaluation.protocols import evaluate_scores
from quavf.faces.crop import crop_regions, decode_jpeg, quality_region
from quavf.faces.quality.scorer import open_scorer
from quavf.faces.track import build_track, merge_tracks
from quavf.inference.audio import AudioPredictor
from quavf.inference.clip import ClipData
from quavf.inference.visual import VisualPredictor
from quavf.models.audio import AudioBranch
from quavf.models.checkpoint import load_branch
from quavf.models.config import AudioConfig, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.results.fusion import PUBLISHED
from quavf.results.scores import Scores
from quavf.simulate.config import SimulateConfig
from quavf.sources.ego4d import read_ego4d
from quavf.sources.media.file import open_video_file
from quavf.store import ClipStore, CropReader
from quavf.training.config import TrainVisualConfig
from quavf.training.train import BranchModule
from quavf.training.visual_samples import VisualTrainSet
from quavf.workflows.prepare import prepare_challenge, prepare_ego4d
from quavf.workflows.quality import import_quality, score_quality
from quavf.workflows.simulate import simulate_clips

TRACK_FLAGS = [f.name for f in fields(Semantics)][1:6]
N_BATCHES, BATCH_SIZE = 20, 8  # for the batch-norm measurement
N_DRAWS = 10  # of random validation pieces
Key = tuple[str, int, int]  # clip, person, frame
Box = tuple[Floats, Ints]  # of the face, and the region of its crop

AUDIO = AudioConfig(encoder="32x1x2", encoder_weights="random", dim=32, n_heads=2)
VISUAL = VisualConfig(backbone="test_efficientnet", backbone_weights="random", dim=32, n_heads=4)


@dataclass(frozen=True)
class Data:
    """A dataset, the stores prepared from it, and two branches."""

    root: Path
    splits: Path | None
    store: ClipStore  # reference semantics
    fixed: ClipStore  # fixed semantics
    challenge: ClipStore | None
    audio: AudioBranch
    visual: VisualBranch
    scorer: str

    def parts(self) -> list[tuple[str, ClipStore]]:
        parts = [("clips", self.store), ("challenge", self.challenge)]
        return [(name, store) for name, store in parts if store is not None]


def parse_arguments() -> list[str]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("root", nargs="?", help="dataset in the Ego4D layout; default: simulated")
    parser.add_argument("audio", nargs="?", help="audio checkpoint")
    parser.add_argument("visual", nargs="?", help="visual checkpoint")
    parser.add_argument("quality", nargs="?", help="published quality scores; default: `light`")
    options = parser.parse_args()
    if options.root and not options.visual:
        parser.error("ROOT needs AUDIO and VISUAL checkpoints")
    return [word for word in vars(options).values() if word]


def main(words: list[str]) -> None:
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    measures = (
        compare_boxes,
        compare_regions,
        compare_windows,
        compare_crops,
        compare_sample_times,
        compare_reads,
        compare_statistics,
        compare_validation,
        compare_everything,
    )
    with tempfile.TemporaryDirectory() as folder:
        data = open_data(words, Path(folder))
        for measure in measures:
            for line in measure(data):
                print(f"- {line}", flush=True)


def open_data(words: list[str], scratch: Path) -> Data:
    """Open the dataset and branches of the command line, prepared in both semantics."""
    if words:
        root, audio, visual = Path(words[0]), load_branch(words[1]), load_branch(words[2])
    else:
        root = scratch / "simulated"
        simulate_clips(root, SimulateConfig(clips=4, seconds=12.0, preset="clean"))
        audio, visual = AudioBranch(AUDIO).eval(), VisualBranch(VISUAL).eval()
    assert isinstance(audio, AudioBranch)
    assert isinstance(visual, VisualBranch)
    splits = root / "split" if (root / "split").is_dir() else None
    paths = [scratch / "reference", scratch / "fixed"]
    for path in paths:
        prepare_ego4d(root / "annotations", root / "clips", path, path.name, splits)
        if len(words) > 3:
            import_quality(path, Path(words[3]))
        else:
            score_quality(path)
    challenge = None
    tests = [root / name / "final_test_data" for name in ("social_test", "test")]
    if test := next((path for path in tests if path.is_dir()), None):
        prepare_challenge(test, scratch / "challenge")
        challenge = ClipStore.open(scratch / "challenge")
    store, other = (ClipStore.open(path) for path in paths)
    scorer = "imported" if len(words) > 3 else "light"
    return Data(root, splits, store, other, challenge, audio, visual, scorer)


def disable_flags(*flags: str) -> Semantics:
    changes: Any = dict.fromkeys(flags, False)
    return replace(REFERENCE, **changes)


# Tracks and crops


def compare_boxes(data: Data) -> Iterator[str]:
    """Effect of each track flag on boxes inside the segments of their person."""
    old = find_boxes(data, REFERENCE)
    cases = {flag: disable_flags(flag) for flag in TRACK_FLAGS}
    cases["these five together"] = disable_flags(*TRACK_FLAGS)
    for flag, semantics in cases.items():
        new = find_boxes(data, semantics)
        line = f"{flag}: {len(new.keys() - old)} crops gained, {len(old.keys() - new)} lost"
        moved = [k for k in old.keys() & new if not np.allclose(old[k][0], new[k][0], atol=1e-6)]
        if moved:
            overlaps = [compute_iou(old[key][0], new[key][0]) for key in moved]
            n_cut = sum(bool((old[key][1] != new[key][1]).any()) for key in moved)
            line += (
                f", {len(moved)} boxes moved (IoU {np.mean(overlaps):.3f} on average, "
                f"{min(overlaps):.3f} at worst), {n_cut} crops moved"
            )
        yield f"{line}; of {len(old)}"


def find_boxes(data: Data, semantics: Semantics) -> dict[Key, Box]:
    found: dict[Key, Box] = {}
    annotations, clips = data.root / "annotations", data.root / "clips"
    for record in read_ego4d(annotations, clips, data.splits, semantics).records:
        size = open_video_file(record.media).size
        for person, parts in record.tracks.items():
            built = [track for part in parts if (track := build_track(part, semantics)) is not None]
            if (track := merge_tracks(built, semantics)) is None:
                continue
            rows = list(zip(track.boxes, crop_regions(track.boxes, size), strict=True))
            own = [s for s in record.segments if s.person == person > 0]
            for frame, row in zip(track.frames.tolist(), rows, strict=True):
                if any(s.start_frame <= frame <= s.last_frame for s in own):
                    found[record.clip, person, frame] = row
    return found


def compute_iou(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes."""
    common = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common
    return float(common / union) if union else 1.0


def compare_regions(data: Data) -> Iterator[str]:
    """Effect of the unpadding side on the faces that are scored for quality."""
    judge, semantics = open_scorer("light"), disable_flags("unpad_wrong_side")
    n_crops, changes, kept = 0, [0.0], [1.0]
    for clip in data.store.clips():
        faces = data.store.faces(clip)
        reader = CropReader(data.store, clip, faces)
        n_crops += len(faces)
        right, bottom = faces.picture[:, 1], faces.picture[:, 3]
        for row in np.flatnonzero((right < CROP_SIZE) | (bottom < CROP_SIZE)):
            picture = decode_jpeg(reader.read(int(row)))
            assert picture is not None
            geometry = faces.geometry(int(row))
            seen = [quality_region(picture, geometry, s) for s in (REFERENCE, semantics)]
            scores = [0.0 if r is None else judge.score([r])[0] for r in seen]
            changes.append(abs(scores[1] - scores[0]))
            fitted = min(right[row], bottom[row])
            kept.append((CROP_SIZE - fitted) / fitted)
        reader.close()
    yield (
        f"unpad_wrong_side: {len(changes) - 1} of {n_crops} crops are padded right or at the "
        f"bottom; for 1 row or column of picture, {min(kept):.2f} to {max(kept):.2f} are kept; "
        f"`light` changed by {np.mean(changes):.4f} (at most {max(changes):.4f})"
    )


# Windows and sound


def compare_windows(data: Data) -> Iterator[str]:
    counts = []
    for semantics in (REFERENCE, disable_flags("scan_two_frames_short")):
        n_windows = 0
        for clip in data.store.clips():
            faces, manifest = data.store.faces(clip), data.store.manifest(clip)
            quality = data.store.quality(clip, data.scorer)
            for segment in manifest.segments:
                own = faces.rows_of(segment.person)
                if segment.person > 0:
                    inputs = faces.frame[own], quality[own], segment, WindowConfig()
                    n_windows += len(training_windows(*inputs, semantics, manifest.clock).centres)
        counts.append(n_windows)
    yield f"scan_two_frames_short: {counts[1] - counts[0]} windows added to {counts[0]}"


def list_items(
    data: Data, semantics: Semantics, split: str | None = None
) -> list[tuple[str, AudioItem]]:
    found = []
    for clip in data.store.clips(split):
        m = data.store.manifest(clip)
        for item in audio_items(m.segments, m.n_samples or 0, m.clock, semantics):
            found.append((clip, item))
    return found


def compare_sample_times(data: Data) -> Iterator[str]:
    flag, semantics = "float_sample_times", disable_flags("float_sample_times")
    clock = data.store.manifest(data.store.clips()[0]).clock
    n_early = sum(
        frame_to_sample(f, clock, REFERENCE) != frame_to_sample(f, clock, semantics)
        for f in range(9000)
    )
    old, new = list_items(data, REFERENCE), list_items(data, semantics)
    lengths = [item.end_sample - item.start_sample for _, item in old]
    n_ticks = sum(n_labelled_ticks(n, REFERENCE) != n_labelled_ticks(n, semantics) for n in lengths)
    yield (
        f"{flag}: {n_early} of 9000 frames at {float(clock.fps):g} fps start a sample early; "
        f"{len(set(old) - set(new))} of {len(old)} audio items change, {n_ticks} their labels"
    )
    for name, store in data.parts():
        scores = score_audio(store, data.audio, semantics)
        yield f"{flag} ({name}): {describe_change(scores, data, store)}"


def compare_reads(data: Data) -> Iterator[str]:
    flag, semantics = "shift_short_reads", disable_flags("shift_short_reads")
    for name, store in data.parts():
        shifts = [
            shift for clip in store.clips() for shift in find_read_shifts(ClipData(store, clip))
        ]
        moved_s = [shift / SAMPLE_RATE for shift in shifts if shift]
        yield f"{flag} ({name}): {len(moved_s)} of {len(shifts)} reads move, by s: {moved_s}"
        scores = score_audio(store, data.audio, semantics)
        yield f"{flag} ({name}): {describe_change(scores, data, store)}"


def find_read_shifts(clip: ClipData) -> Iterator[int]:
    """Number of samples by which the published system reads each window too early."""
    clock, n_samples = clip.manifest.clock, clip.manifest.n_samples or 0
    for span in clip.spans:
        rows = clip.rows(span)
        start = frame_to_sample(span.start_frame, clock, REFERENCE)
        end = min(frame_to_sample(span.last_frame + 1, clock, REFERENCE), n_samples)
        if rows.stop > rows.start:
            n_ticks = int(clip.faces.frame[rows][-1]) - span.start_frame + 1
            for window in audio_windows(n_ticks):
                old, new = (
                    audio_read(window, max(end - start, 0), semantics)[0]
                    for semantics in (REFERENCE, disable_flags("shift_short_reads"))
                )
                yield new - old


@cache
def score_audio(store: ClipStore, branch: AudioBranch, semantics: Semantics) -> Floats:
    """Audio scores (N,) of all faces of a store."""
    predictor = AudioPredictor(branch)
    predictor.semantics = semantics
    scores = [predictor.score_faces(ClipData(store, clip)) for clip in store.clips()]
    return np.concatenate([columns["audio"] for columns in scores])


def describe_change(
    new: Floats, data: Data, store: ClipStore | None = None, kind: str = "audio"
) -> str:
    """Describe the difference of scores from those of the published semantics."""
    store = store or data.store
    old = (
        score_audio(store, data.audio, REFERENCE)
        if kind == "audio"
        else score_visual(data, REFERENCE)[0]
    )
    there = ~np.isnan(new - old)
    difference, spread = np.abs(new - old)[there], old[there].std()
    hit = difference[difference > 1e-6]
    line = f"{kind} scores change on {len(hit)} of {len(difference)} frames"
    if not len(hit):
        return line
    return (
        f"{line}, by {hit.mean():.2g} (at most {hit.max():.2g}); standard deviation: {spread:.2g}"
    )


# The visual branch


@cache
def score_visual(data: Data, semantics: Semantics) -> tuple[Floats, Floats]:
    """Visual scores and window qualities (N,) of all faces of the store."""
    return score_with_branch(
        data.fixed if semantics == FIXED else data.store, data.visual, data.scorer, semantics
    )


def score_with_branch(
    store: ClipStore, branch: VisualBranch, scorer: str, semantics: Semantics
) -> tuple[Floats, Floats]:
    predictor = VisualPredictor(branch, scorer=scorer)
    predictor.semantics = semantics
    parts = [predictor.score_faces(ClipData(store, clip)) for clip in store.clips()]
    visual, quality = (
        np.concatenate([part[name] for part in parts]) for name in ("visual", "quality")
    )
    return visual, quality


def compare_crops(data: Data) -> Iterator[str]:
    old, new = (
        score_visual(data, semantics)[0]
        for semantics in (REFERENCE, disable_flags("lopsided_valid_crop"))
    )
    yield f"lopsided_valid_crop: {describe_change(new, data, kind='visual')}"
    maps = [format_map(data, visual=column) for column in (old, new)]
    yield f"lopsided_valid_crop: mAP {maps[0]} -> {maps[1]}"


def compare_statistics(data: Data) -> Iterator[str]:
    """Change of batch-norm statistics over some training batches with constant weights."""
    config = TrainVisualConfig(
        semantics="reference", quality=data.scorer, visual=data.visual.config
    )
    samples = VisualTrainSet(data.store, config)
    module = BranchModule(copy.deepcopy(data.visual), None, config).train()
    loader = DataLoader(samples, BATCH_SIZE, shuffle=True, generator=torch.Generator())
    with torch.no_grad():
        for _, (crops, quality, _) in zip(range(N_BATCHES), loader, strict=False):
            module.network(crops, quality)
    before, after = data.visual.state_dict(), module.network.state_dict()
    means, ratios = [], []
    for mean in (key for key in before if key.endswith("running_mean")):
        variance = mean.replace("mean", "var")
        means.append(((after[mean] - before[mean]).abs() / before[variance].sqrt()).mean())
        ratios.append((after[variance] / before[variance]).log2().abs().mean().div(2).exp2())
    assert isinstance(module.network, VisualBranch)
    new = score_with_branch(data.store, module.network.eval(), data.scorer, REFERENCE)[0]
    yield (
        f"moving_batch_norm, {N_BATCHES} batches of {BATCH_SIZE}: means move by "
        f"{torch.stack(means).mean():.2f} deviations, deviations by a factor of "
        f"{torch.stack(ratios).mean():.2f}; {describe_change(new, data, kind='visual')}"
    )
    old = score_visual(data, REFERENCE)[0]
    yield f"moving_batch_norm: mAP {format_map(data, visual=old)} -> {format_map(data, visual=new)}"


# Differences without a flag, and all flags at once


def compare_validation(data: Data) -> Iterator[str]:
    """mAP over all outputs for random pieces of the validation sound, as published."""
    predictor, rng, values = AudioPredictor(data.audio), random.Random(0), []
    for _ in range(N_DRAWS):
        labels, scores = [], []
        for clip, item in list_items(data, REFERENCE, "val"):
            start, end = training_piece(item.end_sample - item.start_sample, rng)
            sound = data.store.sound(clip, item.start_sample + start, item.start_sample + end)
            n_ticks = n_labelled_ticks(len(sound), REFERENCE)
            padded = np.pad(sound, (0, WINDOW_SAMPLES - len(sound)))
            scores.append(predictor._run_network(padded[None])[0, :n_ticks])
            labels.append(np.full(n_ticks, item.segment.label))
        truth = np.concatenate(labels)
        values.append(mean_average_precision(truth, np.concatenate(scores)))
    yield f"random validation pieces: {N_DRAWS} draws, mAP {min(values):.4f} to {max(values):.4f}"
    ties = [
        mean_average_precision(order, np.full(len(order), 0.5), ties="stable")
        for order in (np.sort(truth), np.sort(truth)[::-1])
    ]
    yield f"constant scores, by row order: mAP {min(ties):.3f} to {max(ties):.3f}"


def compare_everything(data: Data) -> Iterator[str]:
    for semantics, store in ((REFERENCE, data.store), (FIXED, data.fixed)):
        audio, (visual, quality) = (
            score_audio(store, data.audio, semantics),
            score_visual(data, semantics),
        )
        fused = PUBLISHED.fuse({"audio": audio, "visual": visual, "quality": quality})
        columns = {"audio": audio, "visual": visual, "fused": fused}
        maps = [f"{k} {format_map(data, store, **{k: v})}" for k, v in columns.items()]
        yield f"{semantics.name}: {len(audio)} crops; mAP: {', '.join(maps)}"


def format_map(data: Data, store: ClipStore | None = None, **column: Floats) -> str:
    """Format the validation mAP (frame protocol) of one score column of a store."""
    store = store or data.store
    faces = {clip: store.faces(clip) for clip in store.clips()}
    names = np.concatenate([np.full(len(f), clip, object) for clip, f in faces.items()])
    keys = [np.concatenate([getattr(f, k) for f in faces.values()]) for k in ("person", "frame")]
    wanted = store.clips("val")
    segments = [(clip, s) for clip in wanted for s in store.manifest(clip).segments]
    scores = Scores(names, keys[0], keys[1], column).take(np.isin(names, wanted))
    try:
        protocol = evaluate_scores(scores, segments, EvaluateConfig(n_resamples=0)).frame
    except ScoresError as error:
        return f"none ({error})"
    result = protocol.systems[next(iter(column))]
    return "none" if result is None or result.map is None else f"{result.map:.4f}"


if __name__ == "__main__":
    main(parse_arguments())
