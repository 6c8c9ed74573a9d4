"""A media file: its pictures with exact times, and its sound from the first picture on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from quavf.core.clock import TICKS_PER_SECOND, Clock
from quavf.core.errors import MediaError
from quavf.sources.config import MediaOptions
from quavf.sources.media.container import (
    can_decode,
    decode,
    is_cover,
    is_default,
    open_container,
    read_packets,
    seek_before,
)
from quavf.sources.media.pictures import Frame, Layout, read_layout
from quavf.sources.media.pixels import Size
from quavf.sources.media.sound import Samples, SoundFormat, SoundTrack, choose_track, read_track
from quavf.sources.media.timeline import Timeline, read_timeline

TICK_CLOCK = Clock()  # ticks count from the first picture
LONGEST_HOLD_S = 1  # a picture stays on screen for at most so long
CUT_SHORT_S = 0.5  # a file whose pictures end so much before its duration was cut short
FROM_START = Fraction(0)
SKIPPED_S = 5  # entering a file later pays off if so much of it is skipped
SETTLE_S = 1  # a decoder that starts in the middle has this time to become exact

Timed = tuple[int, Fraction, VideoFrame]  # number, time in s, picture as stored

# Pictures that no other builds on are not smoothed at the borders of blocks: a tenth less work.
PREVIEW = {"skip_loop_filter": "noref"}
ONE_THREAD_PIXELS = 1920 * 1088  # of previews: threads would take a fifth more of the processor

ANOTHER_SIZE = "pictures of another size, scaled"
OUT_OF_ORDER = "pictures out of order, left out"
LONG_STRETCH = "stretches of over a second without a new picture"
ENDS_EARLY = "pictures end before the declared duration"


@dataclass
class VideoFile:
    """A video file that can be decoded; `open_video_file` opens one.

    `fps` is nominal; `notes` count what was repaired or left out, in the last pass over the
    pictures and in the last over the sound.
    """

    path: Path
    layout: Layout
    fps: Fraction
    start: Fraction  # corrected time stamp of the first picture, s
    declared_s: float | None
    timeline: Timeline
    stream: int  # index of the pictures in the file
    rates: tuple[Fraction | None, Fraction | None] = (None, None)  # average and nominal
    options: MediaOptions = field(default_factory=MediaOptions)
    file_notes: Counter[str] = field(default_factory=Counter)
    picture_notes: Counter[str] = field(default_factory=Counter)
    sound_notes: Counter[str] = field(default_factory=Counter)
    _track: tuple[SoundTrack | None, Counter[str]] | None = None

    @property
    def size(self) -> Size:
        """Width and height as shown, pixels."""
        return self.layout.size

    @property
    def turns(self) -> int:
        """Counterclockwise quarter turns that bring the stored pictures upright."""
        return self.layout.turns

    @property
    def notes(self) -> Counter[str]:
        return self.file_notes + self.picture_notes + self.sound_notes

    def key_pictures(self) -> Iterator[Frame]:
        """The pictures that are coded by themselves, which takes a small part of the time.

        Their numbers count them alone. `notes` do not change. Empty if the file needs repairs.
        """
        if self.timeline.is_plain:
            for number, time, source in self._decode_timed(notes=Counter(), keys=True):
                first = TICK_CLOCK.s_to_frame(time)
                yield Frame(number, time, range(first, first + 1), source, self.layout)

    def pictures(
        self, from_s: Fraction = FROM_START, *, is_preview: bool = False
    ) -> Iterator[Frame]:
        """Every picture in order, in one decoding pass.

        A picture is on screen from the tick nearest to its time until the next picture's, at most
        for a second. Damaged pictures are left out and counted. What is shown before `from_s` may
        be skipped, and then numbers count from the first picture that is not. A preview takes less
        of the processor: its pixels may differ a little.
        """
        self.picture_notes.clear()
        pending: Timed | None = None
        step = 1 / self.fps
        timed = self._decode_from(from_s) if from_s > SKIPPED_S else None
        for number, time, source in timed or self._decode_timed(is_preview=is_preview):
            if pending is not None:
                step = time - pending[1]
                if step > LONGEST_HOLD_S and step > 2 / self.fps:
                    self.picture_notes[LONG_STRETCH] += 1
                yield self._frame(*pending, end=TICK_CLOCK.s_to_frame(time))
            pending = number, time, source
        if pending is not None:
            yield self._frame(*pending, end=TICK_CLOCK.s_to_frame(pending[1]) + 1)
            self._note_early_end(float(pending[1] + max(1 / self.fps, min(step, 2 / self.fps))))

    def _frame(self, number: int, time: Fraction, source: VideoFrame, end: int) -> Frame:
        first = TICK_CLOCK.s_to_frame(time)
        longest = int(LONGEST_HOLD_S * TICKS_PER_SECOND)
        ticks = range(first, min(end, first + longest))
        return Frame(number, time, ticks, source, self.layout)

    def _decode_from(self, from_s: Fraction) -> Iterator[Timed] | None:
        """The pictures from a little before `from_s` on; None if the file cannot be entered there.

        Times must be those of a pass from the start: an index of the file, and no repairs.
        """
        if not self.timeline.is_plain:
            return None
        goal = from_s - LONGEST_HOLD_S - SETTLE_S
        timed = self._decode_timed(goal)
        first = next(timed, None)
        if first is None or first[2].pts is None or first[1] > goal:
            self.picture_notes.clear()
            return None
        early = from_s - LONGEST_HOLD_S - max(1 / self.fps, Fraction(1, 10))
        return dropwhile(lambda one: one[1] < early, chain([first], timed))

    def _decode_timed(
        self,
        goal: Fraction | None = None,
        notes: Counter[str] | None = None,
        *,
        keys: bool = False,
        is_preview: bool = False,
    ) -> Iterator[Timed]:
        """Number, time and picture, from the start or from a key picture before `goal`.

        `keys`: key pictures alone.
        """
        notes = self.picture_notes if notes is None else notes
        with open_container(self.path) as container:
            stream: Any = container.streams[self.stream]
            base = Fraction(stream.time_base or Fraction(1, 90_000))
            if goal is not None and not seek_before(container, stream, goal + self.start):
                return
            if keys:
                stream.codec_context.skip_frame = "NONKEY"
            number, previous, size = -1, Fraction(-1), None
            for source in _decode_pictures(container, stream, self.timeline, notes, is_preview):
                number += 1
                size = size or (source.width, source.height)
                if (source.width, source.height) != size:
                    notes[ANOTHER_SIZE] += 1
                if keys and source.pts is None:
                    continue
                if source.pts is None:
                    time = previous + 1 / self.fps if number else Fraction(0)
                else:
                    time = source.pts * base - self.start
                if time <= previous or time < 0:
                    notes[OUT_OF_ORDER] += 1
                    continue
                yield number, time, source
                previous = time

    def _note_early_end(self, end_s: float) -> None:
        if self.declared_s is not None and end_s < self.declared_s - CUT_SHORT_S:
            self.picture_notes[ENDS_EARLY] += 1

    def sound(self) -> Iterator[Samples]:
        """16-bit mono samples at 16 kHz from the first picture on, (N,) at a time."""
        for piece in self.sound_as(SoundFormat()):
            yield piece[0]

    def sound_as(self, form: SoundFormat) -> Iterator[Samples]:
        """The sound in a form of your choice, (channels, N) at a time."""
        track = self.track
        self.sound_notes.clear()
        self.sound_notes.update(self._track[1] if self._track else ())
        if track is not None:
            yield from read_track(
                self.path, track, self.timeline, self.start, form, self.sound_notes
            )

    @property
    def track(self) -> SoundTrack | None:
        """The sound track that counts; None if there is none. Raises MediaError if the one that
        the options name cannot be decoded."""
        if self._track is None:
            notes: Counter[str] = Counter()
            found = choose_track(self.path, self.timeline, self.options.audio_track, notes)
            self._track = found, notes
        return self._track[0]


def open_video_file(path: Path, options: MediaOptions | None = None) -> VideoFile:
    """Open a video file. Raises MediaError that says what is wrong with it."""
    path, options = Path(path), options or MediaOptions()
    with open_container(path) as container:
        candidates = _candidates(path, container)
        streams = [*candidates, *container.streams.audio]
        timeline = read_timeline(container, streams)
        declared = {s.index: _declared_end(container, s, timeline) for s in candidates}
        rates = {s.index: (s.average_rate, s.base_rate) for s in candidates}
        pixels = {s.index: s.sample_aspect_ratio for s in candidates}
        order = _order(candidates, timeline)
    for index in order:
        first, start = _first_picture(path, index, timeline)
        if first is None:
            continue
        average, nominal = rates[index]
        end = declared[index]
        return VideoFile(
            path=path,
            layout=read_layout(first, pixels[index], options.turn),
            fps=Fraction(average or nominal or TICK_CLOCK.fps),
            start=start,
            declared_s=None if end is None else end - float(start),
            timeline=timeline,
            stream=index,
            rates=(average, nominal),
            options=options,
            file_notes=Counter(timeline.notes),
        )
    raise MediaError(f"{path}: {_fault(timeline, order)}")


def _candidates(path: Path, container: InputContainer) -> list[Any]:
    """The streams that can be the video. Raises MediaError if there is none."""
    streams = list(container.streams.video)
    usable = [stream for stream in streams if can_decode(stream)]
    shown = [stream for stream in usable if not is_cover(stream)]
    if shown:
        return shown
    if streams and not usable:
        raise MediaError(
            f"{path}: its video is damaged or of an unknown kind; download it again, or convert it"
        )
    cover = " but a cover picture" if usable else ""
    raise MediaError(f"{path}: no video in this file{cover}; is it sound only, or cut short?")


def _order(candidates: list[Any], timeline: Timeline) -> list[int]:
    """Their indices, in the order in which players choose; one with a single picture is last."""
    n_packets = {stream.index: timeline.n_packets.get(stream.index, 0) for stream in candidates}
    keys = [(n_packets[s.index] < 2, not is_default(s), s.index) for s in candidates]
    return [index for _, _, index in sorted(keys)]


def _fault(timeline: Timeline, indices: list[int]) -> str:
    if any(index in timeline.encrypted for index in indices):
        return "the video is encrypted; export it without protection"
    return "not a single picture can be decoded; download or export it again"


def _decode_pictures(
    container: InputContainer,
    stream: Any,
    timeline: Timeline,
    notes: Counter[str],
    is_preview: bool = False,
) -> Iterator[Any]:
    stream.thread_type = "AUTO"
    if is_preview:
        stream.codec_context.options = PREVIEW
        if stream.width * stream.height <= ONE_THREAD_PIXELS:
            stream.thread_type = "NONE"
    return decode(timeline.repair(read_packets(container, stream, notes)), notes)


def _first_picture(
    path: Path, index: int, timeline: Timeline
) -> tuple[VideoFrame | None, Fraction]:
    """The first picture that can be shown and its time, s; none from an encrypted stream."""
    if index in timeline.encrypted:
        return None, Fraction(0)
    with open_container(path) as container:
        stream: Any = container.streams[index]
        first = next(_decode_pictures(container, stream, timeline, Counter()), None)
        pts = None if first is None else first.pts
        start = Fraction(0) if pts is None else pts * Fraction(stream.time_base or 0)
        return first, start


def _declared_end(container: InputContainer, stream: Any, timeline: Timeline) -> float | None:
    """Where the pictures end as the file declares it, s, as stamped; None where it does not.

    A duration of the whole file counts only if no stream has packets until then.
    """
    if not timeline.is_plain:
        return None  # the times are damaged, and so is what was computed from them
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if not container.duration:
        return None
    end_s = container.duration / av.time_base
    if "matroska" not in container.format.name:  # there it counts from time 0
        end_s += (container.start_time or 0) / av.time_base
    reached = max(timeline.ends_s.values(), default=0.0) > end_s - CUT_SHORT_S
    return timeline.ends_s.get(stream.index) if reached else end_s
