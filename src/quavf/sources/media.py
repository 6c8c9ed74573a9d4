"""Decode the pictures and sound of a media file with PyAV; damage is skipped and counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from quavf.core.clock import SAMPLE_RATE, Clock
from quavf.core.errors import MediaError
from quavf.core.records import Image

Samples = npt.NDArray[np.int16]

# 8 bit: a crop is cut from the planes before conversion. (Not at odd heights: there swscale blends
# chroma rows, and a crop would not equal the whole picture.)
PLANAR_420 = ("yuv420p", "yuvj420p")
NEARLY_CONSTANT = Fraction(1, 100)  # average and nominal frame rate differ by less: gaps, not VFR
# PyAV 17 and later convert in as many threads as there are cores unless told not to; on a busy
# machine waiting for them takes longer than to convert a crop.
ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
MAX_ENGINES = 32  # converters kept, each with some memory
LONGEST_HOLD_S = 1  # a variable-rate picture stays on screen for at most so long
LONGEST_SOUND_GAP_S = 0.05  # sound that is later than its time stamps by more gets silence
DAMAGED_SOUND_GAP_S = 600  # a larger jump is no gap but a damaged time stamp
CUT_SHORT_S = 0.5  # a file whose pictures end so much before its duration was cut short


class _Converter(threading.local):
    """Converts frames to BGR. Each thread keeps one converter per size: setting one up takes 1 ms,
    the conversion 0.1 ms."""

    def __init__(self) -> None:
        self._engines: dict[tuple[int, int], VideoReformatter] = {}

    def bgr(self, source: VideoFrame) -> Image:
        size = (source.width, source.height)
        if size not in self._engines and len(self._engines) >= MAX_ENGINES:
            self._engines.clear()
        engine = self._engines.setdefault(size, VideoReformatter())
        return np.asarray(
            engine.reformat(source, format="bgr24", **ONE_THREAD).to_ndarray(), np.uint8
        )


@dataclass(frozen=True)
class Picture:
    """One decoded picture and the frame number that it stands for."""

    frame: int
    time_s: float  # from the clip's start
    source: VideoFrame
    converter: _Converter = field(default_factory=_Converter, repr=False)

    def bgr(self, region: tuple[int, int, int, int]) -> Image:
        """(h, w, 3) BGR pixels of a region (x1, y1, x2, y2), equal to cutting the whole picture."""
        x1, y1, x2, y2 = region
        if self.source.format.name not in PLANAR_420 or self.source.height % 2:
            return self._whole[y1:y2, x1:x2]
        left, top = x1 // 2 * 2, y1 // 2 * 2
        right, bottom = left + _round_up(x2 - left), top + _round_up(y2 - top)
        pixels = self.converter.bgr(_cut_planes(self.source, left, top, right, bottom))
        return pixels[y1 - top : y2 - top, x1 - left : x2 - left]

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
        return self.converter.bgr(self.source)


@dataclass
class Video:
    """An open video: `size` (width, height) in pixels, `clock`, and `notes` that count faults."""

    path: Path
    container: InputContainer
    stream: VideoStream
    notes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        average, nominal = self.stream.average_rate, self.stream.base_rate
        rate = nominal or average or Clock().fps
        self.constant_rate = not average or not nominal or average == nominal
        if average and nominal and abs(average - nominal) > nominal * NEARLY_CONSTANT:
            rate = Clock().fps  # a variable rate has no frame numbers of its own
            self.notes["clips with a variable frame rate"] += 1
        self.clock = Clock(Fraction(rate))
        self.size = (int(self.stream.width), int(self.stream.height))
        self.stream.thread_type = "AUTO"
        self._converter = _Converter()

    @property
    def duration_s(self) -> float | None:
        """As the file declares it; None when it does not."""
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / av.time_base if self.container.duration else None

    def pictures(self, frames: set[int]) -> Iterator[Picture]:
        """The pictures of some frames, in order, in one decoding pass.

        A frame shows the picture that is on screen at its time. Frames that cannot be decoded are
        left out.
        """
        hold = 0 if self.constant_rate else int(LONGEST_HOLD_S * self.clock.fps)
        shown: Picture | None = None
        last_frame = max(frames, default=-1)
        for picture in self._decode():
            if shown is not None:
                if picture.frame <= shown.frame:  # faster than the clock, or damaged time stamps
                    continue
                yield from _repeat(shown, min(picture.frame - shown.frame - 1, hold), frames)
                if shown.frame >= last_frame:
                    return
            shown = picture
        if shown is not None:
            yield from _repeat(shown, 0, frames)
        self._note_early_end(shown)

    def _decode(self) -> Iterator[Picture]:
        base: Fraction = self.stream.time_base or Fraction(1, 90_000)
        start = self.stream.start_time
        previous = -1
        for source in decode(self.container, self.stream, self.notes):
            assert isinstance(source, VideoFrame)
            if (source.width, source.height) != self.size:
                self.notes["pictures of another size than the video's"] += 1
                continue
            if source.pts is None:
                time = (previous + 1) / self.clock.fps
            else:
                start = source.pts if start is None else start
                time = (source.pts - start) * base
            frame = self.clock.s_to_frame(time)
            if frame >= 0:
                yield Picture(frame, float(time), source, self._converter)
                previous = frame

    def _note_early_end(self, shown: Picture | None) -> None:
        end_s = 0.0 if shown is None else shown.time_s
        if self.duration_s is not None and end_s < self.duration_s - CUT_SHORT_S:
            self.notes["clips whose pictures end before their declared duration"] += 1


def open_video(path: Path) -> Video:
    """Open a file's first video stream. Raises MediaError saying what is wrong with the file."""
    container = open_container(path)
    fault = None
    if not container.streams.video:
        fault = "no video in this file; is it sound only, or cut short?"
    elif not _decodable(container.streams.video[0]):
        fault = "its video is damaged or of an unknown kind; download it again, or convert it"
    if fault is not None:
        container.close()
        raise MediaError(f"{path}: {fault}")
    return Video(path, container, container.streams.video[0])


