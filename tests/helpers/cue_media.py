"""Small videos in which a square and a beep begin together, and what a reader makes of them.

Each picture shows a face (a block of its colour); a white square appears above the face's left half
at `CUE_S`, when the beep begins. So times, proportions and orientation can all be asserted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from quavf.core.records import Image
from quavf.sources.config import MediaOptions
from quavf.sources.media.file import VideoFile, open_video_file
from tests.helpers.face_videos import FACE

SIZE = (96, 72)  # width, height as shown, pixels
CUE_S = 0.8
SECONDS = 1.6
BEEP_HZ = 1500.0
BASE = Fraction(1, 90_000)
Sound = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cue:
    """How to encode one file.

    `times` are those of the pictures; `start_s` is added to all time stamps, `sound_s` to those of
    the sound.
    """

    video: str = "libx264"
    sound: str | None = "aac"
    size: tuple[int, int] = SIZE  # as shown
    stored: tuple[int, int] | None = None  # in the file, if that is another size
    fps: Fraction = Fraction(30)
    times: tuple[float, ...] | None = None
    seconds: float = SECONDS
    pix_fmt: str = "yuv420p"
    rate: int = 48_000
    channels: int = 1
    gop: int = 10
    format: str | None = None
    start_s: float = 0.0
    sound_s: float = 0.0
    options: dict[str, str] = field(default_factory=dict)
    mux: dict[str, str] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)  # set on the encoder of the pictures
    change: Callable[[Image], Image] | None = None  # of each picture, before it is stored

    @property
    def picture_times(self) -> tuple[float, ...]:
        if self.times is not None:
            return self.times
        return tuple(float(k / self.fps) for k in range(round(self.seconds * float(self.fps))))

    def picture(self, time_s: float) -> Image:
        """The picture of a time as it is stored."""
        shown = draw(time_s, self.size)
        return shown if self.change is None else np.ascontiguousarray(self.change(shown))


def draw(time_s: float, size: tuple[int, int] = SIZE) -> Image:
    """(h, w, 3) RGB picture of a time."""
    width, height = size
    picture = np.full((height, width, 3), (70, 100, 80), np.uint8)
    picture[:, :, 1] += (np.arange(width) % 40).astype(np.uint8)
    side = height // 3
    left, top = (width - side) // 2, height // 2
    picture[top : top + side, left : left + side] = FACE
    if time_s >= CUE_S - 1e-6:
        picture[top - side // 2 : top - 2, left : left + side // 2] = 255
    return picture


def beep(seconds: float, rate: int, channels: int = 1) -> Sound:
    """(channels, N) silence, and from `CUE_S` on a tone."""
    times = np.arange(round(seconds * rate)) / rate
    tone = 0.5 * np.sin(2 * np.pi * BEEP_HZ * times) * (times >= CUE_S)
    return np.stack([tone.astype(np.float32)] * channels)


def write_cue(path: Path, sounds: Iterable[Sound] | None = None, **how: Any) -> Path:
    """Encode one file as `Cue(**how)` says; `sounds` are further tracks' samples instead."""
    cue = Cue(**how)
    tracks = [beep(cue.seconds, cue.rate, cue.channels)] if sounds is None else list(sounds)
    with av.open(str(path), "w", format=cue.format, options=cue.mux) as out:
        video = _add_video(out, cue)
        heard = [_add_sound(out, cue, s) for s in tracks if cue.sound]
        packets = list(_encode_pictures(video, cue))
        for stream, samples in zip(heard, tracks, strict=False):
            packets += _encode_sound(stream, samples, cue)
        for packet in sorted(packets, key=_decoding_time):
            out.mux(packet)
    return path


def _decoding_time(packet: Any) -> float:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return float(stamp * packet.time_base) if stamp is not None else 0.0


def _add_video(out: Any, cue: Cue) -> Any:
    video = out.add_stream(cue.video, rate=cue.fps, options=dict(cue.options))
    video.width, video.height = cue.stored or cue.picture(0.0).shape[1::-1]
    video.pix_fmt, video.gop_size = cue.pix_fmt, cue.gop
    video.thread_count = 1
    if cue.times is not None or cue.start_s:
        video.time_base = video.codec_context.time_base = BASE
    for name, value in cue.tags.items():
        setattr(video.codec_context, name, value)
    return video


