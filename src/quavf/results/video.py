"""The result of a raw video, between scoring and the reports, and its folder on disk."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import BranchSpec, branch_specs
from quavf.core.errors import AnnotationError, ConfigError, ScoresError
from quavf.results.kinds import KINDS
from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.results.video_tables import (
    format_csv,
    insert_names,
    read_box_table,
    read_score_table,
    tabulate_boxes,
    tabulate_scores,
    tabulate_stretches,
    write_parquet,
)
from quavf.utils.files import read_json, write_json, write_text

FORMAT = 1
RESULT_FILE = "result.json"
SCORES_FILE = "scores.parquet"
TABLE_FILE = "scores.csv"
BOXES_FILE = "boxes.parquet"
MOMENTS_FILE = "moments.json"


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
        `kind` (see `quavf.results.kinds`), `start_s`, `end_s`, `confidence`. In all three, `name`
        follows `person`: the person's name, or else "Person 1". Raises ConfigError for another
        table, and if pandas is not installed.
        """
        make = {
            "scores": lambda: tabulate_scores(self.scores),
            "boxes": lambda: tabulate_boxes(self.boxes),
            "moments": lambda: tabulate_stretches(self.stretches),
        }
        if table not in make:
            raise ConfigError(f"to_pandas: {table!r} is not one of {', '.join(make)}")
        try:
            return insert_names(make[table](), self.persons).to_pandas()
        except ImportError:
            raise ConfigError(
                "to_pandas: needs pandas; install it with `pip install pandas`, or read "
                f"{SCORES_FILE} with pyarrow"
            ) from None

    def write(self, folder: Path) -> None:
        """Write result.json, scores.parquet, scores.csv, boxes.parquet and moments.json."""
        folder = Path(folder)
        table = tabulate_scores(self.scores)
        for name, columns in ((SCORES_FILE, table), (BOXES_FILE, tabulate_boxes(self.boxes))):
            write_parquet(folder / name, columns)
        write_text(folder / TABLE_FILE, "".join(format_csv(table)))
        found = {"moments": self.moments, "speaking": self.speaking, "looking": self.looking}
        judged = {k: _moments_to_json(v) for k, v in found.items() if v is not None}
        head = {"video": self.video.name, "duration_s": self.duration_s}
        write_json(folder / MOMENTS_FILE, head | judged)
        write_json(folder / RESULT_FILE, self.to_json())  # last: its presence says all is there

    @classmethod
    def read(cls, folder: Path) -> VideoResult:
        """Read what `write` wrote. Raises ScoresError when something is missing or damaged."""
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
                scores=read_score_table(Path(folder) / SCORES_FILE),
                boxes=read_box_table(Path(folder) / BOXES_FILE),
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
