"""Training samples of the visual branch: windows of crops with one label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from quavf.core.records import CROP_SIZE, TALKING, WEARER, Array, Ints, Segment
from quavf.core.semantics import get_semantics
from quavf.core.windows import EMPTY, VisualWindows, training_windows, unlabelled_windows
from quavf.inference.clip import ClipData, load_picture
from quavf.models.transforms import normalise
from quavf.store import ClipStore, CropReader
from quavf.training.augment import FaceChanges, seed_sample
from quavf.training.config import TrainVisualConfig
from quavf.training.datasets import UNKNOWN, Sample, TrainSet, count_classes


class VisualTrainSet(TrainSet):
    """Samples (crops (15, 3, 224, 224), quality (), label ()) of windows of enough quality."""

    def __init__(self, store: ClipStore, config: TrainVisualConfig) -> None:
        self.store, self.augment, self.seed = store, config.augment, config.trainer.seed
        self.clips = store.clips("train")
        self._readers: dict[int, CropReader] = {}
        clip_of, slots, quality, labels = [], [], [], []
        for index, clip in enumerate(self.clips):
            for windows, first_row, label in _clip_windows(ClipData(store, clip), config):
                clip_of.append(np.full(len(windows.centres), index, np.int32))
                slots.append(windows.rows_from(first_row).astype(np.int32))
                quality.append(windows.quality)
                labels.append(np.full(len(windows.centres), label, np.int8))
        self.clip_of, self.labels = _concatenate(clip_of, np.int32), _concatenate(labels, np.int8)
        self.quality = _concatenate(quality, np.float64)
        n_slots = config.windows.n_slots
        self.slots = np.concatenate([*slots, np.empty((0, n_slots), np.int32)])  # (N, 15)
        kept = _choose_rows(self.labels, config.unlabelled, config.trainer.seed)
        self.clip_of, self.slots = self.clip_of[kept], self.slots[kept]
        self.quality, self.labels = self.quality[kept], np.maximum(self.labels[kept], 0)
        n_positive = int(self.labels.sum())
        what = f"window of quality {config.windows.min_quality} or more"
        self.counts = count_classes(n_positive, len(self.labels) - n_positive, store, what)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        reader = self._reader(int(self.clip_of[index]))
        crops = torch.zeros(self.slots.shape[1], 3, CROP_SIZE, CROP_SIZE)
        with seed_sample(self.seed, self.epoch, index) as rng:
            changes = FaceChanges.draw(self.augment, rng)
            for slot, row in enumerate(self.slots[index].tolist()):
                if row != EMPTY:
                    picture = changes.compress(load_picture(reader, row))
                    crops[slot] = changes.apply(normalise(picture), rng)
        return crops, *self.targets(index)

    def targets(self, index: int) -> tuple[Tensor, Tensor]:
        """quality () and label () of a sample: the part that does not depend on the epoch."""
        quality = torch.tensor(self.quality[index], dtype=torch.float64)
        return quality, torch.tensor(int(self.labels[index]))

    def crop(self, clip: int, row: int) -> Tensor:
        """One crop (3, 224, 224) of one of the `clips`, without random changes."""
        return normalise(load_picture(self._reader(clip), row))

    def _reader(self, clip: int) -> CropReader:
        if clip not in self._readers:
            faces = self.store.faces(self.clips[clip])
            self._readers[clip] = CropReader(self.store, self.clips[clip], faces)
        return self._readers[clip]


def _clip_windows(
    data: ClipData, config: TrainVisualConfig
) -> Iterator[tuple[VisualWindows, int, int]]:
    """Windows, first row of the person and label, for each segment of others than the wearer.

    If unlabelled windows are trained on, those of each person outside segments follow, UNKNOWN,
    unless it is not known what the person does there.
    """
    semantics, clock = get_semantics(config.semantics), data.manifest.clock
    quality, segments = data.store.quality(data.clip, config.quality), data.manifest.segments
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
    unknown = data.manifest.unlabelled.get(TALKING, ())
    labelled = *segments, *(Segment(i.person, i.start_frame, i.last_frame, 0) for i in unknown)
    for person in data.faces.persons() if config.unlabelled else ():
        own = data.faces.rows_of(person)
        windows = unlabelled_windows(
            data.faces.frame[own], quality[own], labelled, person, config.windows, clock
        )
        yield windows, own.start, UNKNOWN


def _choose_rows(labels: Array, unlabelled: float, seed: int) -> Ints:
    """Ascending rows of the samples to keep: all labelled ones, a random part of the UNKNOWN."""
    known, unknown = np.flatnonzero(labels != UNKNOWN), np.flatnonzero(labels == UNKNOWN)
    n_unknown = min(round(len(known) * unlabelled / (1 - unlabelled)), len(unknown))
    chosen = np.random.default_rng(seed).choice(unknown, n_unknown, replace=False)
    return np.sort(np.concatenate([known, chosen]))


def _concatenate(parts: list[Array], kind: type) -> Array:
    return np.concatenate([*parts, np.empty(0, kind)]).astype(kind)
