"""A live session without networks: importing it is cheap, as processes of sessions do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quavf.core.records import Array, Image
from quavf.live.events import LiveCounts, LiveEvent, LivePerson

LOUD = 500  # mean of the absolute samples, of 32,768


class FakeSession:
    """Sees one face in the middle of each picture, which talks to the wearer while it is loud.

    Args:
        delay_s: Seconds that a picture takes.
        fails_at_s: Time stamp at which the process dies.
    """

    def __init__(self, delay_s: float, fails_at_s: float) -> None:
        self._delay_s, self._fails_at_s = delay_s, fails_at_s
        self._events: list[LiveEvent] = []
        self._people: tuple[LivePerson, ...] = ()
        self._is_loud = False
        self.counts = LiveCounts()

    def wants(self, time_s: float) -> bool:
        return True

    def video(self, frame: Image, time_s: float) -> None:
        if time_s >= self._fails_at_s:
            raise SystemExit(1)
        time.sleep(self._delay_s)
        received = self.counts.received + 1
        self.counts = replace(self.counts, received=received, looked_at=received)
        height, width = frame.shape[:2]
        box = (width * 0.4, height * 0.3, width * 0.6, height * 0.7)
        score = 0.9 if self._is_loud else 0.1
        if not self._people:
            self._events.append(LiveEvent("seen", time_s, 1, box=box))
        was_loud = bool(self._people) and self._people[0].is_addressing
        if self._is_loud != was_loud:
            kind = "addressed" if self._is_loud else "released"
            self._events.append(LiveEvent(kind, time_s, 1, talking=score))
        flags = (self._is_loud, self._is_loud, True)
        self._people = (LivePerson(1, box, time_s, score, score, 0.8, *flags),)

    def audio(self, samples: Array, time_s: float, rate: int) -> None:
        self._is_loud = bool(np.abs(samples.astype(np.int32)).mean() > LOUD)
        self.counts = replace(self.counts, heard=self.counts.heard + len(samples) / rate)

    def events(self) -> list[LiveEvent]:
        found, self._events = self._events, []
        return found

    def people(self) -> tuple[LivePerson, ...]:
        return self._people

    def close(self) -> None:
        """Nothing is left to judge."""

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def load(delay_s: float = 0.0, fails_at_s: float = float("inf")) -> Callable[[float], FakeSession]:
    """What a process of the server loads: something that opens fake sessions."""
    return lambda look_ahead: FakeSession(delay_s, fails_at_s)
