"""Settings: what is refused, what the defaults are, and that they survive being stored."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from quavf.core.config import from_dict, to_dict
from quavf.core.errors import ConfigError
from quavf.core.semantics import FIXED, REFERENCE, get_semantics
from quavf.core.windows import WindowConfig
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig, encoder_shape
from quavf.training.config import AugmentConfig, TrainAudioConfig, TrainerConfig, TrainVisualConfig

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tiny", (384, 4, 6)),
        ("base", (512, 6, 8)),
        ("small", (768, 12, 12)),
        ("medium", (1024, 24, 16)),
        ("large", (1280, 32, 20)),
        ("64x2x2", (64, 2, 2)),
        ("1x1x1", (1, 1, 1)),
    ],
)
def test_encoder_shapes(name: str, shape: tuple[int, int, int]) -> None:
    assert encoder_shape(name) == shape
    assert shape[0] // shape[2] == 64 or "x" in name


@pytest.mark.parametrize(
    "name", ["", "huge", "Small", "64x2", "64x2x2x2", "64x2xtwo", "64.0x2x2", "x", "xx"]
)
def test_unknown_encoders(name: str) -> None:
    with pytest.raises(ConfigError, match=r"use one of tiny, base, .* such as 64x2x2"):
        AudioConfig(encoder=name)


@pytest.mark.parametrize("name", ["0x1x1", "64x0x2", "64x2x0", "64x2x3", "-64x2x2", "64x-2x2"])
def test_impossible_encoders(name: str) -> None:
    with pytest.raises(ConfigError, match="width must be a multiple of the heads"):
        AudioConfig(encoder=name)


@pytest.mark.parametrize("config", [AudioConfig, VisualConfig])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 0}, "dim 0 must be a multiple"),
        ({"dim": 10, "n_heads": 4}, "dim 10 must be a multiple of n_heads 4"),
        ({"n_heads": 0}, "n_heads 0"),
        ({"n_heads": -8}, "n_heads -8"),
        ({"n_layers": 0}, "n_layers 0 at least 1"),
        ({"dropout": 1.0}, "dropout: 1.0 is not in"),
        ({"dropout": -0.1}, "dropout: -0.1 is not in"),
        ({"dropout": NAN}, "dropout: nan is not in"),
    ],
)
def test_impossible_models(config: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**values)


def test_impossible_quality_bins() -> None:
    with pytest.raises(ConfigError, match="quality_bins: 0 is under 1"):
        VisualConfig(quality_bins=0)


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


def test_semantics_differ_in_every_flag_and_only_there() -> None:
    flags = [f.name for f in fields(REFERENCE) if f.name != "name"]
    assert len(flags) == 11
    assert all(getattr(REFERENCE, flag) is True for flag in flags)
    assert all(getattr(FIXED, flag) is False for flag in flags)
    assert get_semantics("reference") is REFERENCE
    assert get_semantics("fixed") is FIXED


def test_defaults_are_the_published_recipe() -> None:
    audio, visual, trainer = AudioConfig(), VisualConfig(), TrainerConfig()
    assert encoder_shape(audio.encoder) == (768, 12, 12)
    assert (audio.dim, audio.n_layers, audio.n_heads, audio.dropout) == (768, 1, 8, 0.25)
    assert (visual.backbone, visual.dim, visual.n_layers, visual.n_heads) == ("resnet50", 512, 1, 8)
    assert (visual.use_quality, visual.quality_bins, visual.dropout) == (True, 20, 0.0)
    assert (audio.frozen, visual.frozen) == (True, True)
    assert (trainer.lr, trainer.clip_norm, trainer.batch_size) == (1e-5, 1.0, 32)
    assert (trainer.epochs, trainer.seed, trainer.class_weights) == (1, 42, True)
    assert (trainer.weight_decay, trainer.accumulate) == (0.0, 1)
    augment = AugmentConfig()
    assert (augment.crop_scale, augment.crop_ratio) == ((0.36, 0.64), (3 / 4, 4 / 3))
    assert (augment.flip, augment.noise, augment.noise_snr_db) == (0.0, 0.0, (3.0, 20.0))
    windows = WindowConfig()
    assert (windows.n_slots, windows.stride, windows.step) == (15, 15, 8)
    assert windows.min_quality == 0.3


CONFIGS: list[Any] = [
    AudioConfig(encoder="64x2x2", encoder_weights="random", dim=16, n_heads=2),
    VisualConfig(backbone="test_vit", use_quality=False),
    WindowConfig(n_slots=5, stride=3, step=1, min_quality=0.0),
    BranchSettings("fixed", WindowConfig(n_slots=3), "light"),
    TrainAudioConfig(augment=AugmentConfig(noise=0.5), trainer=TrainerConfig(lr=1)),
    TrainVisualConfig(semantics="reference", quality="fan", windows=WindowConfig(step=2)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_round_trip_through_json(config: Any) -> None:
    stored = json.loads(json.dumps(to_dict(config), allow_nan=False))
    assert from_dict(type(config), stored) == config
    assert from_dict(type(config), {}) == type(config)()


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (AudioConfig, {"dimension": 3}, "here: unknown field 'dimension'; known are .*'dim'"),
        (AudioConfig, {"dim": "16"}, "here.dim: '16' is not of type int"),
        (AudioConfig, {"dim": 16.0}, "here.dim: 16.0 is not of type int"),
        (AudioConfig, {"dim": True}, "here.dim: True is not of type int"),
        (AudioConfig, {"dim": None}, "here.dim: None is not of type int"),
        (AudioConfig, {"dim": 7}, "dim 7 must be a multiple of n_heads 8"),
        (AudioConfig, {"encoder": 5}, "here.encoder: 5 is not of type str"),
        (AudioConfig, {"frozen": 1}, "here.frozen: 1 is not of type bool"),
        (AudioConfig, {"dropout": "0.5"}, "here.dropout: '0.5' is not of type float"),
        (BranchSettings, {"windows": {"steps": 3}}, "here.windows: unknown field 'steps'"),
        (BranchSettings, {"windows": 3}, "here.windows: expected an object of settings, found 3"),
        (AugmentConfig, {"crop_scale": [0.3]}, r"crop_scale: \[0.3\] is not a list of numbers"),
        (AugmentConfig, {"crop_scale": 0.3}, "crop_scale: 0.3 is not a list of numbers"),
        (AugmentConfig, {"crop_scale": [0.3, "1"]}, "crop_scale: '1' is not of type float"),
        (AudioConfig, None, "here: expected an object of settings, found None"),
        (AudioConfig, [], r"here: expected an object of settings, found \[\]"),
    ],
)
def test_damaged_settings_name_the_field(config: Any, values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(config, values, "here")


def test_settings_cannot_be_changed_behind_one_s_back() -> None:
    with pytest.raises(FrozenInstanceError):
        AudioConfig().dim = 3  # type: ignore[misc]
    assert replace(AudioConfig(), dim=16).dim == 16
