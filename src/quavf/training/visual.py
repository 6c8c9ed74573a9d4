"""Training of the visual branch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from quavf.models.config import BranchSettings
from quavf.models.visual import VisualBranch
from quavf.store import ClipStore
from quavf.store.scorers import choose_scorer
from quavf.training.branch import BranchTraining
from quavf.training.cache.features import FeatureCache, FrozenPart
from quavf.training.cache.sets import CachedSet
from quavf.training.cache.visual import (
    CachedVisualPredictor,
    cache_windows,
    frozen_image_network,
)
from quavf.training.config import TrainVisualConfig
from quavf.training.datasets import Sample
from quavf.training.visual_samples import VisualTrainSet


class VisualTraining(BranchTraining):
    """Cross-entropy of each window of crops."""

    unit = "windows"
    cached_predictor = CachedVisualPredictor

    def resolve(self, store: ClipStore, config: TrainVisualConfig) -> TrainVisualConfig:
        return replace(config, quality=choose_scorer(store, config.quality))

    def settings(self, config: TrainVisualConfig) -> BranchSettings:
        return BranchSettings(config.semantics, config.windows, config.quality, config.context)

    def train_set(self, store: ClipStore, config: TrainVisualConfig) -> VisualTrainSet:
        return VisualTrainSet(store, config)

    def logits(self, network: VisualBranch, batch: Sample) -> tuple[Tensor, Tensor]:
        crops, quality, labels = batch  # (B, 15, 3, 224, 224), (B,), (B,)
        return network(crops, quality), labels

    def cached_logits(self, network: VisualBranch, batch: Sample) -> tuple[Tensor, Tensor]:
        features, seen, quality, labels = batch  # (B, 15, F), (B, 15), (B,), (B,)
        return network.forward_embedded(features, seen, quality), labels

    def frozen_part(self, network: VisualBranch) -> FrozenPart:
        return frozen_image_network(network)

    def cached_set(self, data: Any, cache: FeatureCache) -> CachedSet:
        return cache_windows(data, cache)
