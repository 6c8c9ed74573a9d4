"""Convert between frames, seconds and samples, in this one place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

SAMPLE_RATE = 16_000  # Hz, every sound in this package
TICKS_PER_SECOND = 30  # the models' time base: 900 audio labels for 30 s


@dataclass(frozen=True)
class Clock:
    """The time base of one clip; frame 0 and sample 0 are the clip's start.

    `Clock()` is the models' own: its frames are ticks.
    """

    fps: Fraction = Fraction(TICKS_PER_SECOND)  # exact: 30000/1001, never 29
    sample_rate: int = SAMPLE_RATE

    def __post_init__(self) -> None:
        assert self.fps > 0, self.fps
        assert self.sample_rate > 0, self.sample_rate

    def frame_to_s(self, frame: int) -> float:
        return float(frame / self.fps)

    def frame_to_sample(self, frame: int) -> int:
        """The sample at which a frame starts, rounded down."""
        return frame * self.sample_rate * self.fps.denominator // self.fps.numerator

    def sample_to_frame(self, sample: int) -> int:
        """The number of whole frames in a number of samples."""
        return sample * self.fps.numerator // (self.sample_rate * self.fps.denominator)

    def s_to_frame(self, seconds: Fraction) -> int:
        """The frame whose start is nearest to a time (exact: half-way goes to the later one)."""
        return (seconds * self.fps + Fraction(1, 2)).__floor__()
