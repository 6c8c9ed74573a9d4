"""Frames, seconds and samples, against exact fractions and hand-worked numbers."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quavf.core.clock import Clock

NTSC = Fraction(30_000, 1001)
RATES = [Fraction(30), NTSC, Fraction(25), Fraction(24_000, 1001), Fraction(60), Fraction(1, 3)]


@pytest.mark.parametrize(
    ("fps", "frame", "sample"),
    [
        (Fraction(30), 0, 0),
        (Fraction(30), 1, 533),  # 533.33
        (Fraction(30), 3, 1600),
        (Fraction(30), 899, 479_466),
        (Fraction(30), 900, 480_000),
        (NTSC, 1, 533),  # 533.87
        (NTSC, 30, 16_016),
        (NTSC, 30_000, 16_016_000),  # 16.7 minutes: 1 s later than with 30 fps
        (Fraction(25), 1, 640),
    ],
)
def test_frame_to_sample(fps: Fraction, frame: int, sample: int) -> None:
    assert Clock(fps).frame_to_sample(frame) == sample


def test_a_float_clock_would_be_early() -> None:
    """Why the clock is exact: the published `int(frame / 30 * 16000)` loses a sample at times."""
    early = [f for f in range(9000) if int(f / 30 * 16_000) != Clock().frame_to_sample(f)]
    assert early
    assert all(int(f / 30 * 16_000) == Clock().frame_to_sample(f) - 1 for f in early)


@given(st.sampled_from(RATES), st.integers(0, 10**7))
def test_rounded_down_exactly(fps: Fraction, n: int) -> None:
    clock = Clock(fps)
    assert clock.frame_to_sample(n) == floor(Fraction(n) / fps * 16_000)
    assert clock.sample_to_frame(n) == floor(Fraction(n, 16_000) * fps)
    assert clock.frame_to_s(n) == float(Fraction(n) / fps)


@given(st.sampled_from(RATES), st.integers(0, 10**6))
def test_time_of_a_frame_is_that_frame(fps: Fraction, frame: int) -> None:
    clock = Clock(fps)
    assert clock.s_to_frame(Fraction(frame) / fps) == frame
    assert clock.s_to_frame(Fraction(round(frame / fps * 1000), 1000)) == frame  # as Matroska does
    assert clock.sample_to_frame(clock.frame_to_sample(frame) + 1) == frame


@pytest.mark.parametrize(
    ("seconds", "frame"),
    [
        (Fraction(0), 0),
        (Fraction(1, 61), 0),
        (Fraction(1, 60), 1),  # half-way: the later one
        (Fraction(-1, 60), 0),
        (Fraction(-1, 59), -1),
    ],
)
def test_nearest_frame(seconds: Fraction, frame: int) -> None:
    assert Clock().s_to_frame(seconds) == frame


def test_numpy_frames() -> None:
    frame: Any = np.int64(10**9)
    assert Clock(NTSC).frame_to_sample(frame) == Clock(NTSC).frame_to_sample(10**9)


@pytest.mark.parametrize("clock", [{"fps": Fraction(0)}, {"fps": Fraction(-1)}, {"sample_rate": 0}])
def test_impossible_clocks(clock: dict[str, Fraction | int]) -> None:
    with pytest.raises(AssertionError):
        Clock(**clock)  # type: ignore[arg-type]
