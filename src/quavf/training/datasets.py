"""Training samples out of a store; item lists are columns, so that they stay small."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND, Clock
from quavf.core.errors import StoreError
from quavf.core.records import CROP_SIZE, WEARER, Array, Ints
from quavf.core.semantics import get_semantics
from quavf.core.windows import (
    EMPTY,
    WINDOW_SAMPLES,
    WINDOW_TICKS,
    AudioItem,
    VisualWindows,
    audio_items,
    audio_read,
    audio_windows,
    n_labelled_ticks,
    training_piece,
    training_windows,
    unlabelled_windows,
)
from quavf.inference.predict import ClipData, load_crop, load_picture
from quavf.models.transforms import normalised, seeded
from quavf.store import ClipStore, CropReader
from quavf.training.augment import FaceChanges, change_sound
from quavf.training.config import TrainAudioConfig, TrainVisualConfig

IGNORED = -100  # label of an output that is not trained on
UNKNOWN = -1  # label of an item whose outputs differ

Sample = tuple[Tensor, ...]


@dataclass(frozen=True)
class ClassCounts:
    """Frames (audio) or windows (visual) of each class."""

    positive: int
    negative: int

    def weights(self) -> Tensor:
        """(2,) loss weights of (not to me, to me): each class by the share of the other."""
        total = self.positive + self.negative
        return torch.tensor([self.positive / total, self.negative / total])


class AudioTrainSet(Dataset[Sample]):
    """(samples (480000,), labels (900,)): of labelled segments, or of clips with all they hold.

    Segments count with or without faces. A sample depends on (seed, epoch, index) alone.
    """

    def __init__(self, store: ClipStore, config: TrainAudioConfig) -> None:
        self.store, self.context = store, config.context
        self.semantics = get_semantics(config.semantics)
        self.augment, self.seed = config.augment, config.trainer.seed
        self.unlabelled = config.unlabelled
        self.epoch = 0
        self.clips: list[str] = []
        rows: list[tuple[int, int, int, int]] = []  # clip, start, end, label or UNKNOWN
        positive = negative = 0
        for clip in store.clips("train"):
            manifest = store.manifest(clip)
            if manifest.n_samples is None:
                continue
            items = audio_items(
                manifest.segments, manifest.n_samples, manifest.clock, self.semantics
            )
            for item in items:
                n_frames = item.segment.last_frame - item.segment.start_frame
                positive += n_frames * item.segment.label
                negative += n_frames * (1 - item.segment.label)
            rows += [(len(self.clips), *row) for row in self._pieces(items, manifest.n_samples)]
            self.clips.append(clip)
        negative += round((positive + negative) * self.unlabelled / (1 - self.unlabelled))
        self.counts = _counted(positive, negative, store, "labelled sound")
        self.items = np.array(rows, np.int64)  # (N, 4)

    def _pieces(self, items: list[AudioItem], n_samples: int) -> list[tuple[int, int, int]]:
        """Start, end and label of what training pieces of a clip are drawn from."""
        if self.context == "segment":
            return [(item.start_sample, item.end_sample, item.segment.label) for item in items]
        windows = audio_windows(Clock().sample_to_frame(n_samples)) if items else []
        return [(*audio_read(window, n_samples, self.semantics), UNKNOWN) for window in windows]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        clip, start, end, label = self.items[index].tolist()
        with seeded(self.seed, self.epoch, index) as rng:
            low, high = training_piece(end - start, rng)
            sound = torch.from_numpy(self.store.sound(self.clips[clip], start + low, start + high))
            sound = change_sound(sound, self.augment, rng)
            labels = torch.full((WINDOW_TICKS,), IGNORED)
            n_ticks = n_labelled_ticks(len(sound), self.semantics)
            labels[:n_ticks] = label
            if label == UNKNOWN:
                labels[:n_ticks] = self._heard(self.clips[clip], start + low, n_ticks, rng)
                if self.augment.mute and rng.random() < self.augment.mute:
                    sound = torch.zeros_like(sound)
                    labels[:n_ticks] = 0
        samples = torch.zeros(WINDOW_SAMPLES)
        samples[: len(sound)] = sound
        return samples, labels

    def _heard(self, clip: str, start: int, n_ticks: int, rng: random.Random) -> Tensor:
        """(n_ticks,) labels from a sample on; where two segments disagree, IGNORED.

        Where there is none a random part counts as not to me, so that it has its share.
        """
        manifest = self.store.manifest(clip)
        fps = manifest.clock.fps
        time = start * TICKS_PER_SECOND + np.arange(n_ticks) * SAMPLE_RATE  # in 1/480000 s: exact
        frames = time * fps.numerator // (TICKS_PER_SECOND * SAMPLE_RATE * fps.denominator)
        claimed = np.zeros((2, n_ticks), bool)
        for segment in manifest.segments:
            if segment.person > WEARER:
                inside = (frames >= segment.start_frame) & (frames <= segment.last_frame)
                claimed[segment.label] |= inside
        labels = np.where(claimed[1], 1, np.where(claimed[0], 0, IGNORED))
        labels[claimed.all(axis=0)] = IGNORED
        free = np.flatnonzero(~claimed.any(axis=0))
        n_wanted = round((n_ticks - len(free)) * self.unlabelled / (1 - self.unlabelled))
        labels[rng.sample(free.tolist(), min(n_wanted, len(free)))] = 0
        return torch.from_numpy(labels)


class VisualTrainSet(Dataset[Sample]):
    """(crops (15, 3, 224, 224), quality (), label ()) of every window of sufficient quality.

    A sample depends on (seed, epoch, index) and on nothing else.
    """

    def __init__(self, store: ClipStore, config: TrainVisualConfig, scorer: str) -> None:
        self.store, self.augment, self.seed = store, config.augment, config.trainer.seed
        self.epoch = 0
        self.clips = store.clips("train")
        self._readers: dict[int, CropReader] = {}
        clip_of, slots, quality, labels = [], [], [], []
        for index, clip in enumerate(self.clips):
            for windows, first_row, label in _clip_windows(ClipData(store, clip), scorer, config):
                clip_of.append(np.full(len(windows.centres), index, np.int32))
                slots.append(windows.rows_from(first_row).astype(np.int32))
                quality.append(windows.quality)
                labels.append(np.full(len(windows.centres), label, np.int8))
        self.clip_of, self.labels = _joined(clip_of, np.int32), _joined(labels, np.int8)
        self.quality = _joined(quality, np.float64)
        n_slots = config.windows.n_slots
        self.slots = np.concatenate([*slots, np.empty((0, n_slots), np.int32)])  # (N, 15)
        kept = _share(self.labels, config.unlabelled, config.trainer.seed)
        self.clip_of, self.slots = self.clip_of[kept], self.slots[kept]
        self.quality, self.labels = self.quality[kept], np.maximum(self.labels[kept], 0)
        n_positive = int(self.labels.sum())
        what = f"window of quality {config.windows.min_quality} or more"
        self.counts = _counted(n_positive, len(self.labels) - n_positive, store, what)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        reader = self._reader(int(self.clip_of[index]))
        crops = torch.zeros(self.slots.shape[1], 3, CROP_SIZE, CROP_SIZE)
        with seeded(self.seed, self.epoch, index) as rng:
            changes = FaceChanges.draw(self.augment, rng)
            for slot, row in enumerate(self.slots[index].tolist()):
                if row != EMPTY:
                    picture = changes.compressed(load_picture(reader, row))
                    crops[slot] = changes.changed(normalised(picture), rng)
        return crops, *self.told(index)

    def told(self, index: int) -> tuple[Tensor, Tensor]:
        """(quality (), label ()) of a sample: what does not depend on the epoch."""
        quality = torch.tensor(self.quality[index], dtype=torch.float64)
        return quality, torch.tensor(int(self.labels[index]))

    def crop(self, clip: int, row: int) -> Tensor:
        """(3, 224, 224) one crop of one of the `clips`, as samples have it without changes."""
        return load_crop(self._reader(clip), row)

    def _reader(self, clip: int) -> CropReader:
        if clip not in self._readers:
            faces = self.store.faces(self.clips[clip])
            self._readers[clip] = CropReader(self.store, self.clips[clip], faces)
        return self._readers[clip]


def _clip_windows(
    data: ClipData, scorer: str, config: TrainVisualConfig
) -> Iterator[tuple[VisualWindows, int, int]]:
    """For each segment of people other than the wearer: windows, first row of the person, label.

    Last, where they are asked for, those of every person outside segments, UNKNOWN.
    """
    semantics, clock = get_semantics(config.semantics), data.manifest.clock
    quality, segments = data.store.quality(data.clip, scorer), data.manifest.segments
    beyond = config.context == "clip"
    for segment in segments:
        own = data.faces.rows_of(segment.person)
        if segment.person <= WEARER or own.start == own.stop:
            continue
        frames = data.faces.frame[own]
        windows = training_windows(
            frames, quality[own], segment, config.windows, semantics, clock, beyond=beyond
        )
        yield windows, own.start, segment.label
    for person in data.faces.persons() if config.unlabelled else ():
        own = data.faces.rows_of(person)
        windows = unlabelled_windows(
            data.faces.frame[own], quality[own], segments, person, config.windows, clock
        )
        yield windows, own.start, UNKNOWN


def _share(labels: Array, unlabelled: float, seed: int) -> Ints:
    """Ascending rows: all labelled ones, and a random part of the UNKNOWN ones."""
    known, unknown = np.flatnonzero(labels != UNKNOWN), np.flatnonzero(labels == UNKNOWN)
    wanted = min(round(len(known) * unlabelled / (1 - unlabelled)), len(unknown))
    chosen = np.random.default_rng(seed).choice(unknown, wanted, replace=False)
    return np.sort(np.concatenate([known, chosen]))


class ChunkSampler(Sampler[list[int]]):
    """The batches of one part of one epoch, for one of several devices.

    Each epoch goes through all samples in an order of its own. The last batch of an epoch may be
    smaller; with several devices it is filled up from the order's start, so that all get as many.
    """

    def __init__(self, plan: ChunkPlan, epoch: int, chunk: int, rank: int = 0) -> None:
        self.plan, self.epoch, self.chunk, self.rank = plan, epoch, chunk, rank

    def __iter__(self) -> Iterator[list[int]]:
        plan = self.plan
        order = np.random.default_rng((plan.seed, self.epoch)).permutation(plan.n_samples)
        short = -len(order) % plan.n_devices
        order = np.concatenate([order, np.resize(order, short)])
        step = plan.batch_size * plan.n_devices
        first = self.chunk * plan.chunk_batches
        for batch in range(first, first + len(self)):
            yield order[batch * step : (batch + 1) * step][self.rank :: plan.n_devices].tolist()

    def __len__(self) -> int:
        left = self.plan.n_batches - self.chunk * self.plan.chunk_batches
        return min(self.plan.chunk_batches, left)


@dataclass(frozen=True)
class ChunkPlan:
    """How the epochs of a training run are cut into parts, after each of which it is saved."""

    n_samples: int
    batch_size: int
    n_devices: int
    chunk_batches: int  # a multiple of the accumulated batches
    seed: int

    @property
    def n_batches(self) -> int:
        """Of an epoch, on each device."""
        return math.ceil(self.n_samples / (self.batch_size * self.n_devices))

    @property
    def n_chunks(self) -> int:
        """Of an epoch."""
        return math.ceil(self.n_batches / self.chunk_batches)


def _counted(positive: int, negative: int, store: ClipStore, what: str) -> ClassCounts:
    if not positive or not negative:
        raise StoreError(
            f"{store.path}: the train split has {positive} positive and {negative} negative "
            f"samples ({what}); training needs both"
        )
    return ClassCounts(positive, negative)


def _joined(parts: list[Array], kind: type) -> Array:
    return np.concatenate([*parts, np.empty(0, kind)]).astype(kind)
