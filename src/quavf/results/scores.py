"""The scores folder: what branches predict, fusion blends and evaluation judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.branches import score_columns
from quavf.core.errors import ScoresError
from quavf.core.records import Floats, Ints
from quavf.results.columns import ScoreColumns, list_columns_to_read, list_columns_to_write
from quavf.utils.files import read_json, replace_file, write_json

SCORES_FILE = "scores.parquet"
CONFIG_FILE = "config.json"
KEYS = ("clip", "person", "frame")


@dataclass(frozen=True)
class Scores(ScoreColumns):
    """One row per clip, person and frame that has a face, with the scores of each branch.

    `scores["audio"]` and `scores.audio` are a column, (N,); see `ScoreColumns`.
    """

    clip: npt.NDArray[np.object_]  # (N,)
    person: Ints  # (N,)
    frame: Ints  # (N,)
    columns: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in KEYS}
        assert len(set(lengths.values())) == 1, lengths
        self._check_columns()

    def __len__(self) -> int:
        return len(self.clip)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The columns that every scores file has."""
        return (*KEYS, *score_columns())

    @classmethod
    def empty(cls) -> Scores:
        return cls(np.empty(0, object), np.empty(0, int), np.empty(0, int))

    def sorted(self) -> Scores:
        """The same rows ordered by clip, person and frame."""
        return self.take(np.lexsort((self.frame, self.person, self.clip.astype(str))))

    def take(self, rows: npt.NDArray[Any]) -> Scores:
        """The rows of an index array or a mask."""
        columns = self.take_columns(rows)
        return Scores(self.clip[rows], self.person[rows], self.frame[rows], columns)


def concatenate(parts: Sequence[Scores]) -> Scores:
    """All rows of several score sets, in the order given."""
    if not parts:
        return Scores.empty()
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return Scores(
        np.concatenate([part.clip for part in parts]),
        np.concatenate([part.person for part in parts]),
        np.concatenate([part.frame for part in parts]),
        {name: np.concatenate([part[name] for part in parts]) for name in names},
    )


def write_scores(folder: Path, scores: Scores, config: dict[str, Any]) -> None:
    """Write `scores.parquet` and the resolved configuration, each atomically."""
    schema = _schema(list_columns_to_write([scores]))
    columns = [pa.array(getattr(scores, name), from_pandas=True) for name in schema.names]
    table = pa.table(columns, names=schema.names).cast(schema)
    folder = Path(folder)
    with replace_file(folder / SCORES_FILE) as temporary:
        pq.write_table(table, temporary)
    write_json(folder / CONFIG_FILE, config)


def read_scores(folder: Path) -> Scores:
    """Read a scores folder. Raises ScoresError that names the column and the first bad row."""
    path = Path(folder) / SCORES_FILE
    if not path.is_file():
        raise ScoresError(f"{path}: no such file; make it with `quavf predict`")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ScoresError(f"{path}: not a readable Parquet file ({error})") from None
    missing = [name for name in Scores.names() if name not in table.column_names]
    if missing:
        raise ScoresError(f"{path}: column {missing[0]!r} is missing; found {table.column_names}")
    schema = _schema(list_columns_to_read(table.column_names))
    try:
        table = table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise ScoresError(f"{path}: a column has the wrong type ({error})") from None
    for name in KEYS:
        if table[name].null_count:
            raise ScoresError(f"{path}: column {name!r} has {table[name].null_count} empty rows")
    _check_ranges(path, table)
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in schema.names}
    clip, person, frame = (columns.pop(name) for name in KEYS)
    return Scores(clip, person, frame, columns)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration that a scores folder was made with; empty when there is none."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        return {}
    config = read_json(path)
    if not isinstance(config, dict):
        raise ScoresError(f"{path}: expected an object, found a {type(config).__name__}")
    return config


def _schema(columns: Sequence[str]) -> pa.Schema:
    """The schema of a file with these score columns."""
    keys = [("clip", pa.string()), ("person", pa.int64()), ("frame", pa.int64())]
    return pa.schema(keys + [(name, pa.float64()) for name in columns])


def _check_ranges(path: Path, table: pa.Table) -> None:
    """Reject NaN and infinities too: a missing value is null."""
    for name in table.column_names[len(KEYS) :]:
        column = table[name]
        values = column.to_numpy()
        bad = np.flatnonzero(column.is_valid().to_numpy() & ~((values >= 0) & (values <= 1)))
        if len(bad):
            first = table.slice(int(bad[0]), 1).to_pylist()[0]
            raise ScoresError(
                f"{path}: column {name!r} has {len(bad)} values that are not in [0, 1] "
                f"(the first: {first[name]} in row {bad[0]}, clip {first['clip']}, person "
                f"{first['person']}, frame {first['frame']}); predict again, or correct the rows "
                "(missing = null)"
            )
