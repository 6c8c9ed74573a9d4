"""Random changes of sounds and faces beyond the published ones."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from quavf.core.errors import ConfigError
from quavf.training.augment import FaceChanges, change_sound, seed_sample
from quavf.training.config import AugmentConfig

OFF = AugmentConfig()
RATE = 16_000
LOUD = {
    "filter": AugmentConfig(filter_db=12.0),
    "noise": AugmentConfig(noise=1.0, noise_snr_db=(10.0, 10.0), noise_slope=(-6.0, -6.0)),
    "codec": AugmentConfig(codec=1.0),
    "level": AugmentConfig(level_db=(-6.0, -6.0)),
}
VIVID = {
    "colour": AugmentConfig(colour=0.5),
    "grey": AugmentConfig(grey=1.0),
    "downscale": AugmentConfig(downscale=1.0),
    "erase": AugmentConfig(erase=1.0),
    "flip": AugmentConfig(flip=1.0),
}


def sound(n: int = RATE) -> torch.Tensor:
    return torch.sin(2 * torch.pi * 440 * torch.arange(n) / RATE) * 0.3


def changed_sound(config: AugmentConfig, samples: torch.Tensor, seed: int = 0) -> torch.Tensor:
    with seed_sample(seed) as rng:
        return change_sound(samples, config, rng)


def crop() -> torch.Tensor:
    return torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0)) * 4 - 2


def changed_crop(config: AugmentConfig, seed: int = 0) -> torch.Tensor:
    with seed_sample(seed) as rng:
        return FaceChanges.draw(config, rng).apply(crop(), rng)


def test_nothing_changes_and_little_is_drawn_when_all_is_off() -> None:
    rng = random.Random(3)
    assert torch.equal(change_sound(sound(), OFF, rng), sound())
    FaceChanges.draw(OFF, rng)
    other = random.Random(3)
    drawn = [other.random() for _ in range(3)]  # one for noise, one for the flip
    assert rng.random() == drawn[2]


@pytest.mark.parametrize("name", LOUD)
def test_sounds_change_and_keep_their_length(name: str) -> None:
    once, again = changed_sound(LOUD[name], sound()), changed_sound(LOUD[name], sound())
    assert once.shape == sound().shape
    assert torch.equal(once, again)
    assert not torch.allclose(once, sound(), atol=1e-3)
    assert once.isfinite().all()


@pytest.mark.parametrize("name", LOUD)
@pytest.mark.parametrize("n", [0, 1, 7, 1601])
def test_short_and_silent_sounds(name: str, n: int) -> None:
    changed = changed_sound(LOUD[name], sound(n))
    assert changed.shape == (n,)
    silent = changed_sound(LOUD[name], torch.zeros(n))
    assert not silent.any()


def test_level_is_in_decibels() -> None:
    ratio = changed_sound(LOUD["level"], sound()).std() / sound().std()
    assert 20 * torch.log10(ratio) == pytest.approx(-6.0, abs=1e-3)


def test_noise_has_its_ratio_and_slope() -> None:
    samples = sound(8 * RATE)
    noise = changed_sound(LOUD["noise"], samples) - samples
    assert 10 * torch.log10(samples.pow(2).mean() / noise.pow(2).mean()) == pytest.approx(10, abs=1)
    power = torch.fft.rfft(noise).abs().pow(2)
    hz = torch.fft.rfftfreq(len(noise), 1 / RATE)
    low, high = (power[(hz > f) & (hz < 2 * f)].mean() for f in (500, 4000))
    assert 10 * torch.log10(low / high) == pytest.approx(18, abs=2)  # three octaves


def test_codec_limits_the_band() -> None:
    noise = torch.randn(4 * RATE, generator=torch.Generator().manual_seed(0)) * 0.1
    power = torch.fft.rfft(changed_sound(LOUD["codec"], noise)).abs().pow(2)
    hz = torch.fft.rfftfreq(len(noise), 1 / RATE)
    middle, top = power[(hz > 1000) & (hz < 2000)].mean(), power[hz > 7800].mean()
    assert top < middle / 30


@pytest.mark.parametrize("name", VIVID)
def test_faces_change_and_repeat(name: str) -> None:
    plain, once = changed_crop(OFF), changed_crop(VIVID[name])
    assert once.shape == (3, 224, 224)
    assert torch.equal(once, changed_crop(VIVID[name]))
    assert not torch.allclose(once, plain, atol=1e-3)


def test_grey_faces_have_no_colour() -> None:
    grey = changed_crop(VIVID["grey"])
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])


def test_faces_of_a_window_change_alike() -> None:
    config = replace(VIVID["colour"], crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    with seed_sample(0) as rng:
        changes = FaceChanges.draw(config, rng)
        first, second = changes.apply(crop(), rng), changes.apply(crop(), rng)
    torch.testing.assert_close(first, second)


def test_soft_faces_have_less_detail() -> None:
    config = replace(VIVID["downscale"], crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    sharp = replace(OFF, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    assert changed_crop(config).diff().abs().mean() < 0.5 * changed_crop(sharp).diff().abs().mean()


def test_hard_compression_changes_the_picture_a_little() -> None:
    picture = np.tile(np.linspace(0, 255, 224).astype(np.uint8)[:, None, None], (1, 224, 3))
    picture[80:120, 80:120] = (200, 30, 30)
    with seed_sample(0) as rng:
        found = FaceChanges.draw(AugmentConfig(jpeg=1.0), rng).compress(picture)
    error = np.abs(found.astype(int) - picture)
    assert found.shape == picture.shape
    assert 0 < error.mean() < 8
    assert FaceChanges.draw(OFF, random.Random(0)).compress(picture) is picture


@pytest.mark.parametrize("name", ["colour", "grey", "downscale", "jpeg", "erase", "codec", "mute"])
def test_probabilities_are_checked(name: str) -> None:
    values: dict[str, Any] = {name: 1.5}
    with pytest.raises(ConfigError, match=rf"augment\.{name}: 1\.5 is not in \[0, 1\]"):
        AugmentConfig(**values)


def test_ranges_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"augment\.filter_db: -1 is under 0"):
        AugmentConfig(filter_db=-1)
    with pytest.raises(ConfigError, match=r"augment\.level_db: 3\.0 is over -3\.0"):
        AugmentConfig(level_db=(3.0, -3.0))
