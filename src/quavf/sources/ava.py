"""AVA-ActiveSpeaker as clip records: one clip for each movie, who speaks and nothing else.

Format: http://research.google.com/ava/download.html#ava_active_speaker_download. Each row of a CSV
is a face at a time: `video_id, frame_timestamp, entity_box_x1, entity_box_y1, entity_box_x2,
entity_box_y2, label, entity_id`, boxes in 0 to 1 of the picture. An entity is the track of a face.
"""

from __future__ import annotations

import csv
import logging
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from quavf.core.branches import SPEAKING
from quavf.core.errors import AnnotationError
from quavf.core.names import is_safe_name
from quavf.core.records import (
    TALKING,
    WEARER,
    Array,
    ClipIndex,
    ClipRecord,
    Floats,
    Interval,
    Ints,
    MediaFacts,
    SourceRows,
    TrackRows,
)
from quavf.sources.config import AvaConfig
from quavf.sources.ego4d import media_path
from quavf.sources.facts import COMMON_RATES
from quavf.sources.folders import explain_unreadable
from quavf.utils.files import config_hash

log = logging.getLogger(__name__)

COLUMNS = (
    "video_id",
    "frame_timestamp",
    "entity_box_x1",
    "entity_box_y1",
    "entity_box_x2",
    "entity_box_y2",
    "label",
    "entity_id",
)
SPEAKS = "SPEAKING_AUDIBLE"
LABELS = (SPEAKS, "SPEAKING_NOT_AUDIBLE", "NOT_SPEAKING")
USUAL_FPS = Fraction(25)
CLOSE = 0.03  # to a common rate, as a share of it
MOST_S = 0.2  # between two rows of an entity that are neighbouring pictures
FEWEST_STEPS = 10  # that tell the rate
LONGEST_GAP = 10  # frames without a row that are filled
LATEST_S = 1e6

Notes = Counter[str]
Line = list[str]  # the fields of `COLUMNS`


def index_ava(config: AvaConfig) -> ClipIndex:
    """The movies that the options of `quavf prepare ava` select.

    Raises AnnotationError where a file is missing or of another kind; faults within are counted.
    """
    notes: Notes = Counter()
    records: dict[str, ClipRecord] = {}
    for split, path in (("train", config.train), ("val", config.val), ("test", config.test)):
        for video, lines in _read_videos(path, notes) if path is not None else ():
            if video in records:
                raise AnnotationError(
                    f"{path}: video {video} occurs in two files or splits; keep it in one"
                )
            records[video] = _Movie(video, lines).read(split, config)
    if not records:
        raise AnnotationError("prepare ava: no rows; give --train, --val or --test, with CSV files")
    return ClipIndex([records[video] for video in sorted(records)], dict(+notes))


def _read_videos(path: Path, notes: Notes) -> Iterator[tuple[str, list[Line]]]:
    """Each video with its rows, in file order, from a CSV file or a folder of such."""
    path = Path(path)
    if not path.exists():
        raise AnnotationError(f"{path}: no such file or folder; pass AVA's CSV file, or its folder")
    with explain_unreadable(path):
        files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise AnnotationError(f"{path}: no CSV file in it; unpack ava_activespeaker_*.tar.bz2")
    for file in files:
        videos: dict[str, list[Line]] = {}
        for line in _read_lines(file, notes):
            videos.setdefault(line[0], []).append(line)
        yield from videos.items()


def _read_lines(path: Path, notes: Notes) -> Iterator[Line]:
    n_good = 0
    try:
        with explain_unreadable(path), path.open(newline="", encoding="utf-8-sig") as file:
            for line in csv.reader(file):
                line = [field.strip() for field in line[: len(COLUMNS)]]
                if line[:1] == ["video_id"] or not any(line):
                    continue
                if len(line) == len(COLUMNS) and line[0] and line[-1] and _time(line) is not None:
                    n_good += 1
                    yield line
                else:
                    notes["rows without eight fields, a time and an entity"] += 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path}: not a CSV file ({error})") from None
    if not n_good:
        raise AnnotationError(f"{path}: no row with the fields {', '.join(COLUMNS)}")


def _time(line: Line) -> float | None:
    try:
        time_s = float(line[1])
    except ValueError:
        return None
    return time_s if 0 <= time_s < LATEST_S else None


