"""What is known of a raw video once its faces are found: who is where, and when to score them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND, Clock
from quavf.core.records import Array, Floats, Ints
from quavf.core.windows import WindowConfig
from quavf.cues.grid import RATE
from quavf.faces.tracker import PersonTrack
from quavf.sources.media.file import LONGEST_HOLD_S, VideoFile
from quavf.store import ClipStore
from quavf.video.config import VideoConfig
from quavf.video.schedule import (
    N_SAMPLES,
    FaceTicks,
    PersonSchedule,
    first_ticks,
    split_by_scene,
    ticks_to_score,
)

ALL, UNREAD, NONE = "all", "unread", "none"  # of the scored faces, which ones are cut
LONGEST_HOLD_TICKS = int(LONGEST_HOLD_S * TICKS_PER_SECOND)


@dataclass(frozen=True)
class PreparedVideo:
    """What is known of one video beside its crops and sound."""

    store: ClipStore
    clip: str
    file: VideoFile
    config: VideoConfig
    windows: WindowConfig  # of the visual branch that the crops are for
    pictures: Floats  # (P,) time of each decoded picture, s
    numbers: Ints  # (P,) its number in the file
    persons: tuple[PersonTrack, ...]  # numbered from 1
    cuts: Floats  # (C,) times of camera cuts, s
    silent: bool  # there is a sound track with nothing to hear on it
    cut: str = ALL  # which of the scored faces are cut: ALL, those that cues cannot judge, or NONE
    judged: Mapping[int, Array] = field(default_factory=dict)  # see `find_judged`; none: no cues

    @property
    def notes(self) -> dict[str, int]:
        return self.store.manifest(self.clip).notes

    @property
    def duration_s(self) -> float:
        """To the end of the last picture."""
        if not len(self.pictures):
            return 0.0
        return float(self.pictures[-1] + 1 / self.file.fps)

    @cached_property
    def schedules(self) -> dict[int, PersonSchedule]:
        """By person, when they are scored and cropped, and where the face is then."""
        return {person: self._schedule(person) for person in range(1, len(self.persons) + 1)}

    def _schedule(self, person: int) -> PersonSchedule:
        scored = self.face_at(person, ticks_to_score(self.pictures, self.config.rate)).drop_unseen()
        unread = scored.ticks[~self._is_judged(person, scored.ticks)]
        wanted = {ALL: scored.ticks, UNREAD: unread, NONE: unread[:0]}[self.cut]
        slots = (wanted[:, None] + self.windows.offsets(Clock())).ravel()
        ticks = np.union1d(slots[slots >= 0], wanted)
        if len(ticks):  # what cues cannot judge makes no good thumbnail
            ticks = np.union1d(ticks, scored.sample(N_SAMPLES).ticks)
        crops = self.face_at(person, ticks).drop_unseen()
        spans, others = (split_by_scene(person, t, self.cuts) for t in (scored.ticks, unread))
        return PersonSchedule(person, scored, crops, spans, others)

    def _is_judged(self, person: int, ticks: Ints) -> Array:
        """(T,) whether the cues can judge the person at each tick."""
        row = self.judged.get(person, np.zeros(1, bool))
        at = np.round(ticks * RATE / TICKS_PER_SECOND).astype(int).clip(0, len(row) - 1)
        return np.asarray(row[at])

    def face_at(self, person: int, ticks: Ints) -> FaceTicks:
        """The face at ascending `ticks` (T,), NaN where it is not seen."""
        pictures = self.pictures_at(ticks)
        boxes, scores = self.boxes_at(person, self.pictures[pictures])
        boxes[pictures < 0], scores[pictures < 0] = np.nan, np.nan
        return FaceTicks(ticks, pictures, boxes, scores)

    def boxes_at(self, person: int, times: Floats) -> tuple[Floats, Floats]:
        """Boxes (T, 4) and detector scores (T,), NaN where the person is not seen."""
        return self.persons[person - 1].at(times, self.config.track.max_gap)

    def pictures_at(self, ticks: Ints) -> Ints:
        """(T,) which of `pictures` is on screen at each tick; -1 for none."""
        first = first_ticks(self.pictures)
        rows = np.searchsorted(first, ticks, side="right") - 1
        if not len(first):
            return np.full(len(ticks), -1)
        held = (rows >= 0) & (ticks - first[np.maximum(rows, 0)] < LONGEST_HOLD_TICKS)
        return np.where(held & (ticks <= first[-1]), rows, -1)