def read_sound(path: Path, notes: Counter[str]) -> Samples | None:
    """(N,) samples of the whole sound, see `read_sound_chunks`; None when there is none."""
    pieces = list(read_sound_chunks(path, notes))
    return np.concatenate(pieces) if pieces else None


def read_sound_chunks(path: Path, notes: Counter[str]) -> Iterator[Samples]:
    """16-bit mono samples at 16 kHz from the clip's start, (N,) at a time; none without sound.

    As `ffmpeg -ac 1 -ar 16000` makes them (to 1 LSB), but kept in step with the pictures: damaged
    packets, gaps and a late start become silence; sound before the pictures is cut. Raises
    MediaError when the file cannot be opened.
    """
    container = open_container(path)
    with container:
        if not container.streams.audio:
            return
        if not _decodable(container.streams.audio[0]):
            notes["clips whose sound is damaged or of an unknown kind"] += 1
            return
        stream, start_s = container.streams.audio[0], _video_start_s(container)
        resampler, read_s, lead_in = _Resampler(), 0.0, _LeadIn()
        for frame in decode(container, stream, notes):
            if frame.pts is not None:
                time_s = float(frame.pts * frame.time_base)
                start_s = time_s if start_s is None else start_s
                gap_s = time_s - start_s - read_s
                if LONGEST_SOUND_GAP_S < gap_s <= DAMAGED_SOUND_GAP_S:
                    silence = np.zeros(round(gap_s * SAMPLE_RATE), np.int16)
                    yield from lead_in.trim([*resampler.flush(), silence])
                    read_s += gap_s
                    notes["gaps in the sound, filled with silence"] += 1
                elif not lead_in.is_over and -DAMAGED_SOUND_GAP_S <= gap_s < -LONGEST_SOUND_GAP_S:
                    lead_in.n_samples = round(-gap_s * SAMPLE_RATE)
                    read_s += gap_s
                    notes["clips whose sound starts before their pictures, cut"] += 1
            read_s += frame.samples / frame.sample_rate
            yield from lead_in.trim(resampler.samples(frame))
        yield from lead_in.trim(resampler.flush())


@dataclass
class _LeadIn:
    """Samples at the start of a sound that come before the first picture."""

    n_samples: int = 0  # still to be removed
    is_over: bool = False  # some sound has passed

    def trim(self, pieces: list[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            self.is_over = True
            n_cut = min(self.n_samples, len(piece))
            self.n_samples -= n_cut
            yield piece[n_cut:].astype(np.int16, copy=False)


def decode(container: InputContainer, stream: Stream, notes: Counter[str]) -> Iterator[Any]:
    """Decode every frame of a stream; damaged packets are counted."""
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
    """Open a media file. Raises MediaError if it is missing or not a media file."""
    if Path(path).is_dir():
        raise MediaError(f"{path}: a folder, not a media file; name the files in it")
    if not Path(path).is_file():
        raise MediaError(f"{path}: no such file")
    try:
        return av.open(str(path), mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(
            f"{path}: not a readable media file ({reason}); download or export it again"
        ) from None


def _decodable(stream: Any) -> bool:
    """Whether there is a decoder: PyAV gives streams of an unknown kind no codec context."""
    return getattr(stream, "codec_context", None) is not None


def _repeat(shown: Picture, n_more: int, frames: set[int]) -> Iterator[Picture]:
    for frame in range(shown.frame, shown.frame + n_more + 1):
        if frame in frames:
            yield replace(shown, frame=frame)


def _round_up(n_pixels: int) -> int:
    """To a multiple of 64, so that boxes of many sizes share a few conversions."""
    return -(-n_pixels // 64) * 64


def _cut_planes(source: VideoFrame, x1: int, y1: int, x2: int, y2: int) -> VideoFrame:
    """A small frame of the region's planes; even offsets keep luma and chroma together.

    Where the region reaches beyond the picture, it is filled with zeros.
    """
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


def _video_start_s(container: InputContainer) -> float | None:
    """When frame 0 is shown, on the container's time scale; None without pictures."""
    for stream in container.streams.video[:1]:
        if stream.start_time is not None and stream.time_base is not None:
            return float(stream.start_time * stream.time_base)
    return None


class _Resampler:
    """Brings sound to 16-bit mono at 16 kHz, also where a damaged stream changes its layout."""

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._engine: av.AudioResampler | None = None

    def samples(self, frame: av.AudioFrame) -> list[Samples]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        pieces = self.flush() if kind != self._kind else []
        if self._engine is None:
            self._engine = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        self._kind = kind
        frame.pts = None
        return pieces + [piece.to_ndarray()[0] for piece in self._engine.resample(frame)]

    def flush(self) -> list[Samples]:
        """Return the samples still buffered and reset."""
        engine, self._engine = self._engine, None
        return [piece.to_ndarray()[0] for piece in engine.resample(None)] if engine else []
