"""The records of a video's result: its moments, its people, and where and when each was scored.

Boxes are pixels of the picture as a player shows it (turned as the file's metadata says). Times
count from the first picture of the video. Persons are numbered 1..N by first appearance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quavf.core.records import Array, Floats, Ints
from quavf.results.columns import ScoreColumns


@dataclass(frozen=True)
class Moment:
    """A stretch [start_s, end_s) in which a person does one thing, such as talk to the wearer.

    `confidence` in [0, 1]: mean score inside; 1 for a label.
    """

    person: int
    start_s: float
    end_s: float
    confidence: float = 1.0

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Person:
    """One person of a video: number from 1, seen from `first_s` to `last_s` (with gaps)."""

    number: int
    first_s: float
    last_s: float
    thumbnail: bytes = b""  # JPEG of the face that can be seen best; empty when there is none
    is_still: bool = False  # the face never moves, like one in a picture on a wall
    name: str = ""  # as somebody who labelled the video called them

    @property
    def title(self) -> str:
        """The name, or else the number in words."""
        return self.name or f"Person {self.number}"


@dataclass(frozen=True)
class PersonScores(ScoreColumns):
    """One row for each time at which a person was scored; times ascend.

    `rows["audio"]` and `rows.audio` are a column, (N,); see `ScoreColumns`.
    """

    time_s: Floats  # (N,)
    frame: Ints  # (N,) number of the picture that is on screen, from 0, counted in the file
    box: Floats  # (N, 4) xyxy, pixels of the picture on screen
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.time_s)
        assert self.box.shape == (n, 4), self.box.shape
        assert len(self.frame) == n
        self._check_columns()

    def __len__(self) -> int:
        return len(self.time_s)

    def take(self, rows: Array) -> PersonScores:
        """The rows of an index array or a mask."""
        keys = (self.time_s[rows], self.frame[rows], self.box[rows])
        return PersonScores(*keys, self.take_columns(rows))


@dataclass(frozen=True)
class PersonBoxes:
    """Where one person's face is on every picture that shows it; rows ascend."""

    frame: Ints  # (N,) number of the picture in the file
    time_s: Floats  # (N,)
    box: Floats  # (N, 4) xyxy

    def __post_init__(self) -> None:
        n = len(self.frame)
        assert self.box.shape == (n, 4), self.box.shape
        assert len(self.time_s) == n

    def __len__(self) -> int:
        return len(self.frame)
