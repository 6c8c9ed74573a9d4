"""Options of training."""

from __future__ import annotations

from dataclasses import dataclass, field

from quavf.core.errors import ConfigError
from quavf.core.semantics import FIXED, get_semantics
from quavf.core.windows import WindowConfig
from quavf.models.config import AudioConfig, VisualConfig, check_context

CACHED_PRECISIONS = ("16", "bf16", "32", "64")  # as Lightning's names of them start


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


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options that training any branch has.

    Args:
        semantics: reference (as published, bit for bit) or fixed.
        start: Checkpoint whose weights to start from.
        trainer: How training runs.
    """

    semantics: str = FIXED.name
    start: str = ""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        get_semantics(self.semantics)


@dataclass(frozen=True)
class TrainAudioConfig(TrainConfig):
    """Options that decide what training the audio branch computes.

    Args:
        context: segment (a labelled segment's sound alone, as published) or clip (the sound
            around it as well, up to 30 s); kept with the checkpoint.
        unlabelled: Share of the trained outputs at which nobody is labelled, counted as not
            talking to me; needs context: clip (published: 0).
        audio: The model.
        augment: Random changes of training samples.
    """

    context: str = "segment"
    unlabelled: float = 0.0
    audio: AudioConfig = field(default_factory=AudioConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_context(self.context, self.unlabelled)
        _check_cache("audio", self.trainer, self.audio.frozen)


@dataclass(frozen=True)
class TrainVisualConfig(TrainConfig):
    """Options that decide what training the visual branch computes.

    Args:
        quality: Scorer whose quality is used; empty: the only one in the store.
        context: segment (windows end with the labelled segment, as published) or clip (they
            reach beyond it); kept with the checkpoint.
        unlabelled: Share of windows with faces outside labelled segments, counted as not
            talking to me; needs context: clip (published: 0).
        visual: The model.
        windows: Windows of crops.
        augment: Random changes of training samples.
    """

    quality: str = ""
    context: str = "segment"
    unlabelled: float = 0.0
    visual: VisualConfig = field(default_factory=VisualConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_context(self.context, self.unlabelled)
        _check_cache("visual", self.trainer, self.visual.frozen)
        if self.trainer.cache and get_semantics(self.semantics).moving_batch_norm:
            raise ConfigError(
                f"trainer.cache: with semantics: {self.semantics} the batch-norm statistics of "
                "the frozen image network move, and its features with them; leave the cache "
                "out, or use semantics: fixed"
            )


def _check_cache(branch: str, trainer: TrainerConfig, frozen: bool) -> None:
    if trainer.cache and not frozen:
        raise ConfigError(
            f"trainer.cache: {branch}.frozen is false, and the features of a network that learns "
            "change; leave the cache out, or freeze the network"
        )
