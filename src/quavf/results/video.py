"""The result of a raw video: the record between scoring and the reports.

Boxes are pixels of the picture as a player shows it (turned as the file's metadata says). Times
count from the first picture of the video. Persons are numbered 1..N by first appearance.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.branches import BranchSpec, branch_specs, known_columns
from quavf.core.errors import AnnotationError, ConfigError, ScoresError
from quavf.core.records import Array, Floats, Ints
from quavf.results.columns import ScoreColumns, list_columns_to_read, list_columns_to_write
from quavf.results.kinds import KINDS
from quavf.utils.files import read_json, replace_file, write_json, write_text

FORMAT = 1
RESULT_FILE = "result.json"
SCORES_FILE = "scores.parquet"
TABLE_FILE = "scores.csv"
BOXES_FILE = "boxes.parquet"
MOMENTS_FILE = "moments.json"
SIDES = ("x1", "y1", "x2", "y2")
LINES = 4096  # of the CSV that are held as text at once


@dataclass(frozen=True)
class Moment:
    """One stretch [start_s, end_s) in which a person talks to the camera wearer, or does else.

    `confidence` in [0, 1]: mean score inside; 1 for what a label says.
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


@dataclass(frozen=True)
class VideoResult:
    """Everything that the annotated video and the report show."""

    video: Path
    duration_s: float
    fps: Fraction  # nominal; time_s is what counts where the rate varies
    frame_size: tuple[int, int]  # width, height as shown, pixels
    persons: tuple[Person, ...] = ()
    scores: dict[int, PersonScores] = field(default_factory=dict)  # by person
    boxes: dict[int, PersonBoxes] = field(default_factory=dict)  # by person
    moments: tuple[Moment, ...] = ()  # by start
    truth: tuple[Moment, ...] | None = None  # labels, where there are any
    others: tuple[Moment, ...] | None = None  # labelled as talking to somebody else; None: unknown
    speaking: tuple[Moment, ...] | None = None  # to anybody, by start; None: not judged
    looking: tuple[Moment, ...] | None = None  # at the camera wearer, by start; None: not judged
    fusion: str = "published"  # kind of the fusion
    threshold: float = 0.5  # of the fused score
    models: dict[str, str] = field(default_factory=dict)  # "audio", "visual", "quality", "faces"
    notes: tuple[str, ...] = ()  # warnings in plain words
    has_sound: bool = True

    @property
    def branches(self) -> tuple[BranchSpec, ...]:
        """The branches that have a score of anybody."""
        return tuple(
            spec
            for spec in branch_specs()
            if any(not np.isnan(rows[spec.name]).all() for rows in self.scores.values())
        )

    @property
    def stretches(self) -> dict[str, tuple[Moment, ...]]:
        """Everything that was judged or labelled, by kind; see `quavf.results.kinds`."""
        found = (self.moments, self.speaking, self.looking, self.truth, self.others)
        return {kind: own for kind, own in zip(KINDS, found, strict=True) if own is not None}

    def moments_of(self, person: int) -> tuple[Moment, ...]:
        return tuple(m for m in self.moments if m.person == person)

    def truth_of(self, person: int) -> tuple[Moment, ...]:
        return tuple(m for m in self.truth or () if m.person == person)

    def others_of(self, person: int) -> tuple[Moment, ...]:
        return tuple(m for m in self.others or () if m.person == person)

    def speaking_of(self, person: int) -> tuple[Moment, ...]:
        return tuple(m for m in self.speaking or () if m.person == person)

    def looking_of(self, person: int) -> tuple[Moment, ...]:
        return tuple(m for m in self.looking or () if m.person == person)

    def to_json(self) -> dict[str, Any]:
        """All but the two long tables, as plain values."""
        return {
            "format": FORMAT,
            "video": str(self.video),
            "duration_s": self.duration_s,
            "fps": str(self.fps),
            "frame_size": list(self.frame_size),
            "persons": [
                {
                    "number": p.number,
                    "first_s": p.first_s,
                    "last_s": p.last_s,
                    "thumbnail": base64.b64encode(p.thumbnail).decode(),
                    "is_still": p.is_still,
                    **({"name": p.name} if p.name else {}),
                }
                for p in self.persons
            ],
            "moments": [_moment_to_json(m) for m in self.moments],
            "truth": _moments_to_json(self.truth),
            "others": _moments_to_json(self.others),
            "speaking": _moments_to_json(self.speaking),
            "looking": _moments_to_json(self.looking),
            "fusion": self.fusion,
            "threshold": self.threshold,
            "models": self.models,
            "notes": list(self.notes),
            "has_sound": self.has_sound,
        }

    def to_pandas(self, table: str = "scores") -> Any:
        """A pandas DataFrame: `scores` or `boxes`, as in the files, or `moments`.

        `moments` has a row for each stretch in which a person does something, by start: `person`,
        `kind` (see `quavf.results.kinds`), `start_s`, `end_s`, `confidence`. Raises ConfigError for
        another name, and if pandas is not installed.
        """
        make = {"scores": self._score_table, "boxes": self._box_table, "moments": self._kind_table}
        if table not in make:
            raise ConfigError(f"to_pandas: {table!r} is not one of {', '.join(make)}")
        try:
            return make[table]().to_pandas()
        except ImportError:
            raise ConfigError(
                "to_pandas: needs pandas; install it with `pip install pandas`, or read "
                f"{SCORES_FILE} with pyarrow"
            ) from None

    def _score_table(self) -> pa.Table:
        return _table(self.scores, _schema(list_columns_to_write([*self.scores.values()])))

    def _box_table(self) -> pa.Table:
        return _table(self.boxes, _schema())

    def _kind_table(self) -> pa.Table:
        """All stretches, by start."""
        rows = [(m.start_s, m, kind) for kind, own in self.stretches.items() for m in own]
        rows.sort(key=lambda row: (row[0], row[1].person))
        columns = {
            "person": pa.array([m.person for _, m, _ in rows], pa.int64()),
            "kind": pa.array([kind for *_, kind in rows], pa.string()),
            **{
                name: pa.array([getattr(m, name) for _, m, _ in rows], pa.float64())
                for name in ("start_s", "end_s", "confidence")
            },
        }
        return pa.table(columns)

    def write(self, folder: Path) -> None:
        """Write result.json, scores.parquet, scores.csv, boxes.parquet and moments.json."""
        folder = Path(folder)
        table = self._score_table()
        for name, columns in ((SCORES_FILE, table), (BOXES_FILE, self._box_table())):
            with replace_file(folder / name) as temporary:
                pq.write_table(columns, temporary)
        write_text(folder / TABLE_FILE, "".join(_format_csv(table)))
        found = {"moments": self.moments, "speaking": self.speaking, "looking": self.looking}
        judged = {k: _moments_to_json(v) for k, v in found.items() if v is not None}
        head = {"video": self.video.name, "duration_s": self.duration_s}
        write_json(folder / MOMENTS_FILE, head | judged)
        write_json(folder / RESULT_FILE, self.to_json())  # last: its presence says all is there

    @classmethod
    def read(cls, folder: Path) -> VideoResult:
        """What `write` wrote. Raises ScoresError when something is missing or damaged."""
        path = Path(folder) / RESULT_FILE
        try:
            content = read_json(path)
            if content.get("format") != FORMAT:
                raise ScoresError(
                    f"{path}: format {content.get('format')}, this version reads {FORMAT}; "
                    "run `quavf run` again"
                )
            return cls(
                video=Path(content["video"]),
                duration_s=float(content["duration_s"]),
                fps=Fraction(content["fps"]),
                frame_size=(int(content["frame_size"][0]), int(content["frame_size"][1])),
                persons=tuple(_person(p) for p in content["persons"]),
                scores=_read_scores(Path(folder) / SCORES_FILE),
                boxes=_read_boxes(Path(folder) / BOXES_FILE),
                moments=tuple(Moment(**m) for m in content["moments"]),
                truth=_moments(content["truth"]),
                others=_moments(content.get("others")),
                speaking=_moments(content.get("speaking")),
                looking=_moments(content.get("looking")),
                fusion=str(content.get("fusion", "published")),
                threshold=float(content["threshold"]),
                models=dict(content["models"]),
                notes=tuple(content["notes"]),
                has_sound=bool(content["has_sound"]),
            )
        except (
            AnnotationError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            AssertionError,
        ) as e:
            raise ScoresError(f"{path}: no readable result ({e}); run `quavf run` again") from None


