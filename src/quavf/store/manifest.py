"""Metadata of a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from quavf.core.clock import Clock
from quavf.core.errors import StoreError
from quavf.core.records import TALKING, Interval, Intervals, Segment, Unlabelled
from quavf.store.integrity import REMEDY, FileSum
from quavf.utils.files import config_hash

INTERVAL_FIELDS = ("speaking", "looking")
CHECKSUM = "checksum"  # in clip.json: of all its other fields


@dataclass(frozen=True)
class Manifest:
    """Metadata of one clip."""

    clip: str
    split: str
    clock: Clock
    segments: tuple[Segment, ...]  # empty when nothing is labelled
    n_samples: int | None  # None: the clip has no sound
    n_crops: int
    frame_size: tuple[int, int] | None  # width, height, pixels; None: there were no frames
    fingerprint: str  # of annotations and media; it changes when they do
    config_hash: str
    notes: dict[str, int] = field(default_factory=dict)
    speaking: Intervals = None  # when each person speaks, the wearer included; None: not labelled
    looking: Intervals = None  # when each person looks at the wearer; None: not labelled
    files: dict[str, FileSum] = field(default_factory=dict, compare=False)  # empty: not known
    unlabelled: Unlabelled = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Identifies what was written: tables made from this clip keep it."""
        sums = {name: one.sha256 for name, one in self.files.items()}
        return config_hash([self.fingerprint, self.n_crops, self.n_samples, sums])

    @property
    def spoken(self) -> tuple[Segment, ...]:
        """The segments in which their person speaks.

        Of a dataset's, all; where part of a clip is unlabelled, segments may also be of silence.
        """
        if self.speaking is None or TALKING not in self.unlabelled:
            return self.segments
        return tuple(s for s in self.segments if any(_meet(s, i) for i in self.speaking))

    def to_json(self) -> dict[str, Any]:
        content = asdict(self) | {"clock": str(self.clock.fps)}
        content["segments"] = [
            [s.person, s.start_frame, s.last_frame, s.label] for s in self.segments
        ]
        for name in INTERVAL_FIELDS:
            intervals: Intervals = getattr(self, name)
            content[name] = intervals and _list_intervals(intervals)
        content["unlabelled"] = {k: _list_intervals(i) for k, i in self.unlabelled.items() if i}
        if not content["unlabelled"]:  # as in clips of earlier versions
            del content["unlabelled"]
        return content | {CHECKSUM: config_hash(content)}

    @classmethod
    def from_json(cls, content: dict[str, Any], where: object) -> Manifest:
        """Raises StoreError naming `where` and the first bad field."""
        name = "the file"
        try:
            known = {}
            for name, read in _MANIFEST_FIELDS.items():
                if name in content or name not in _LATER:
                    known[name] = read(content[name])
            name = CHECKSUM
            fields = {key: value for key, value in content.items() if key != CHECKSUM}
            if len(fields) < len(content) or "files" in content:  # not of an earlier version
                _compare(content[CHECKSUM], config_hash(fields), where)
            return cls(**known)
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            AssertionError,
        ) as error:
            raise StoreError(f"{where}: damaged at {name!r} ({error!r}); {REMEDY}") from None


def _list_intervals(intervals: tuple[Interval, ...]) -> list[list[int]]:
    return [[i.person, i.start_frame, i.last_frame] for i in intervals]


def _meet(one: Segment, other: Interval) -> bool:
    """Whether both are of one person and share a frame."""
    apart = one.last_frame < other.start_frame or other.last_frame < one.start_frame
    return one.person == other.person and not apart


def _compare(found: object, expected: str, where: object) -> None:
    if found != expected:
        raise StoreError(f"{where}: was edited after it was written; {REMEDY}")


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"found {value!r:.60}")
        return value

    return read


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"found {value!r:.60}")
    return value


def _sums(value: dict[str, dict[str, Any]]) -> dict[str, FileSum]:
    return {name: FileSum(_count(one["size"]), str(one["sha256"])) for name, one in value.items()}


def _notes(value: Any) -> dict[str, int]:
    return {str(note): _count(count) for note, count in _exactly(dict)(value).items()}


def _segments(value: list[list[int]]) -> tuple[Segment, ...]:
    return tuple(Segment(*map(int, segment)) for segment in value)


def _intervals(value: list[list[int]] | None) -> Intervals:
    return None if value is None else tuple(Interval(*map(int, interval)) for interval in value)


def _unlabelled(value: dict[str, list[list[int]]]) -> Unlabelled:
    return {str(kind): _intervals(stretches) or () for kind, stretches in value.items()}


def _size(value: list[int] | None) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))


_MANIFEST_FIELDS: dict[str, Callable[[Any], Any]] = {
    "clip": _exactly(str),
    "split": _exactly(str),
    "clock": lambda value: Clock(Fraction(value)),
    "segments": _segments,
    "n_samples": lambda value: None if value is None else _count(value),
    "n_crops": _count,
    "frame_size": _size,
    "fingerprint": _exactly(str),
    "config_hash": _exactly(str),
    "notes": _notes,
    "speaking": _intervals,
    "looking": _intervals,
    "files": _sums,
    "unlabelled": _unlabelled,
}
_LATER = (*INTERVAL_FIELDS, "files", "unlabelled")  # fields that clips of earlier versions lack
