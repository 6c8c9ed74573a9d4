"""A live session: pictures and sound in, events out."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from quavf.core.records import Array, Image
from quavf.live.config import LiveConfig
from quavf.live.events import LiveCounts, LiveEvent, LivePerson
from quavf.results.config import MomentsConfig
from quavf.results.fusion import Fusion

if TYPE_CHECKING:
    from quavf.inference.cues import CuesPredictor


class LiveSession:
    """Judges pictures and sound as they come; see `Pipeline.live`.

    Everything goes by the time stamps given, in seconds of one clock for both; where it starts
    does not matter. All methods may be called from any thread.
    """

    def __init__(
        self,
        predictor: CuesPredictor,
        fusion: Fusion,
        moments: MomentsConfig,
        config: LiveConfig | None = None,
    ) -> None:
        self.config = config or LiveConfig()
        self._predictor, self._fusion, self._moments = predictor, fusion, moments
        self._events: deque[LiveEvent] = deque()
        self._people: tuple[LivePerson, ...] = ()
        self._counts = LiveCounts()

    def wants(self, time_s: float) -> bool:
        """Whether a picture of this time would be looked at: saves converting the others."""
        return True

    def video(self, frame: Image, time_s: float) -> None:
        """Take a picture (H, W, 3) RGB uint8. Returns when it is done with."""
        self._counts = replace(self._counts, received=self._counts.received + 1)

    def audio(self, samples: Array, time_s: float, rate: int) -> None:
        """Take sound (N,) or (N, channels), float32 in [-1, 1] or int16, that begins at `time_s`.

        `rate` is in samples a second.
        """

    def events(self) -> list[LiveEvent]:
        """The events since the last call, in order; never waits."""
        found = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def people(self) -> tuple[LivePerson, ...]:
        """The people in view, by number; never waits."""
        return self._people

    @property
    def counts(self) -> LiveCounts:
        """What came in and what became of it."""
        return self._counts

    def close(self) -> None:
        """Judge what has come, with what is left of the look-ahead, and end the session.

        Its last events can still be read.
        """

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
