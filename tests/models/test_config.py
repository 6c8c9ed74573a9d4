"""Options of the models: impossible values are refused, defaults are the published ones."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from quavf.core.errors import ConfigError
from quavf.core.windows import WindowConfig
from quavf.models.config import AudioConfig, VisualConfig, encoder_shape

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


def test_defaults_are_the_published_recipe() -> None:
    audio, visual, windows = AudioConfig(), VisualConfig(), WindowConfig()
    assert encoder_shape(audio.encoder) == (768, 12, 12)
    assert (audio.dim, audio.n_layers, audio.n_heads, audio.dropout) == (768, 1, 8, 0.25)
    assert (visual.backbone, visual.dim, visual.n_layers, visual.n_heads) == ("resnet50", 512, 1, 8)
    assert (visual.use_quality, visual.quality_bins, visual.dropout) == (True, 20, 0.0)
    assert (audio.frozen, visual.frozen) == (True, True)
    assert (windows.n_slots, windows.stride, windows.step) == (15, 15, 8)
    assert windows.min_quality == 0.3


def test_settings_cannot_be_changed_behind_one_s_back() -> None:
    with pytest.raises(FrozenInstanceError):
        AudioConfig().dim = 3  # type: ignore[misc]
    assert replace(AudioConfig(), dim=16).dim == 16
