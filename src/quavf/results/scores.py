"""The scores folder: what branches predict, fusion blends and evaluation judges."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.errors import ScoresError
from quavf.core.records import Floats, Ints
from quavf.utils.files import read_json, replacing, write_json

SCORES_FILE = "scores.parquet"
CONFIG_FILE = "config.json"
VALUES = ("audio", "visual", "quality", "fused")
SCHEMA = pa.schema(
    [("clip", pa.string()), ("person", pa.int64()), ("frame", pa.int64())]
    + [(name, pa.float64()) for name in VALUES]
)


@dataclass(frozen=True)
class Scores:
    """One row per clip, person and frame that has a face; columns are (N,), NaN means missing.

    `audio`, `visual` and `fused` are the probability of talking to me, `quality` the visual
    window's face quality; all in [0, 1].
    """

    clip: npt.NDArray[np.object_]
    person: Ints
    frame: Ints
    audio: Floats
    visual: Floats
    quality: Floats
    fused: Floats

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self.names()}
        assert len(set(lengths.values())) == 1, lengths

    def __len__(self) -> int:
        return len(self.clip)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    @classmethod
    def empty(cls) -> Scores:
        return cls(np.empty(0, object), *(np.empty(0, int),) * 2, *(np.empty(0),) * 4)

    def sorted(self) -> Scores:
        """The same rows ordered by clip, person and frame."""
        return self.take(np.lexsort((self.frame, self.person, self.clip.astype(str))))

    def take(self, rows: npt.NDArray[Any]) -> Scores:
        """The rows of an index array or a mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.names()})


def write_scores(folder: Path, scores: Scores, config: dict[str, Any]) -> None:
    """Write `scores.parquet` and the resolved configuration, each atomically."""
    columns = [pa.array(getattr(scores, name), from_pandas=True) for name in Scores.names()]
    table = pa.table(columns, names=list(Scores.names())).cast(SCHEMA)
    folder = Path(folder)
    with replacing(folder / SCORES_FILE) as temporary:
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
    try:
        table = table.select(list(Scores.names())).cast(SCHEMA)
    except pa.ArrowException as error:
        raise ScoresError(f"{path}: a column has the wrong type ({error})") from None
    for name in ("clip", "person", "frame"):
        if table[name].null_count:
            raise ScoresError(f"{path}: column {name!r} has {table[name].null_count} empty rows")
    _check_ranges(path, table)
    columns = [table[name].to_numpy(zero_copy_only=False) for name in Scores.names()]
    return Scores(*columns)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration that a scores folder was made with; empty when there is none."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        return {}
    config = read_json(path)
    if not isinstance(config, dict):
        raise ScoresError(f"{path}: expected an object, found a {type(config).__name__}")
    return config


def _check_ranges(path: Path, table: pa.Table) -> None:
    """NaN and infinities are damage here: a missing value is null."""
    for name in VALUES:
        column = table[name]
        values = column.to_numpy()
        bad = np.flatnonzero(column.is_valid().to_numpy() & ~((values >= 0) & (values <= 1)))
        if len(bad):
            first = table.slice(int(bad[0]), 1).to_pylist()[0]
            raise ScoresError(
                f"{path}: column {name!r} has {len(bad)} values that are not in [0, 1] "
                f"(the first: {first[name]} in row {bad[0]}, clip {first['clip']}, person "
                f"{first['person']}, frame {first['frame']}); predict again, or mend the rows "
                "(missing = null)"
            )
