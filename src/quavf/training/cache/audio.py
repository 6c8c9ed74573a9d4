"""Cached features of the audio branch: those of its frozen Whisper encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quavf.core.records import Floats
from quavf.core.windows import WINDOW_TICKS, AudioWindow, Span
from quavf.inference.audio import AudioPredictor
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.models.audio import N_POSITIONS, AudioBranch, log_mel
from quavf.models.branch import BranchNetwork
from quavf.models.config import encoder_shape
from quavf.models.runners import to_scores
from quavf.training.audio_samples import AudioTrainSet
from quavf.training.cache.features import FeatureCache, FrozenPart
from quavf.training.cache.sets import CachedSamples, describe_samples
from quavf.utils.files import config_hash


def frozen_encoder(network: AudioBranch) -> FrozenPart:
    """The encoder, with outputs (1500, W)."""
    encoder = network.config.encoder
    shape = (N_POSITIONS, encoder_shape(encoder)[0])
    return FrozenPart("audio", {"encoder": encoder}, network.encoder.state_dict(), shape)


class CachedSounds(CachedSamples):
    """Samples (features (1500, W), labels (900,))."""

    def __init__(self, data: AudioTrainSet, cache: FeatureCache) -> None:
        specs = (cache.spec, ((WINDOW_TICKS,), torch.int64))
        about = describe_samples(data.augment, data.seed, data.clips, data.items)
        super().__init__(data, cache, specs, about)

    def embed(self, network: BranchNetwork, batch: Any) -> Sequence[Tensor]:
        assert isinstance(network, AudioBranch)
        sounds, labels = batch
        return network.embed(log_mel(sounds)), labels


class CachedAudioPredictor(AudioPredictor):
    """Encodes each window of a clip once, and then reads its features from the cache."""

    def __init__(
        self, network: AudioBranch, config: InferenceConfig, scorer: str, cache: FeatureCache
    ) -> None:
        super().__init__(network, config, scorer)
        self.network, self.cache = network, cache

    def _score_windows(
        self, data: ClipData, jobs: Sequence[tuple[Span, AudioWindow]]
    ) -> Iterator[Floats]:
        if not jobs:
            return
        table = self.cache.clip_table(data.clip, config_hash(jobs), len(jobs))
        for first in range(0, len(jobs), self.batch_size):
            rows = range(first, min(first + self.batch_size, len(jobs)))
            if table.stored_mask(np.array(rows)).all():
                (features,) = table.read_all(rows)
            else:
                features = self._embed(np.stack([self._sound(data, *jobs[row]) for row in rows]))
                for row, found in zip(rows, features, strict=True):
                    table.write(row, [found])
            yield from self._classify(features)
        table.close()

    @torch.inference_mode()
    def _embed(self, sounds: Floats) -> Tensor:
        return self.network.embed(log_mel(torch.from_numpy(sounds).to(self.device)))

    @torch.inference_mode()
    def _classify(self, features: Tensor) -> Floats:
        return to_scores(self.network.classify(features.to(self.device)))
