"""When each person of a raw video is scored and cropped, and where the face is then.

Times are in ticks, 1/30 s from the first picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from quavf.core.clock import TICKS_PER_SECOND, Clock
from quavf.core.records import Array, Floats, Ints
from quavf.core.windows import Span

N_SAMPLES = 5  # crops of a person whose faces no network has to see as pictures


@dataclass(frozen=True)
class FaceTicks:
    """One face at some ticks: columns (N,), ticks ascending."""

    ticks: Ints
    pictures: Ints  # row of the picture on screen in `PreparedVideo.pictures`
    boxes: Floats  # (N, 4) xyxy pixels
    scores: Floats  # the detector's

    def __len__(self) -> int:
        return len(self.ticks)

    def sample(self, n: int) -> FaceTicks:
        """Some of the ticks, evenly spread."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).astype(int))
        return self.take(rows)

    def drop_unseen(self) -> FaceTicks:
        """The ticks at which the face is seen: those whose box is not NaN."""
        return self.take(~np.isnan(self.boxes[:, 0]))

    def take(self, rows: Array) -> FaceTicks:
        """The ticks of an index array or a mask."""
        return FaceTicks(self.ticks[rows], self.pictures[rows], self.boxes[rows], self.scores[rows])


@dataclass(frozen=True)
class PersonSchedule:
    """When one person is scored, and which crops those scores need."""

    person: int
    scored: FaceTicks
    crops: FaceTicks
    spans: tuple[tuple[Span, Ints], ...]  # each scene with its scored ticks; windows stay inside
    unread: tuple[tuple[Span, Ints], ...]  # the same of the ticks that the cues cannot judge


def ticks_to_score(pictures: Floats, rate: float) -> Ints:
    """(S,) the ticks to score in a video with pictures at these times (P,).

    `rate` a second; with 0, each tick at which a picture appears.
    """
    if not len(pictures):
        return np.empty(0, np.int64)
    first = first_ticks(pictures)
    if not rate:
        return np.unique(first)
    step = Fraction(TICKS_PER_SECOND) / Fraction(rate).limit_denominator(1000)
    n = int(first[-1] / step) + 1
    ticks = np.unique([(k * step + Fraction(1, 2)).__floor__() for k in range(n)])
    return np.asarray(ticks[ticks <= first[-1]], np.int64)


def first_ticks(pictures: Floats) -> Ints:
    """(P,) the tick at which each picture appears: the nearest to its time (P,)."""
    return np.asarray(np.floor(pictures * TICKS_PER_SECOND + 0.5 + 1e-6), np.int64)


def split_by_scene(person: int, ticks: Ints, cuts: Floats) -> tuple[tuple[Span, Ints], ...]:
    """Each scene between camera cuts, times (C,), that holds some of the ascending ticks (S,)."""
    edges = [0, *(Clock().s_to_frame(Fraction(float(cut))) for cut in cuts), 1 << 60]
    spans = []
    for start, end in pairwise(edges):
        inside = ticks[(ticks >= start) & (ticks < end)]
        if len(inside):
            spans.append((Span(person, start, end - 1), inside))
    return tuple(spans)
