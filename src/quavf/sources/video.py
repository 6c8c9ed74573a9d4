"""Read any raw video: upright frames with exact times, and the sound from the first frame on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from quavf.core.clock import TICKS_PER_SECOND, Clock
from quavf.core.errors import MediaError
from quavf.core.records import Image
from quavf.sources.media import (
    CUT_SHORT_S,
    LONGEST_HOLD_S,
    Picture,
    Samples,
    decode,
    open_container,
    read_sound_chunks,
)

TICK_CLOCK = Clock()  # ticks count from the first picture
GREY_SIDE = 320  # pixels: enough to measure camera motion to a pixel or two of 1080p
SILENT = 4  # of 32768: sound that never gets louder is silence


@dataclass(frozen=True)
class Frame:
    """A decoded picture as a player shows it, with its time."""

    number: int  # in the file, from 0
    time_s: float
    ticks: range  # that it is on screen, 1/30 s; may be empty at more than 30 pictures a second
    source: VideoFrame
    turns: int  # counterclockwise quarter turns that bring the stored picture upright

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        width, height = self.source.width, self.source.height
        return (height, width) if self.turns % 2 else (width, height)

    def bgr(self, region: tuple[int, int, int, int]) -> Image:
        """(h, w, 3) BGR pixels of a region (x1, y1, x2, y2) inside the shown picture."""
        stored = Picture(self.number, self.time_s, self.source)
        cut = stored.bgr(stored_region(region, self.size, self.turns))
        return np.ascontiguousarray(np.rot90(cut, self.turns))

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        """(h, w, 3) a region of the shown picture brought to `size` (width, height)."""
        stored = Picture(self.number, self.time_s, self.source)
        turned = size[::-1] if self.turns % 2 else size
        part = stored.rgb(stored_region(region, self.size, self.turns), (turned[0], turned[1]))
        return np.ascontiguousarray(np.rot90(part, self.turns))

    def sketch(self) -> Image:
        """(36, 64, 3) RGB samples of the picture as stored: enough to detect camera cuts."""
        small = self.source.reformat(width=64, height=36, format="rgb24", interpolation="POINT")
        return np.asarray(small.to_ndarray(), np.uint8)

    def grey(self) -> Image:
        """(h, w) brightness of the shown picture, 320 pixels along its longer side."""
        wide, high = self.source.width, self.source.height
        scale = GREY_SIDE / max(wide, high)
        width, height = max(round(wide * scale), 1), max(round(high * scale), 1)
        small = self.source.reformat(width, height, format="gray", interpolation="AREA")
        return np.ascontiguousarray(np.rot90(np.asarray(small.to_ndarray(), np.uint8), self.turns))


def stored_region(
    region: tuple[int, int, int, int], size: tuple[int, int], turns: int
) -> tuple[int, int, int, int]:
    """A region of the shown picture, of `size` (width, height), in the stored picture."""
    x1, y1, x2, y2 = region
    width, height = size
    for _ in range(turns % 4):  # undo one counterclockwise quarter turn: turn clockwise
        x1, y1, x2, y2 = height - y2, x1, height - y1, x2
        width, height = height, width
    return x1, y1, x2, y2


@dataclass
class VideoFile:
    """A video file that can be decoded; `open_video_file` opens one.

    `size` (width, height) as shown; `fps` nominal; `notes` count what was damaged, in the last pass
    over the pictures and in the last over the sound.
    """

    path: Path
    size: tuple[int, int]
    fps: Fraction
    turns: int
    start: Fraction  # time stamp of the first picture, s
    declared_s: float | None
    picture_notes: Counter[str] = field(default_factory=Counter)
    sound_notes: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> Counter[str]:
        return self.picture_notes + self.sound_notes

    def pictures(self) -> Iterator[Frame]:
        """Every picture in order, in one decoding pass.

        A picture is on screen from the tick nearest to its time until the next picture's, at most
        for a second. Damaged pictures are left out and counted.
        """
        self.picture_notes.clear()
        pending: tuple[int, Fraction, VideoFrame] | None = None
        for number, time, source in self._decode_timed():
            if pending is not None:
                if time - pending[1] > LONGEST_HOLD_S:
                    self.picture_notes["stretches of over a second without a new picture"] += 1
                yield self._frame(*pending, end=TICK_CLOCK.s_to_frame(time))
            pending = number, time, source
        if pending is not None:
            yield self._frame(*pending, end=TICK_CLOCK.s_to_frame(pending[1]) + 1)
        end_s = 0.0 if pending is None else float(pending[1])
        if self.declared_s is not None and end_s < self.declared_s - CUT_SHORT_S:
            self.picture_notes["pictures end before the declared duration"] += 1

    def _frame(self, number: int, time: Fraction, source: VideoFrame, end: int) -> Frame:
        first = TICK_CLOCK.s_to_frame(time)
        longest = int(LONGEST_HOLD_S * TICKS_PER_SECOND)
        ticks = range(first, min(end, first + longest))
        return Frame(number, float(time), ticks, source, self.turns)

    def _decode_timed(self) -> Iterator[tuple[int, Fraction, VideoFrame]]:
        container = open_container(self.path)
        with container:
            stream = _video_stream(self.path, container.streams.video)
            base = stream.time_base or Fraction(1, 90_000)
            number, previous = -1, Fraction(-1)
            for source in decode(container, stream, self.picture_notes):
                number += 1
                turned = (source.height, source.width) if self.turns % 2 else None
                if (turned or (source.width, source.height)) != self.size:
                    self.picture_notes["pictures of another size, left out"] += 1
                    continue
                if source.pts is None:
                    time = previous + 1 / self.fps if number else Fraction(0)
                else:
                    time = source.pts * base - self.start
                if time <= previous or time < 0:
                    self.picture_notes["pictures out of order, left out"] += 1
                    continue
                yield number, time, source
                previous = time

    def sound(self) -> Iterator[Samples]:
        """16-bit mono samples at 16 kHz from the first picture on, (N,) at a time."""
        self.sound_notes.clear()
        return read_sound_chunks(self.path, self.sound_notes)


def open_video_file(path: Path) -> VideoFile:
    """Open a video file. Raises MediaError that says what is wrong with it."""
    path = Path(path)
    container = open_container(path)
    notes: Counter[str] = Counter()
    with container:
        stream = _video_stream(path, container.streams.video)
        declared = None
        if stream.duration is not None and stream.time_base is not None:
            declared = float(stream.duration * stream.time_base)
        elif container.duration:
            declared = container.duration / av.time_base
        first = next(decode(container, stream, notes), None)
        if first is None:
            raise MediaError(
                f"{path}: not a single picture can be decoded; download or export it again"
            )
        rate = stream.average_rate or stream.base_rate or TICK_CLOCK.fps
        turns = round(first.rotation / 90) % 4
        size = (first.height, first.width) if turns % 2 else (first.width, first.height)
        start = first.pts * stream.time_base if first.pts is not None else Fraction(0)
    return VideoFile(path, size, Fraction(rate), turns, Fraction(start), declared)


def is_silent(samples: Samples) -> bool:
    """Whether samples (N,) are silent."""
    return not len(samples) or max(int(samples.max()), -int(samples.min())) <= SILENT


def _video_stream(path: Path, streams: tuple[VideoStream, ...]) -> VideoStream:
    """The first stream that is not the cover picture of a sound file."""
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise MediaError(f"{path}: no video in this file; is it sound only?")