def _encode_pictures(video: Any, cue: Cue) -> Iterator[Any]:
    for number, time_s in enumerate(cue.picture_times):
        frame = av.VideoFrame.from_ndarray(cue.picture(time_s), format="rgb24")
        if cue.stored:
            frame = frame.reformat(*cue.stored, format="rgb24", interpolation="AREA")
        if cue.times is not None or cue.start_s:
            frame.pts, frame.time_base = round((time_s + cue.start_s) / BASE), BASE
        else:
            frame.pts, frame.time_base = number, 1 / cue.fps
        yield from video.encode(frame)
    yield from video.encode(None)


def _add_sound(out: Any, cue: Cue, samples: Sound) -> Any:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    stream = out.add_stream(cue.sound, rate=cue.rate, layout=layout)
    if cue.sound == "wmav2":
        stream.bit_rate = 64_000
    return stream


def _encode_sound(stream: Any, samples: Sound, cue: Cue) -> list[Any]:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(samples)]
    packets: list[Any] = []
    for first in range(0, samples.shape[1], 1024):
        piece = np.ascontiguousarray(samples[:, first : first + 1024])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = cue.rate, Fraction(1, cue.rate)
        frame.pts = first + round((cue.start_s + cue.sound_s) * cue.rate)
        packets += stream.encode(frame)
    return packets + list(stream.encode(None))


@dataclass(frozen=True)
class Seen:
    """What the reader finds in a file."""

    size: tuple[int, int]
    n_pictures: int
    duration_s: float  # to the last picture
    square_s: float | None
    beep_s: float | None
    face: tuple[int, int] | None  # width and height of the face in the first picture
    notes: dict[str, int]


def look(path: Path, options: MediaOptions | None = None) -> Seen:
    """Read a file as `prepare` and `run` do."""
    return look_at(open_video_file(path, options))


def look_at(file: VideoFile) -> Seen:
    n, last_s, square_s, face = 0, 0.0, None, None
    for frame in file.pictures():
        picture = frame.bgr((0, 0, *frame.size))[..., ::-1].astype(int)
        assert picture.shape[1::-1] == file.size
        box = find_face(picture)
        if box is not None:
            face = face or (box[2] - box[0], box[3] - box[1])
            if square_s is None and has_square(picture, box):
                square_s = frame.time_s
        n, last_s = n + 1, frame.time_s
    return Seen(file.size, n, last_s, square_s, find_beep(file), face, dict(file.notes))


def find_face(picture: Any) -> tuple[int, int, int, int] | None:
    """xyxy of the face's colour in an RGB picture."""
    near = np.abs(picture - FACE).max(axis=2) < 90
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def has_square(picture: Any, box: tuple[int, int, int, int]) -> bool:
    """Whether the square is above the left half of the face, upright."""
    x1, y1, x2, y2 = box
    middle_x, high = (x1 + x2) // 2, max((y2 - y1) // 2, 4)
    above = picture[max(y1 - high + 2, 0) : y1 - 4, x1 + 2 : middle_x - 2]
    return bool(above.size and above.mean() > 200)


def find_beep(file: VideoFile) -> float | None:
    pieces = list(file.sound())
    return start_of_beep(np.concatenate(pieces)) if pieces else None


def start_of_beep(samples: Any, rate: int = 16_000) -> float | None:
    """When the tone begins, to 5 ms; None if it is not heard."""
    width = rate // 200
    n = len(samples) // width
    parts = samples[: n * width].reshape(n, width) / 32_768
    carrier = np.exp(-2j * np.pi * BEEP_HZ * np.arange(width) / rate)
    level = np.abs((parts * carrier).mean(axis=1))
    loud = np.flatnonzero(level > 0.02)
    return float(loud[0] * width / rate) if len(loud) else None


def remux(path: Path, target: Path, change: Any = None, **how: Any) -> Path:
    """Copy packets into another file; `change(packet, k, stream index)` may alter or drop them.

    It returns the packet, or None.
    """
    with av.open(str(path)) as source, av.open(str(target), "w", **how) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        counts = dict.fromkeys(streams, 0)
        for packet in source.demux():
            if packet.dts is None and packet.pts is None:
                continue
            index = packet.stream_index
            counts[index] += 1
            changed = packet if change is None else change(packet, counts[index] - 1, index)
            if changed is not None:
                changed.stream = streams[index]
                out.mux(changed)
    return target
