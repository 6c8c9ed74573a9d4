"""Keep what a session finds, and make of it what a run of a file makes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from quavf.core.branches import CUES, FUSED, LOOKING, SPEAKING
from quavf.core.records import Array, Floats, Image, Ints
from quavf.cues.grid import CONFIDENCE, RATE
from quavf.faces.crop import encode_jpeg
from quavf.faces.follow import box_side
from quavf.faces.patches import View
from quavf.faces.tracker import PersonTrack
from quavf.live.events import LiveCounts
from quavf.live.judge import TickScores
from quavf.live.people import SeenFace
from quavf.results.config import MomentsConfig
from quavf.results.fusion import Fusion
from quavf.results.records import Person, PersonBoxes, PersonScores
from quavf.results.stretches import describe_unread
from quavf.results.video import VideoResult
from quavf.video.scoring import THUMBNAIL, add_moments

COLUMNS = (CUES.name, SPEAKING, LOOKING, FUSED)
MARGIN = 0.2  # of a face's sides, around it in its thumbnail
BETTER = 1.2  # a face that can be seen so much better becomes the thumbnail
MAX_GAP_S = 1.0  # over which boxes are interpolated


@dataclass
class _Own:
    """What is kept of one person."""

    scores: array[float] = field(default_factory=lambda: array("d"))  # time, number, box, columns
    faces: array[float] = field(default_factory=lambda: array("d"))  # time, box
    merit: float = 0.0  # of the thumbnail
    thumbnail: Image | None = None


@dataclass(frozen=True)
class Recorded:
    """The media that a session was fed with.

    Args:
        video: Its file.
        pictures: (P,) time of each picture, s, in the order in which the session got them.
        numbers: (P,) number of each picture in the file.
        fps: Nominal rate.
        size: Width and height, pixels.
        has_sound: Whether there was any.
    """

    video: Path
    pictures: Floats
    numbers: Ints
    fps: Fraction
    size: tuple[int, int]
    has_sound: bool


class Record:
    """All scores and boxes of a session; grows by about 10 kB a person and second."""

    def __init__(self) -> None:
        self._people: dict[int, _Own] = {}
        self.still: set[int] = set()  # persons whose face never moved

    def add_faces(self, faces: Sequence[SeenFace], view: View) -> None:
        """Keep the faces of a picture, and those of new persons before it."""
        for face in faces:
            own = self._people.setdefault(face.person, _Own())
            own.faces.extend([face.time_s, *face.box])
            merit = float(box_side(face.box) * max(np.nan_to_num(face.cues[CONFIDENCE]), 0.1))
            if face.time_s == view.time_s and merit > BETTER * own.merit:
                own.merit, own.thumbnail = merit, _cut_thumbnail(view, face.box)

    def add_scores(self, tick: int, scores: Sequence[TickScores]) -> None:
        """Keep the scores of a tick."""
        for found in scores:
            face, own = found.face, self._people.setdefault(found.face.person, _Own())
            columns = found.cues, found.speaking, found.looking, found.talking
            own.scores.extend([tick / RATE, face.number, *face.box, *columns])

    def result(
        self,
        media: Recorded,
        fusion: Fusion,
        moments: MomentsConfig,
        models: dict[str, str],
        counts: LiveCounts,
    ) -> VideoResult:
        """What a run of a file gives."""
        n = len(media.pictures)
        duration_s = float(media.pictures[-1] + 1 / media.fps) if n else 0.0
        faces = {p: _rows(own.faces, 5) for p, own in sorted(self._people.items())}
        persons = tuple(
            Person(p, rows[0, 0], rows[-1, 0], self._thumbnail(p), p in self.still)
            for p, rows in faces.items()
        )
        result = VideoResult(
            video=media.video,
            duration_s=duration_s,
            fps=media.fps,
            frame_size=media.size,
            persons=persons,
            scores={p: _scores(_rows(self._people[p].scores, 10), media) for p in faces},
            boxes={p: _boxes(rows, media) for p, rows in faces.items()},
            models=models,
            has_sound=media.has_sound,
            fusion=str(fusion.to_json()["kind"]),
        )
        notes = (*_notes(media, counts), *describe_unread(result, 1 / RATE))
        return add_moments(replace(result, notes=notes), moments, 1 / RATE)

    def _thumbnail(self, person: int) -> bytes:
        picture = self._people[person].thumbnail
        return b"" if picture is None else encode_jpeg(np.ascontiguousarray(picture[..., ::-1]))


def _rows(values: array[float], width: int) -> Array:
    """(N, width), by time."""
    rows = np.array(values).reshape(-1, width)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _scores(rows: Array, media: Recorded) -> PersonScores:
    numbers = media.numbers[rows[:, 1].astype(np.int64)]
    columns = {name: rows[:, 6 + k] for k, name in enumerate(COLUMNS)}
    return PersonScores(rows[:, 0], numbers, rows[:, 2:6], columns if len(rows) else {})


def _boxes(rows: Array, media: Recorded) -> PersonBoxes:
    """On every picture that shows the person."""
    n = len(rows)
    track = PersonTrack(rows[:, 0], rows[:, 1:], np.ones(n), np.zeros(n, np.int64))
    boxes, _ = track.at(media.pictures, MAX_GAP_S)
    seen = ~np.isnan(boxes[:, 0])
    return PersonBoxes(media.numbers[seen], media.pictures[seen], boxes[seen])


def _notes(media: Recorded, counts: LiveCounts) -> list[str]:
    notes = []
    if not media.has_sound:
        notes.append("There was no sound, so that nobody could be heard to talk.")
    if counts.dropped:
        notes.append(
            f"{counts.dropped:,} of {counts.dropped + counts.looked_at:,} looks were left out: "
            "the machine was too slow."
        )
    if counts.sound_missing >= 0.1:
        notes.append(f"{counts.sound_missing:.1f} s of the sound were missing.")
    return notes


def _cut_thumbnail(view: View, box: Floats) -> Image:
    """(THUMBNAIL, THUMBNAIL, 3) the face, in a square."""
    middle, half = (box[:2] + box[2:]) / 2, float(box_side(box)) * (0.5 + MARGIN)
    width, height = view.size
    half = min(half, width / 2, height / 2)
    left = int(np.clip(middle[0] - half, 0, width - 2 * half))
    top = int(np.clip(middle[1] - half, 0, height - 2 * half))
    side = max(int(2 * half), 1)
    part = view.rgb((left, top, left + side, top + side), (side, side))
    return np.asarray(cv2.resize(part, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA))
