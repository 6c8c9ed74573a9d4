"""The log-mel spectrogram in NumPy, against torch's and the published one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quavf.models import audio
from quavf.models.mel import log_mel, mel_filters
from tests.helpers.data import GOLDEN, needs_golden


def make_sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000 * 3) / 16_000
    voice = sum(np.sin(2 * np.pi * 140 * k * time_s) / k for k in range(1, 20))
    return {
        "noise": rng.normal(0, 0.1, 480_000),
        "short": rng.normal(0, 0.1, 100),
        "silence": np.zeros(48_000),
        "nothing": np.zeros(0),
        "quiet": rng.normal(0, 1e-4, 48_000),
        "voice": 0.2 * voice * (1 + np.sin(2 * np.pi * 3 * time_s)),
        "clipped": np.clip(rng.normal(0, 2, 480_000), -1, 1),
    }


SOUNDS = make_sounds()


def test_filters_are_whispers() -> None:
    np.testing.assert_allclose(mel_filters(), audio._mel_filters().numpy(), atol=1e-9)


@pytest.mark.parametrize("name", SOUNDS)
def test_it_is_torchs(name: str) -> None:
    sound = SOUNDS[name].astype(np.float32)[None]
    found, expected = log_mel(sound), audio.log_mel(torch.from_numpy(sound)).numpy()
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (1, 80, 3000)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@needs_golden
def test_it_is_the_published_one() -> None:
    given = np.load(GOLDEN / "logmel.npz")
    sound = given["wav_int16"].astype(np.float32) / 32768
    difference = np.abs(log_mel(sound[None])[0] - given["mel"])
    # Two bins of next to no power are apart by 1.4e-5: by as much is torch's FFT in float32 off.
    assert difference.max() <= 2e-5
    assert (difference > 1e-5).sum() <= 2
    np.testing.assert_allclose(mel_filters(), given["mel_filters"], rtol=0, atol=1e-7)
