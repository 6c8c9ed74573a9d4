"""Feed a session with a file: as fast as it can judge, or at the file's own pace."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import Array, Image
from quavf.live.record import Recorded
from quavf.live.session import LiveSession
from quavf.sources.media.file import VideoFile
from quavf.sources.media.pictures import Frame

BLOCK_S = 0.04  # of sound


@dataclass
class FileFeed:
    """Feeds one file; `media` tells what was fed."""

    file: VideoFile
    times: array[float] = field(default_factory=lambda: array("d"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    has_sound: bool = False

    @property
    def media(self) -> Recorded:
        return Recorded(
            self.file.path,
            np.array(self.times),
            np.array(self.numbers, np.int64),
            self.file.fps,
            self.file.size,
            self.has_sound,
        )

    def run(
        self,
        session: LiveSession,
        stop: threading.Event | None = None,
        at_own_pace: bool = False,
        after: Callable[[float], object] = lambda time_s: None,
    ) -> None:
        """Feed the whole file, or until `stop` is set; `after` is called after each picture."""
        sound = self._sound()
        block = next(sound, None)
        stop = stop or threading.Event()
        start_s: float | None = None
        for frame in self.file.pictures():
            start_s = time.monotonic() - frame.time_s if start_s is None else start_s
            while block is not None and block[0] + BLOCK_S <= frame.time_s:
                self.has_sound = True
                if at_own_pace:  # a block is there when it has ended
                    stop.wait(max(start_s + block[0] + BLOCK_S - time.monotonic(), 0.0))
                session.audio(block[1], block[0], SAMPLE_RATE)
                block = next(sound, None)
            if at_own_pace:
                stop.wait(max(start_s + frame.time_s - time.monotonic(), 0.0))
            if stop.is_set():
                return
            self.times.append(frame.time_s)
            self.numbers.append(frame.number)
            session.video(_Whole(frame), frame.time_s)
            after(frame.time_s)
        while block is not None and not stop.is_set():
            session.audio(block[1], block[0], SAMPLE_RATE)
            block = next(sound, None)

    def _sound(self) -> Iterator[tuple[float, Array]]:
        """Blocks of 16-bit samples, with the times at which they begin."""
        n, first = round(BLOCK_S * SAMPLE_RATE), 0
        waiting: Array = np.empty(0, np.int16)
        for piece in self.file.sound():
            waiting = np.concatenate([waiting, piece])
            while len(waiting) >= n:
                yield first / SAMPLE_RATE, waiting[:n]
                waiting, first = waiting[n:], first + n
        if len(waiting):
            yield first / SAMPLE_RATE, waiting


@dataclass(frozen=True)
class _Whole:
    """Makes the RGB picture of a frame when it is called."""

    frame: Frame

    def __call__(self) -> Image:
        return self.frame.rgb((0, 0, *self.frame.size), self.frame.size)