def _schema(columns: Sequence[str] = ()) -> pa.Schema:
    """Of a table of boxes with these score columns."""
    keys = [("time_s", pa.float64()), ("frame", pa.int64()), ("person", pa.int64())]
    numbers = [*(f"box_{side}" for side in SIDES), *columns]
    return pa.schema(keys + [(name, pa.float64()) for name in numbers])


def _moment_to_json(moment: Moment) -> dict[str, Any]:
    return {
        "person": moment.person,
        "start_s": round(moment.start_s, 3),
        "end_s": round(moment.end_s, 3),
        "confidence": round(moment.confidence, 4),
    }


def _moments_to_json(moments: tuple[Moment, ...] | None) -> list[dict[str, Any]] | None:
    return None if moments is None else [_moment_to_json(m) for m in moments]


def _moments(content: list[dict[str, Any]] | None) -> tuple[Moment, ...] | None:
    return None if content is None else tuple(Moment(**m) for m in content)


def _person(content: dict[str, Any]) -> Person:
    try:
        thumbnail = base64.b64decode(content["thumbnail"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"thumbnail: {error}") from None
    first_s, last_s = float(content["first_s"]), float(content["last_s"])
    is_still = bool(content.get("is_still", False))  # missing in earlier versions
    name = str(content.get("name", ""))
    return Person(int(content["number"]), first_s, last_s, thumbnail, is_still, name)


def _table(rows: dict[int, Any], schema: pa.Schema) -> pa.Table:
    """All persons' rows as one table, by time and person."""
    parts: dict[str, list[Array]] = {name: [] for name in schema.names}
    for person, own in sorted(rows.items()):
        for name in schema.names:
            if name == "person":
                column = np.full(len(own), person)
            elif name.startswith("box_"):
                column = own.box[:, SIDES.index(name.removeprefix("box_"))]
            else:
                column = getattr(own, name)
            parts[name].append(column)
    columns = {n: np.concatenate(c) if c else np.empty(0) for n, c in parts.items()}
    order = np.lexsort((columns["person"], columns["time_s"]))
    arrays = [
        pa.array(columns[f.name][order].astype(f.type.to_pandas_dtype()), f.type, from_pandas=True)
        for f in schema
    ]
    return pa.table(arrays, schema=schema)


def _read_scores(path: Path) -> dict[int, PersonScores]:
    table = _read_table(path)
    names = list_columns_to_read(table.column_names)
    return {
        person: PersonScores(
            own["time_s"], own["frame"], _stack_box(own), {name: own[name] for name in names}
        )
        for person, own in _by_person(path, table, names).items()
    }


def _read_boxes(path: Path) -> dict[int, PersonBoxes]:
    return {
        person: PersonBoxes(own["frame"], own["time_s"], _stack_box(own))
        for person, own in _by_person(path, _read_table(path), ()).items()
    }


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _by_person(path: Path, table: pa.Table, names: Sequence[str]) -> dict[int, dict[str, Array]]:
    """The columns of each person's rows, of a table with these score columns."""
    schema = _schema(names)
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError) as error:
        raise _unreadable(path, error) from None
    columns = {name: table[name].to_numpy() for name in schema.names}
    person = columns["person"]
    return {
        int(number): {name: column[person == number] for name, column in columns.items()}
        for number in np.unique(person)
    }


def _unreadable(path: Path, error: Exception) -> ScoresError:
    return ScoresError(f"{path}: cannot be read ({error}); run `quavf run` again")


def _stack_box(columns: Mapping[str, Array]) -> Floats:
    return np.stack([columns[f"box_{side}"] for side in SIDES], axis=1)  # (N, 4)


def _format_csv(table: pa.Table) -> Iterator[str]:
    """Format a table as lines of CSV; a missing value is empty."""
    yield ",".join(table.column_names) + "\n"
    decimals = {"time_s": 3, "frame": 0, "person": 0}
    decimals |= dict.fromkeys(known_columns(), 4)
    for part in table.to_batches(max_chunksize=LINES):
        columns = [
            [_format_number(v, decimals.get(name, 1)) for v in part[name].to_pylist()]
            for name in table.column_names
        ]
        for row in zip(*columns, strict=True):
            yield ",".join(row) + "\n"


def _format_number(value: float | None, decimals: int) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.{decimals}f}"
