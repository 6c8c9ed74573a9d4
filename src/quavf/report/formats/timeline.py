"""Stretches of time in whole milliseconds, as every format tells them: who did what, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from quavf.core.errors import ConfigError
from quavf.report.video import clean_text
from quavf.results.kinds import KINDS, LABELS
from quavf.results.records import Moment
from quavf.results.video import VideoResult

SHORTEST_MS = 1  # no tool takes a stretch without length


@dataclass(frozen=True)
class Stretch:
    """One person does one thing in [start_ms, end_ms); `confidence` in [0, 1], None for a label."""

    person: int
    kind: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


@dataclass(frozen=True)
class Tier:
    """All stretches of one kind of one person, by start, without overlap."""

    name: str
    person: str
    kind: str
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True)
class Timeline:
    """Stretches of a video, by start; times count from its first picture.

    `offset_ms` is the time of that picture in the file, as players count. `people` holds the name
    of each person, `judged` the kinds that can have stretches.
    """

    video: Path
    duration_ms: int
    people: Mapping[int, str]
    judged: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    offset_ms: int = 0

    @property
    def end_ms(self) -> int:
        """The end of the video, or of the last stretch if that is later; at least 1 ms."""
        return max(self.duration_ms, SHORTEST_MS, *(s.end_ms for s in self.stretches))

    def list_tiers(self) -> list[Tier]:
        """A tier for each judged kind of each person who has a stretch of any kind."""
        return [
            Tier(f"{name} {KINDS[kind]}", name, kind, _join(self.find(kind, person)))
            for person, name in ((n, write_one_line(t)) for n, t in sorted(self.people.items()))
            if any(s.person == person for s in self.stretches)
            for kind in self.judged
        ]

    def list_joined(self) -> list[Stretch]:
        """The stretches of all tiers, by start: those of a person and a kind do not overlap."""
        found = [s for tier in self.list_tiers() for s in tier.stretches]
        return sorted(found, key=lambda s: (s.start_ms, s.person, s.end_ms))

    def find(self, kind: str, person: int | None = None) -> list[Stretch]:
        """The stretches of a kind, of one person or of everybody."""
        return [s for s in self.stretches if s.kind == kind and person in (None, s.person)]


def build_timeline(result: VideoResult, kinds: Sequence[str] = (), offset_ms: int = 0) -> Timeline:
    """The timeline of a result; `kinds` are those to keep, all by default.

    Raises ConfigError for an unknown kind.
    """
    check_kinds(kinds)
    judged = {k: v for k, v in result.stretches.items() if not kinds or k in kinds}
    stretches = chain.from_iterable(
        (_convert(moment, kind) for moment in moments) for kind, moments in judged.items()
    )
    numbers = {p.number for p in result.persons} | {m.person for v in judged.values() for m in v}
    return Timeline(
        result.video,
        round(1000 * result.duration_s),
        _name_people(result, sorted(numbers)),
        tuple(judged),
        tuple(sorted(stretches, key=lambda s: (s.start_ms, s.person, s.end_ms))),
        offset_ms,
    )


def _name_people(result: VideoResult, numbers: Sequence[int]) -> dict[int, str]:
    """Name people for files: by their names, with the number where two have the same."""
    names = {p.number: write_one_line(p.title) for p in result.persons}
    titles = {n: names.get(n) or f"Person {n}" for n in numbers}
    taken = Counter(titles.values())
    return {n: title if taken[title] == 1 else f"{title} ({n})" for n, title in titles.items()}


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise ConfigError for a kind that does not exist."""
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ConfigError(f"kind: {unknown[0]!r} is not one of {', '.join(KINDS)}")


def write_one_line(text: str) -> str:
    """A text for one line of a file: no line breaks, no control characters."""
    return " ".join(clean_text(" ".join(text.split())).split())


def _convert(moment: Moment, kind: str) -> Stretch:
    start = max(0, round(1000 * moment.start_s))
    end = max(start + SHORTEST_MS, round(1000 * moment.end_s))
    return Stretch(moment.person, kind, start, end, None if kind in LABELS else moment.confidence)


def _join(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """One person's stretches of a kind with those that overlap joined; the higher confidence."""
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and stretch.start_ms < joined[-1].end_ms:
            before = joined[-1]
            known = [s.confidence for s in (before, stretch) if s.confidence is not None]
            end = max(before.end_ms, stretch.end_ms)
            joined[-1] = replace(before, end_ms=end, confidence=max(known, default=None))
        else:
            joined.append(stretch)
    return tuple(joined)


def describe_confidence(stretch: Stretch) -> str:
    """The text of a stretch on a tier: its confidence, or that it is a label."""
    return "label" if stretch.confidence is None else f"{stretch.confidence:.2f}"
