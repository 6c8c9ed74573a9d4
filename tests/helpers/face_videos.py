"""Videos made for tests: coloured blocks stand for faces, and a detector that finds them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from quavf.core.records import Image
from quavf.faces.config import DetectorOptions
from quavf.faces.detect import Detections, detector_names, register_detector

Box = tuple[int, int, int, int]
FACE = (250, 40, 200)  # RGB of a block that is a face
BLOCKS = "blocks"  # the detector's name


class Blocks:
    """Finds blocks of the face's colour, at any size of the picture."""

    name = BLOCKS

    def __init__(self, options: DetectorOptions) -> None:
        self.settings: dict[str, Any] = {}

    def detect(self, image: Image) -> Detections:
        near = np.abs(image.astype(int) - FACE).max(axis=2) < 70
        n, _, stats, _ = cv2.connectedComponentsWithStats(near.astype(np.uint8))
        boxes = [(x, y, x + w, y + h) for x, y, w, h, area in stats[1:n] if area >= 12]
        return Detections(np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), 0.9))


if BLOCKS not in detector_names():
    register_detector(BLOCKS, Blocks)


def still(*boxes: Box) -> Callable[[float], Sequence[Box]]:
    """Faces that do not move."""
    return lambda time_s: boxes


ONE = still((40, 40, 90, 100))


def write_video(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: Fraction | int = 30,
    size: tuple[int, int] = (320, 180),
    faces: Callable[[float], Sequence[Box]] = ONE,
    times: Sequence[float] | None = None,
    sound: str | None = "tone",
    sound_start_s: float = 0.0,
    background: Callable[[float], tuple[int, int, int]] = lambda time_s: (60, 90, 60),
) -> Path:
    """An H.264 file; `times` (s) instead of `fps` make a variable rate; sound "tone", "silence" or
    None."""
    if times is None:
        times = [float(k / Fraction(fps)) for k in range(max(round(seconds * Fraction(fps)), 1))]
    base = Fraction(1, 90_000)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=Fraction(fps), options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt, video.time_base = *size, "yuv420p", base
        video.codec_context.time_base = base
        audio = output.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for time_s in times:
            picture = np.full((size[1], size[0], 3), background(time_s), np.uint8)
            for x1, y1, x2, y2 in faces(time_s):
                picture[max(y1, 0) : y2, max(x1, 0) : x2] = FACE
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time_s / base), base
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if audio is not None:
            n = int(seconds * 48_000)
            wave = np.sin(np.arange(n) / 48_000 * 2 * np.pi * 440) * (sound == "tone") * 0.3
            for first in range(0, n, 1024):
                piece = wave[None, first : first + 1024].astype(np.float32)
                samples = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                samples.sample_rate, samples.time_base = 48_000, Fraction(1, 48_000)
                samples.pts = first + round(sound_start_s * 48_000)
                output.mux(audio.encode(samples))
            output.mux(audio.encode())
    return path


def turn(path: Path, degrees: int) -> Path:
    """Mark an MP4 as to be shown turned clockwise, in its track's display matrix."""
    one = 1 << 16
    a, b = {90: (0, one), 180: (-one, 0), 270: (0, -one)}[degrees]
    matrix = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd")  # of the first track, the video; version 0
    assert content[header + 4] == 0
    place = header + 4 + 4 + 20 + 16
    assert content[place : place + 4] == struct.pack(">i", one)
    content[place : place + 36] = matrix
    path.write_bytes(content)
    return path
