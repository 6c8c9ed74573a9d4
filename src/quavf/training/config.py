"""Options of training."""

from __future__ import annotations

import warnings
from dataclasses import InitVar, dataclass, field

from quavf.core.errors import ConfigError
from quavf.core.semantics import FIXED, get_semantics
from quavf.core.windows import WindowConfig
from quavf.models.config import AudioConfig, CuesConfig, VisualConfig, check_context

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true", "32", "bf16", "16", "64")


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training samples; beyond the crop and the noise, published: none.

    Args:
        crop_scale: Share of a crop's area to keep, lowest and highest; drawn for each face.
        crop_ratio: Width to height of the kept part, lowest and highest.
        flip: Probability of mirroring all faces of a window (published: 0).
        colour: Largest change of a window's brightness, contrast and tint, 0 to 1.
        grey: Probability of turning a window grey.
        downscale: Probability of shrinking a window's faces and enlarging them again: a blur.
        jpeg: Probability of strong JPEG compression of a window's faces.
        erase: Probability of erasing a rectangle of a face.
        noise: Probability of adding noise to the sound (published: 0).
        noise_snr_db: Signal-to-noise ratio of the noise, lowest and highest, dB.
        noise_slope: Slope of the noise's spectrum, lowest and highest, dB per octave; 0 is white.
        filter_db: Largest gain of a random smooth filter on the sound, dB; 0: no filter.
        codec: Probability of band-limiting and quantising the sound, like a telephone or a poor
            codec.
        mute: Probability of silencing the sound, which then counts as not talking to me; needs
            unlabelled sound.
        level_db: Gain of the sound, lowest and highest, dB.
        soften: Former name of `downscale`.
        cover: Former name of `erase`.
    """

    crop_scale: tuple[float, float] = (0.36, 0.64)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    colour: float = 0.0
    grey: float = 0.0
    downscale: float = 0.0
    jpeg: float = 0.0
    erase: float = 0.0
    noise: float = 0.0
    noise_snr_db: tuple[float, float] = (3.0, 20.0)
    noise_slope: tuple[float, float] = (0.0, 0.0)
    filter_db: float = 0.0
    codec: float = 0.0
    mute: float = 0.0
    level_db: tuple[float, float] = (0.0, 0.0)
    soften: InitVar[float | None] = None
    cover: InitVar[float | None] = None

    def __post_init__(self, soften: float | None, cover: float | None) -> None:
        for old, new, value in (("soften", "downscale", soften), ("cover", "erase", cover)):
            if value is not None:
                warnings.warn(
                    f"AugmentConfig: {old} is now {new}", DeprecationWarning, stacklevel=3
                )
                object.__setattr__(self, new, value)
        for name in ("crop_scale", "crop_ratio", "noise_snr_db", "noise_slope", "level_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"augment.{name}: {low} is over {high}; give the lower one first")
        for name in (
            "flip",
            "colour",
            "grey",
            "downscale",
            "jpeg",
            "erase",
            "noise",
            "codec",
            "mute",
        ):
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
        changes = (self.flip, self.colour, self.grey, self.downscale, self.jpeg, self.erase)
        return whole and not any(changes)


@dataclass(frozen=True)
class TrainerConfig:
    """How training runs; most options are those of Lightning's Trainer.

    Args:
        epochs: Passes over the training data.
        batch_size: Samples in a batch, per device.
        accumulate: Batches whose gradients are summed before a step.
        lr: Learning rate of Adam.
        schedule: Learning rate over time: constant (as published), or cosine (falls to 0 over all
            epochs).
        weight_decay: Weight decay of AdamW; 0: plain Adam, as published.
        clip_norm: Largest gradient norm; 0: no clipping.
        class_weights: Weight the loss by class frequency.
        patience: Stop after so many validations without a better mAP; 0: never.
        save_every: Batches between checkpoints to resume from.
        limit_val_clips: Validate on the first N clips only; 0: all.
        seed: Random seed.
        workers: Processes that load data, per device.
        accelerator: Accelerator: auto, cpu or gpu.
        devices: Number of devices, or auto.
        num_nodes: Number of machines.
        strategy: Lightning strategy: auto, ddp or another.
        precision: Lightning precision: 32-true, bf16-mixed or 16-mixed.
        cache: Folder for the features of frozen networks; empty: no cache.
        cache_versions: With a cache, number of epochs with random changes of their own; later
            epochs repeat them, so the results differ from training without a cache.
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
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"trainer.precision: {self.precision!r} is not one of {', '.join(PRECISIONS)}"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options that training any branch has.

    Args:
        semantics: Semantics: fixed, or reference (as published, bit for bit).
        start: Checkpoint to start from.
        trainer: How training runs.
    """

    semantics: str = FIXED.name
    start: str = ""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        get_semantics(self.semantics)


@dataclass(frozen=True)
class TrainAudioConfig(TrainConfig):
    """Options of training the audio branch.

    Args:
        context: Sound that a sample holds: segment (a labelled segment alone, as published) or clip
            (up to 30 s around it as well); kept with the checkpoint.
        unlabelled: Share of the trained outputs at which nobody is labelled, counted as not talking
            to me; needs context: clip (published: 0).
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
    """Options of training the visual branch.

    Args:
        quality: Scorer whose quality is used; empty: the only one in the store.
        context: Where windows end: segment (with the labelled segment, as published) or clip (they
            reach beyond it); kept with the checkpoint.
        unlabelled: Share of windows with faces outside labelled segments, counted as not talking to
            me; needs context: clip (published: 0).
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


@dataclass(frozen=True)
class TrainCuesConfig(TrainConfig):
    """Options of training the cues branch.

    Args:
        stores: Further stores to train on; missing labels count for nothing.
        simulated: Clips of simulated cues to train on, beside those of stores.
        rehearsal: Share of samples, 0 to below 1, that are of simulated cues, new ones in each
            epoch: few labels teach without making the network forget the rest.
        footage: Share of simulated clips that show other videos than egocentric conversations:
            people who talk to the camera, to each other, or not at all.
        seconds: Length of a sample.
        look_ahead: Look-aheads of the causal form, s; half of the samples train the offline form.
        cues: The model.
        trainer: How training runs; its defaults here suit minutes of labels and a `start`.
    """

    stores: tuple[str, ...] = ()
    simulated: int = 0
    rehearsal: float = 0.0
    footage: float = 0.5
    seconds: float = 20.0
    look_ahead: tuple[float, ...] = (0.0, 0.3, 1.0)
    cues: CuesConfig = field(default_factory=CuesConfig)
    trainer: TrainerConfig = field(
        default_factory=lambda: TrainerConfig(
            epochs=10, batch_size=4, lr=3e-4, schedule="cosine", class_weights=False
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.simulated < 0:
            raise ConfigError(f"simulated: {self.simulated} is under 0")
        if not 0 <= self.rehearsal < 1:
            raise ConfigError(f"rehearsal: {self.rehearsal} is not in [0, 1)")
        if not 0 <= self.footage <= 1:
            raise ConfigError(f"footage: {self.footage} is not in [0, 1]")
        if not 1 <= self.seconds <= 600:
            raise ConfigError(f"seconds: {self.seconds} is not in 1 to 600")
        if not all(0 <= value <= 10 for value in self.look_ahead):
            raise ConfigError(f"look_ahead: {self.look_ahead} is not in 0 to 10 s")
        if self.trainer.cache:
            raise ConfigError("trainer.cache: the cues branch has no cache; leave it out")


def _check_cache(branch: str, trainer: TrainerConfig, frozen: bool) -> None:
    if trainer.cache and not frozen:
        raise ConfigError(
            f"trainer.cache: {branch}.frozen is false, and the features of a network that learns "
            "change; leave the cache out, or freeze the network"
        )
