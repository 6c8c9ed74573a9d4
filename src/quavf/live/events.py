"""What a live session reports: events, the people in view, and counts of its input.

`docs/reference/live.md` describes the JSON of an event.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

FORMAT = 1
KINDS = (
    "seen",  # a person has come into view
    "lost",  # a person is out of view
    "speaking",  # a person begins to speak, to anybody
    "silent",  # ... and stops
    "looking",  # a person begins to look at the wearer
    "away",  # ... and stops
    "addressed",  # a person begins to talk to the wearer
    "released",  # ... and stops
    "dropped",  # pictures were left out, because the machine is too slow
)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LiveEvent:
    """One change, at a time of the stamps given.

    Args:
        kind: One of `KINDS`.
        time_s: When it was so, s; known a look-ahead later.
        person: Number of the person, from 1; None: not about a person.
        since_s: When the stretch that begins or ends here began, s.
        talking, speaking, looking: Probabilities at that time, 0 to 1; None: not known.
        box: The face, xyxy pixels; None: not in view.
        detail: More to read, such as how many pictures were left out.
    """

    kind: str
    time_s: float
    person: int | None = None
    since_s: float | None = None
    talking: float | None = None
    speaking: float | None = None
    looking: float | None = None
    box: Box | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    def to_json(self) -> dict[str, Any]:
        """Plain values; `format` is increased when a field changes its meaning."""
        return {
            "format": FORMAT,
            "event": self.kind,
            "time_s": round(self.time_s, 3),
            "person": self.person,
            "since_s": _round(self.since_s, 3),
            "talking": _round(self.talking, 4),
            "speaking": _round(self.speaking, 4),
            "looking": _round(self.looking, 4),
            "box": None if self.box is None else [round(side, 1) for side in self.box],
            "detail": self.detail,
        }

    def to_line(self) -> str:
        """One line of JSON, without its end."""
        return json.dumps(self.to_json())


@dataclass(frozen=True)
class LivePerson:
    """The newest state of a person in view.

    Args:
        person: Number, from 1 by first appearance.
        box: The face in the newest picture that shows it, xyxy pixels.
        time_s: Time of that picture, s.
        talking, speaking, looking: The newest probabilities, a look-ahead older; None: not known.
        is_addressing: Whether the person talks to the wearer, by the events so far; likewise
            `is_speaking` and `is_looking`.
    """

    person: int
    box: Box
    time_s: float
    talking: float | None = None
    speaking: float | None = None
    looking: float | None = None
    is_addressing: bool = False
    is_speaking: bool = False
    is_looking: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded as those of events."""
        return {
            "person": self.person,
            "box": [round(side, 1) for side in self.box],
            "time_s": round(self.time_s, 3),
            "talking": _round(self.talking, 4),
            "speaking": _round(self.speaking, 4),
            "looking": _round(self.looking, 4),
            "is_addressing": self.is_addressing,
            "is_speaking": self.is_speaking,
            "is_looking": self.is_looking,
        }


@dataclass(frozen=True)
class LiveCounts:
    """What came in and what became of it, since the start of the session.

    Pictures: `received` is all of them, `looked_at` those in which faces were searched (15 a second
    at most), `dropped` those that would have been but for a machine that is too slow, `late` those
    that came after their time, `doubled` those whose time was there already, and `missing` the
    looks (1/15 s) for which there was no picture. Sound: seconds `heard`, `sound_missing` (filled
    with silence) and `sound_late` (late or doubled, cut).
    """

    received: int = 0
    looked_at: int = 0
    dropped: int = 0
    late: int = 0
    doubled: int = 0
    missing: int = 0
    heard: float = 0.0
    sound_missing: float = 0.0
    sound_late: float = 0.0


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
