"""Branches as their predictors call them: arrays in and out, whatever runs the networks.

The protocols are implemented here for networks that ONNX Runtime or OpenVINO runs, and by
`quavf.models.runners` for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from quavf.core.records import CROP_SIZE, Array, Floats, Image, Ints
from quavf.core.semantics import Semantics
from quavf.core.windows import WINDOW_SAMPLES
from quavf.cues.features import N_FACE, N_RULE, N_SOUND, OFFLINE, Features
from quavf.models.config import AudioConfig, BranchSettings, CuesConfig, VisualConfig
from quavf.models.crops import stack_crops
from quavf.models.mel import log_mel

Part = tuple[str, tuple[str, ...]]  # of an exported branch: suffix of its file, names of its inputs
Run = Callable[..., Array]  # a graph: arrays in, one array out


class RemoteBranch(Protocol):
    """Interface of a branch whose networks another library runs; `BranchSpec.remote` makes one."""

    @staticmethod
    def parts(config: Any, /) -> list[Part]:
        """Files and inputs of an exported branch, the costly part first."""

    @staticmethod
    def example_logits(model: Any, n: int, rng: np.random.Generator, /) -> Floats:
        """Logits of a model, in torch or run elsewhere, on n random inputs."""


class AudioModel(Protocol):
    """Interface of an audio branch, whatever runs its network."""

    @property
    def config(self) -> AudioConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def logits(self, sounds: Floats) -> Floats:
        """sounds (B, 480000) -> logits (B, 2, 900)."""

    def score(self, sounds: Floats) -> Floats:
        """sounds (B, 480000) -> probabilities (B, 900)."""


class VisualModel(Protocol):
    """Interface of a visual branch, whatever runs its networks."""

    @property
    def config(self) -> VisualConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def stack(self, pictures: Sequence[Image | None], grown: Semantics | None) -> Any:
        """RGB (224, 224, 3) each -> N crops, as `encode` takes them; None is an empty slot.

        With `grown`, pictures are 2x crops, of which the face is taken.
        """

    def encode(self, crops: Any) -> Floats:
        """N crops -> features (N, D)."""

    def logits(self, features: Floats, quality: Floats) -> Floats:
        """features (W, T, D), quality (W,) -> logits (W, 2)."""

    def score(self, features: Floats, quality: Floats) -> Floats:
        """features (W, T, D), quality (W,) -> probabilities (W,)."""


class CuesModel(Protocol):
    """Interface of a cues branch, whatever runs its network."""

    @property
    def config(self) -> CuesConfig: ...
    @property
    def settings(self) -> BranchSettings: ...
    def logits(self, features: Features, look_ahead: int) -> Floats:
        """Features of P people over T ticks -> logits (P, T, 4)."""

    def score(self, features: Features, look_ahead: int) -> Floats:
        """Features of P people over T ticks -> probabilities (P, T, 4)."""


@dataclass(frozen=True)
class RemoteAudio:
    """An audio branch with `network` run elsewhere: mel (B, 80, 3000) -> logits (B, 2, 900)."""

    config: AudioConfig
    settings: BranchSettings
    network: Run

    @staticmethod
    def parts(config: AudioConfig) -> list[Part]:
        return [("", ("mel",))]

    @staticmethod
    def example_logits(model: AudioModel, n: int, rng: np.random.Generator) -> Floats:
        return model.logits(rng.uniform(-1, 1, (n, WINDOW_SAMPLES)).astype(np.float32))

    def logits(self, sounds: Floats) -> Floats:
        return self.network(log_mel(sounds))

    def score(self, sounds: Floats) -> Floats:
        return _to_scores(self.logits(sounds))


@dataclass(frozen=True)
class RemoteVisual:
    """A visual branch with its networks run elsewhere."""

    config: VisualConfig
    settings: BranchSettings
    encoder: Run  # crops (N, 3, S, S) -> features (N, D)
    classifier: Run  # features (W, T, D)[, quality bins (W,)] -> logits (W, 2)

    @staticmethod
    def parts(config: VisualConfig) -> list[Part]:
        inputs = ("features", "bins") if config.use_quality else ("features",)
        return [("", ("crops",)), (".classifier", inputs)]

    @staticmethod
    def example_logits(model: VisualModel, n: int, rng: np.random.Generator) -> Floats:
        pictures = rng.integers(0, 256, (n, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
        features = model.encode(model.stack([*pictures], None))
        slots = rng.integers(0, n, (n, model.settings.windows.n_slots))
        return model.logits(features[slots], rng.uniform(0, 1, n))

    def stack(self, pictures: Sequence[Image | None], grown: Semantics | None) -> Floats:
        return stack_crops(pictures, self.config.size, grown)

    def encode(self, crops: Floats) -> Floats:
        return self.encoder(crops)

    def logits(self, features: Floats, quality: Floats) -> Floats:
        if not self.config.use_quality:
            return self.classifier(features)
        return self.classifier(features, quality_bins(quality, self.config.quality_bins))

    def score(self, features: Floats, quality: Floats) -> Floats:
        return _to_scores(self.logits(features, quality))


@dataclass(frozen=True)
class RemoteCues:
    """A cues branch with its networks run elsewhere: cues of a clip -> logits (P, T, 4)."""

    config: CuesConfig
    settings: BranchSettings
    offline: Run  # with the whole clip in view
    causal: Run  # with a look-ahead

    @staticmethod
    def parts(config: CuesConfig) -> list[Part]:
        inputs = ("face", "sound", "rule", "seen")
        return [("", inputs), (".causal", (*inputs, "look_ahead"))]

    @staticmethod
    def example_logits(model: CuesModel, n: int, rng: np.random.Generator) -> Floats:
        """Logits of n people over 20 n ticks, with the whole clip in view and with a look-ahead."""
        shape = n, 20 * n
        features = Features(
            rng.normal(size=(*shape, N_FACE)).astype(np.float32),
            rng.normal(size=(shape[1], N_SOUND)).astype(np.float32),
            rng.normal(size=(*shape, N_RULE)).astype(np.float32),
            rng.uniform(size=shape) < 0.8,
        )
        return np.concatenate([model.logits(features, ticks) for ticks in (OFFLINE, 4)])

    def logits(self, features: Features, look_ahead: int) -> Floats:
        inputs = features.face, features.sound, features.rule, features.seen.astype(np.float32)
        if look_ahead == OFFLINE:
            return self.offline(*inputs)
        return self.causal(*inputs, np.array([look_ahead]))

    def score(self, features: Features, look_ahead: int) -> Floats:
        return _sigmoid(self.logits(features, look_ahead))


def quality_bins(quality: Floats, n_bins: int) -> Ints:
    """quality (W,) in [0, 1] -> bins (W,) from 0 to `n_bins`."""
    # In the precision it comes in: 0.35 * 20 is 7 as float32 and as float64, but not mixed.
    return (quality * n_bins).astype(np.int64).clip(0, n_bins)


def _to_scores(logits: Floats) -> Floats:
    """logits (B, 2, ...) -> probabilities (B, ...) of the second class."""
    return _sigmoid(logits[:, 1] - logits[:, 0])


def _sigmoid(x: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(x, float))))
