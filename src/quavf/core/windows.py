"""The arithmetic of visual and audio windows, in this one place.

A visual window is 15 crops of one person, half a second apart, around a centre frame. An audio
window is 30 s of sound, 900 outputs, 30 a second. A *span* is a stretch of one person in one clip
that is scored on its own: a labelled segment, a challenge segment, or a track.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quavf.core.clock import SAMPLE_RATE, TICKS_PER_SECOND, Clock
from quavf.core.errors import ConfigError
from quavf.core.records import WEARER, Floats, Ints, Segment
from quavf.core.semantics import Semantics

WINDOW_S = 30  # of an audio window
WINDOW_TICKS = WINDOW_S * TICKS_PER_SECOND  # its outputs
WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE
SHORTEST_AUDIO_FRAMES = 3  # a labelled segment must be longer to be an audio item
SHORTEST_CROP_SAMPLES = 3 * SAMPLE_RATE
CROP_PROBABILITY = 0.9
EMPTY = -1  # a slot without a crop


@dataclass(frozen=True)
class WindowConfig:
    """How visual windows are laid out and chosen.

    Args:
        n_slots: Crops in a window, odd.
        stride: Time between them, in 1/30 s.
        step: Advance of the centre after a training window that is kept, frames.
        min_quality: Training windows below this mean face quality (0 to 1) are left out.
    """

    n_slots: int = 15
    stride: int = 15
    step: int = 8
    min_quality: float = 0.3

    def __post_init__(self) -> None:
        if self.n_slots < 1 or self.n_slots % 2 == 0:
            raise ConfigError(f"windows.n_slots: {self.n_slots} is not an odd number over 0")
        if self.stride < 1 or self.step < 1:
            raise ConfigError(f"windows: stride {self.stride}, step {self.step}; use 1 or more")
        if not 0 <= self.min_quality <= 1:
            raise ConfigError(f"windows.min_quality: {self.min_quality} is not in [0, 1]")

    def offsets(self, clock: Clock) -> Ints:
        """(n_slots,) frames from the centre, exact in time at any frame rate."""
        half = self.n_slots // 2
        exact = [k * self.stride * clock.fps / TICKS_PER_SECOND for k in range(-half, half + 1)]
        return np.array([round(offset) for offset in exact])


@dataclass(frozen=True)
class VisualWindows:
    """Windows of one person: `centres` (W,) frames, `slots` (W, n_slots) rows of that person's
    frames or EMPTY, `quality` (W,) mean over all slots, empty ones counting 0."""

    centres: Ints
    slots: Ints
    quality: Floats

    def rows_from(self, first_row: int) -> Ints:
        """(W, n_slots) the slots as rows of a table in which this person's start at `first_row`."""
        return np.where(self.slots == EMPTY, EMPTY, self.slots + first_row)


@dataclass(frozen=True)
class Span:
    """One person from `start_frame` to `last_frame`, inclusive."""

    person: int
    start_frame: int
    last_frame: int

    def rows(self, frames: Ints) -> slice:
        """The rows of ascending frames (N,) that lie inside."""
        first, end = np.searchsorted(frames, [self.start_frame, self.last_frame + 1])
        return slice(int(first), int(end))


def visual_windows(
    frames: Ints, quality: Floats, centres: Ints, span: Span, offsets: Ints
) -> VisualWindows:
    """The windows around `centres` (W,), from the crops at ascending `frames` (N,).

    Crops outside the span do not count. `quality` (N,); NaN (not scored) counts 0.
    """
    wanted = centres[:, None] + offsets  # (W, n_slots)
    rows = np.searchsorted(frames, wanted)
    rows = np.minimum(rows, max(len(frames) - 1, 0))
    there = (wanted >= span.start_frame) & (wanted <= span.last_frame)
    if len(frames):
        there &= frames[rows] == wanted
        values = np.where(there, np.nan_to_num(quality)[rows], 0.0)
    else:
        there, values = np.zeros_like(wanted, bool), np.zeros(wanted.shape)
    total = np.zeros(len(centres))
    for slot in range(len(offsets)):  # in this order: the published sums, to the last bit
        total += values[:, slot]
    return VisualWindows(centres, np.where(there, rows, EMPTY), total / len(offsets))


