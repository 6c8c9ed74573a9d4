"""Training samples by features: what a frozen network made of each sound and face, once.

Filled before the first epoch, in batches that do not depend on the run: so a table's content is the
same whoever fills it, however often that was interrupted, and every epoch is a fast one.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from quavf.core.config import to_dict
from quavf.core.errors import ConfigError
from quavf.core.records import CROP_SIZE, Ints
from quavf.core.windows import EMPTY, WINDOW_TICKS
from quavf.models.audio import AudioBranch, log_mel
from quavf.models.checkpoint import Branch
from quavf.models.visual import VisualBranch, of_seen
from quavf.training.cache.predictors import FeatureCache
from quavf.training.cache.table import FeatureTable, Spec, arrays_hash
from quavf.training.datasets import AudioTrainSet, Sample, VisualTrainSet
from quavf.utils.files import explain_os_errors
from quavf.utils.progress import Progress, show_progress

SOUNDS, WINDOWS, CROPS = 4, 4, 64  # that are encoded together


@dataclass(frozen=True)
class Share:
    """Which part of the filling is this process's, and how it does it."""

    rank: int = 0
    n_processes: int = 1
    device: torch.device | str = "cpu"
    workers: int = 0


class CachedSet(Dataset[Sample], ABC):
    """A training set's samples with features in place of sounds or crops, once `fill` has run.

    Audio: (features (1500, W), labels (900,)). Visual: (features (15, F), seen (15,), quality (),
    label ()), `seen` false where a slot is empty.
    """

    epoch = 0
    tables: list[FeatureTable]  # of version 0, 1, ...
    rows: Ints  # of each table, ascending: those that samples are made of
    at_once: int  # rows that are encoded together

    @abstractmethod
    def loader(self, version: int, groups: list[Ints], workers: int) -> DataLoader[Any]:
        """For each group of rows, what the network takes of them."""

    @abstractmethod
    def embedded(self, branch: Branch, batch: Any) -> Sequence[Tensor]:
        """What the tables keep of a batch: tensors, one row each."""

    def check_room(self) -> None:
        """Raises ConfigError when the disk has none for what is missing."""
        missing = sum(int((~t.there(self.rows)).sum()) * t.row_bytes for t in self.tables)
        folder = self.tables[0].path.parent
        with explain_os_errors(folder):
            free = shutil.disk_usage(folder).free
        if missing > free:
            raise ConfigError(
                f"trainer.cache: {folder} would take {missing / 1e9:.1f} GB more, and the disk has "
                f"{free / 1e9:.1f} GB left; choose another folder, or fewer trainer.cache_versions"
            )

    def fill(self, branch: Branch, share: Share) -> None:
        """Encode this process's part of what is missing."""
        jobs = [self._missing(table, share) for table in self.tables]
        with _bar(sum(map(len, jobs)), share) as bar, torch.no_grad():
            for version, (table, groups) in enumerate(zip(self.tables, jobs, strict=True)):
                if not groups:
                    continue
                loader = self.loader(version, groups, share.workers)
                for group, batch in zip(groups, loader, strict=True):
                    batch = [part.to(share.device) for part in batch]
                    found = zip(*self.embedded(branch, batch), strict=True)
                    for row, tensors in zip(group.tolist(), found, strict=True):
                        table.write(row, tensors)
                    bar.advance(1, len(group))
                table.close()  # over a network, others see what is in closed files

    def _missing(self, table: FeatureTable, share: Share) -> list[Ints]:
        """Whole groups, so that what is encoded together is the same in every run."""
        there = table.there()
        groups = [self.rows[i : i + self.at_once] for i in range(0, len(self.rows), self.at_once)]
        mine = groups[share.rank :: share.n_processes]
        return [group for group in mine if not there[group].all()]


