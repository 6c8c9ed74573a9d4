"""Events from scores: when a person counts as talking to the wearer, and when no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from quavf.cues.grid import COLUMNS, LIP, RATE
from quavf.live.events import LiveEvent
from quavf.live.judge import TickScores
from quavf.live.people import SeenFace
from quavf.live.states import States
from quavf.results.config import MomentsConfig

MOMENTS = MomentsConfig(threshold=0.65, margin=0.15, max_gap=0.33)
FACE = np.array([100.0, 100, 180, 180])
NAN = float("nan")


def follow(
    talking: Sequence[float],
    config: MomentsConfig = MOMENTS,
    box: np.ndarray = FACE,
    moves: bool = True,
) -> list[LiveEvent]:
    """The events of one person with these scores, tick by tick, and of the end."""
    states, events = States(config), list[LiveEvent]()
    rng = np.random.default_rng(0)
    for tick, score in enumerate(talking):
        cues = np.ones(len(COLUMNS))
        if moves:
            cues += rng.normal(0, 0.1, len(COLUMNS))
        cues[LIP] = abs(cues[LIP])
        face = SeenFace(1, tick, tick / RATE, tick, box, cues)
        events += states.take(tick, [TickScores(face, score, NAN, NAN, score)])
    events += states.end(len(talking) / RATE)
    return events


def times(events: Sequence[LiveEvent], *kinds: str) -> list[tuple[str, float, float]]:
    """Kind, time and start of the events about talking, in ticks."""
    found = [e for e in events if e.kind in (kinds or ("addressed", "released"))]
    return [(e.kind, round(e.time_s * RATE), round((e.since_s or 0) * RATE)) for e in found]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1] * 5 + [0.9] * 10, [("addressed", 7, 5), ("released", 15, 5)]),  # the end
        ([0.1] * 5 + [0.9] * 2 + [0.1] * 9, []),  # a peak of two ticks
        ([0.1] * 5 + [0.6] * 10, []),  # under the threshold
        ([0.9] * 5 + [0.55] * 9 + [0.1] * 9, [("addressed", 2, 0), ("released", 19, 0)]),
        ([0.9] * 5 + [0.1] * 5 + [0.9] * 5, [("addressed", 2, 0), ("released", 15, 0)]),  # a pause
        ([0.9] * 5 + [NAN] * 9 + [0.1], [("addressed", 2, 0), ("released", 10, 0)]),
    ],
)
def test_when_a_person_counts_as_talking_to_the_wearer(
    scores: list[float], expected: list[tuple[str, float, float]]
) -> None:
    assert times(follow(scores)) == expected


def test_faces_that_do_not_count() -> None:
    talks = [0.9] * 90
    assert times(follow(talks), "addressed")
    small = np.array([100.0, 100, 125, 125])
    assert not times(follow(talks, box=small), "addressed")
    picture = times(follow(talks, moves=False))
    assert [kind for kind, *_ in picture][-1:] in ([], ["released"])
    assert len(picture) <= 2


def test_somebody_who_is_gone_talks_no_more() -> None:
    states, face = States(MOMENTS), SeenFace(1, 0, 0.0, 0, FACE, np.ones(len(COLUMNS)))
    events: list[LiveEvent] = []
    for tick in range(40):
        seen = [TickScores(face, 0.9, 0.9, 0.9, 0.9)] if tick < 10 else []
        events += states.take(tick, seen)
    kinds = [event.kind for event in events]
    assert kinds[:4] == ["seen", "addressed", "speaking", "looking"]
    assert kinds[4:] == ["released", "silent", "away", "lost"]
