"""Writing simulated media: H.264 and AAC video, WAV sound and JPEG face crops."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import CROP_SIZE, Array, Floats, Image

AAC_FRAME = 1024
JPEG_QUALITY = 95


def to_pcm(sound: Floats) -> Array:
    """Convert sound in [-1, 1] to 16-bit samples, clipping louder samples."""
    return np.clip(np.round(sound * 32767), -32768, 32767).astype(np.int16)


def write_video(
    path: Path, frames: Iterable[Image], sound: Floats, fps: Fraction, quality: tuple[int, int]
) -> None:
    """Write an MP4 of BGR frames and mono sound at SAMPLE_RATE; `quality`: CRF, AAC kbit/s."""
    samples = to_pcm(sound)
    with av.open(str(path), "w", format="mp4") as out:
        video = None
        audio = out.add_stream("aac", rate=SAMPLE_RATE)
        audio.bit_rate = quality[1] * 1000
        audio.layout = "mono"
        written = 0
        for number, frame in enumerate(frames):
            if video is None:
                video = out.add_stream("libx264", rate=fps)
                video.height, video.width = frame.shape[:2]
                video.pix_fmt = "yuv420p"
                video.options = {"preset": "ultrafast", "crf": str(quality[0]), "threads": "1"}
                video.codec_context.thread_count = 1
            planes = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = number
            picture.time_base = 1 / fps
            out.mux(video.encode(picture))
            until = (number + 1) * SAMPLE_RATE * fps.denominator // fps.numerator
            while written + AAC_FRAME <= min(until, len(samples)):
                out.mux(audio.encode(_make_audio_frame(samples, written, AAC_FRAME)))
                written += AAC_FRAME
        if written < len(samples):
            out.mux(audio.encode(_make_audio_frame(samples, written, len(samples) - written)))
        if video is not None:
            out.mux(video.encode(None))
        out.mux(audio.encode(None))


def _make_audio_frame(samples: Array, start: int, length: int) -> av.AudioFrame:
    part = samples[start : start + length].reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = start
    frame.time_base = Fraction(1, SAMPLE_RATE)
    return frame


def read_bgr_frames(path: Path) -> Iterator[Image]:
    """Decode the BGR frames of a video written by `write_video`."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            planes = frame.to_ndarray(format="yuv420p")
            yield np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), dtype=np.uint8)


def write_wav(path: Path, sound: Floats) -> None:
    """Write a mono 16-bit WAV file at SAMPLE_RATE."""
    samples = to_pcm(sound).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(samples.tobytes())


def write_face_crop(path: Path, frame: Image, box: Array) -> bool:
    """Write a face crop as the challenge stores it; return False if the box has no area."""
    height, width = frame.shape[:2]
    x1, y1 = max(int(box[0]), 0), max(int(box[1]), 0)
    x2, y2 = min(int(box[2]), width), min(int(box[3]), height)
    if x2 - x1 < 2 or y2 - y1 < 2:
        return False
    face = cv2.resize(frame[y1:y2, x1:x2], (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    return bool(cv2.imwrite(str(path), face, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]))
