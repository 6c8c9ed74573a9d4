"""The tables of a video's result: scores and boxes of its people, and stretches of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.branches import known_columns
from quavf.core.errors import ScoresError
from quavf.core.records import Array, Floats
from quavf.results.columns import list_columns_to_read, list_columns_to_write
from quavf.results.records import Moment, Person, PersonBoxes, PersonScores
from quavf.utils.files import replace_file

SIDES = ("x1", "y1", "x2", "y2")
LINES = 4096  # of the CSV that are held as text at once


def tabulate_scores(scores: Mapping[int, PersonScores]) -> pa.Table:
    """The scores of all persons as one table, by time and person."""
    return _tabulate(scores, _schema(list_columns_to_write([*scores.values()])))


def tabulate_boxes(boxes: Mapping[int, PersonBoxes]) -> pa.Table:
    """The boxes of all persons as one table, by time and person."""
    return _tabulate(boxes, _schema())


def tabulate_stretches(stretches: Mapping[str, Sequence[Moment]]) -> pa.Table:
    """The stretches of all kinds as one table, by start."""
    rows = [(m.start_s, m, kind) for kind, own in stretches.items() for m in own]
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


def insert_names(table: pa.Table, persons: Iterable[Person]) -> pa.Table:
    """Insert what the persons are called as the column `name`, after `person`."""
    titles = {person.number: person.title for person in persons}
    numbers = table["person"].to_pylist()
    names = pa.array([titles.get(n) or f"Person {n}" for n in numbers], pa.string())
    return table.add_column(table.column_names.index("person") + 1, "name", names)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table; the file appears complete or not at all."""
    with replace_file(path) as temporary:
        pq.write_table(table, temporary)


def read_score_table(path: Path) -> dict[int, PersonScores]:
    table = _read_table(path)
    names = list_columns_to_read(table.column_names)
    return {
        person: PersonScores(
            own["time_s"], own["frame"], _stack_box(own), {name: own[name] for name in names}
        )
        for person, own in _by_person(path, table, names).items()
    }


def read_box_table(path: Path) -> dict[int, PersonBoxes]:
    return {
        person: PersonBoxes(own["frame"], own["time_s"], _stack_box(own))
        for person, own in _by_person(path, _read_table(path), ()).items()
    }


def format_csv(table: pa.Table) -> Iterator[str]:
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


def _schema(columns: Sequence[str] = ()) -> pa.Schema:
    """The schema of a table of boxes with these score columns."""
    keys = [("time_s", pa.float64()), ("frame", pa.int64()), ("person", pa.int64())]
    numbers = [*(f"box_{side}" for side in SIDES), *columns]
    return pa.schema(keys + [(name, pa.float64()) for name in numbers])


def _tabulate(rows: Mapping[int, Any], schema: pa.Schema) -> pa.Table:
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


def _format_number(value: float | None, decimals: int) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.{decimals}f}"
