"""Small media files, generated: every picture tells its number, whatever the codec does to it."""

from __future__ import annotations

import wave
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from quavf.sources.media.file import open_video_file
from quavf.sources.media.sound import read_sound

SIZE = (128, 96)  # width, height, pixels
N_BITS = 8  # stripes across the upper third of a picture: its number, most significant first

Image = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.float32]


def numbered(number: int, size: tuple[int, int] = SIZE) -> Image:
    """RGB picture: its number in black and white stripes, below them a coloured slope."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    x, y = np.arange(width), np.arange(height)[:, None]
    picture[..., 0] = 40 + 170 * x // width
    picture[..., 1] = 200 - 150 * y // height
    picture[..., 2] = (x * 3 + y * 5 + number * 7) % 256
    bits = number >> np.arange(N_BITS)[::-1] & 1
    picture[: height // 3] = np.where(bits[x * N_BITS // width], 230, 20)[None, :, None]
    return picture


def number_of(picture: Image) -> int:
    """The number in a whole picture, RGB or BGR."""
    height, width = picture.shape[:2]
    stripe = picture[height // 12 : height // 4].mean(axis=(0, 2))
    centres = ((np.arange(N_BITS) + 0.5) * width / N_BITS).astype(int)
    return int(sum(1 << bit for bit, x in enumerate(centres[::-1]) if stripe[x] > 125))


def tone(seconds: float, rate: int, level: float = 0.5, hertz: float = 440.0) -> Sound:
    """(N,) float32 sine."""
    times = np.arange(round(seconds * rate)) / rate
    return np.asarray(level * np.sin(2 * np.pi * hertz * times), np.float32)


def write_video(
    path: Path,
    n_frames: int = 30,
    fps: Fraction | int = 30,
    *,
    size: tuple[int, int] = SIZE,
    times: Sequence[Fraction | float] | None = None,
    sound: Sound | None = None,
    sound_start_s: float = 0.0,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    sound_rate: int = 48_000,
    **tags: Any,
) -> Path:
    """A video of `numbered` pictures; `sound` (channels, N) float32 in [-1, 1].

    `times` (s) makes the frame rate vary; `tags` are set on the encoder (`colorspace` ...).
    A picture group is 10 frames long, the index is in front (so that a cut file opens).
    """
    options = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.gop_size, stream.thread_count = 10, 1
        if codec == "libx264":
            stream.options = {"crf": "12", "preset": "ultrafast"}
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        if sound is not None:
            heard: Any = container.add_stream(
                "aac" if path.suffix == ".mp4" else "pcm_s16le",
                rate=sound_rate,
                layout="mono" if len(sound) == 1 else "stereo",
            )
        for number in range(n_frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, size), format="rgb24")
            for name in ("colorspace", "color_range"):
                if name in tags:
                    setattr(frame, name, tags[name])
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _mux_sound(container, heard, sound, sound_rate, sound_start_s)
    return path


def _mux_sound(container: Any, stream: Any, sound: Sound, rate: int, start_s: float) -> None:
    layout = "mono" if len(sound) == 1 else "stereo"
    block = 1024
    for at in range(0, sound.shape[1], block):
        piece = np.ascontiguousarray(sound[:, at : at + block])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = at + round(start_s * rate)
        if stream.codec_context.format.name != "fltp":
            data = (np.clip(piece.T, -1, 1) * 32767).round().astype(np.int16).reshape(1, -1)
            pts = frame.pts
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), pts
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_wav(path: Path, sound: Sound, rate: int = 16_000) -> Path:
    """(channels, N) float32 in [-1, 1] as 16-bit PCM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(sound.T, -1, 1) * 32767).round().astype("<i2").tobytes())
    return path


def read_samples(path: Path) -> tuple[npt.NDArray[np.int16] | None, dict[str, int]]:
    """The sound of a file in step with its pictures, if it has any, and what was noted."""
    notes: Counter[str] = Counter()
    with av.open(str(path)) as container:
        is_sound = not container.streams.video
    if is_sound:
        return read_sound(path, notes), dict(notes)
    file = open_video_file(path)
    pieces = list(file.sound())
    return (np.concatenate(pieces) if pieces else None), dict(file.file_notes + file.sound_notes)


def cut_short(path: Path, share: float) -> Path:
    """Keep the first part of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damage(path: Path, start: float, end: float) -> Path:
    """Overwrite a part of a file's media data (its `mdat` box), given as shares of it."""
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat") + 4
    size = len(data) - first
    a, b = first + int(size * start), first + int(size * end)
    data[a:b] = np.random.default_rng(0).integers(0, 256, b - a, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def damage_sound(path: Path) -> Path:
    """Overwrite every third packet of a file's sound; its pictures stay whole."""
    with av.open(str(path)) as container:
        packets = [
            (p.pos, p.size)
            for p in container.demux(container.streams.audio[0])
            if p.pos is not None and p.size
        ]
    data, random = bytearray(path.read_bytes()), np.random.default_rng(0)
    for at, size in packets[::3]:
        data[at : at + size] = random.bytes(size)
    path.write_bytes(data)
    return path


def jpeg(level: int = 100, size: tuple[int, int] = (224, 224)) -> bytes:
    """A picture of two halves, one of them darker."""
    picture = np.full((size[1], size[0], 3), level, np.uint8)
    picture[:, : size[0] // 2] //= 2
    return cv2.imencode(".jpg", picture)[1].tobytes()
