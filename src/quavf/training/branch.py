"""How a branch is trained: the interface that a branch's `BranchSpec.training` implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from quavf.core.branches import BRANCHES
from quavf.core.errors import ConfigError
from quavf.inference.config import InferenceConfig
from quavf.inference.predictor import Predictor
from quavf.models.branch import BranchNetwork
from quavf.models.config import BranchSettings
from quavf.store import ClipStore
from quavf.training.cache.features import FeatureCache, FrozenPart
from quavf.training.cache.sets import CachedSet
from quavf.training.datasets import Sample, TrainSet


class BranchTraining(ABC):
    """Training data, outputs and cache of one branch; without state.

    `config` is always an instance of the branch's `BranchSpec.train_config`.
    """

    unit: ClassVar[str] = "samples"  # that class counts count
    cached_predictor: ClassVar[Callable[..., Predictor] | None] = None  # reads a FeatureCache

    def resolve(self, store: ClipStore, config: Any) -> Any:
        """The configuration with choices that depend on the store; default: as it is."""
        return config

    @abstractmethod
    def settings(self, config: Any) -> BranchSettings:
        """How the inputs of the trained network are made; stored with its weights."""

    @abstractmethod
    def train_set(self, store: ClipStore, config: Any) -> TrainSet:
        """The samples of the train split."""

    @abstractmethod
    def logits(self, network: Any, batch: Sample) -> tuple[Tensor, Tensor]:
        """Logits (B, 2, ...) and labels (B, ...) of a batch of `train_set`; IGNORED labels count
        for nothing."""

    def cached_logits(self, network: Any, batch: Sample) -> tuple[Tensor, Tensor]:
        """Logits and labels, as `logits`, of a batch of `cached_set`."""
        return self.logits(network, batch)

    def frozen_part(self, network: Any) -> FrozenPart:
        """The part of a network whose outputs a cache stores. Raises ConfigError if none."""
        raise ConfigError(f"trainer.cache: branch {network.name!r} has no cache; leave it out")

    def cached_set(self, data: Any, cache: FeatureCache) -> CachedSet:
        """The samples of `train_set` from cached features."""
        raise ConfigError("trainer.cache: this branch has no cache; leave it out")

    def predictor(
        self,
        network: BranchNetwork,
        config: InferenceConfig,
        scorer: str,
        cache: FeatureCache | None = None,
    ) -> Predictor:
        """The predictor that validates the network while it is trained."""
        if cache is not None:
            assert self.cached_predictor is not None
            return self.cached_predictor(network, config, scorer, cache)
        predictor: Predictor = BRANCHES.get(network.name).load("predictor")(network, config, scorer)
        return predictor
