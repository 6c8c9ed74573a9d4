"""Pictures and sound of a media file, by PyAV; damage is survived and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from quavf.clock import MODEL_FPS, SAMPLE_RATE, Clock
from quavf.errors import MediaError
from quavf.records import Image

Samples = npt.NDArray[np.int16]

PLANAR_420 = ("yuv420p", "yuvj420p")  # 8 bit: a crop is cut from the planes before conversion
NEARLY_CONSTANT = Fraction(1, 100)  # average and nominal frame rate differ by less: gaps, not VFR
LONGEST_HOLD_S = 1  # a variable-rate picture stays on screen for at most so long
LONGEST_SOUND_GAP_S = 0.05  # a larger jump in the sound's time stamps is filled with silence
CUT_SHORT_S = 0.5  # a file whose pictures end so much before its duration was cut short


@dataclass(frozen=True)
class Picture:
    """One decoded picture and the frame number that it stands for."""

    frame: int
    time_s: float  # from the clip's start
    source: VideoFrame

    def bgr(self, region: tuple[int, int, int, int]) -> Image:
        """(h, w, 3) BGR pixels of a region (x1, y1, x2, y2), equal to cutting the whole picture."""
        x1, y1, x2, y2 = region
        if self.source.format.name not in PLANAR_420:
            return self._whole[y1:y2, x1:x2]
        left, top = x1 // 2 * 2, y1 // 2 * 2
        small = _cut_planes(self.source, left, top, -(-x2 // 2) * 2, -(-y2 // 2) * 2)
        pixels = small.to_ndarray(format="bgr24")
        return np.asarray(pixels[y1 - top : y2 - top, x1 - left : x2 - left], np.uint8)

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        """(h, w, 3) RGB pixels of a region brought to `size` (width, height) by averaging.

        Converted and shrunk in one step, at a third of the cost. The region may come out a pixel
        wider: it begins and ends at even pixels.
        """
        x1, y1, x2, y2 = region
        source = self.source
        if (x1, y1, x2, y2) != (0, 0, source.width, source.height):
            if source.format.name not in PLANAR_420:
                pixels = self.bgr(region)[..., ::-1]
                return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
            left, top = x1 // 2 * 2, y1 // 2 * 2
            right, bottom = min(-(-x2 // 2) * 2, source.width), min(-(-y2 // 2) * 2, source.height)
            source = _cut_planes(source, left, top, right // 2 * 2, bottom // 2 * 2)
        small = source.reformat(*size, format="rgb24", interpolation="AREA")
        return np.asarray(small.to_ndarray(), np.uint8)

    @cached_property
    def _whole(self) -> Image:
        return np.asarray(self.source.to_ndarray(format="bgr24"), np.uint8)


@dataclass
class Video:
    """An open video: `size` (width, height) in pixels, `clock`, and what went wrong so far."""

    path: Path
    container: InputContainer
    stream: VideoStream
    notes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        average, nominal = self.stream.average_rate, self.stream.base_rate
        rate = nominal or average or MODEL_FPS
        self.constant_rate = not average or not nominal or average == nominal
        if average and nominal and abs(average - nominal) > nominal * NEARLY_CONSTANT:
            rate = MODEL_FPS  # a variable rate has no frame numbers of its own
            self.notes["clips with a variable frame rate"] += 1
        self.clock = Clock(Fraction(rate))
        self.size = (int(self.stream.width), int(self.stream.height))
        self.stream.thread_type = "AUTO"

    @property
    def duration_s(self) -> float | None:
        """As the file declares it; None when it does not."""
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / av.time_base if self.container.duration else None

    def pictures(self, wanted: set[int]) -> Iterator[Picture]:
        """The pictures of the wanted frames, in order, in one decoding pass.

        A frame shows the picture that is on screen at its time. Frames that cannot be decoded are
        left out.
        """
        hold = 0 if self.constant_rate else int(LONGEST_HOLD_S * self.clock.fps)
        shown: Picture | None = None
        last_frame = max(wanted, default=-1)
        for picture in self._decoded():
            if shown is not None:
                if picture.frame == shown.frame:
                    continue
                yield from _held(shown, min(picture.frame - shown.frame - 1, hold), wanted)
                if shown.frame >= last_frame:
                    return
            shown = picture
        if shown is not None:
            yield from _held(shown, 0, wanted)
        self._note_early_end(shown)

    def _decoded(self) -> Iterator[Picture]:
        base: Fraction = self.stream.time_base or Fraction(1, 90_000)
        start = self.stream.start_time
        previous = -1
        for source in decode(self.container, self.stream, self.notes):
            assert isinstance(source, VideoFrame)
            if source.pts is None:
                time = (previous + 1) / self.clock.fps
            else:
                start = source.pts if start is None else start
                time = (source.pts - start) * base
            frame = self.clock.s_to_frame(time)
            if frame >= 0:
                yield Picture(frame, float(time), source)
                previous = frame

    def _note_early_end(self, shown: Picture | None) -> None:
        end_s = 0.0 if shown is None else shown.time_s
        if self.duration_s is not None and end_s < self.duration_s - CUT_SHORT_S:
            self.notes["clips whose pictures end before their declared duration"] += 1


def open_video(path: Path) -> Video:
    """Open a file's first video stream. Raises MediaError saying what is wrong with the file."""
    container = open_container(path)
    if not container.streams.video:
        container.close()
        raise MediaError(f"{path}: no video in this file; is it sound only?")
    return Video(path, container, container.streams.video[0])


