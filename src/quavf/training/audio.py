"""Training of the audio branch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from quavf.models.audio import AudioBranch, log_mel
from quavf.models.config import BranchSettings
from quavf.store import ClipStore
from quavf.training.audio_samples import AudioTrainSet
from quavf.training.branch import BranchTraining
from quavf.training.cache.audio import CachedAudioPredictor, CachedSounds, frozen_encoder
from quavf.training.cache.features import FeatureCache, FrozenPart
from quavf.training.config import TrainAudioConfig
from quavf.training.datasets import IGNORED, Sample


class AudioTraining(BranchTraining):
    """Cross-entropy of each 1/30 s of sound."""

    unit = "frames"
    cached_predictor = CachedAudioPredictor

    def settings(self, config: TrainAudioConfig) -> BranchSettings:
        return BranchSettings(config.semantics, context=config.context)

    def train_set(self, store: ClipStore, config: TrainAudioConfig) -> AudioTrainSet:
        return AudioTrainSet(store, config)

    def logits(self, network: AudioBranch, batch: Sample) -> tuple[Tensor, Tensor]:
        sounds, labels = batch  # (B, 480000), (B, 900)
        features = network.embed(log_mel(sounds))  # (B, 1500, W)
        return network.classify(features, n_trained(labels)), labels

    def cached_logits(self, network: AudioBranch, batch: Sample) -> tuple[Tensor, Tensor]:
        features, labels = batch  # (B, 1500, W), (B, 900)
        return network.classify(features, n_trained(labels)), labels

    def frozen_part(self, network: AudioBranch) -> FrozenPart:
        return frozen_encoder(network)

    def cached_set(self, data: Any, cache: FeatureCache) -> CachedSounds:
        return CachedSounds(data, cache)


def n_trained(labels: Tensor) -> int:
    """The first so many of the T outputs of labels (B, T) hold all that are not ignored."""
    trained = (labels != IGNORED).any(dim=0).nonzero()  # (N, 1)
    return int(trained[-1]) + 1 if len(trained) else 1
