"""Who is who, live: tracks become persons with a number that they keep over short gaps.

As for files (`quavf.faces.tracker`), but decided once, when a track is sure to be a face: an event
that has been reported cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from quavf.core.records import Floats, Image
from quavf.cues.grid import COLUMNS
from quavf.cues.tracks import CUE_COLUMNS, FACE_COLUMNS, with_places
from quavf.faces.appearance import DESCRIPTOR, describe_appearance, similarity
from quavf.faces.byte_track import ByteTracker
from quavf.faces.config import TrackConfig
from quavf.faces.follow import LookFaces, box_side
from quavf.faces.patches import View
from quavf.faces.tracker import (
    FAR_MARGIN,
    FAR_SIMILARITY,
    NEAR,
    NEAR_GAP_S,
    NEAR_SIMILARITY,
    SIZE_RATIO,
)
from quavf.live.search import LiveSearch

NOBODY = -1
KEPT_S = 3.0  # of a track that is out of view; its number is not given again
SURE_S = 0.3  # a track that lasts so long is a person
DESCRIBE_S = 2.0  # between two descriptions of a person's looks
FACE_PX = 48  # size of a face whose colours are described
AROUND = (0.5, 0.4, 0.5, 1.2)  # of the face's sizes that are described with it: left, up, right ...
SMOOTHING = 0.2  # share of a new description in the mean


@dataclass(frozen=True)
class SeenFace:
    """One person's face in the picture of a tick."""

    person: int
    tick: int
    time_s: float  # of the picture
    number: int  # of the picture, counted as they came
    box: Floats  # (4,) xyxy
    cues: Floats  # (len(COLUMNS),) as in a grid of cues


@dataclass
class _Track:
    """A face that is followed, and not yet sure to be a person."""

    start_s: float
    first_box: Floats  # steady
    seen_s: float = 0.0
    person: int | None = None
    faces: list[SeenFace] = field(default_factory=list)  # until it is one


@dataclass
class _Person:
    """What is remembered of a person to know them again."""

    number: int
    scene: int
    seen_s: float
    box: Floats  # (4,) the last, steady
    looks: Floats = field(default_factory=lambda: np.full(DESCRIPTOR, np.nan))
    described_s: float = -np.inf
    overlaps: set[int] = field(default_factory=set)  # persons seen at the same time


