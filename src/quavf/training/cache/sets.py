"""Training samples from cached features: each sound or face is encoded once.

The cache is filled before the first epoch, in batches that do not depend on the run. A table thus
has the same content whoever fills it, and however often that is interrupted.
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
from quavf.core.records import Array, Ints
from quavf.models.branch import BranchNetwork
from quavf.training.cache.features import FeatureCache
from quavf.training.cache.table import FeatureTable, TensorSpec, arrays_hash
from quavf.training.config import AugmentConfig
from quavf.training.datasets import Sample, TrainSet
from quavf.utils.files import explain_os_errors
from quavf.utils.progress import Progress, show_progress


@dataclass(frozen=True)
class Share:
    """One process's share of filling a cache, and how it does its part."""

    rank: int = 0
    n_processes: int = 1
    device: torch.device | str = "cpu"
    workers: int = 0


class CachedSet(Dataset[Sample], ABC):
    """A training set's samples with features in place of sounds or crops, after `fill`."""

    epoch = 0
    tables: list[FeatureTable]  # of version 0, 1, ...
    rows: Ints  # of each table, ascending: those that samples are made of
    at_once: int  # rows that are encoded together
    data: TrainSet

    def __len__(self) -> int:
        return len(self.data)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def loader(self, version: int, groups: list[Ints], workers: int) -> DataLoader[Any]:
        """The network's input for each group of rows."""

    @abstractmethod
    def embed(self, network: BranchNetwork, batch: Any) -> Sequence[Tensor]:
        """The tensors that the tables store of a batch, each with one row for each row of it."""

    def check_room(self) -> None:
        """Raise ConfigError if the disk has no room for the missing features."""
        missing = sum(int((~t.stored_mask(self.rows)).sum()) * t.row_bytes for t in self.tables)
        folder = self.tables[0].path.parent
        with explain_os_errors(folder):
            free = shutil.disk_usage(folder).free
        if missing > free:
            raise ConfigError(
                f"trainer.cache: {folder} would take {missing / 1e9:.1f} GB more, and the disk has "
                f"{free / 1e9:.1f} GB left; choose another folder, or fewer trainer.cache_versions"
            )

    def fill(self, network: BranchNetwork, share: Share) -> None:
        """Encode this process's share of the missing features."""
        jobs = [self._group_missing(table, share) for table in self.tables]
        with _bar(sum(map(len, jobs)), share) as bar, torch.no_grad():
            for version, (table, groups) in enumerate(zip(self.tables, jobs, strict=True)):
                if not groups:
                    continue
                loader = self.loader(version, groups, share.workers)
                for group, batch in zip(groups, loader, strict=True):
                    batch = [part.to(share.device) for part in batch]
                    found = zip(*self.embed(network, batch), strict=True)
                    for row, tensors in zip(group.tolist(), found, strict=True):
                        table.write(row, tensors)
                    bar.advance(1, len(group))
                table.close()  # on a network drive, others see the content of closed files

    def _group_missing(self, table: FeatureTable, share: Share) -> list[Ints]:
        """The groups of rows to encode: whole ones, so that batches are the same in every run."""
        stored = table.stored_mask()
        groups = [self.rows[i : i + self.at_once] for i in range(0, len(self.rows), self.at_once)]
        mine = groups[share.rank :: share.n_processes]
        return [group for group in mine if not stored[group].all()]


class CachedSamples(CachedSet):
    """Every sample is stored, in as many versions as there are epochs with random changes.

    Epoch e reads version e, and starts again with the first when there are no more. Subclasses
    encode a batch of samples.
    """

    at_once = 4

    def __init__(
        self,
        data: TrainSet,
        cache: FeatureCache,
        specs: tuple[TensorSpec, ...],
        about: dict[str, Any],
    ) -> None:
        """`specs` are those of a stored sample, `about` says what the samples depend on."""
        self.data, self.rows = data, np.arange(len(data))
        self.tables = [
            cache.table("train", about, f"version{v}", len(data), specs)
            for v in range(cache.n_versions)
        ]

    def __getitem__(self, index: int) -> Sample:
        return self.tables[self.epoch % len(self.tables)].read(index)

    def loader(self, version: int, groups: list[Ints], workers: int) -> DataLoader[Any]:
        self.data.epoch = version
        return DataLoader(self.data, batch_sampler=as_lists(groups), num_workers=workers)


def describe_samples(
    augment: AugmentConfig, seed: int, clips: Sequence[str], *arrays: Array
) -> dict[str, Any]:
    """The settings that training samples depend on, for JSON; `arrays` identify the samples."""
    return {
        "augment": to_dict(augment),
        "seed": seed,
        "clips": list(clips),
        "samples": arrays_hash(*arrays),
    }


def as_lists(groups: list[Ints]) -> list[list[int]]:
    """Groups of rows as a batch sampler takes them."""
    return [group.tolist() for group in groups]


def _bar(n_groups: int, share: Share) -> AbstractContextManager[Progress]:
    if share.rank or not n_groups:
        return nullcontext(Progress())
    return show_progress("Features", n_groups, unit="batches", inner="samples")
