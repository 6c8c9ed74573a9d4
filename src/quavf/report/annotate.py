"""Videos with a result drawn on them: H.264 and AAC in an MP4 that browsers play.

One pass, a few pictures in memory. Every picture keeps its time, so any frame rate survives, and
the sound is copied as it is where an MP4 can hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from quavf.core.errors import MediaError
from quavf.core.records import Image
from quavf.report.canvas import Canvas
from quavf.report.overlay import Overlay
from quavf.results.video import VideoResult
from quavf.sources.media.container import open_container
from quavf.utils.files import replace_file

LONGEST_SIDE = 1920  # pixels; larger pictures are made smaller, as phones do not play them well
ENCODER = "libx264"
SETTINGS = {"preset": "ultrafast", "crf": "23"}  # half the time of superfast, twice the bytes
COPIED_SOUND = ("aac", "mp3")  # what an MP4 can hold and every browser plays
BROWSER_PICTURES = ("yuv420p", "yuvj420p")
FALLBACK_TIME_BASE = Fraction(1, 90_000)

Draw = Callable[[Canvas, float], None]
Report = Callable[[float], None]


def write_annotated_video(result: VideoResult, path: Path, progress: Report | None = None) -> Path:
    """Draw a result on its video and write it as `path`, atomically; return the path.

    `progress` is called with the time reached, in seconds of video. Pictures that cannot be decoded
    are left out. Raises MediaError when the video cannot be read.
    """
    overlay: Overlay | None = None

    def draw(canvas: Canvas, time_s: float) -> None:
        nonlocal overlay
        overlay = overlay or Overlay(result, (canvas.y.shape[1], canvas.y.shape[0]))
        overlay.draw(canvas, time_s)

    return _rewrite(result.video, path, draw, progress)


def convert_video(source: Path, path: Path, progress: Report | None = None) -> Path:
    """Write a copy of a video that browsers play; otherwise as `write_annotated_video`."""
    return _rewrite(source, path, None, progress)


def plays_in_browsers(path: Path) -> bool:
    """Whether every browser plays this file as it is. Raises MediaError when it is unreadable."""
    with open_container(path) as container:
        codec = _pictures(container, path).codec_context
        sounds = [s.codec_context.codec.canonical_name for s in container.streams.audio]
        return (
            "mp4" in container.format.name.split(",")
            and codec.name == "h264"
            and codec.pix_fmt in BROWSER_PICTURES
            and all(name in COPIED_SOUND for name in sounds)
        )


def read_start_offset_s(path: Path) -> float:
    """Time of the first picture in a player that counts from the start of the file, s."""
    with open_container(path) as container:
        stream = _pictures(container, path)
        if stream.start_time is None or stream.time_base is None:
            return 0.0
        first_s = float(stream.start_time * stream.time_base)
        return max(0.0, first_s - (container.start_time or 0) / av.time_base)


def _pictures(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not the cover of a sound file."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    raise MediaError(f"{path}: no video in this file; is it sound only?")


def _rewrite(source: Path, path: Path, draw: Draw | None, progress: Report | None) -> Path:
    with open_container(source) as container:
        pictures = _pictures(container, source)
        with replace_file(Path(path)) as temporary:
            try:
                options = {"movflags": "+faststart"}
                with av.open(str(temporary), "w", format="mp4", options=options) as output:
                    _Rewriter(container, pictures, output, draw, progress).run()
            except av.error.FFmpegError as error:
                raise MediaError(f"{source}: cannot be written as {path} ({error})") from error
    return Path(path)


class _Rewriter:
    """Copies a file packet by packet, and draws on its pictures."""

    def __init__(
        self,
        source: InputContainer,
        pictures: VideoStream,
        output: OutputContainer,
        draw: Draw | None,
        progress: Report | None,
    ) -> None:
        self.source, self.pictures, self.output = source, pictures, output
        self.draw, self.progress = draw, progress
        self.time_base = pictures.time_base or FALLBACK_TIME_BASE
        self.period = max(1, round(1 / (_rate(pictures) * self.time_base)))
        self.start: int | None = None  # pts of the first picture
        self.last = -1  # pts written last
        self.video_out: VideoStream | None = None
        self.sound = next(iter(source.streams.audio), None)
        self.sound_out: _SoundOut | None = None
        self.waiting: list[Packet[Any]] = []  # sound that came before the first picture

    def run(self) -> None:
        streams = [s for s in (self.pictures, self.sound) if s is not None]
        for packet in _read_packets(self.source, streams):
            if packet.stream.type == "audio":
                self._take_sound(packet)
            else:
                for frame in _decode(packet):
                    self._take_picture(frame)
        if self.video_out is None:
            raise MediaError(f"{self.source.name}: no picture in this file can be decoded")
        self.output.mux(self.video_out.encode(None))
        if self.sound_out is not None:
            self.sound_out.finish()

    def _take_picture(self, frame: VideoFrame) -> None:
        """Draw, encode and write one picture; one without a time follows the one before."""
        if self.start is None:
            self.start = frame.pts or 0
        pts = self.last + self.period if frame.pts is None else frame.pts - self.start
        if pts <= self.last:
            return
        planes = _turn_upright(frame)
        if self.draw is not None:
            self.draw(Canvas.of(planes), float(pts * self.time_base))
        if self.video_out is None:
            self._open_output(planes, frame)
        assert self.video_out is not None
        shown = VideoFrame.from_ndarray(planes, format="yuv420p")
        shown.pts, shown.time_base, self.last = pts, self.time_base, pts
        self.output.mux(self.video_out.encode(shown))
        if self.progress is not None:
            self.progress(float(pts * self.time_base))

    def _open_output(self, planes: Image, frame: VideoFrame) -> None:
        try:
            stream: Any = self.output.add_stream(
                ENCODER, rate=_rate(self.pictures), options=SETTINGS
            )
        except (av.codec.codec.UnknownCodecError, ValueError):
            raise MediaError(f"PyAV has no {ENCODER} encoder; install av from PyPI") from None
        stream.height, stream.width = planes.shape[0] * 2 // 3, planes.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = self.time_base
        stream.codec_context.colorspace = frame.colorspace
        self.video_out = stream
        self.sound_out = _SoundOut(self.sound, self.output) if self.sound else None
        for packet in self.waiting:
            self._take_sound(packet)
        self.waiting.clear()

    def _take_sound(self, packet: Packet[Any]) -> None:
        """Keep sound in step with the pictures; drop what precedes the first picture."""
        if self.start is None or self.video_out is None:
            self.waiting.append(packet)
        elif self.sound_out is not None:
            self.sound_out.take(packet, self.start * self.time_base)


class _SoundOut:
    """One sound stream of the output: packets copied, or decoded and encoded as AAC."""

    def __init__(self, source: AudioStream, output: OutputContainer) -> None:
        self.output = output
        self.is_copied = source.codec_context.codec.canonical_name in COPIED_SOUND
        if self.is_copied:
            self.stream = output.add_stream_from_template(source)
        else:
            self.stream = output.add_stream("aac", rate=source.codec_context.sample_rate or 48_000)

    def take(self, packet: Packet[Any], start: Fraction) -> None:
        """Write what a packet holds, `start` seconds earlier."""
        if self.is_copied:
            self._copy(packet, start)
            return
        for frame in _decode(packet):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(start / frame.time_base)
                if frame.pts < 0:
                    continue
            self.output.mux(self.stream.encode(frame))

    def _copy(self, packet: Packet[Any], start: Fraction) -> None:
        if packet.pts is None or packet.dts is None or packet.is_corrupt:
            return
        shift = round(start / packet.time_base)
        if packet.pts - shift < 0:
            return
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self.stream
        self.output.mux(packet)

    def finish(self) -> None:
        if not self.is_copied:
            self.output.mux(self.stream.encode(None))


def _turn_upright(frame: VideoFrame) -> Image:
    """(H * 3/2, W) I420 planes as a player shows them: turned, even, at most `LONGEST_SIDE`."""
    shrink = min(1.0, LONGEST_SIDE / max(frame.width, frame.height))
    width, height = (max(2, int(v * shrink) // 2 * 2) for v in (frame.width, frame.height))
    even = frame.reformat(width=width, height=height, format="yuv420p", interpolation="AREA")
    planes = np.ascontiguousarray(even.to_ndarray(), np.uint8)
    turns = round(frame.rotation / 90) % 4
    if not turns:
        return planes
    canvas = Canvas.of(planes)
    turned = [np.rot90(plane, turns) for plane in (canvas.y, canvas.u, canvas.v)]
    flat = np.concatenate([plane.reshape(-1) for plane in turned])
    return flat.reshape(-1, turned[0].shape[1])


def _rate(stream: VideoStream) -> Fraction:
    return Fraction(stream.average_rate or stream.base_rate or 30)


def _read_packets(container: InputContainer, streams: list[Any]) -> Iterator[Packet[Any]]:
    """Read packets until the end, or until damage that stops the reading."""
    packets = container.demux(streams)
    while True:
        try:
            yield next(packets)
        except (StopIteration, av.error.FFmpegError):
            return


def _decode(packet: Packet[Any]) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.FFmpegError:
        return []