class People:
    """Tells the persons in one look after another."""

    def __init__(self, config: TrackConfig, look_rate: float) -> None:
        self.config = config
        self._numbers = ByteTracker(look_rate)
        self._scene = 0
        self._tracks: dict[int, _Track] = {}
        self._persons: dict[int, _Person] = {}
        self._n_persons = 0

    def look(self, tick: int, number: int, view: View, search: LiveSearch) -> list[SeenFace]:
        """The persons' faces in the picture of a tick, and those of new persons before it."""
        found = search.look(view)
        if search.n_cuts != self._scene:
            self._scene = search.n_cuts
            self._numbers.reset()
            self._tracks.clear()
        steady = found.boxes - np.tile(search.camera_motion, 2)
        cues = grid_cues(found, view.size)
        faces: list[SeenFace] = []
        new: list[tuple[_Track, int]] = []
        keys = self._numbers.update(view.time_s, steady, found.scores)
        for k, key in enumerate(keys.tolist()):
            if key < 0:
                continue
            track = self._tracks.setdefault(key, _Track(view.time_s, steady[k]))
            track.seen_s = view.time_s
            who = NOBODY if track.person is None else track.person
            face = SeenFace(who, tick, view.time_s, number, found.boxes[k], cues[k])
            if track.person is not None:
                faces.append(face)
                self._note(track.person, view, steady[k], found.boxes[k])
                continue
            track.faces.append(face)
            if view.time_s - track.start_s >= SURE_S - 1e-6:
                new.append((track, k))
        present = {face.person for face in faces}
        for track, k in new:
            track.person = self._recognise(track, view, found.boxes[k], steady[k], present)
            present.add(track.person)
            faces += [replace(face, person=track.person) for face in track.faces]
            track.faces.clear()
        for person in present:
            self._persons[person].overlaps |= present - {person}
        self._forget(view.time_s)
        return faces

    def _note(self, number: int, view: View, steady: Floats, box: Floats) -> None:
        person = self._persons[number]
        person.seen_s, person.box, person.scene = view.time_s, steady, self._scene
        if view.time_s - person.described_s >= DESCRIBE_S:
            person.described_s = view.time_s
            new = describe(view, box)
            mean = person.looks + SMOOTHING * (new - person.looks)
            person.looks = np.where(np.isnan(mean), np.fmax(person.looks, new), mean)

    def _recognise(
        self, track: _Track, view: View, box: Floats, steady: Floats, present: set[int]
    ) -> int:
        """The number of the person of a track: one who was out of view, or a new one."""
        looks = describe(view, box)
        away = [p for p in self._persons.values() if p.number not in present]
        away = [p for p in away if p.seen_s < track.start_s]
        known = self._find_near(track, looks, away) or self._find_alike(looks, away)
        if known is None:
            self._n_persons += 1
            known = _Person(self._n_persons, self._scene, view.time_s, steady, looks, view.time_s)
            self._persons[known.number] = known
        known.seen_s, known.box, known.scene = view.time_s, steady, self._scene
        return known.number

    def _find_near(self, track: _Track, looks: Floats, away: Sequence[_Person]) -> _Person | None:
        """Who was near by a moment ago, and does not look otherwise; the nearest."""
        best, shortest = None, np.inf
        for person in away:
            if person.scene != self._scene or track.start_s - person.seen_s > NEAR_GAP_S:
                continue
            sides = box_side(np.stack([person.box, track.first_box]))
            apart = float(np.linalg.norm(_middle(person.box) - _middle(track.first_box)))
            alike = similarity(person.looks, looks)
            fits = sides.max() <= SIZE_RATIO * sides.min() and apart <= NEAR * sides.max()
            if fits and not alike < NEAR_SIMILARITY and apart < shortest:
                best, shortest = person, apart
        return best

    def _find_alike(self, looks: Floats, away: Sequence[_Person]) -> _Person | None:
        """Who looks very much alike, when nobody else does."""
        alike = {p.number: float(np.nan_to_num(similarity(p.looks, looks))) for p in away}
        best = max(away, key=lambda p: alike[p.number], default=None)
        if best is None or alike[best.number] < FAR_SIMILARITY:
            return None
        everybody = self._persons.values()
        rivals = [p for p in everybody if p.number in best.overlaps]
        limit = alike[best.number] - FAR_MARGIN
        return None if any(similarity(p.looks, looks) >= limit for p in rivals) else best

    def _forget(self, time_s: float) -> None:
        """Drop tracks that are over, and persons who will not be known again."""
        tracks, persons, gap_s = self._tracks, self._persons, self.config.join_gap
        self._tracks = {k: t for k, t in tracks.items() if time_s - t.seen_s <= KEPT_S}
        self._persons = {n: p for n, p in persons.items() if time_s - p.seen_s <= gap_s}
        if len(self._persons) < len(persons):
            for person in self._persons.values():
                person.overlaps &= self._persons.keys()


def grid_cues(found: LookFaces, size: tuple[int, int]) -> Floats:
    """(N, len(COLUMNS)) the cues of faces as a grid has them."""
    cues = found.cues.astype(np.float32)
    cues[:, CUE_COLUMNS.index("face_size")] = box_side(found.boxes)
    rows = with_places(cues, found.boxes, size)
    return np.asarray(rows[:, [FACE_COLUMNS.index(name) for name in COLUMNS]], float)


def describe(view: View, box: Floats) -> Floats:
    """(DESCRIPTOR,) the colours of a face and of the clothes below it."""
    side = float(box_side(box))
    sides = np.array([-1, -1, 1, 1]) * np.array(AROUND) * side + box
    limits = np.tile(view.size, 2)
    x1, y1, x2, y2 = (int(v) for v in np.clip(sides, 0, limits))
    if min(x2 - x1, y2 - y1) < 2:
        return np.full(DESCRIPTOR, np.nan)
    scale = min(FACE_PX / max(side, 1.0), 1.0)
    size = max(round((x2 - x1) * scale), 1), max(round((y2 - y1) * scale), 1)
    part: Image = view.rgb((x1, y1, x2, y2), size)
    return describe_appearance(part, (box - np.tile([x1, y1], 2)) * scale)


def _middle(box: Floats) -> Floats:
    return np.asarray((box[:2] + box[2:]) / 2)
