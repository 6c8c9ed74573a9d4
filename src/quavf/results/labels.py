"""Labels of a video: who talks to the camera wearer, to others, or is silent, as a person says.

People are those that `quavf run` found, by its numbers. One that it took for two is joined, two
that it took for one are split: a labelled person is made of parts of found ones.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from quavf.core.errors import AnnotationError
from quavf.results.video import VideoResult
from quavf.utils.files import config_hash, read_json, read_text, write_json, write_text

FORMAT, VERSION = "quavf-labels", 1
LABELS_FILE = "labels.json"  # beside `result.json`
TO_ME, TO_OTHERS, SILENT = "to_me", "to_others", "silent"
LABELS = (TO_ME, TO_OTHERS, SILENT)
CSV_COLUMNS = ("video", "person", "start_s", "end_s", "label")
NAME_COLUMN = "name"  # further column, after the person, where somebody has a name
TOUCHING_S = 1e-3  # stretches may overlap by so much: times are written in milliseconds
SAMPLE = 1 << 20  # bytes at each end of a video that its fingerprint covers


@dataclass(frozen=True, order=True)
class Stretch:
    """A label of what one person does in [start_s, end_s).

    If it is not `checked`, it is a draft of the model's, which no one has confirmed.
    """

    start_s: float
    end_s: float
    label: str
    checked: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and 0 <= self.start_s < self.end_s < math.inf):
            raise AnnotationError(f"from {self.start_s:g} to {self.end_s:g} s is not a stretch")
        if self.label not in LABELS:
            raise AnnotationError(f"label {self.label!r} is not one of {', '.join(LABELS)}")


@dataclass(frozen=True, order=True)
class Part:
    """A found person, from `start_s` to `end_s`."""

    found: int
    start_s: float = 0.0
    end_s: float = math.inf


@dataclass(frozen=True)
class LabelledPerson:
    """One person and what they do; where no stretch is, nothing is known.

    Without `parts`, it is the found person of the same number, throughout.
    """

    number: int
    stretches: tuple[Stretch, ...] = ()
    parts: tuple[Part, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        for one, other in pairwise(self.stretches):
            if other.start_s < one.end_s - TOUCHING_S:
                raise AnnotationError(f"two stretches overlap at {other.start_s:g} s")

    def list_parts(self) -> tuple[Part, ...]:
        """The found people that this one is made of, at least one."""
        return self.parts or (Part(self.number),)


@dataclass(frozen=True)
class VideoLabels:
    """The labels of one video.

    `fingerprint` is that of the file, `run` of the people found in it; empty: not known.
    """

    video: str  # file name
    people: tuple[LabelledPerson, ...] = ()
    duration_s: float = 0.0
    fingerprint: str = ""
    run: str = ""

    @property
    def checked(self) -> VideoLabels:
        """The labels without drafts."""
        people = (
            replace(p, stretches=tuple(s for s in p.stretches if s.checked)) for p in self.people
        )
        return replace(self, people=tuple(people))

    @property
    def labelled_s(self) -> float:
        """Seconds that have a checked label, of all people together."""
        return sum(s.end_s - s.start_s for p in self.checked.people for s in p.stretches)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as in a label file."""
        head = {"format": FORMAT, "version": VERSION, "video": self.video}
        keys = {"fingerprint": self.fingerprint, "run": self.run, "duration_s": self.duration_s}
        return head | keys | {"people": [_person_to_json(p, self.duration_s) for p in self.people]}

    @classmethod
    def from_json(cls, content: Any, where: object = "labels") -> VideoLabels:
        """Raises AnnotationError that names `where` and the person."""
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise AnnotationError(f"{where}: no file of labels (format {FORMAT})")
        if content.get("version") != VERSION:
            raise AnnotationError(
                f"{where}: version {content.get('version')}, this version reads {VERSION}"
            )
        at = "people"
        try:
            people = []
            for k, entry in enumerate(content["people"], 1):
                at = f"people, number {k}"
                people.append(_person_from_json(entry))
            at = "people"
            _check_numbers(people)
            at = "video and duration_s"
            return cls(
                str(content["video"]),
                tuple(people),
                float(content.get("duration_s", 0.0)),
                str(content.get("fingerprint", "")),
                str(content.get("run", "")),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise AnnotationError(f"{where}: cannot be read at {at} ({error!r})") from None
        except AnnotationError as error:
            raise AnnotationError(f"{where}: {at}: {error}") from None

    def write(self, path: Path) -> None:
        """Write a label file."""
        write_json(Path(path), self.to_json())

    @classmethod
    def read(cls, path: Path) -> VideoLabels:
        """Read a label file. Raises AnnotationError if it is not one."""
        return cls.from_json(read_json(Path(path)), path)


def _person_to_json(person: LabelledPerson, duration_s: float) -> dict[str, Any]:
    parts = [
        {"found": p.found, "start_s": p.start_s, "end_s": min(p.end_s, duration_s)}
        for p in person.parts
    ]
    stretches = [asdict(stretch) for stretch in person.stretches]
    return {"person": person.number, "name": person.name, "parts": parts, "stretches": stretches}


def _person_from_json(entry: dict[str, Any]) -> LabelledPerson:
    stretches = (
        Stretch(
            float(s["start_s"]), float(s["end_s"]), str(s["label"]), bool(s.get("checked", True))
        )
        for s in entry.get("stretches", ())
    )
    parts = (
        Part(int(p["found"]), float(p.get("start_s", 0.0)), float(p.get("end_s", math.inf)))
        for p in entry.get("parts", ())
    )
    return LabelledPerson(
        int(entry["person"]), tuple(sorted(stretches)), tuple(parts), str(entry.get("name", ""))
    )


def _check_numbers(people: Sequence[LabelledPerson]) -> None:
    numbers = [p.number for p in people]
    if min(numbers, default=1) < 1 or len(set(numbers)) < len(numbers):
        raise AnnotationError("people must have different numbers, from 1")


def write_csv(path: Path, labels: Iterable[VideoLabels]) -> None:
    """Write all checked stretches as a table, `video,person,start_s,end_s,label`.

    Where people have names, a column `name` follows the person. A table does not say how people
    were joined or split.
    """
    rows = [
        {"video": one.video, "person": p.number, NAME_COLUMN: p.name, "label": s.label}
        | {"start_s": f"{s.start_s:.3f}", "end_s": f"{s.end_s:.3f}"}
        for one in labels
        for p in one.checked.people
        for s in p.stretches
    ]
    columns = list(CSV_COLUMNS)
    if any(row[NAME_COLUMN] for row in rows):
        columns.insert(2, NAME_COLUMN)
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    write_text(Path(path), text.getvalue())


def read_csv(path: Path) -> list[VideoLabels]:
    """Read a table of labels, one `VideoLabels` for each video. Raises AnnotationError."""
    path = Path(path)
    try:
        rows = csv.DictReader(io.StringIO(read_text(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from None
    missing = [name for name in CSV_COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise AnnotationError(
            f"{path}: has no column {missing[0]}; it needs {','.join(CSV_COLUMNS)}"
        )
    found: dict[str, dict[int, list[Stretch]]] = {}
    names: dict[tuple[str, int], str] = {}
    for row in rows:
        try:
            stretch = Stretch(float(row["start_s"]), float(row["end_s"]), row["label"].strip())
            video, person = row["video"].strip(), int(row["person"])
        except (ValueError, TypeError, AttributeError, AnnotationError) as error:
            raise AnnotationError(f"{path}, line {rows.line_num}: {error}") from None
        found.setdefault(video, {}).setdefault(person, []).append(stretch)
        names.setdefault((video, person), (row.get(NAME_COLUMN) or "").strip())
    try:
        return [
            VideoLabels(
                video,
                tuple(_from_rows(n, people[n], names[video, n]) for n in sorted(people)),
            )
            for video, people in found.items()
        ]
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None


def _from_rows(number: int, stretches: list[Stretch], name: str) -> LabelledPerson:
    try:
        return LabelledPerson(number, tuple(sorted(stretches)), name=name)
    except AnnotationError as error:
        raise AnnotationError(f"person {number}: {error}") from None


def fingerprint_video(path: Path) -> str:
    """A short hash of a video file's size and both of its ends; empty if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            start = file.read(SAMPLE)
            file.seek(max(size - SAMPLE, 0))
            end = file.read(SAMPLE)
    except OSError:
        return ""
    return hashlib.sha256(str(size).encode() + start + end).hexdigest()[:16]


def fingerprint_people(result: VideoResult) -> str:
    """A short hash of the people that were found: their numbers mean nothing elsewhere."""
    found = [[p.number, round(p.first_s, 2), round(p.last_s, 2)] for p in result.persons]
    return config_hash([round(result.duration_s, 2), found])
