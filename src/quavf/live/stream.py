"""Read a camera, a microphone or a network stream in threads, on one clock, and reconnect."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np

from quavf.core.errors import MediaError
from quavf.core.records import Array
from quavf.live.devices import Input, Source
from quavf.sources.media.pictures import Frame, Layout, read_layout

log = logging.getLogger(__name__)

MOST_WAITING = 30  # pictures and blocks of sound that wait for the session
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # before the next try to connect
STABLE_S = 10.0  # of input after which the waits begin anew
NO_PICTURE_S = 5.0  # after which a stream without a picture is worth a warning
NO_PICTURE = (
    "no picture can be shown yet; the stream has few key pictures, or its pictures are damaged"
)
JUMP_S = 2.0  # a stamp that is further from the time it came at is put right


@dataclass(frozen=True)
class Seen:
    """A picture, with its time since the start."""

    time_s: float
    frame: Frame


@dataclass(frozen=True)
class Heard:
    """Sound (N,) 16 bit, with the time at which it begins."""

    time_s: float
    samples: Array
    rate: int


@dataclass
class Stamps:
    """Brings the stamps of one input to the seconds since the start.

    Of an input that is a file, which comes faster than it plays, each is waited for instead.
    """

    start_s: float  # of the clock
    stop: threading.Event
    is_file: bool = False
    _shift_s: float | None = None  # from stamps to seconds since the start

    def place(self, stamp_s: float | None, length_s: float = 0.0) -> float:
        """The time of what has just come, of a length in seconds."""
        now_s = time.monotonic() - self.start_s - length_s
        if stamp_s is None:
            return now_s
        shift_s = now_s - stamp_s
        strays = self._shift_s is None or abs(shift_s - self._shift_s) > JUMP_S
        if self._shift_s is None or (strays and not self.is_file):
            self._shift_s = shift_s
        if self.is_file:
            self.stop.wait(max(stamp_s + self._shift_s - now_s, 0.0))
        return stamp_s + self._shift_s


@dataclass
class StreamFeed:
    """Pictures and sound of a source as they come; ends when `stop` is set, or the source does."""

    source: Source
    stop: threading.Event
    n_reconnected: int = 0
    start_s: float = field(default_factory=time.monotonic)
    _items: queue.Queue[Seen | Heard | MediaError | None] = field(
        default_factory=lambda: queue.Queue(MOST_WAITING)
    )
    _number: int = 0

    def __iter__(self) -> Iterator[Seen | Heard]:
        """In the order in which they come. Raises MediaError if an input cannot be opened."""
        containers = [given.open() for given in self.source.inputs]
        threads = [
            threading.Thread(target=self._read, args=pair, daemon=True, name="quavf-input")
            for pair in zip(self.source.inputs, containers, strict=True)
        ]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left and not self.stop.is_set():
                try:
                    item = self._items.get(timeout=0.1)
                except queue.Empty:
                    continue
                if isinstance(item, MediaError):
                    raise item
                if item is None:
                    left -= 1
                    continue
                yield item
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(timeout=2.0)

    def _read(self, given: Input, container: Any) -> None:
        """Read one input until the end, and connect again where it is a stream."""
        wait_s = FIRST_WAIT_S
        try:
            while True:
                began_s = time.monotonic()
                reason = self._read_once(given.name, container)
                if self.stop.is_set() or reason is None or not self.source.is_stream:
                    return
                if time.monotonic() - began_s > STABLE_S:
                    wait_s = FIRST_WAIT_S
                again = self._connect(given, reason, wait_s)
                if again is None:
                    return
                container, wait_s = again
        except Exception as error:  # whatever it is: the session must hear of it
            self._put(MediaError(f"{given.name}: {type(error).__name__}: {error}"))
        finally:
            self._put(None)

    def _connect(self, given: Input, reason: str, wait_s: float) -> tuple[Any, float] | None:
        """Try to open a stream that broke until it works; None: stopped."""
        while True:
            log.warning("%s: %s; trying again in %g s", given.name, reason, wait_s)
            if self.stop.wait(wait_s):
                return None
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            try:
                container = given.connect()
            except ConnectionError as error:
                reason = str(error)
                continue
            self.n_reconnected += 1
            return container, wait_s

    def _read_once(self, name: str, container: Any) -> str | None:
        """Read until the input ends or breaks: why, None for the end of what has one."""
        warn_at_s = time.monotonic() + NO_PICTURE_S if container.streams.video else math.inf
        stamps = Stamps(self.start_s, self.stop, bool(container.duration))
        layout: Layout | None = None
        mixer: av.AudioResampler | None = None
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        with container:
            try:
                for packet in container.demux(streams):
                    for frame in _decode(packet):
                        if self.stop.is_set():
                            return None
                        if isinstance(frame, av.VideoFrame):
                            layout = layout or read_layout(frame, None)
                            self._put(self._see(frame, layout, stamps))
                        else:
                            mixer = mixer or av.AudioResampler(format="s16", layout="mono")
                            for item in _hear(frame, mixer, stamps):
                                self._put(item)
                    if layout is None and time.monotonic() > warn_at_s:
                        log.warning("%s: %s", name, NO_PICTURE)
                        warn_at_s = math.inf
            except av.error.FFmpegError as error:
                return f"broken ({error.strerror})"
            return None if container.duration else "the stream ended"

    def _see(self, frame: av.VideoFrame, layout: Layout, stamps: Stamps) -> Seen:
        time_s = stamps.place(frame.time)
        self._number += 1
        exact = Fraction(time_s).limit_denominator(1_000_000)
        return Seen(time_s, Frame(self._number - 1, exact, range(0), frame, layout))

    def _put(self, item: Seen | Heard | MediaError | None) -> None:
        while not self.stop.is_set():
            try:
                self._items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return


def _decode(packet: Any) -> list[Any]:
    """The frames of a packet; none if it is damaged."""
    try:
        return list(packet.decode())
    except av.error.InvalidDataError:
        return []


def _hear(frame: av.AudioFrame, mixer: av.AudioResampler, stamps: Stamps) -> Iterator[Heard]:
    time_s = stamps.place(frame.time, frame.samples / frame.sample_rate)
    for piece in mixer.resample(frame):
        samples: Array = np.asarray(piece.to_ndarray().reshape(-1), np.int16)
        yield Heard(time_s, samples, piece.sample_rate)
        time_s += len(samples) / piece.sample_rate