class CachedSamples(CachedSet):
    """Every sample is kept, in as many versions as there are epochs with changes of their own.

    Epoch e gives version e, and the first again when there are no more.
    """

    def __init__(self, data: AudioTrainSet | VisualTrainSet, cache: FeatureCache) -> None:
        self.data, self.rows = data, np.arange(len(data))
        self.at_once = SOUNDS if isinstance(data, AudioTrainSet) else WINDOWS
        shape, kind = cache.spec
        specs: tuple[Spec, ...]
        if isinstance(data, AudioTrainSet):
            arrays = [data.items]
            specs = (cache.spec, ((WINDOW_TICKS,), torch.int64))
        else:
            arrays = [data.clip_of, data.slots, data.quality, data.labels]
            n = data.slots.shape[1]
            specs = (
                ((n, *shape), kind),
                ((n,), torch.bool),
                ((), torch.float64),
                ((), torch.int64),
            )
        about = {
            "augment": to_dict(data.augment),
            "seed": data.seed,
            "clips": data.clips,
            "samples": arrays_hash(*arrays),
        }
        self.tables = [
            cache.table("train", about, f"version{v}", len(data), specs)
            for v in range(cache.n_versions)
        ]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        return self.tables[self.epoch % len(self.tables)].read(index)

    def loader(self, version: int, groups: list[Ints], workers: int) -> DataLoader[Any]:
        self.data.epoch = version
        return DataLoader(self.data, batch_sampler=_lists(groups), num_workers=workers)

    def embedded(self, branch: Branch, batch: Any) -> Sequence[Tensor]:
        x, *others = batch
        if isinstance(branch, AudioBranch):
            return branch.embed(log_mel(x)), *others
        flat = x.flatten(0, 1)  # (B*T, 3, H, W)
        seen = flat.flatten(1).any(dim=1)  # (B*T,)
        features = of_seen(branch.embed, flat, seen)  # (B*T, F)
        return features.view(*x.shape[:2], -1), seen.view(x.shape[:2]), *others


class CachedCrops(CachedSet):
    """Every crop is kept once, for visual samples to which nothing random happens.

    The table has a row for each crop of the train split and a last one for an empty slot; those of
    crops in no window stay missing.
    """

    at_once = CROPS

    def __init__(self, data: VisualTrainSet, cache: FeatureCache) -> None:
        self.data = data
        n_crops = [data.store.manifest(clip).n_crops for clip in data.clips]
        self.starts = np.cumsum([0, *n_crops])
        self.empty = int(self.starts[-1])
        about = {"clips": data.clips, "crops": n_crops}
        self.tables = [cache.table("crops", about, "crops", self.empty + 1, (cache.spec,))]
        used = np.zeros(self.empty + 1, bool)
        for first in range(0, len(data), 1024):
            used[self._rows(slice(first, first + 1024))] = True
        self.rows = np.flatnonzero(used | (np.arange(len(used)) == self.empty))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        rows = self._rows(slice(index, index + 1))[0]  # (15,)
        (features,) = self.tables[0].read_all(rows)  # (15, F)
        return features, torch.from_numpy(rows != self.empty), *self.data.told(index)

    def _rows(self, part: slice) -> Ints:
        """(N, 15) rows of the table that some samples are made of."""
        slots, first = self.data.slots[part], self.starts[self.data.clip_of[part]]
        return np.where(slots == EMPTY, self.empty, slots + first[:, None])

    def loader(self, version: int, groups: list[Ints], workers: int) -> DataLoader[Any]:
        pictures = _Pictures(self.data, self.starts)
        return DataLoader(pictures, batch_sampler=_lists(groups), num_workers=workers)

    def embedded(self, branch: Branch, batch: Any) -> Sequence[Tensor]:
        assert isinstance(branch, VisualBranch)
        return [branch.embed(batch[0])]


@dataclass(frozen=True)
class _Pictures(Dataset[Sample]):
    """(crop (3, 224, 224),) by its number in the train split; the last is an empty slot's."""

    data: VisualTrainSet
    starts: Ints

    def __getitem__(self, number: int) -> Sample:
        clip = int(np.searchsorted(self.starts, number, side="right")) - 1
        if clip == len(self.data.clips):
            return (torch.zeros(3, CROP_SIZE, CROP_SIZE),)
        return (self.data.crop(clip, number - int(self.starts[clip])),)


def cached_set(data: AudioTrainSet | VisualTrainSet, cache: FeatureCache) -> CachedSet:
    """A training set by its features: of each crop where nothing random happens to faces."""
    if isinstance(data, VisualTrainSet) and data.augment.leaves_faces:
        return CachedCrops(data, cache)
    return CachedSamples(data, cache)


def _lists(groups: list[Ints]) -> list[list[int]]:
    return [group.tolist() for group in groups]


def _bar(n_groups: int, share: Share) -> AbstractContextManager[Progress]:
    if share.rank or not n_groups:
        return nullcontext(Progress())
    return show_progress("Features", n_groups, unit="batches", inner="samples")
