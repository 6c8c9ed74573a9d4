"""Training samples out of a store; item lists are columns, so that they stay small."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from quavf.branches.predict import ClipData, load_crop
from quavf.branches.transforms import add_noise, random_part, seeded
from quavf.config import TrainAudioConfig, TrainVisualConfig
from quavf.errors import StoreError
from quavf.faces.crop import CROP_SIZE
from quavf.records import WEARER, Array, Ints
from quavf.semantics import semantics
from quavf.store import ClipStore, CropReader
from quavf.windows import (
    EMPTY,
    WINDOW_SAMPLES,
    WINDOW_TICKS,
    audio_items,
    n_labelled_ticks,
    training_piece,
    training_windows,
)

IGNORED = -100  # label of an output that is not trained on

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
    """(samples (480000,), labels (900,)) of every labelled segment, with or without faces.

    A sample depends on (seed, epoch, index) and on nothing else.
    """

    def __init__(self, store: ClipStore, config: TrainAudioConfig) -> None:
        self.store, self.rules = store, semantics(config.semantics)
        self.augment, self.seed = config.augment, config.trainer.seed
        self.epoch = 0
        self.clips: list[str] = []
        rows: list[tuple[int, int, int, int]] = []  # clip, start, end, label
        positive = negative = 0
        for clip in store.clips("train"):
            manifest = store.manifest(clip)
            if manifest.n_samples is None:
                continue
            for item in audio_items(
                manifest.segments, manifest.n_samples, manifest.clock, self.rules
            ):
                segment = item.segment
                rows.append((len(self.clips), item.start_sample, item.end_sample, segment.label))
                n_frames = segment.last_frame - segment.start_frame
                positive += n_frames * segment.label
                negative += n_frames * (1 - segment.label)
            self.clips.append(clip)
        self.counts = _counted(positive, negative, store, "labelled sound")
        self.items = np.array(rows, np.int64)  # (N, 4)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        clip, start, end, label = self.items[index].tolist()
        with seeded(self.seed, self.epoch, index) as rng:
            low, high = training_piece(end - start, rng)
            sound = torch.from_numpy(self.store.sound(self.clips[clip], start + low, start + high))
            if rng.random() < self.augment.noise:
                sound = add_noise(sound, self.augment, rng)
        labels = torch.full((WINDOW_TICKS,), IGNORED)
        labels[: n_labelled_ticks(len(sound), self.rules)] = label
        samples = torch.zeros(WINDOW_SAMPLES)
        samples[: len(sound)] = sound
        return samples, labels


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
            for windows, label in _clip_windows(ClipData(store, clip), scorer, config):
                clip_of.append(np.full(len(windows[0]), index, np.int32))
                slots.append(windows[0].astype(np.int32))
                quality.append(windows[1])
                labels.append(np.full(len(windows[0]), label, np.int8))
        self.clip_of, self.labels = _joined(clip_of, np.int32), _joined(labels, np.int8)
        self.quality = _joined(quality, np.float64)
        n_slots = config.windows.n_slots
        self.slots = np.concatenate([*slots, np.empty((0, n_slots), np.int32)])  # (N, 15)
        n_positive = int(self.labels.sum())
        what = f"window of quality {config.windows.min_quality} or more"
        self.counts = _counted(n_positive, len(self.labels) - n_positive, store, what)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        reader = self._reader(int(self.clip_of[index]))
        crops = torch.zeros(self.slots.shape[1], 3, CROP_SIZE, CROP_SIZE)
        with seeded(self.seed, self.epoch, index) as rng:
            flip = rng.random() < self.augment.flip
            for slot, row in enumerate(self.slots[index].tolist()):
                if row != EMPTY:
                    crop = random_part(load_crop(reader, row), self.augment)
                    crops[slot] = crop.flip(-1) if flip else crop
        quality = torch.tensor(self.quality[index], dtype=torch.float64)
        return crops, quality, torch.tensor(int(self.labels[index]))

    def _reader(self, clip: int) -> CropReader:
        if clip not in self._readers:
            faces = self.store.faces(self.clips[clip])
            self._readers[clip] = CropReader(self.store, self.clips[clip], faces)
        return self._readers[clip]


def _clip_windows(
    data: ClipData, scorer: str, config: TrainVisualConfig
) -> Iterator[tuple[tuple[Ints, Array], int]]:
    """For each segment of people other than the wearer: slots as rows of the faces, quality."""
    rules = semantics(config.semantics)
    quality = data.store.quality(data.clip, scorer)
    for segment in data.manifest.segments:
        own = data.faces.rows_of(segment.person)
        if segment.person <= WEARER or own.start == own.stop:
            continue
        windows = training_windows(
            data.faces.frame[own],
            quality[own],
            segment,
            config.windows,
            rules,
            data.manifest.clock,
        )
        slots = np.where(windows.slots == EMPTY, EMPTY, windows.slots + own.start)
        yield (slots, windows.quality), segment.label


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
