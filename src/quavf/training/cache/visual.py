"""Cached features of the visual branch: those of its frozen image network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from quavf.core.records import CROP_SIZE, Floats, Ints
from quavf.core.windows import EMPTY
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.inference.visual import VisualPredictor
from quavf.models.branch import BranchNetwork
from quavf.models.runners import to_array
from quavf.models.visual import VisualBranch, check_split, run_on_seen
from quavf.training.cache.features import FeatureCache, FrozenPart
from quavf.training.cache.sets import CachedSamples, CachedSet, as_lists, describe_samples
from quavf.training.cache.table import TensorSpec, arrays_hash
from quavf.training.datasets import Sample
from quavf.training.visual_samples import VisualTrainSet


def frozen_image_network(network: VisualBranch) -> FrozenPart:
    """The image network without its last layer, with outputs (F,). Leaves it in eval mode.

    Raises ConfigError if it cannot be cut there.
    """
    shape = (check_split(network),)
    model = {"backbone": network.config.backbone, "size": network.config.size}
    trained = {id(w) for layer in network.last_layers() for w in layer.parameters()}
    own = network.backbone.state_dict(keep_vars=True)
    state = {name: weight for name, weight in own.items() if id(weight) not in trained}
    return FrozenPart("visual", model, state, shape)


def cache_windows(data: VisualTrainSet, cache: FeatureCache) -> CachedSet:
    """The samples from features: of single crops if faces are not changed at random."""
    return CachedCrops(data, cache) if data.augment.leaves_faces else CachedWindows(data, cache)


class CachedWindows(CachedSamples):
    """Samples (features (15, F), seen (15,), quality (), label ()); an empty slot is not seen."""

    def __init__(self, data: VisualTrainSet, cache: FeatureCache) -> None:
        (shape, kind), n = cache.spec, data.slots.shape[1]
        specs: tuple[TensorSpec, ...] = (
            ((n, *shape), kind),
            ((n,), torch.bool),
            ((), torch.float64),
            ((), torch.int64),
        )
        arrays = (data.clip_of, data.slots, data.quality, data.labels)
        about = describe_samples(data.augment, data.seed, data.clips, *arrays)
        super().__init__(data, cache, specs, about)

    def embed(self, network: BranchNetwork, batch: Any) -> Sequence[Tensor]:
        assert isinstance(network, VisualBranch)
        crops, *others = batch
        flat = crops.flatten(0, 1)  # (B*T, 3, H, W)
        seen = flat.flatten(1).any(dim=1)  # (B*T,)
        features = run_on_seen(network.embed, flat, seen)  # (B*T, F)
        return features.view(*crops.shape[:2], -1), seen.view(crops.shape[:2]), *others


class CachedCrops(CachedSet):
    """Every crop is stored once, for samples without random changes.

    The table has a row for each crop of the train split and a last one for an empty slot; rows of
    crops in no window stay missing.
    """

    data: VisualTrainSet

    at_once = 64

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

    def __getitem__(self, index: int) -> Sample:
        rows = self._rows(slice(index, index + 1))[0]  # (15,)
        (features,) = self.tables[0].read_all(rows)  # (15, F)
        return features, torch.from_numpy(rows != self.empty), *self.data.targets(index)

    def _rows(self, part: slice) -> Ints:
        """Rows of the table (N, 15) that some samples are made of."""
        slots, first = self.data.slots[part], self.starts[self.data.clip_of[part]]
        return np.where(slots == EMPTY, self.empty, slots + first[:, None])

    def loader(self, version: int, groups: list[Ints], workers: int) -> DataLoader[Any]:
        pictures = _Pictures(self.data, self.starts)
        return DataLoader(pictures, batch_sampler=as_lists(groups), num_workers=workers)

    def embed(self, network: BranchNetwork, batch: Any) -> Sequence[Tensor]:
        assert isinstance(network, VisualBranch)
        return [network.embed(batch[0])]


@dataclass(frozen=True)
class _Pictures(Dataset[Sample]):
    """(crop (3, 224, 224),) by its number in the train split; the last is an empty slot."""

    data: VisualTrainSet
    starts: Ints

    def __getitem__(self, number: int) -> Sample:
        clip = int(np.searchsorted(self.starts, number, side="right")) - 1
        if clip == len(self.data.clips):
            return (torch.zeros(3, CROP_SIZE, CROP_SIZE),)
        return (self.data.crop(clip, number - int(self.starts[clip])),)


class CachedVisualPredictor(VisualPredictor):
    """Encodes each crop of a clip once, and then reads its features from the cache."""

    def __init__(
        self, network: VisualBranch, config: InferenceConfig, scorer: str, cache: FeatureCache
    ) -> None:
        super().__init__(network, config, scorer)
        self.network, self.cache = network, cache

    def _encode(self, data: ClipData, batches: Sequence[Ints]) -> Iterator[Floats]:
        sizes = [1, *map(len, batches)]
        table = self.cache.clip_table(data.clip, arrays_hash(*batches), sum(sizes))
        parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        if table.stored_mask().all():
            for part in parts:
                (features,) = table.read_all(part)
                yield self._finish(features)
        else:
            for part, crops in zip(parts, self._crops(data, batches), strict=True):
                features = self._embed(crops)
                for row, found in zip(part.tolist(), features, strict=True):
                    table.write(row, [found])
                yield self._finish(features)
        table.close()

    @torch.inference_mode()
    def _embed(self, crops: Tensor) -> Tensor:
        return self.network.embed(crops.to(self.device))

    @torch.inference_mode()
    def _finish(self, features: Tensor) -> Floats:
        return to_array(self.network.encode_embedded(features.to(self.device)))
