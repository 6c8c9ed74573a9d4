"""What is known of a raw video once its faces are found: who is where, when to score and cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np

from quavf.core.errors import ConfigError
from quavf.core.records import Floats, Ints
from quavf.core.windows import Span, WindowConfig
from quavf.faces.search import SearchConfig
from quavf.faces.tracker import PersonTrack, TrackConfig
from quavf.sources.media import LONGEST_HOLD_S
from quavf.sources.video import TICKS, VideoFile
from quavf.store import ClipStore

TICKS_A_SECOND = 30
LONGEST_HOLD_TICKS = int(LONGEST_HOLD_S * TICKS_A_SECOND)


@dataclass(frozen=True)
class VideoConfig:
    """What is cut from a raw video.

    Args:
        rate: Scores a second for each person, 0 to 30; 0: every picture (at most 30 a second).
        search: How faces are looked for.
        track: How faces become persons.
    """

    rate: float = 10.0
    search: SearchConfig = field(default_factory=SearchConfig)
    track: TrackConfig = field(default_factory=TrackConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= TICKS_A_SECOND:
            raise ConfigError(
                f"rate: {self.rate} is not in 0 to {TICKS_A_SECOND} (the models' own rate); "
                "0 scores every picture"
            )


@dataclass(frozen=True)
class PreparedVideo:
    """What is known of one video beside its crops and sound."""

    store: ClipStore
    clip: str
    file: VideoFile
    config: VideoConfig
    pictures: Floats  # (P,) time of each decoded picture, s
    numbers: Ints  # (P,) its number in the file
    persons: tuple[PersonTrack, ...]  # numbered from 1
    cuts: Floats  # (C,) times of camera cuts, s
    silent: bool  # there is a sound track with nothing to hear on it

    @property
    def notes(self) -> dict[str, int]:
        return self.store.manifest(self.clip).notes

    @property
    def duration_s(self) -> float:
        """To the end of the last picture."""
        if not len(self.pictures):
            return 0.0
        return float(self.pictures[-1] + 1 / self.file.fps)

    def boxes_at(self, person: int, times: Floats) -> tuple[Floats, Floats]:
        """Boxes (T, 4) and detector scores (T,), NaN where the person is not seen."""
        return self.persons[person - 1].at(times, self.config.track.max_gap)

    def shown_at(self, ticks: Ints) -> Ints:
        """(T,) which of `pictures` is on screen at each tick; -1 for none."""
        first = first_ticks(self.pictures)
        rows = np.searchsorted(first, ticks, side="right") - 1
        if not len(first):
            return np.full(len(ticks), -1)
        held = (rows >= 0) & (ticks - first[np.maximum(rows, 0)] < LONGEST_HOLD_TICKS)
        return np.where(held & (ticks <= first[-1]), rows, -1)

    def boxes_of(self, person: int, ticks: Ints) -> tuple[Floats, Floats]:
        """The same on the pictures that are on screen at `ticks` (T,)."""
        rows = self.shown_at(ticks)
        boxes, scores = self.boxes_at(person, self.pictures[rows])
        boxes[rows < 0], scores[rows < 0] = np.nan, np.nan
        return boxes, scores

    def scored_ticks(self, person: int) -> Ints:
        """(S,) the ticks at which a person gets a score: where the face is seen."""
        ticks = scored_ticks(self.pictures, self.config.rate)
        boxes, _ = self.boxes_of(person, ticks)
        return np.asarray(ticks[~np.isnan(boxes[:, 0])], np.int64)

    def wanted_ticks(self, person: int, windows: WindowConfig) -> Ints:
        """(W,) the ticks whose crops those scores need, ascending."""
        centres = self.scored_ticks(person)
        slots = (centres[:, None] + windows.offsets(TICKS)).ravel()
        slots = np.union1d(slots[slots >= 0], centres)
        boxes, _ = self.boxes_of(person, slots)
        return np.asarray(slots[~np.isnan(boxes[:, 0])], np.int64)

    def spans(self, person: int) -> list[tuple[Span, Ints]]:
        """Each scene that a person is scored in, with its scored ticks; windows stay inside."""
        ticks = self.scored_ticks(person)
        edges = [0, *(TICKS.s_to_frame(Fraction(float(c))) for c in self.cuts), 1 << 60]
        found = []
        for start, end in pairwise(edges):
            inside = ticks[(ticks >= start) & (ticks < end)]
            if len(inside):
                found.append((Span(person, start, end - 1), inside))
        return found


def scored_ticks(pictures: Floats, rate: float) -> Ints:
    """(S,) the ticks to score of a video whose pictures come at these times (P,): `rate` a second,
    or with 0 each that begins a picture."""
    if not len(pictures):
        return np.empty(0, np.int64)
    first = first_ticks(pictures)
    if not rate:
        return np.unique(first)
    step = Fraction(TICKS_A_SECOND) / Fraction(rate).limit_denominator(1000)
    n = int(first[-1] / step) + 1
    ticks = np.unique([(k * step + Fraction(1, 2)).__floor__() for k in range(n)])
    return np.asarray(ticks[ticks <= first[-1]], np.int64)


def first_ticks(pictures: Floats) -> Ints:
    """(P,) the tick at which each picture appears: the nearest to its time (P,)."""
    return np.asarray(np.floor(pictures * TICKS_A_SECOND + 0.5 + 1e-6), np.int64)