def read_sound(path: Path, notes: Counter[str]) -> Samples | None:
    """(N,) 16-bit mono samples at 16 kHz from the clip's start; None when there is no sound.

    As `ffmpeg -ac 1 -ar 16000` makes them (to 1 LSB). Damaged packets and gaps become silence.
    Raises MediaError when the file cannot be opened.
    """
    container = open_container(path)
    with container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        pieces: list[Samples] = []
        resampler, expected_s = _resampler(), None
        for frame in decode(container, stream, notes):
            time_s = float(frame.pts * frame.time_base) if frame.pts is not None else None
            if time_s is not None and expected_s is not None:
                gap_s = time_s - expected_s
                if gap_s > LONGEST_SOUND_GAP_S:
                    pieces += [*_samples(resampler, None), np.zeros(round(gap_s * 16_000), "<i2")]
                    resampler = _resampler()
                    notes["gaps in the sound, filled with silence"] += 1
            start_s = time_s if time_s is not None else (expected_s or 0.0)
            expected_s = start_s + frame.samples / frame.sample_rate
            frame.pts = None
            pieces += _samples(resampler, frame)
        if not pieces:
            return None
        pieces += _samples(resampler, None)
    return np.concatenate(pieces).astype(np.int16, copy=False)


def decode(container: InputContainer, stream: Stream, notes: Counter[str]) -> Iterator[Any]:
    """Every frame of a stream that can be decoded; those that cannot are counted."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            notes["damaged packets"] += 1
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            notes["damaged packets"] += 1


def open_container(path: Path) -> InputContainer:
    """A media file ready to read. Raises MediaError when it is missing or no media."""
    if not Path(path).is_file():
        raise MediaError(f"{path}: no such file")
    try:
        return av.open(str(path), mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(
            f"{path}: not a readable media file ({reason}); download or export it again"
        ) from None


def _held(shown: Picture, n_more: int, wanted: set[int]) -> Iterator[Picture]:
    for frame in range(shown.frame, shown.frame + n_more + 1):
        if frame in wanted:
            yield Picture(frame, shown.time_s, shown.source)


def _cut_planes(source: VideoFrame, x1: int, y1: int, x2: int, y2: int) -> VideoFrame:
    """A small frame of the region's planes; even offsets keep luma and chroma together."""
    small = VideoFrame(x2 - x1, y2 - y1, source.format.name)
    for plane, cut in zip(source.planes, small.planes, strict=True):
        step = 1 if plane.width == source.width else 2
        pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        part = pixels[y1 // step : y2 // step, x1 // step : x2 // step]
        padded = np.zeros((cut.height, cut.line_size), np.uint8)
        padded[: part.shape[0], : part.shape[1]] = part
        cut.update(padded.tobytes())
    small.colorspace, small.color_range = source.colorspace, source.color_range
    return small


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[Samples]:
    return [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
