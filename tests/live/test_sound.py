"""Sound as it comes: blocks, gaps, overlaps and drifting clocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quavf.live.sound import LiveSound

RATE = 16_000


class Loudness:
    """A voice detector that hears a voice in what is loud."""

    def step(self, samples: Any) -> Any:
        return (np.abs(samples.reshape(-1, 512)).max(axis=1) > 0.1).astype(np.float32)

    def reset(self) -> None:
        """Has no memory."""


def listen() -> LiveSound:
    return LiveSound(Loudness())  # type: ignore[arg-type]


def beeps(seconds: float) -> Any:
    """The first tenth of each second is loud."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(times * 2000) * 16_000 * (times % 1 < 0.1)).astype(np.int16)


def heard(sound: LiveSound, ticks: range) -> list[int]:
    return [tick for tick in ticks if sound.tick(tick)[0] > 0.5]


@pytest.mark.parametrize("size", [100, 512, 1600, 7777])
def test_blocks_of_any_size(size: int) -> None:
    sound, samples = listen(), beeps(3.0)
    for first in range(0, len(samples), size):
        sound.take(samples[first : first + size], 7.0 + first / RATE, RATE)
    sound.finish()
    found = heard(sound, range(7 * 15 - 5, 10 * 15))
    assert found == [105, 106, 120, 121, 122, 135, 136, 137]  # to the raster of 32 ms
    assert sound.missing_s == sound.late_s == 0


def test_other_rates_keep_the_time() -> None:
    times = np.arange(96_000) / 48_000
    loud = (np.sin(times * 2000) * 0.5 * (times >= 1)).astype(np.float32)
    sound = listen()
    for first in range(0, 96_000, 480):
        sound.take(np.stack([loud[first : first + 480]] * 2, 1), first / 48_000, 48_000)
    assert heard(sound, range(30))[0] in (14, 15)


def test_a_gap_is_silence_a_long_one_unknown_and_an_overlap_is_cut() -> None:
    sound = listen()
    sound.take(np.full(RATE, 9000, np.int16), 0.0, RATE)
    sound.take(np.full(RATE, 9000, np.int16), 1.5, RATE)
    sound.take(np.full(RATE, 9000, np.int16), 2.0, RATE)
    assert sound.missing_s == pytest.approx(0.5)
    assert sound.late_s == pytest.approx(0.5)
    assert heard(sound, range(18, 22)) == []
    assert sound.end_s == pytest.approx(3.0, abs=0.04)
    sound.take(np.full(RATE, 9000, np.int16), 8.0, RATE)
    assert np.isnan(sound.tick(5 * 15)[1])
    assert heard(sound, range(8 * 15 + 2, 8 * 15 + 5)) == [122, 123, 124]


@pytest.mark.parametrize("drift", [200e-6, -200e-6])
def test_a_clock_that_drifts_is_followed(drift: float) -> None:
    """Ten minutes in which the stamps and the samples part by 0.12 s."""
    sound, block = listen(), np.zeros(RATE // 2, np.int16)
    for k in range(1200):
        sound.take(block, k * 0.5 * (1 + drift), RATE)
    assert sound.end_s == pytest.approx(600 * (1 + drift), abs=0.08)
    assert sound.missing_s + sound.late_s == pytest.approx(0.12, abs=0.04)
