"""Judge a camera, a stream or a file as it plays; events as they happen."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from quavf.live.config import LiveConfig
from quavf.live.devices import SILENT, Source, find_source
from quavf.live.events import LiveEvent
from quavf.live.feed import FileFeed
from quavf.live.record import Recorded
from quavf.live.recording import MediaWriter
from quavf.live.session import LiveSession
from quavf.live.stream import Seen, StreamFeed
from quavf.results.video import VideoResult
from quavf.sources.media.file import open_video_file
from quavf.utils.memory import release_memory
from quavf.workflows.config import LiveOptions, RunConfig
from quavf.workflows.run import Pipeline
from quavf.workflows.show_result import write_reports

RECORDING = "live.mp4"
STATUS_S = 0.5  # between two status lines
RELEASE_S = 60.0  # between two returns of freed memory


def run_live(
    source: str,
    config: RunConfig,
    options: LiveOptions,
    on_event: Callable[[LiveEvent], object],
    on_status: Callable[[str], object] = lambda line: None,
) -> VideoResult | None:
    """Judge a source until it ends or Ctrl-C, and record it where the options say so.

    `on_event` is called with each event, `on_status` twice a second with a line on what is going
    on. Returns the result if it is recorded. Raises MediaError if the source cannot be opened.
    """
    found = find_source(source, options.microphone, options.camera_size)
    pipeline = Pipeline(replace(config, causal=True, look_ahead=options.look_ahead))
    fast = found.file is not None and options.pace == "fast"
    settings = LiveConfig(options.look_ahead, not fast, options.record is not None)
    live = _Live(pipeline, found, options, on_event, on_status)
    with stop_on_signal() as live.stop, pipeline.live(config=settings) as session:
        media = live.feed(session, config)
        session.close()
        live.report(session)
    if options.record is None or media is None:
        return None
    result = session.result(media, pipeline.models())
    folder = Path(options.record)
    result.write(folder)
    return write_reports(result, folder, pipeline.config)


@dataclass
class _Live:
    pipeline: Pipeline
    source: Source
    options: LiveOptions
    on_event: Callable[[LiveEvent], object]
    on_status: Callable[[str], object]
    stop: threading.Event = field(default_factory=threading.Event)
    _status_s: float = 0.0
    _release_s: float = 0.0

    def feed(self, session: LiveSession, config: RunConfig) -> Recorded | None:
        """Feed the session until the end; what it was fed with, if that is recorded."""
        if self.source.file is not None:
            feed = FileFeed(open_video_file(self.source.file, config.video.media))
            own = self.options.pace == "own"
            feed.run(session, self.stop, own, lambda time_s: self.report(session))
            return feed.media if len(feed.times) else None
        return self._feed_stream(session)

    def _feed_stream(self, session: LiveSession) -> Recorded | None:
        record, start_s = self.options.record, None
        with ExitStack() as stack:
            writer = None
            if record is not None:
                has_sound = self.source.is_stream or self.options.microphone != SILENT
                writer = stack.enter_context(MediaWriter(Path(record) / RECORDING, has_sound))
            for item in StreamFeed(self.source, self.stop):
                if isinstance(item, Seen):
                    start_s = item.time_s if start_s is None else start_s
                    frame, time_s = item.frame, item.time_s - start_s
                    if writer is not None:
                        writer.add_picture(frame, time_s)
                    whole = (0, 0, *frame.size)
                    if session.wants(time_s):
                        session.video(frame.rgb(whole, frame.size), time_s)
                elif start_s is not None:
                    time_s = item.time_s - start_s
                    session.audio(item.samples, time_s, item.rate)
                    if writer is not None:
                        writer.add_sound(item.samples, time_s, item.rate)
                self.report(session)
        return writer.media() if writer is not None and start_s is not None else None

    def report(self, session: LiveSession) -> None:
        """Pass on events, and now and then the status."""
        for event in session.events():
            self.on_event(event)
        now_s = time.monotonic()
        if now_s - self._status_s >= STATUS_S:
            self._status_s = now_s
            self.on_status(describe(session))
        if now_s - self._release_s >= RELEASE_S:
            self._release_s = now_s
            release_memory()


def describe(session: LiveSession) -> str:
    """A line on what a session sees."""
    people, counts = session.people(), session.counts
    talking = [str(p.person) for p in people if p.is_addressing]
    n = len(people)
    parts = [f"{n} {'person' if n == 1 else 'people'} in view"]
    if talking:
        parts.append(f"{' and '.join(talking)} talking to you")
    parts.append(f"{counts.looked_at:,} looks")
    if counts.dropped:
        parts.append(f"{counts.dropped:,} left out: the machine is too slow")
    if not counts.heard:
        parts.append("no sound")
    return ", ".join(parts)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one ends the program as usual."""
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    with suppress(ValueError):  # outside the main thread there are no signals
        signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, before)
