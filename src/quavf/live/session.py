"""A live session: pictures and sound in, events out."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from quavf.core.errors import MediaError
from quavf.core.records import Array, Image
from quavf.cues.grid import RATE
from quavf.cues.voice import VoiceDetector
from quavf.faces.config import SearchConfig, TrackConfig
from quavf.live.config import LiveConfig
from quavf.live.events import LiveCounts, LiveEvent, LivePerson
from quavf.live.judge import Judge, TickScores
from quavf.live.networks import LiveNetworks
from quavf.live.people import People, SeenFace
from quavf.live.picture import ArrayView, Picture
from quavf.live.pictures import Pace, PictureQueue, Waiting, check, tick_of
from quavf.live.record import Record, Recorded
from quavf.live.search import LiveSearch
from quavf.live.sound import LiveSound
from quavf.live.states import States
from quavf.results.config import MomentsConfig
from quavf.results.fusion import Fusion
from quavf.results.video import VideoResult
from quavf.utils.closing import Closing
from quavf.video.follow import MeshFollower

PATIENCE_S = 1.0  # of pictures for sound that does not come, and the other way round ...
FILE_PATIENCE_S = 10.0  # ... where nothing is in a hurry
REPORT_DROPS_S = 1.0  # between two reports of pictures left out
LONGEST_PAUSE_S = 3600.0  # every tick of a pause is gone through
SEARCH = SearchConfig(look_rate=RATE)
MOST_EVENTS = 10_000  # that wait to be read; the oldest go first


@dataclass(frozen=True)
class Look:
    """The faces of the picture of one tick."""

    tick: int
    faces: list[SeenFace]


class LiveSession(Closing):
    """Judges pictures and sound as they come; see `Pipeline.live`.

    Everything goes by the time stamps given, in seconds of one clock for both; where it starts
    does not matter. All methods may be called from any thread.
    """

    def __init__(
        self,
        networks: LiveNetworks,
        fusion: Fusion,
        moments: MomentsConfig,
        config: LiveConfig | None = None,
    ) -> None:
        self.config = config = config or LiveConfig()
        self._lock = threading.RLock()
        self._events: deque[LiveEvent] = deque(maxlen=MOST_EVENTS)
        self._people: tuple[LivePerson, ...] = ()
        self._is_closed = False
        follower = MeshFollower(networks.mesh, networks.gaze)
        self._search = LiveSearch(SEARCH, networks.detector, follower)
        self._who = People(TrackConfig(), SEARCH.look_rate)
        self._queue, self._pace = PictureQueue(), Pace()
        self._sound = LiveSound(VoiceDetector(networks.voice))
        self._patience_s = PATIENCE_S if config.real_time else FILE_PATIENCE_S
        self._looks: deque[Look] = deque()  # that wait for the sound of their ticks
        self._newest: list[SeenFace] = []
        self._judge = Judge(networks.predictor, fusion, round(config.look_ahead * RATE))
        self._states = States(moments)
        self._fusion, self._moments = fusion, moments
        self._record = Record() if config.record else None
        self._tick: int | None = None  # the last one that was taken
        self._newest_s = math.inf  # the latest time that came; infinity: none has
        self._n_looks = 0
        self._reported = 0, -math.inf  # drops that were reported, and when

    def wants(self, time_s: float) -> bool:
        """Whether a picture of this time that has come is worth giving to `video`.

        Saves decoding the others: those are noted as received here.
        """
        with self._lock:
            self._check(time_s)
            if self._queue.is_wanted(time_s):
                return True
            self._queue.put(None, time_s)
            self._look(self._queue.take())
            self._advance()
            return False

    def video(self, frame: Picture, time_s: float) -> None:
        """Take a picture (H, W, 3) RGB uint8, or a function that makes it.

        A function is called only if the picture is looked at, in this call or in that of one of
        the next pictures; what it returned must not change later. Returns when there is no more
        to do. Raises MediaError for what is no picture.
        """
        with self._lock:
            self._check(time_s)
            self._queue.put(frame, time_s)
            self._look(self._queue.take())
            self._advance()

    def audio(self, samples: Array, time_s: float, rate: int) -> None:
        """Take sound (N,) or (N, channels), float32 in [-1, 1] or int16, that begins at `time_s`.

        `rate` is in samples a second. Raises MediaError for what is no sound.
        """
        with self._lock:
            self._check(time_s)
            self._sound.take(samples, time_s, rate)
            self._advance()

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
        """What came in and what became of it; never waits."""
        queue, sound = self._queue, self._sound
        return LiveCounts(
            queue.n_received,
            self._n_looks,
            self._pace.n_dropped,
            queue.n_late,
            queue.n_doubled,
            queue.n_missing,
            sound.heard_s,
            sound.missing_s,
            sound.late_s,
        )

    def close(self) -> None:
        """Judge what has come, with what is left of the look-ahead, and end the session.

        Its last events can still be read.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                self._end()
            finally:
                self._search.close()

    def result(self, media: Recorded, models: dict[str, str]) -> VideoResult:
        """What a run of a file gives, of a closed session whose configuration says `record`."""
        assert self._record is not None, "the session was not recorded"
        self._record.still = self._states.still
        return self._record.result(media, self._fusion, self._moments, models, self.counts)

    def _check(self, time_s: float) -> None:
        if self._is_closed:
            raise MediaError("live: the session is closed; start another one")
        if not math.isfinite(time_s):
            raise MediaError(f"live: time {time_s} is no time; expected seconds")
        if time_s - self._newest_s > LONGEST_PAUSE_S:
            raise MediaError(
                f"live: time {time_s:g} s is more than {LONGEST_PAUSE_S:g} s after all that came "
                f"before ({self._newest_s:g} s); pictures and sound need one clock, and a session "
                "ends with a longer pause"
            )
        self._newest_s = max(self._newest_s, time_s) if math.isfinite(self._newest_s) else time_s

    def _look(self, chosen: Iterable[tuple[int, Waiting]]) -> None:
        for tick, waiting in chosen:
            if self.config.real_time and self._pace.is_dropped(waiting.time_s):
                self._report_drops(waiting.time_s)
                continue
            start_s = time.perf_counter()
            picture = waiting.picture
            assert picture is not None
            image: Image = check(picture()) if callable(picture) else picture
            view = ArrayView(image, waiting.time_s)
            faces = self._who.look(tick, waiting.number, view, self._search)
            self._n_looks += 1
            self._looks.append(Look(tick, faces))
            self._newest = [face for face in faces if face.tick == tick]
            self._people = self._states.people(self._newest)
            if self._record is not None:
                self._record.add_faces(faces, view)
            self._pace.note(time.perf_counter() - start_s)

    def _report_drops(self, time_s: float) -> None:
        """Report pictures that were left out, once in a while."""
        before, last_s = self._reported
        if time_s - last_s >= REPORT_DROPS_S:
            n = self._pace.n_dropped - before
            self._reported = self._pace.n_dropped, time_s
            detail = f"{n} pictures left out, because the machine is too slow"
            self._events.append(LiveEvent("dropped", time_s, detail=detail))

    def _advance(self) -> None:
        """Judge all ticks for which pictures and sound are there."""
        ready = self._ready()
        if ready is None:
            return
        if self._tick is None:
            self._tick = self._first() - 1
        for tick in range(self._tick + 1, ready + 1):
            self._take(tick)

    def _first(self) -> int:
        """The tick at which the input begins."""
        ticks = [self._looks[0].tick] if self._looks else []
        if self._sound.has_begun:
            ticks.append(self._sound.first_tick)
        return min(ticks)

    def _ready(self) -> int | None:
        """The last tick that is there in pictures and sound, or that is not waited for any more."""
        seen = -math.inf if self._queue.end_s == -math.inf else tick_of(self._queue.end_s)
        heard = self._sound.last_tick
        patience = self._patience_s * RATE
        ready = max(min(seen, heard), max(seen, heard) - patience)
        return None if ready == -math.inf else math.floor(ready)

    def _take(self, tick: int) -> None:
        self._tick = tick
        faces: list[SeenFace] = []
        while self._looks and self._looks[0].tick <= tick:
            faces += self._looks.popleft().faces
        scores = self._judge.take(tick, faces, self._sound.tick(tick))
        self._publish(tick - self._judge.look_ahead, scores)

    def _publish(self, tick: int, scores: list[TickScores]) -> None:
        if tick < self._judge.first_tick:
            return
        self._events.extend(self._states.take(tick, scores))
        self._people = self._states.people(self._newest)
        if self._record is not None:
            self._record.add_scores(tick, scores)

    def _end(self) -> None:
        self._look(self._queue.take(is_end=True))
        self._sound.finish()
        self._patience_s = 0.0
        self._advance()
        if self._tick is None:
            return
        for back in range(self._judge.look_ahead - 1, -1, -1):
            self._publish(self._tick - back, self._judge.judge(back))
        self._events.extend(self._states.end(self._tick / RATE))
        self._people = ()
