"""Options of training: impossible values are refused, defaults are the published ones."""

from __future__ import annotations

from typing import Any

import pytest

from quavf.core.errors import ConfigError
from quavf.training.config import AugmentConfig, TrainAudioConfig, TrainerConfig, TrainVisualConfig

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *[
            (name, 0, "is under 1")
            for name in ("epochs", "batch_size", "accumulate", "save_every", "num_nodes")
        ],
        *[
            (name, -1, "is under 0")
            for name in ("weight_decay", "clip_norm", "patience", "workers", "limit_val_clips")
        ],
        ("lr", 0.0, "is not over 0"),
        ("lr", -1e-5, "is not over 0"),
        ("lr", NAN, "is not over 0"),
    ],
)
def test_impossible_training(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=f"trainer.{name}: .* {message}"):
        TrainerConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [TrainAudioConfig, TrainVisualConfig])
def test_unknown_semantics(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"'mended' is not known; use one of \['fixed', 'ref"):
        config(semantics="mended")


def test_defaults_are_the_published_recipe() -> None:
    trainer, augment = TrainerConfig(), AugmentConfig()
    assert (trainer.lr, trainer.clip_norm, trainer.batch_size) == (1e-5, 1.0, 32)
    assert (trainer.epochs, trainer.seed, trainer.class_weights) == (1, 42, True)
    assert (trainer.weight_decay, trainer.accumulate) == (0.0, 1)
    assert (augment.crop_scale, augment.crop_ratio) == ((0.36, 0.64), (3 / 4, 4 / 3))
    assert (augment.flip, augment.noise, augment.noise_snr_db) == (0.0, 0.0, (3.0, 20.0))


def test_former_names_of_augmentations_still_work() -> None:
    with pytest.warns(DeprecationWarning, match="soften is now downscale"):
        assert AugmentConfig(soften=0.4) == AugmentConfig(downscale=0.4)
    with pytest.warns(DeprecationWarning, match="cover is now erase"):
        assert AugmentConfig(cover=0.2) == AugmentConfig(erase=0.2)
