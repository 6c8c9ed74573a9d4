"""Options of the models.

The resolved options are stored in every output folder and checkpoint. Defaults are the published
recipe's (QuAVF, Ego4D Talking-to-Me 2023) unless a line says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quavf.core.errors import ConfigError
from quavf.core.records import CROP_SIZE
from quavf.core.semantics import REFERENCE, get_semantics
from quavf.core.windows import WindowConfig

WHISPER_SIZES = {  # width, layers, heads of the encoder (Radford et al. 2022, table 1)
    "tiny": (384, 4, 6),
    "base": (512, 6, 8),
    "small": (768, 12, 12),
    "medium": (1024, 24, 16),
    "large": (1280, 32, 20),
}


def encoder_shape(name: str) -> tuple[int, int, int]:
    """Width, layers and heads of a Whisper encoder: a size's name, or such as `64x2x2`."""
    if name in WHISPER_SIZES:
        return WHISPER_SIZES[name]
    try:
        width, n_layers, n_heads = (int(part) for part in name.split("x"))
    except ValueError:
        raise ConfigError(
            f"audio.encoder: {name!r} is not known; use one of {', '.join(WHISPER_SIZES)}, or "
            "WIDTHxLAYERSxHEADS such as 64x2x2"
        ) from None
    if min(width, n_layers, n_heads) < 1 or width % n_heads:
        raise ConfigError(f"audio.encoder: {name!r}: the width must be a multiple of the heads")
    return width, n_layers, n_heads


@dataclass(frozen=True)
class AudioConfig:
    """Options of the audio branch's network.

    Args:
        encoder: Whisper encoder: tiny, base, small, medium, large, or WIDTHxLAYERSxHEADS.
        encoder_weights: Source of its weights: hub (download), random, or a file or folder.
        frozen: Keep the encoder's weights fixed.
        dim: Width of the temporal modules.
        n_layers: Number of temporal modules.
        n_heads: Attention heads of each module.
        dropout: Dropout before the last layer, 0 to 1.
    """

    encoder: str = "small"
    encoder_weights: str = "hub"
    frozen: bool = True
    dim: int = 768
    n_layers: int = 1
    n_heads: int = 8
    dropout: float = 0.25

    def __post_init__(self) -> None:
        encoder_shape(self.encoder)
        _check_temporal("audio", self)

    @property
    def encoder_heads(self) -> int:
        """Attention heads of the encoder."""
        return encoder_shape(self.encoder)[2]


@dataclass(frozen=True)
class VisualConfig:
    """Options of the visual branch's networks.

    Args:
        backbone: Image network: any name of the timm library.
        backbone_weights: Source of its weights: hub (download), random, or a file.
        size: Side of the pictures that the image network sees, pixels; stored crops have 224.
        frozen: Keep the image network's weights fixed, except those of its last layer.
        frozen_stages: If not frozen, number of first stages to keep fixed (the stem counts as one).
        dim: Features of a crop, and width of the temporal modules.
        n_layers: Number of temporal modules.
        n_heads: Attention heads of each module.
        use_quality: Use the window's face quality as an input.
        quality_bins: Number of bins of face quality.
        dropout: Dropout before the last layer, 0 to 1.
    """

    backbone: str = "resnet50"
    backbone_weights: str = "hub"
    size: int = CROP_SIZE
    frozen: bool = True
    frozen_stages: int = 0
    dim: int = 512
    n_layers: int = 1
    n_heads: int = 8
    use_quality: bool = True
    quality_bins: int = 20
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_temporal("visual", self)
        if self.quality_bins < 1:
            raise ConfigError(f"visual.quality_bins: {self.quality_bins} is under 1")
        if self.frozen_stages < 0:
            raise ConfigError(f"visual.frozen_stages: {self.frozen_stages} is under 0")
        if not 32 <= self.size <= CROP_SIZE:
            raise ConfigError(f"visual.size: {self.size} is not in [32, {CROP_SIZE}]")


@dataclass(frozen=True)
class CuesConfig:
    """Options of the cues branch's network.

    Args:
        dim: Width of the network.
        n_layers: Convolutions in each direction of time; each one doubles the reach.
        dropout: Dropout before the last layers, 0 to 1.
        frozen: Keep all weights fixed but those of the answer for labelled turns.
    """

    dim: int = 48
    n_layers: int = 7
    dropout: float = 0.1
    frozen: bool = False

    def __post_init__(self) -> None:
        if min(self.dim, self.n_layers) < 1:
            raise ConfigError(
                f"cues: dim {self.dim} and n_layers {self.n_layers} must be at least 1"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"cues.dropout: {self.dropout} is not in [0, 1)")


def _check_temporal(name: str, config: AudioConfig | VisualConfig) -> None:
    if min(config.dim, config.n_layers, config.n_heads) < 1 or config.dim % config.n_heads:
        raise ConfigError(
            f"{name}: dim {config.dim} must be a multiple of n_heads {config.n_heads}, and "
            f"n_layers {config.n_layers} at least 1"
        )
    if not 0 <= config.dropout < 1:
        raise ConfigError(f"{name}.dropout: {config.dropout} is not in [0, 1)")


@dataclass(frozen=True)
class BranchSettings:
    """Settings of a checkpoint's inputs, beside the model itself."""

    semantics: str = REFERENCE.name
    windows: WindowConfig = field(default_factory=WindowConfig)
    quality: str = ""  # scorer that it was trained with; empty: unknown (published checkpoints)
    context: str = "segment"  # or "clip": what the windows lie over

    def __post_init__(self) -> None:
        get_semantics(self.semantics)
        check_context(self.context)


def check_context(context: str, unlabelled: float = 0.0) -> None:
    """Raise ConfigError unless the two options are valid together."""
    if context not in ("segment", "clip"):
        raise ConfigError(f"context: {context!r} is not known; use segment or clip")
    if not 0 <= unlabelled < 1:
        raise ConfigError(f"unlabelled: {unlabelled} is not in [0, 1)")
    if unlabelled and context != "clip":
        raise ConfigError(f"unlabelled: {unlabelled} needs context: clip, not {context}")
