"""Videos with a result drawn on them: H.264 and AAC in an MP4 that browsers play.

One pass, a few pictures in memory: a thread decodes and shrinks them ahead, another one draws and
encodes. Every picture keeps its time, so any frame rate survives, and the sound is copied as it is
where an MP4 can hold it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from quavf.core.errors import MediaError
from quavf.report.canvas import Canvas
from quavf.report.overlay import Overlay
from quavf.results.video import VideoResult
from quavf.sources.config import MediaOptions
from quavf.sources.media.container import open_container, read_packets
from quavf.sources.media.file import VideoFile, open_video_file
from quavf.sources.media.pictures import Frame, Layout
from quavf.sources.media.pixels import resize_frame
from quavf.sources.media.sound import SoundFormat, SoundTrack
from quavf.utils.files import replace_file
from quavf.utils.threads import read_ahead

LONGEST_SIDE = 1920  # pixels; larger pictures are made smaller, as phones do not play them well
LONGEST_DRAWN = 1280  # pixels, of pictures that are drawn upon: they take three fifths of the time
ENCODER = "libx264"
# Half the time of superfast, twice the bytes. A constant quantizer takes three quarters of the time
# of a constant rate factor (23), which looks ahead; seven real clips came out at 0.3 to 1.2 times
# the size, and about as good.
SETTINGS = {"preset": "ultrafast", "qp": "24"}
AHEAD = 6  # pictures that are decoded before they are drawn upon
COPIED_SOUND = ("aac", "mp3")  # what an MP4 can hold and every browser plays
ENCODED_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz, of sound encoded again
OTHER_RATE = 48_000  # Hz, for sound of any other rate
BROWSER_PICTURES = ("yuv420p", "yuvj420p")
TIME_BASE = Fraction(1, 90_000)
NO_SOUND = "The annotated.mp4 has no sound: it could not be encoded."

Draw = Callable[[Canvas, float], None]
Report = Callable[[float], None]


def write_annotated_video(
    result: VideoResult,
    path: Path,
    progress: Report | None = None,
    options: MediaOptions | None = None,
    notes: list[str] | None = None,
) -> Path:
    """Draw a result on its video and write it as `path`, atomically; return the path.

    `progress` is called with the time reached, in seconds of video; `options` are those that the
    video was read with; `notes` takes what is missing. Pictures that cannot be decoded are left
    out. Raises MediaError when the video cannot be read.
    """
    overlay: Overlay | None = None

    def draw(canvas: Canvas, time_s: float) -> None:
        nonlocal overlay
        overlay = overlay or Overlay(result, (canvas.y.shape[1], canvas.y.shape[0]))
        overlay.draw(canvas, time_s)

    missing = _rewrite(open_video_file(result.video, options), path, draw, progress)
    if notes is not None:
        notes += missing
    return Path(path)


def convert_video(source: Path, path: Path, options: MediaOptions | None = None) -> Path:
    """Write a copy of a video that browsers play; otherwise as `write_annotated_video`."""
    _rewrite(open_video_file(source, options), path, None, None)
    return Path(path)


def plays_in_browsers(path: Path) -> bool:
    """Whether every browser plays this file as it was read. Raises MediaError if it cannot be."""
    file = open_video_file(path)
    with open_container(path) as container:
        codec: Any = container.streams[file.stream].codec_context
        sounds = [getattr(s, "codec_context", None) for s in container.streams.audio]
        return (
            "mp4" in container.format.name.split(",")
            and codec.name == "h264"
            and codec.pix_fmt in BROWSER_PICTURES
            and file.timeline.is_plain
            and len(sounds) <= 1
            and all(s is not None and s.codec.canonical_name in COPIED_SOUND for s in sounds)
        )


def read_start_offset_s(path: Path) -> float:
    """Time of the first picture in a player that counts from the start of the file, s."""
    file = open_video_file(path)
    with open_container(path) as container:
        return max(0.0, float(file.start) - (container.start_time or 0) / av.time_base)


class _Sound(Protocol):
    """One sound stream of the output, written up to a time."""

    def write(self, until_s: float | None) -> None:
        """Write what is heard until then; None: all the rest."""


MakeSound = Callable[[OutputContainer], _Sound]


def _rewrite(file: VideoFile, path: Path, draw: Draw | None, progress: Report | None) -> list[str]:
    """Write a file's pictures and sound as an MP4; return what is missing in it."""
    error: Exception | None = None
    ways = _sound_ways(file)
    for make_sound in ways:
        try:
            with (
                replace_file(Path(path)) as temporary,
                av.open(
                    f"file:{temporary}", "w", format="mp4", options={"movflags": "+faststart"}
                ) as output,
            ):
                _Rewriter(file, output, draw, progress, make_sound).run()
            return [NO_SOUND] if make_sound is None and len(ways) > 1 else []
        except (av.error.FFmpegError, ValueError) as fault:
            error = fault
    raise MediaError(f"{file.path}: cannot be written as {path} ({error})") from error


def _sound_ways(file: VideoFile) -> list[MakeSound | None]:
    """How to write the sound: copied, else encoded again, else left out."""
    track = file.track
    if track is None:
        return [None]

    def copy(output: OutputContainer) -> _Sound:
        return _CopiedSound(file, track, output)

    def encode(output: OutputContainer) -> _Sound:
        return _EncodedSound(file, track, output)

    copied = track.codec in COPIED_SOUND and track.rate in ENCODED_RATES and file.timeline.is_plain
    return [copy, encode, None] if copied else [encode, None]