def whole_clip(person: int) -> Span:
    """One person from the start of a clip to its end, wherever that is."""
    return Span(person, 0, int(np.iinfo(np.int64).max) - 1)


def training_windows(
    frames: Ints,
    quality: Floats,
    segment: Segment,
    config: WindowConfig,
    semantics: Semantics,
    clock: Clock,
    *,
    beyond: bool = False,
) -> VisualWindows:
    """The windows of a labelled segment of sufficient quality, a step apart.

    They end where the segment does, or reach `beyond` it.
    """
    n_centres = segment.n_frames - 2 if semantics.scan_two_frames_short else segment.n_frames
    centres = segment.start_frame + np.arange(max(n_centres, 0))
    span = Span(segment.person, segment.start_frame, segment.last_frame)
    if beyond:
        centres = centres[np.isin(centres, frames)]
        span = whole_clip(segment.person)
    return _choose(visual_windows(frames, quality, centres, span, config.offsets(clock)), config)


def unlabelled_windows(
    frames: Ints,
    quality: Floats,
    segments: Sequence[Segment],
    person: int,
    config: WindowConfig,
    clock: Clock,
) -> VisualWindows:
    """Windows around crops outside labelled segments, a step apart, of sufficient quality."""
    free = np.ones(len(frames), bool)
    for segment in segments:
        if segment.person == person:
            free[Span(person, segment.start_frame, segment.last_frame).rows(frames)] = False
    span = whole_clip(person)
    windows = visual_windows(frames, quality, frames[free], span, config.offsets(clock))
    return _choose(windows, config)


def span_windows(
    frames: Ints,
    quality: Floats,
    span: Span,
    config: WindowConfig,
    clock: Clock,
    *,
    beyond: bool = False,
) -> VisualWindows:
    """A window around every crop of a span, as in the challenge's test set: no threshold.

    They end where the span's crops do, or reach `beyond` it.
    """
    inside = frames[span.rows(frames)]
    if beyond:
        whole = whole_clip(span.person)
        return visual_windows(frames, quality, inside, whole, config.offsets(clock))
    if not len(inside):
        return visual_windows(frames, quality, inside, span, config.offsets(clock))
    seen = Span(span.person, int(inside[0]), int(inside[-1]))
    return visual_windows(frames, quality, inside, seen, config.offsets(clock))


def _choose(windows: VisualWindows, config: WindowConfig) -> VisualWindows:
    """Windows of sufficient quality, each at least a step after the one before."""
    good = np.flatnonzero(windows.quality >= config.min_quality)
    centres = windows.centres[good]
    kept: list[int] = []
    position = 0
    while position < len(centres):
        kept.append(int(good[position]))
        position = int(np.searchsorted(centres, centres[position] + config.step))
    rows = np.array(kept, np.int64)
    return VisualWindows(windows.centres[rows], windows.slots[rows], windows.quality[rows])


@dataclass(frozen=True)
class AudioItem:
    """The sound of one labelled segment, samples [start, end) of the clip."""

    segment: Segment
    start_sample: int
    end_sample: int


def audio_items(
    segments: Sequence[Segment], n_samples: int, clock: Clock, semantics: Semantics
) -> list[AudioItem]:
    """Every labelled segment of sound, with or without faces, that lies within the clip."""
    items = []
    for segment in segments:
        start = frame_to_sample(segment.start_frame, clock, semantics)
        end = frame_to_sample(segment.last_frame, clock, semantics)
        long_enough = segment.last_frame - segment.start_frame > SHORTEST_AUDIO_FRAMES
        if segment.person != WEARER and long_enough and end < n_samples:
            items.append(AudioItem(segment, start, end))
    return items


