"""Pictures as they come: put in order, chosen one a tick, left out evenly when time is short."""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from quavf.core.errors import MediaError
from quavf.core.records import Image
from quavf.cues.grid import RATE
from quavf.live.picture import Picture

REORDER_S = 0.03  # pictures that come so much out of order are put right
LEAD = 0.25  # of a tick: a picture belongs to a tick from so long before it
REMEMBERED = 64  # times of pictures, to tell doubles from late ones


def tick_of(time_s: float) -> int:
    """The tick whose picture a time belongs to."""
    return int(np.floor(time_s * RATE + LEAD + 1e-6))


@dataclass(order=True)
class Waiting:
    """A picture that waits until no earlier one can come."""

    time_s: float
    number: int = field(compare=False)
    picture: Picture | None = field(compare=False)  # None: another one of its tick comes first


@dataclass
class PictureQueue:
    """Puts pictures in order of time, and chooses the first one of each tick."""

    n_late: int = 0
    n_doubled: int = 0
    n_received: int = 0
    n_missing: int = 0
    end_s: float = -np.inf  # every picture up to here is through
    _waiting: list[Waiting] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _tick: int | None = None  # the last one with a picture

    def is_wanted(self, time_s: float) -> bool:
        """Whether a picture of this time would be chosen, as far as is known."""
        if time_s in self._recent or time_s <= self.end_s:
            return False
        tick = tick_of(time_s)
        return tick != self._tick and not any(
            tick_of(w.time_s) == tick for w in self._waiting if w.time_s < time_s
        )

    def put(self, picture: Picture | None, time_s: float) -> None:
        """Add a picture; what is already late, or there, is counted and left out.

        None is one whose pixels are not wanted.
        """
        number, self.n_received = self.n_received, self.n_received + 1
        if time_s in self._recent:
            self.n_doubled += 1
            return
        if time_s <= self.end_s:
            self.n_late += 1
            return
        is_first = picture is not None and self.is_wanted(time_s)
        self._recent.append(time_s)
        kept = keep(picture) if is_first and picture is not None else None
        bisect.insort(self._waiting, Waiting(time_s, number, kept))

    def take(self, is_end: bool = False) -> list[tuple[int, Waiting]]:
        """The chosen pictures that nothing can come before any more, by tick."""
        newest_s = self._waiting[-1].time_s if self._waiting else 0.0
        found = []
        while self._waiting and (is_end or self._waiting[0].time_s <= newest_s - REORDER_S):
            first = self._waiting.pop(0)
            self.end_s = first.time_s
            tick = tick_of(first.time_s)
            if first.picture is None or tick == self._tick:
                continue
            if self._tick is not None:
                self.n_missing += tick - self._tick - 1
            self._tick = tick
            found.append((tick, first))
        return found


def keep(picture: Picture) -> Picture:
    """A picture that does not change when its owner writes on it; checked."""
    if callable(picture):
        return picture
    return check(picture).copy()


def check(picture: Image) -> Image:
    """The picture. Raises MediaError if it is none."""
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise MediaError(
            f"video: {picture.dtype} of shape {picture.shape}; expected RGB, uint8 of shape "
            "(height, width, 3)"
        )
    return picture


LAG_S = 0.12  # behind the input, from which on pictures are left out if the machine is busy
LONGEST_LAG_S = 0.5  # from which on they are left out in any case
BUSY = 0.8  # share of the time between two looks that a look takes
LEAST_SHARE = 0.1  # of the looks that are always made
FASTER, SLOWER = 0.02, 0.85  # how the share of looks changes from one to the next
DRIFT = 2e-3  # seconds by second that the input's clock may run slow


@dataclass
class Pace:
    """Decides which looks to leave out, so that the session keeps up with its input."""

    clock: Callable[[], float] = time.monotonic
    n_dropped: int = 0
    share: float = 1.0  # of the looks that are made
    _offset_s: float = np.inf  # clock minus stamp of a picture that came without delay
    _stamp_s: float = 0.0
    _sum: float = 1.0
    _busy_s: float = 0.0  # that a look takes, smoothed

    def is_dropped(self, time_s: float) -> bool:
        """Whether to leave out the look at a picture that is taken up at this moment."""
        lag_s = self.lag(time_s)
        is_busy = self._busy_s * RATE > BUSY
        if lag_s > (LAG_S if is_busy else LONGEST_LAG_S):
            self.share = max(self.share * SLOWER, LEAST_SHARE)
        else:
            self.share = min(self.share + FASTER, 1.0)
        self._sum += self.share
        if self._sum >= 1.0 - 1e-9:
            self._sum -= 1.0
            return False
        self.n_dropped += 1
        return True

    def lag(self, time_s: float) -> float:
        """Seconds that the session is behind its input."""
        offset = self.clock() - time_s
        self._offset_s += DRIFT * max(time_s - self._stamp_s, 0.0)
        self._stamp_s = time_s
        self._offset_s = min(self._offset_s, offset)
        return offset - self._offset_s

    def note(self, took_s: float) -> None:
        """Learn how long a look took."""
        self._busy_s += 0.1 * (took_s - self._busy_s)