class _Rewriter:
    """Writes the pictures of a file, drawn upon, and its sound beside them."""

    def __init__(
        self,
        file: VideoFile,
        output: OutputContainer,
        draw: Draw | None,
        progress: Report | None,
        make_sound: MakeSound | None,
    ) -> None:
        self.file, self.output, self.draw, self.progress = file, output, draw, progress
        self.make_sound = make_sound
        self.last = -1  # pts written last
        self.video: VideoStream | None = None
        self.sound: _Sound | None = None

    def run(self) -> None:
        with closing(read_ahead(self._read(), AHEAD)) as pictures:
            for picture in pictures:
                self._write(*picture)
        assert self.video is not None, "a file that opens has a picture"
        self.output.mux(self.video.encode(None))
        if self.sound is not None:
            self.sound.write(None)

    def _read(self) -> Iterator[tuple[VideoFrame, Fraction]]:
        """The pictures as they are drawn upon, with their times."""
        longest = LONGEST_SIDE if self.draw is None else LONGEST_DRAWN
        for frame in self.file.pictures(is_preview=self.draw is not None):
            yield _turn_upright(frame, longest), frame.time

    def _write(self, shown: VideoFrame, time: Fraction) -> None:
        """Draw, encode and write one picture, and the sound until then."""
        pts, time_s = round(time / TIME_BASE), float(time)
        if pts <= self.last:
            return
        if self.draw is not None:
            self.draw(_canvas_on(shown), time_s)
        if self.video is None:
            self.video = self._open(shown)
            self.sound = self.make_sound(self.output) if self.make_sound else None
        shown.pts, shown.time_base, self.last = pts, TIME_BASE, pts
        self.output.mux(self.video.encode(shown))
        if self.sound is not None:
            self.sound.write(time_s)
        if self.progress is not None:
            self.progress(time_s)

    def _open(self, shown: VideoFrame) -> VideoStream:
        try:
            stream: Any = self.output.add_stream(ENCODER, rate=self.file.fps, options=SETTINGS)
        except (av.codec.codec.UnknownCodecError, ValueError):
            raise MediaError(f"PyAV has no {ENCODER} encoder; install av from PyPI") from None
        stream.height, stream.width = shown.height, shown.width
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.colorspace = shown.colorspace
        if self.draw is not None:
            stream.codec_context.thread_count = 1  # the other core decodes
        video: VideoStream = stream
        return video


class _CopiedSound:
    """Packets of the sound as they are; those before the first picture are dropped."""

    def __init__(self, file: VideoFile, track: SoundTrack, output: OutputContainer) -> None:
        self.output = output
        self.container = open_container(file.path)
        source: Any = self.container.streams[track.stream]
        self.stream = output.add_stream_from_template(source)
        self.shift = round(file.start / source.time_base)
        self.packets = self._read(source)
        self.next = next(self.packets, None)

    def _read(self, source: Any) -> Iterator[Any]:
        with closing(self.container):
            for packet in read_packets(self.container, source, Counter()):
                if packet.pts is None or packet.dts is None or packet.is_corrupt:
                    continue
                packet.pts, packet.dts = packet.pts - self.shift, packet.dts - self.shift
                if packet.pts >= 0:
                    yield packet

    def write(self, until_s: float | None) -> None:
        while self.next is not None:
            if until_s is not None and self.next.pts * self.next.time_base > until_s:
                return
            self.next.stream = self.stream
            self.output.mux(self.next)
            self.next = next(self.packets, None)


class _EncodedSound:
    """The sound decoded, put in step with the pictures, and encoded as AAC."""

    def __init__(self, file: VideoFile, track: SoundTrack, output: OutputContainer) -> None:
        rate = track.rate if track.rate in ENCODED_RATES else OTHER_RATE
        self.form = SoundFormat(rate, min(track.channels, 2) or 1)
        self.output = output
        self.stream = output.add_stream("aac", rate=rate, layout=self.form.layout)
        self.pieces = file.sound_as(self.form)
        self.n_written = 0
        self.is_over = False

    def write(self, until_s: float | None) -> None:
        while not self.is_over and (until_s is None or self.n_written < until_s * self.form.rate):
            piece = next(self.pieces, None)
            if piece is None:
                self.is_over = True
                self.output.mux(self.stream.encode(None))
            elif piece.shape[1]:
                self._encode(piece)

    def _encode(self, piece: Any) -> None:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece), format="s16p", layout=self.form.layout
        )
        frame.sample_rate, frame.time_base = self.form.rate, Fraction(1, self.form.rate)
        frame.pts = self.n_written
        self.n_written += piece.shape[1]
        self.output.mux(self.stream.encode(frame))


def _turn_upright(frame: Frame, longest: int) -> VideoFrame:
    """The picture as a player shows it, to be drawn upon: turned, even, no side over `longest`."""
    stored = frame.picture
    scale = min(1.0, longest / max(stored.width, stored.height))
    width, height = (max(2, int(v * scale) // 2 * 2) for v in (stored.width, stored.height))
    even = resize_frame(stored, (width, height), "yuv420p")
    even.colorspace = stored.colorspace
    layout: Layout = frame.layout
    if even is not stored and not layout.turns and not layout.mirrored:
        return even
    source = _canvas_on(even)
    planes = [layout.upright(plane) for plane in (source.y, source.u, source.v)]
    shown = VideoFrame(planes[0].shape[1], planes[0].shape[0], "yuv420p")
    target = _canvas_on(shown)
    for plane, upright in zip((target.y, target.u, target.v), planes, strict=True):
        plane[:] = upright
    shown.colorspace = stored.colorspace
    return shown


def _canvas_on(frame: VideoFrame) -> Canvas:
    """The planes of a yuv420p frame; drawing on them changes the frame."""
    views = []
    for plane in frame.planes:
        pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        views.append(pixels[: plane.height, : plane.width])
    return Canvas(*views)
