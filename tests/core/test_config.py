"""Option dataclasses as plain values and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quavf.core.config import from_dict, to_dict
from quavf.core.errors import ConfigError
from quavf.core.windows import WindowConfig
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.training.config import (
    AugmentConfig,
    TrainAudioConfig,
    TrainCuesConfig,
    TrainerConfig,
    TrainVisualConfig,
)

CONFIGS: list[Any] = [
    AudioConfig(encoder="64x2x2", encoder_weights="random", dim=16, n_heads=2),
    VisualConfig(backbone="test_vit", use_quality=False),
    WindowConfig(n_slots=5, stride=3, step=1, min_quality=0.0),
    BranchSettings("fixed", WindowConfig(n_slots=3), "light"),
    TrainAudioConfig(augment=AugmentConfig(noise=0.5), trainer=TrainerConfig(lr=1)),
    TrainVisualConfig(semantics="reference", quality="fan", windows=WindowConfig(step=2)),
    TrainCuesConfig(stores=("a", "b"), look_ahead=(0.0, 0.5, 1.0, 2.0)),
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
        (TrainCuesConfig, {"look_ahead": [0, "1"]}, "look_ahead: '1' is not of type float"),
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
