"""Branches whose networks another library runs, with the interface of those in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from quavf.models.audio import N_FRAMES, N_MELS
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.visual import quality_bins, resize_down

Part = tuple[str, tuple[str, ...]]  # of an exported branch: suffix of its file, names of its inputs


class RemoteBranch(Protocol):
    """Interface of a branch whose networks another library runs; `BranchSpec.remote` makes one."""

    @staticmethod
    def parts(config: Any, /) -> list[Part]:
        """Files and inputs of an exported branch, the costly part first."""

    @staticmethod
    def example_logits(model: Any, n: int, generator: torch.Generator, /) -> Tensor:
        """Logits of a model, in torch or run elsewhere, on a batch of n random inputs."""


class AudioModel(Protocol):
    """Interface of an audio branch, whatever runs its network."""

    @property
    def config(self) -> AudioConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def __call__(self, mel: Tensor, /) -> Tensor:
        """mel (B, 80, 3000) -> logits (B, 2, 900)."""


class VisualModel(Protocol):
    """Interface of a visual branch, whatever runs its networks."""

    @property
    def config(self) -> VisualConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def encode(self, crops: Tensor) -> Tensor:
        """crops (N, 3, H, W) normalised -> features (N, D)."""

    def classify(self, features: Tensor, quality: Tensor) -> Tensor:
        """features (B, T, D), quality (B,) -> logits (B, 2)."""


@dataclass(frozen=True)
class RemoteAudio:
    """An audio branch with `network` run elsewhere: mel (B, 80, 3000) -> logits (B, 2, 900)."""

    config: AudioConfig
    settings: BranchSettings
    network: Callable[[Tensor], Tensor]

    @staticmethod
    def parts(config: AudioConfig) -> list[Part]:
        return [("", ("mel",))]

    @staticmethod
    def example_logits(model: AudioModel, n: int, generator: torch.Generator) -> Tensor:
        return model(torch.randn(n, N_MELS, N_FRAMES, generator=generator))

    def __call__(self, mel: Tensor) -> Tensor:
        return self.network(mel)


@dataclass(frozen=True)
class RemoteVisual:
    """A visual branch with its networks run elsewhere."""

    config: VisualConfig
    settings: BranchSettings
    encoder: Callable[[Tensor], Tensor]  # crops (N, 3, S, S) -> features (N, D)
    classifier: Callable[..., Tensor]  # features (B, T, D)[, quality bins (B,)] -> logits (B, 2)

    @staticmethod
    def parts(config: VisualConfig) -> list[Part]:
        inputs = ("features", "bins") if config.use_quality else ("features",)
        return [("", ("crops",)), (".classifier", inputs)]

    @staticmethod
    def example_logits(model: VisualModel, n: int, generator: torch.Generator) -> Tensor:
        size, n_slots = model.config.size, model.settings.windows.n_slots
        crops = torch.randn(n, 3, size, size, generator=generator)
        slots = torch.randint(0, n, (n, n_slots), generator=generator)
        quality = torch.rand(n, generator=generator)
        return model.classify(model.encode(crops)[slots], quality)

    def encode(self, crops: Tensor) -> Tensor:
        return self.encoder(resize_down(crops, self.config.size))

    def classify(self, features: Tensor, quality: Tensor) -> Tensor:
        if not self.config.use_quality:
            return self.classifier(features)
        return self.classifier(features, quality_bins(quality, self.config.quality_bins))
