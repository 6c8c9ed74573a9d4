"""From scores to events: when a person comes and goes, speaks, looks, and talks to the wearer."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quavf.core.records import Floats, Ints
from quavf.cues.grid import COLUMNS, LIP, RATE, reach
from quavf.cues.stillness import LEAST_ROWS, LEAST_S, find_still_faces
from quavf.cues.tracks import FACE_COLUMNS, FaceCues
from quavf.faces.follow import box_side
from quavf.live.events import LiveEvent, LivePerson
from quavf.live.judge import TickScores
from quavf.live.people import SeenFace
from quavf.results.config import MomentsConfig
from quavf.results.stretches import EVEN

CONFIRM_S = 2 / RATE  # a score must be high for so long before an event: shorter peaks are noise
STILL_S = 10.0  # of a face that are looked at to tell whether it ever moves
STILL_EVERY = 5  # ticks between two tries
SMALL_S = 2.0  # over which the size of a face is judged
TALKS, SPEAKS, LOOKS = ("addressed", "released"), ("speaking", "silent"), ("looking", "away")
Scores = tuple[float, float, float]  # talking, speaking, looking


@dataclass
class _Switch:
    """Whether a person does something, by a score with two thresholds and times."""

    names: tuple[str, str]  # of the events that begin and end it
    config: MomentsConfig
    is_on: bool = False
    since_s: float = math.nan  # when it began
    _high: float | None = None  # when the score became high, while it is not on
    _low: float | None = None  # when it became low, while it is on

    def take(self, time_s: float, score: float) -> str | None:
        """The event that the score of a tick makes, if any; NaN counts as low."""
        if not self.is_on:
            if not score >= self.config.threshold:
                self._high = None
                return None
            self._high = time_s if self._high is None else self._high
            if time_s - self._high < CONFIRM_S - 1e-6:
                return None
            self.is_on, self.since_s, self._low = True, self._high, None
            return self.names[0]
        if score >= self.config.threshold - self.config.margin:
            self._low = None
            return None
        self._low = time_s if self._low is None else self._low
        return self.stop() if time_s - self._low >= self.config.max_gap - 1e-6 else None

    def stop(self) -> str | None:
        """End it; the event, if it was on."""
        was_on, self.is_on, self._high = self.is_on, False, None
        return self.names[1] if was_on else None


@dataclass
class _State:
    """What is known of a person in view."""

    switches: tuple[_Switch, _Switch, _Switch]  # talks to me, speaks, looks
    seen_s: float
    face: SeenFace
    scores: Scores = (math.nan, math.nan, math.nan)
    has_moved: bool = False
    is_still: bool = False
    rows: deque[SeenFace] = field(default_factory=lambda: deque(maxlen=reach(STILL_S)))
    shares: deque[float] = field(default_factory=lambda: deque(maxlen=reach(SMALL_S)))


class States:
    """Follows all persons from tick to tick."""

    def __init__(self, moments: MomentsConfig) -> None:
        self._moments = moments
        self._states: dict[int, _State] = {}
        self._moved: set[int] = set()  # persons whose face is not a picture
        self.still: set[int] = set()  # persons whose face seems to be one

    def take(self, tick: int, scores: Sequence[TickScores]) -> Iterator[LiveEvent]:
        """The events of a tick, from the scores of the persons seen at it."""
        time_s = tick / RATE
        largest = max((box_side(s.face.box) for s in scores), default=0.0)
        by_person = {s.face.person: s for s in scores}
        for person, found in by_person.items():
            if person not in self._states:
                self._states[person] = self._begin(time_s, found.face)
                yield LiveEvent("seen", time_s, person, box=_box(found.face))
            self._note(self._states[person], time_s, found, float(largest))
        for person, state in [*self._states.items()]:
            own = by_person.get(person)
            state.scores = (math.nan,) * 3 if own is None else _scores(own)
            yield from self._switch(person, state, time_s)
            if time_s - state.seen_s >= self._moments.max_unseen - 1e-6:
                yield from self._lose(person, time_s)

    def end(self, time_s: float) -> Iterator[LiveEvent]:
        """The events of the end: everybody is lost."""
        for person in [*self._states]:
            yield from self._lose(person, time_s)

    def people(self, newest: Sequence[SeenFace]) -> tuple[LivePerson, ...]:
        """Everybody in view, with the newest faces."""
        faces = {face.person: face for face in newest}
        found = []
        for person, state in sorted(self._states.items()):
            face = faces.get(person, state.face)
            talks, speaks, looks = (_known(score) for score in state.scores)
            is_on = [switch.is_on for switch in state.switches]
            who = LivePerson(person, _box(face), face.time_s, talks, speaks, looks, *is_on)
            found.append(who)
        return tuple(found)

    def _begin(self, time_s: float, face: SeenFace) -> _State:
        switches = (
            _Switch(TALKS, self._moments),
            _Switch(SPEAKS, _even(self._moments)),
            _Switch(LOOKS, _even(self._moments)),
        )
        return _State(switches, time_s, face, has_moved=face.person in self._moved)

    def _note(self, state: _State, time_s: float, found: TickScores, largest: float) -> None:
        state.seen_s, state.face = time_s, found.face
        state.shares.append(float(box_side(found.face.box)) / max(largest, 1e-6))
        state.rows.append(found.face)
        if not state.has_moved and found.face.tick % STILL_EVERY == 0 and _is_judged(state.rows):
            state.is_still = _is_still(state.rows)
            state.has_moved = not state.is_still
            (self._moved if state.has_moved else self.still).add(found.face.person)
            self.still -= self._moved

    def _switch(self, person: int, state: _State, time_s: float) -> Iterator[LiveEvent]:
        """The events that a person's scores make; a background face or a picture does not talk."""
        talks, speaks, looks = state.scores
        if not self._may_talk(state):
            talks = math.nan
        for switch, score in zip(state.switches, (talks, speaks, looks), strict=True):
            since_s = switch.since_s
            kind = switch.take(time_s, score)
            if kind is not None:
                begun = switch.since_s if switch.is_on else since_s
                yield self._event(kind, person, state, time_s, begun)

    def _may_talk(self, state: _State) -> bool:
        config = self._moments
        if state.is_still and not config.still_faces:
            return False
        side = float(box_side(state.face.box))
        return side >= config.min_face and float(np.median(state.shares)) >= config.min_face_share

    def _lose(self, person: int, time_s: float) -> Iterator[LiveEvent]:
        state = self._states.pop(person)
        for switch in state.switches:
            kind = switch.stop()
            if kind is not None:
                yield self._event(kind, person, state, time_s, switch.since_s)
        yield LiveEvent("lost", time_s, person)

    def _event(
        self, kind: str, person: int, state: _State, time_s: float, since_s: float
    ) -> LiveEvent:
        talks, speaks, looks = (_known(score) for score in state.scores)
        return LiveEvent(kind, time_s, person, since_s, talks, speaks, looks, _box(state.face))


