"""Common parts of the training sets of all branches, and the order of their samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from quavf.core.errors import StoreError
from quavf.store import ClipStore

IGNORED = -100  # label of an output that is not trained on
UNKNOWN = -1  # label of an item whose outputs differ

Sample = tuple[Tensor, ...]


@dataclass(frozen=True)
class ClassCounts:
    """Labelled frames (audio, cues) or windows (visual) of each class."""

    positive: int
    negative: int

    def weights(self) -> Tensor:
        """(2,) loss weights of (not to me, to me): each class by the share of the other.

        Even if a class is missing here, because others beside these are not counted.
        """
        if not self.positive or not self.negative:
            return torch.tensor([0.5, 0.5])
        total = self.positive + self.negative
        return torch.tensor([self.positive / total, self.negative / total])


class TrainSet(Dataset[Sample], ABC):
    """The training samples of a store, for one branch; the last tensor of a sample is its label.

    A sample depends on (seed, `epoch`, index) alone, so that a run can be repeated.
    """

    counts: ClassCounts
    epoch = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...


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
        """Batches of an epoch, on each device."""
        return math.ceil(self.n_samples / (self.batch_size * self.n_devices))

    @property
    def n_chunks(self) -> int:
        """Chunks of an epoch, on each device."""
        return math.ceil(self.n_batches / self.chunk_batches)


def count_classes(positive: int, negative: int, store: ClipStore, what: str) -> ClassCounts:
    if not positive or not negative:
        raise StoreError(
            f"{store.path}: the train split has {positive} positive and {negative} negative "
            f"samples ({what}); training needs both"
        )
    return ClassCounts(positive, negative)
