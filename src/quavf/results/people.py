"""The people of a result as somebody labelled them: joined, split, and named."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.errors import AnnotationError
from quavf.core.records import Array
from quavf.results.labels import (
    LABELS_FILE,
    LabelledPerson,
    VideoLabels,
    fingerprint_people,
    read_csv,
)
from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.results.video import VideoResult

PLACES = ("*.labels.json", "*.labels.csv")  # what the page downloads
NUMBERED = re.compile(r"\b[Pp]erson (\d+)\b")  # in a note


def find_labels(folder: Path, result: VideoResult) -> VideoLabels | None:
    """The labels beside a result: `labels.json`, or else one file that the page downloaded.

    Raises AnnotationError if they are damaged, or of another run, whose people are others.
    """
    downloads = [path for place in PLACES for path in sorted(folder.glob(place))]
    for path in (folder / LABELS_FILE, *downloads):
        for labels in _read(path) if path.is_file() else ():
            if labels.run and labels.run != fingerprint_people(result):
                raise AnnotationError(
                    f"{path}: its labels are of another run, whose people have other numbers than "
                    "those in this folder; move it away"
                )
            if labels.run or labels.video == result.video.name:
                return labels
    return None


def _read(path: Path) -> list[VideoLabels]:
    return read_csv(path) if path.suffix == ".csv" else [VideoLabels.read(path)]


def apply_people(result: VideoResult, labels: VideoLabels | None) -> VideoResult:
    """A result whose people are those of the labels, with their names; None: as it is."""
    people = () if labels is None else labels.people
    if all(not p.name and [x.found for x in p.list_parts()] == [p.number] for p in people):
        return result
    owners = _Owners.build(result, people)
    return replace(
        result,
        persons=tuple(owners.describe(result, number) for number in owners.numbers),
        scores=owners.regroup(result.scores, PersonScores.take),
        boxes=owners.regroup(result.boxes, _take_boxes),
        notes=tuple(owners.rename(note) for note in result.notes),
        moments=owners.share(result.moments),
        truth=None if result.truth is None else owners.share(result.truth),
        others=None if result.others is None else owners.share(result.others),
        speaking=None if result.speaking is None else owners.share(result.speaking),
        looking=None if result.looking is None else owners.share(result.looking),
    )


@dataclass(frozen=True)
class _Span:
    """A found person from `start_s` to `end_s`, and the labelled person who that is."""

    found: int
    start_s: float
    end_s: float
    owner: int


@dataclass(frozen=True)
class _Owners:
    """Owners of the found people: which labelled person each one is, at any time."""

    spans: dict[int, list[_Span]]  # by found person, without gaps
    people: dict[int, LabelledPerson]

    @classmethod
    def build(cls, result: VideoResult, people: Sequence[LabelledPerson]) -> _Owners:
        starts: dict[int, list[tuple[float, int]]] = {p.number: [] for p in result.persons}
        for person in people:
            for part in person.list_parts():
                starts.setdefault(part.found, []).append((part.start_s, person.number))
        spans = {}
        for found, own in starts.items():
            own = sorted(own) or [(0.0, found)]
            ends = [*(start_s for start_s, _ in own[1:]), math.inf]
            firsts = [-math.inf, *ends[:-1]]
            spans[found] = [
                _Span(found, start_s, end_s, owner)
                for start_s, end_s, (_, owner) in zip(firsts, ends, own, strict=True)
            ]
        return cls(spans, {p.number: p for p in people})

    @property
    def numbers(self) -> list[int]:
        """The numbers of all owners, ascending."""
        return sorted({span.owner for own in self.spans.values() for span in own})

    def describe(self, result: VideoResult, number: int) -> Person:
        """The record of a person, with the picture of the first part."""
        found = {p.number: p for p in result.persons}
        spans = [s for f, own in self.spans.items() for s in own if s.owner == number]
        pairs = [(found[s.found], s) for s in spans if s.found in found]
        name = _clean(self.people[number].name) if number in self.people else ""
        if not pairs:
            return Person(number, 0.0, 0.0, name=name)
        first, _ = min(pairs, key=lambda pair: max(pair[0].first_s, pair[1].start_s))
        return Person(
            number,
            min(max(p.first_s, s.start_s) for p, s in pairs),
            max(min(p.last_s, s.end_s) for p, s in pairs),
            first.thumbnail,
            all(p.is_still for p, _ in pairs),
            name,
        )

    def share(self, moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
        """Stretches of found people as those of their owners, cut where the owner changes."""
        shared = [
            replace(
                m,
                person=span.owner,
                start_s=max(m.start_s, span.start_s),
                end_s=min(m.end_s, span.end_s),
            )
            for m in moments
            for span in self._find(m.person)
            if min(m.end_s, span.end_s) > max(m.start_s, span.start_s)
        ]
        return tuple(sorted(shared, key=lambda m: (m.start_s, m.person)))

    def regroup(self, tables: dict[int, Any], take: Callable[[Any, Array], Any]) -> dict[int, Any]:
        """Rows of found people as those of their owners, by time."""
        pieces: dict[int, list[Any]] = {}
        for found, table in tables.items():
            for span in self._find(found):
                inside = (table.time_s >= span.start_s) & (table.time_s < span.end_s)
                pieces.setdefault(span.owner, []).append(take(table, inside))
        return {owner: _join(own, take) for owner, own in sorted(pieces.items())}

    def _find(self, found: int) -> list[_Span]:
        return self.spans.get(found, [_Span(found, -math.inf, math.inf, found)])

    def rename(self, note: str) -> str:
        """A note that calls people by their names, except those that were split."""

        def title(match: re.Match[str]) -> str:
            owners = {span.owner for span in self._find(int(match[1]))}
            person = self.people.get(owners.pop()) if len(owners) == 1 else None
            return _clean(person.name) if person and person.name else match[0]

        return NUMBERED.sub(title, note)


def _clean(name: str) -> str:
    """A name on one line, without control characters and direction marks."""
    return "".join(c if c.isprintable() else " " for c in name).strip()


def _take_boxes(boxes: PersonBoxes, rows: Array) -> PersonBoxes:
    return PersonBoxes(boxes.frame[rows], boxes.time_s[rows], boxes.box[rows])


def _join(tables: Sequence[Any], take: Callable[[Any, Array], Any]) -> Any:
    """The rows of several tables of one person, by time."""
    if len(tables) == 1:
        return tables[0]
    time_s, frame = (np.concatenate([getattr(t, n) for t in tables]) for n in ("time_s", "frame"))
    box = np.concatenate([t.box for t in tables])
    if isinstance(tables[0], PersonBoxes):
        return take(PersonBoxes(frame, time_s, box), np.argsort(time_s, kind="stable"))
    names = dict.fromkeys(name for t in tables for name in t.columns)
    columns = {
        name: np.concatenate([t.columns.get(name, np.full(len(t), np.nan)) for t in tables])
        for name in names
    }
    return take(PersonScores(time_s, frame, box, columns), np.argsort(time_s, kind="stable"))