@dataclass(frozen=True)
class _Movie:
    """The rows of one video."""

    video: str
    lines: list[Line]

    @property
    def clip(self) -> str:
        """The id of the clip: that of the video, with _ before ids that start with -."""
        return f"_{self.video}" if self.video.startswith("-") else self.video

    def read(self, split: str, config: AvaConfig) -> ClipRecord:
        if not is_safe_name(self.clip):
            raise AnnotationError(f"{self.video!r:.60}: this video_id cannot name a file")
        notes: Notes = Counter()
        times = np.array([float(line[1]) for line in self.lines])
        entities = list(dict.fromkeys(line[-1] for line in self.lines))
        numbers = {entity: number for number, entity in enumerate(entities, 1)}
        persons: Ints = np.array([numbers[line[-1]] for line in self.lines])
        fps = find_rate(times, persons)
        start_s = max(math.floor(times.min()), config.start)
        first = round(start_s * fps)
        frames: Ints = np.round(times * float(fps)).astype(np.int64) - first
        notes["rows of a time before the video file starts"] += int((frames < 0).sum())
        repeated = len(frames) - len(np.unique(np.stack([persons, frames]), axis=1).T)
        notes["rows of an entity at the time of another row of it"] += repeated
        labels = self._read_labels(notes)
        tracks = _read_tracks(persons, frames, self._read_boxes(notes))
        last = int(frames.max())
        spans = [_spans(p, np.sort(frames[(persons == p) & (frames >= 0)])) for p in set(persons)]
        unknown = _runs(persons, frames, labels < 0)
        for note, count in sorted((+notes).items()):
            log.warning("clip %s: %s: %d", self.clip, note, count)
        options = [config.start, config.every, split]
        return ClipRecord(
            clip=self.clip,
            split=split,
            media=media_path(Path(config.videos), self.video),
            segments=(),
            tracks=tracks,
            fingerprint=config_hash([self.lines, options]),
            notes=dict(+notes),
            speaking=_runs(persons, frames, labels == 1),
            every=config.every,
            facts=MediaFacts(fps, timed=True, relative=True),
            unlabelled={
                TALKING: tuple(sorted(span for own in spans for span in own)),
                SPEAKING: (Interval(WEARER, 0, max(last, 0)), *unknown),
            },
            start_s=start_s - config.start,
            end_s=float(times.max()) - config.start + 1,
            rows=SourceRows(persons, frames, tuple(map(join_fields, self.lines))),
        )

    def _read_labels(self, notes: Notes) -> Ints:
        """(N,) 1: speaks and is heard, 0: not, -1: not known."""
        known = {label: int(label == SPEAKS) for label in LABELS}
        labels: Ints = np.array([known.get(line[6], -1) for line in self.lines])
        notes["rows without a known label"] += int((labels < 0).sum())
        return labels

    def _read_boxes(self, notes: Notes) -> Floats:
        """(N, 4) xyxy, in 0 to 1 of the picture; NaN where a row has no usable box."""
        boxes = np.full((len(self.lines), 4), np.nan)
        for box, line in zip(boxes, self.lines, strict=True):
            try:
                box[:] = [float(field) for field in line[2:6]]
            except ValueError:
                continue
        with np.errstate(invalid="ignore"):
            usable = (np.abs(boxes) < 2).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        notes["rows without a usable box, scored by their neighbours"] += int((~usable).sum())
        boxes[~usable] = np.nan
        return boxes


def find_rate(times_s: Floats, persons: Ints) -> Fraction:
    """Pictures a second, by the steps between rows of one entity; 25 where they do not tell.

    Times are rounded to 0.01 s, so only the mean step is exact.
    """
    order = np.lexsort((times_s, persons))
    steps = np.diff(times_s[order])[np.diff(persons[order]) == 0]
    steps = steps[(steps > 0) & (steps < MOST_S)]
    if len(steps) < FEWEST_STEPS:
        return USUAL_FPS
    rate = 1 / float(np.mean(steps[steps < 1.5 * np.median(steps)]))
    nearest = min(COMMON_RATES, key=lambda common: abs(float(common) - rate))
    if abs(float(nearest) - rate) <= CLOSE * rate:
        return nearest
    return Fraction(rate).limit_denominator(100)


def join_fields(fields: Line) -> str:
    """Fields as a line of CSV; entity ids have no commas, but text might."""
    quoted = ('"' + field.replace('"', '""') + '"' for field in fields)
    return ",".join(
        plain if not set(plain) & set(',"\r\n') else text
        for plain, text in zip(fields, quoted, strict=True)
    )


def _read_tracks(persons: Ints, frames: Ints, boxes: Floats) -> dict[int, tuple[TrackRows, ...]]:
    """A track for each stretch of an entity's rows without a long gap."""
    usable = ~np.isnan(boxes[:, 0]) & (frames >= 0)
    tracks: dict[int, tuple[TrackRows, ...]] = {}
    for person in np.unique(persons[usable]).tolist():
        own = np.flatnonzero(usable & (persons == person))
        own = own[np.argsort(frames[own], kind="stable")]
        cuts = np.flatnonzero(np.diff(frames[own]) > LONGEST_GAP) + 1
        xywh = np.column_stack([boxes[own, :2], boxes[own, 2:] - boxes[own, :2]])
        parts = zip(np.split(frames[own], cuts), np.split(xywh, cuts), strict=True)
        tracks[person] = tuple(TrackRows(*part) for part in parts)
    return tracks


def _runs(persons: Ints, frames: Ints, mask: Array) -> tuple[Interval, ...]:
    """The stretches in which a mask (N,) holds for the rows of a person."""
    found: list[Interval] = []
    for person in np.unique(persons[mask]).tolist():
        own = np.flatnonzero((persons == person) & (frames >= 0))
        own = own[np.argsort(frames[own], kind="stable")]
        held, at = mask[own], frames[own]
        breaks = (np.diff(held.astype(int)) != 0) | (np.diff(at) > LONGEST_GAP)
        for part in np.split(np.arange(len(own)), np.flatnonzero(breaks) + 1):
            if len(part) and held[part[0]]:
                found.append(Interval(person, int(at[part[0]]), int(at[part[-1]])))
    return tuple(sorted(found))


def _spans(person: int, frames: Ints) -> list[Interval]:
    """From the first to the last of ascending frames."""
    return [Interval(int(person), int(frames[0]), int(frames[-1]))] if len(frames) else []
