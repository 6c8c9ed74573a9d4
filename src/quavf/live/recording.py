"""Write what a camera or a stream showed as a video file, for the report of a live session."""

from __future__ import annotations

from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from quavf.core.records import Array
from quavf.live.record import Recorded
from quavf.sources.media.pictures import Frame
from quavf.utils.closing import Closing

BASE = Fraction(1, 90_000)
RATE = 30  # nominal, pictures a second
SOUND_RATE = 48_000
OPTIONS = {"preset": "ultrafast", "crf": "26", "tune": "zerolatency"}


class MediaWriter(Closing):
    """Writes pictures and sound as they come; times count from the first picture."""

    def __init__(self, path: Path, with_sound: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._out = av.open(str(path), "w")
        self._with_sound = with_sound
        self._video: Any = None
        self._sound: Any = None
        self._mixer: av.AudioResampler | None = None
        self._mixed_rate = 0  # that the mixer takes
        self._size = (0, 0)
        self._start_s = 0.0
        self._n_samples = 0
        self._last_pts = -1
        self._times = array("d")
        self._numbers = array("q")

    @property
    def start_s(self) -> float:
        """Time of the first picture."""
        return self._start_s

    def add_picture(self, frame: Frame, time_s: float) -> None:
        """Add the next picture; one that is not later than the last is left out.

        A picture of another size than the first, as a stream may bring that was connected again,
        is scaled to it.
        """
        if self._video is None:
            self._begin(frame, time_s)
        pts = round((time_s - self._start_s) / BASE)
        if pts <= self._last_pts:
            return
        self._last_pts = pts
        whole = frame.size if _make_even(frame.size) != self._size else self._size
        pixels = np.ascontiguousarray(frame.rgb((0, 0, *whole), self._size))
        picture: Any = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        picture.pts, picture.time_base = pts, BASE
        self._out.mux(self._video.encode(picture))
        self._numbers.append(len(self._times))
        self._times.append(time_s - self._start_s)

    def add_sound(self, samples: Array, time_s: float, rate: int) -> None:
        """Add 16-bit mono samples; a gap before them is filled with silence."""
        if self._sound is None:
            return
        missing = round((time_s - self._start_s) * SOUND_RATE) - self._n_samples
        if missing < -SOUND_RATE // 10:
            return
        if missing > SOUND_RATE // 10:
            self._encode(np.zeros((1, missing), np.float32))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "s16", "mono")
        frame.sample_rate = rate
        if rate != self._mixed_rate:
            self._flush()
            self._mixer = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)
            self._mixed_rate = rate
        assert self._mixer is not None
        for piece in self._mixer.resample(frame):
            self._encode(piece.to_ndarray())

    def media(self) -> Recorded:
        """What was written."""
        numbers = np.array(self._numbers, np.int64)
        times = np.array(self._times)
        has_sound = self._n_samples > 0
        return Recorded(self.path, times, numbers, Fraction(RATE), self._size, has_sound)

    def close(self) -> None:
        self._flush()
        for stream in (self._video, self._sound):
            if stream is not None:
                self._out.mux(stream.encode(None))
        self._out.close()

    def _begin(self, frame: Frame, time_s: float) -> None:
        self._start_s = time_s
        self._size = _make_even(frame.size)
        self._video = self._out.add_stream("libx264", rate=RATE, options=dict(OPTIONS))
        self._video.width, self._video.height = self._size
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = BASE
        if self._with_sound:
            self._sound = self._out.add_stream("aac", rate=SOUND_RATE, layout="mono")

    def _flush(self) -> None:
        """Write the sound that the mixer holds back."""
        if self._mixer is not None:
            for piece in self._mixer.resample(None):
                self._encode(piece.to_ndarray())
            self._mixer = None

    def _encode(self, samples: Array) -> None:
        for first in range(0, samples.shape[1], 1024):
            part = np.ascontiguousarray(samples[:, first : first + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            frame.pts = self._n_samples
            self._n_samples += part.shape[1]
            self._out.mux(self._sound.encode(frame))


def _make_even(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2 * 2, size[1] // 2 * 2