def training_piece(n_samples: int, rng: random.Random) -> tuple[int, int]:
    """A random part of an item, samples [start, end): at most 30 s, mostly 3 s or more of it."""
    start, length = 0, n_samples
    if length > WINDOW_SAMPLES:
        start, length = rng.randint(0, length - WINDOW_SAMPLES), WINDOW_SAMPLES
    inner, inner_length = random_crop(length, rng)
    return start + inner, start + inner + inner_length


def random_crop(n_samples: int, rng: random.Random) -> tuple[int, int]:
    """Start and length of QuAVF's RandomCrop: 3 s to all of it; shorter sounds stay whole."""
    if n_samples <= SHORTEST_CROP_SAMPLES or rng.random() >= CROP_PROBABILITY:
        return 0, n_samples
    length = rng.randint(SHORTEST_CROP_SAMPLES, n_samples)
    return rng.randint(0, n_samples - length), length


def n_labelled_ticks(n_samples: int, semantics: Semantics) -> int:
    """The number of outputs, of 900, that a number of samples fills."""
    if semantics.float_sample_times:
        return min(int(n_samples / SAMPLE_RATE * TICKS_PER_SECOND), WINDOW_TICKS)
    return min(Clock().sample_to_frame(n_samples), WINDOW_TICKS)


def frame_to_sample(frame: int, clock: Clock, semantics: Semantics) -> int:
    """The sample at which a frame starts."""
    if semantics.float_sample_times:
        return int(frame / float(clock.fps) * clock.sample_rate)
    return clock.frame_to_sample(frame)


@dataclass(frozen=True)
class AudioWindow:
    """One 30 s window of a span's sound: of its outputs only ticks [use_from, end) are used.

    All in 1/30 s from the span's start; the window starts at `start` and holds up to 900 ticks.
    """

    start: int
    use_from: int
    end: int


def audio_windows(n_ticks: int) -> list[AudioWindow]:
    """Windows that cover `n_ticks` outputs: back to back, the last one moved back to fit."""
    full = n_ticks // WINDOW_TICKS
    windows = [
        AudioWindow(k * WINDOW_TICKS, k * WINDOW_TICKS, (k + 1) * WINDOW_TICKS) for k in range(full)
    ]
    if n_ticks % WINDOW_TICKS:
        start = max(0, n_ticks - WINDOW_TICKS)
        windows.append(AudioWindow(start, full * WINDOW_TICKS, n_ticks))
    return windows


def audio_read(window: AudioWindow, n_samples: int, semantics: Semantics) -> tuple[int, int]:
    """The samples [start, end) of a span's sound that a window reads; may be empty."""
    clock = Clock()
    start = frame_to_sample(window.start, clock, semantics)
    end = frame_to_sample(window.end, clock, semantics)
    if semantics.shift_short_reads:
        start -= max(0, end - n_samples)
    return max(0, min(start, n_samples)), min(end, n_samples)


def frames_to_ticks(frames: Ints, clock: Clock) -> Ints:
    """(N,) frames since a span's start as outputs of the audio branch, 30 a second."""
    rate = clock.fps / TICKS_PER_SECOND
    return np.asarray(frames * rate.denominator // rate.numerator)


def spans(segments: Sequence[Segment], frames_of: dict[int, Ints]) -> list[Span]:
    """The parts of a clip that are scored on their own, ordered by person and start.

    Labelled segments of people other than the wearer; in a clip without any label each person
    from the clip's start to the last face (a challenge segment is one such clip).
    """
    if segments:
        found = {Span(s.person, s.start_frame, s.last_frame) for s in segments if s.person > WEARER}
        return sorted(found, key=lambda s: (s.person, s.start_frame, s.last_frame))
    return [Span(p, 0, int(f[-1])) for p, f in sorted(frames_of.items()) if len(f)]
