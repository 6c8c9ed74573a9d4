"""Every setting of models and training: one frozen, self-checking dataclass a stage.

Resolved settings are stored in every output folder and checkpoint. Defaults are the published
recipe's (QuAVF, Ego4D Talking-to-Me 2023) unless a line says otherwise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from quavf.core.errors import ConfigError
from quavf.core.records import CROP_SIZE
from quavf.core.semantics import FIXED, REFERENCE, get_semantics
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


CACHED_PRECISIONS = ("16", "bf16", "32", "64")  # as Lightning's names of them start


@dataclass(frozen=True)
class AudioConfig:
    """The audio branch.

    Args:
        encoder: Whisper encoder: tiny, base, small, medium, large, or WIDTHxLAYERSxHEADS.
        encoder_weights: Where its weights come from: hub (download), random, or a file or folder.
        frozen: Keep the encoder's weights as they are.
        dim: Width of the temporal modules.
        n_layers: Number of temporal modules.
        n_heads: Attention heads of each.
        dropout: Before the last layer, 0 to 1.
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


@dataclass(frozen=True)
class VisualConfig:
    """The visual branch.

    Args:
        backbone: Image network: any name of the timm library.
        backbone_weights: Where its weights come from: hub (download), random, or a file.
        size: Pixels a side that the image network sees; faces are stored with 224.
        frozen: Keep the network's weights as they are, but for its last layer.
        frozen_stages: Else keep those of its first so many stages (the stem is one).
        dim: Features of a crop, and width of the temporal modules.
        n_layers: Number of temporal modules.
        n_heads: Attention heads of each.
        use_quality: Take the window's face quality as an input.
        quality_bins: Steps in which it is told apart.
        dropout: Before the last layer, 0 to 1.
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


def _check_temporal(name: str, config: AudioConfig | VisualConfig) -> None:
    if min(config.dim, config.n_layers, config.n_heads) < 1 or config.dim % config.n_heads:
        raise ConfigError(
            f"{name}: dim {config.dim} must be a multiple of n_heads {config.n_heads}, and "
            f"n_layers {config.n_layers} at least 1"
        )
    if not 0 <= config.dropout < 1:
        raise ConfigError(f"{name}.dropout: {config.dropout} is not in [0, 1)")


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training samples; beyond the crop and the noise, published: none.

    Args:
        crop_scale: Part of a crop's area that is kept, lowest and highest; each face on its own.
        crop_ratio: Width to height of that part, lowest and highest.
        flip: Probability of mirroring all faces of a window (published: 0).
        colour: Most that a window's brightness, contrast and tints change, 0 to 1.
        grey: Probability of taking a window's colours out.
        soften: Probability of making a window's faces small and large again, as if far or blurred.
        jpeg: Probability of compressing a window's faces hard.
        cover: Probability of covering a part of a face.
        noise: Probability of adding noise to the sound (published: 0).
        noise_snr_db: Signal-to-noise ratio of that noise, lowest and highest, dB.
        noise_slope: Its spectrum, lowest and highest, dB an octave; 0 is white.
        filter_db: Most that a random smooth filter changes the sound, dB; 0 is none.
        codec: Probability of band limits and coarse steps, as of a telephone or a cheap codec.
        mute: Probability of silencing the sound, which then is not to me; only where unlabelled
            sound is trained on.
        level_db: Change of the sound's level, lowest and highest, dB.
    """

    crop_scale: tuple[float, float] = (0.36, 0.64)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    colour: float = 0.0
    grey: float = 0.0
    soften: float = 0.0
    jpeg: float = 0.0
    cover: float = 0.0
    noise: float = 0.0
    noise_snr_db: tuple[float, float] = (3.0, 20.0)
    noise_slope: tuple[float, float] = (0.0, 0.0)
    filter_db: float = 0.0
    codec: float = 0.0
    mute: float = 0.0
    level_db: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("crop_scale", "crop_ratio", "noise_snr_db", "noise_slope", "level_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"augment.{name}: {low} is over {high}; give the lower one first")
        for name in ("flip", "colour", "grey", "soften", "jpeg", "cover", "noise", "codec", "mute"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name}: {getattr(self, name)} is not in [0, 1]")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ConfigError(f"augment.crop_scale: {self.crop_scale} is not in (0, 1]")
        if not self.crop_ratio[0] > 0:
            raise ConfigError(f"augment.crop_ratio: {self.crop_ratio} is not over 0")
        if self.filter_db < 0:
            raise ConfigError(f"augment.filter_db: {self.filter_db} is under 0")

    @property
    def leaves_faces(self) -> bool:
        """Whether nothing random happens to faces: a crop of all of it, and nothing else."""
        whole = self.crop_scale == (1.0, 1.0) and self.crop_ratio[0] <= 1 <= self.crop_ratio[1]
        changes = (self.flip, self.colour, self.grey, self.soften, self.jpeg, self.cover)
        return whole and not any(changes)


@dataclass(frozen=True)
class TrainerConfig:
    """How training runs; passed on to Lightning's Trainer where it has the same option.

    Args:
        epochs: Passes over the training data.
        batch_size: Samples in a batch, on each device.
        accumulate: Batches whose gradients are added up before a step.
        lr: Learning rate of Adam.
        schedule: constant (as published), or cosine: the rate falls to nothing over all epochs.
        weight_decay: Of AdamW; 0 is plain Adam, as published.
        clip_norm: Largest gradient norm; 0 does not clip.
        class_weights: Weigh the loss by class frequency.
        patience: Validations without a better mAP before training stops; 0 never stops early.
        save_every: Batches between checkpoints to resume from.
        limit_val_clips: Validate on the first so many clips only; 0 means all.
        seed: Of everything random.
        workers: Processes that load data, on each device.
        accelerator: auto, cpu, gpu.
        devices: auto, or how many.
        num_nodes: Machines.
        strategy: auto, ddp, or another of Lightning.
        precision: 32-true, bf16-mixed, 16-mixed.
        cache: Folder that keeps what frozen networks make of sounds and faces; empty: none.
        cache_versions: With it, how many epochs have random changes of their own; then these
            repeat, and training is another than without it.
    """

    epochs: int = 1
    batch_size: int = 32
    accumulate: int = 1
    lr: float = 1e-5
    schedule: str = "constant"
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    class_weights: bool = True
    patience: int = 0
    save_every: int = 500
    limit_val_clips: int = 0
    seed: int = 42
    workers: int = 0
    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    cache: str = ""
    cache_versions: int = 1

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "accumulate", "save_every", "num_nodes")
        for name in (*positive, "cache_versions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"trainer.{name}: {getattr(self, name)} is under 1")
        for name in ("weight_decay", "clip_norm", "patience", "workers", "limit_val_clips"):
            if getattr(self, name) < 0:
                raise ConfigError(f"trainer.{name}: {getattr(self, name)} is under 0")
        if not self.lr > 0:
            raise ConfigError(f"trainer.lr: {self.lr} is not over 0")
        if self.schedule not in ("constant", "cosine"):
            raise ConfigError(f"trainer.schedule: {self.schedule!r}; use constant or cosine")
        if self.cache and not self.precision.startswith(CACHED_PRECISIONS):
            raise ConfigError(
                f"trainer.cache: works with a precision of {', '.join(CACHED_PRECISIONS)} bits, "
                f"not with {self.precision!r}; leave one of the two out"
            )


@dataclass(frozen=True)
class TrainAudioConfig:
    """Everything that decides what an audio training run computes.

    Args:
        semantics: reference (as published, bit for bit) or fixed.
        context: segment (a labelled segment's sound alone, as published) or clip (whatever is heard
            around it as well, up to 30 s); kept with the checkpoint.
        unlabelled: Share of the outputs trained on that lie where nobody is labelled, as not
            talking to me; needs the context of the clip (published: 0).
        start: Checkpoint whose weights to start from.
        audio: The model.
        augment: Random changes of training samples.
        trainer: How training runs.
    """

    semantics: str = FIXED.name
    context: str = "segment"
    unlabelled: float = 0.0
    start: str = ""
    audio: AudioConfig = field(default_factory=AudioConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        get_semantics(self.semantics)
        _check_context(self.context, self.unlabelled)
        _check_cache("audio", self.trainer, self.audio.frozen)


@dataclass(frozen=True)
class TrainVisualConfig:
    """Everything that decides what a visual training run computes.

    Args:
        semantics: reference (as published, bit for bit) or fixed.
        quality: Scorer whose quality is used; empty: the only one in the store.
        context: segment (windows end where the labelled segment does, as published) or clip (they
            reach beyond it); kept with the checkpoint.
        unlabelled: Share of the windows that are of faces outside labelled segments, as not
            talking to me; needs the context of the clip (published: 0).
        start: Checkpoint whose weights to start from.
        visual: The model.
        windows: Windows of crops.
        augment: Random changes of training samples.
        trainer: How training runs.
    """

    semantics: str = FIXED.name
    quality: str = ""
    context: str = "segment"
    unlabelled: float = 0.0
    start: str = ""
    visual: VisualConfig = field(default_factory=VisualConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        get_semantics(self.semantics)
        _check_context(self.context, self.unlabelled)
        _check_cache("visual", self.trainer, self.visual.frozen)
        if self.trainer.cache and get_semantics(self.semantics).moving_batch_norm:
            raise ConfigError(
                f"trainer.cache: with semantics: {self.semantics} the frozen image network's "
                "batch-norm statistics move, and what it says of a face with them; leave the cache "
                "out, or use semantics: fixed"
            )


@dataclass(frozen=True)
class BranchSettings:
    """What a checkpoint says of how its inputs are made, beside the model itself."""

    semantics: str = REFERENCE.name
    windows: WindowConfig = field(default_factory=WindowConfig)
    quality: str = ""  # scorer that it was trained with; empty: unknown (published checkpoints)
    context: str = "segment"  # or "clip": what the windows lie over

    def __post_init__(self) -> None:
        get_semantics(self.semantics)
        _check_context(self.context)


def _check_context(context: str, unlabelled: float = 0.0) -> None:
    if context not in ("segment", "clip"):
        raise ConfigError(f"context: {context!r} is not known; use segment or clip")
    if not 0 <= unlabelled < 1:
        raise ConfigError(f"unlabelled: {unlabelled} is not in [0, 1)")
    if unlabelled and context != "clip":
        raise ConfigError(f"unlabelled: {unlabelled} needs context: clip, not {context}")


def _check_cache(branch: str, trainer: TrainerConfig, frozen: bool) -> None:
    if trainer.cache and not frozen:
        raise ConfigError(
            f"trainer.cache: {branch}.frozen is false, and what a network that learns says is not "
            "worth keeping; leave the cache out, or freeze it"
        )


T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON-able values."""
    return dict(asdict(config))


def from_dict(cls: type[T], values: Any, where: object = "configuration") -> T:
    """The dataclass of plain values, nested ones included. Raises ConfigError naming the field."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected an object of settings, found {values!r:.60}")
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}; known are {sorted(known)}")
    built: dict[str, Any] = {}
    for name, value in values.items():
        built[name] = _checked(hints[name], value, f"{where}.{name}")
    return cls(**built)


def _checked(kind: Any, value: Any, where: str) -> Any:
    """A value of this type. Raises ConfigError when it is of another; true is no number."""
    if is_dataclass(kind) and isinstance(kind, type):
        return from_dict(kind, value, where)
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        kinds = get_args(kind)
        if len(value) == len(kinds):
            return tuple(_checked(k, v, where) for k, v in zip(kinds, value, strict=True))
    elif type(value) is kind or (kind is float and type(value) is int):
        return value
    wanted = "a list of numbers" if get_origin(kind) is tuple else f"of type {kind.__name__}"
    raise ConfigError(f"{where}: {value!r:.60} is not {wanted}")