def _even(moments: MomentsConfig) -> MomentsConfig:
    """The settings of speaking and looking: more likely than not."""
    return replace(moments, threshold=EVEN.threshold, margin=EVEN.margin)


def _is_judged(faces: Sequence[SeenFace]) -> bool:
    """Whether enough of a face was read to tell a picture."""
    read = [face.time_s for face in faces if not math.isnan(face.cues[LIP])]
    return len(read) >= LEAST_ROWS and read[-1] - read[0] >= LEAST_S


def _is_still(faces: Sequence[SeenFace]) -> bool:
    """Whether a face moves no more than a picture."""
    n = len(faces)
    values = np.full((n, len(FACE_COLUMNS)), np.nan, np.float32)
    columns = [FACE_COLUMNS.index(name) for name in COLUMNS]
    values[:, columns] = np.stack([face.cues for face in faces])
    times: Floats = np.array([face.time_s for face in faces])
    one: Ints = np.ones(n, np.int64)
    return bool(find_still_faces(FaceCues(one, np.arange(n), times, values)))


def _scores(found: TickScores) -> Scores:
    return found.talking, found.speaking, found.looking


def _known(score: float) -> float | None:
    return None if math.isnan(score) else score


def _box(face: SeenFace) -> Any:
    return tuple(float(side) for side in face.box)
