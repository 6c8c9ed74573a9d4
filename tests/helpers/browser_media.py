"""Files that Chromium takes for its fake camera and microphone."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np

RATE = 48_000


def write_camera(video: Path, out: Path, width: int = 640) -> Path:
    """A video's pictures as Y4M, in their own rate."""
    with av.open(str(video)) as container, out.open("wb") as file:
        stream = container.streams.video[0]
        height = round(width * stream.height / stream.width / 2) * 2
        rate = stream.average_rate
        assert rate is not None
        size, pace = f"W{width} H{height}", f"F{rate.numerator}:{rate.denominator}"
        file.write(f"YUV4MPEG2 {size} {pace} Ip A1:1 C420\n".encode())
        for frame in container.decode(stream):
            planes = frame.reformat(width, height, "yuv420p").to_ndarray()
            file.write(b"FRAME\n" + planes.tobytes())
    return out


def write_microphone(video: Path, out: Path) -> Path:
    """A video's sound as WAV, mono."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(video)) as container:
        blocks = [
            block.to_ndarray().ravel()
            for frame in [*container.decode(audio=0), None]
            for block in resampler.resample(frame)
        ]
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(blocks).astype("<i2").tobytes())
    return out
