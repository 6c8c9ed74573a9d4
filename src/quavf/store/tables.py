"""The Parquet tables of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.errors import StoreError
from quavf.core.records import Array, CropGeometry, Floats, Ints

SCHEMA = pa.schema(
    [("person", pa.int64()), ("frame", pa.int64()), ("time_s", pa.float64())]
    + [(f"box_{side}", pa.float64()) for side in ("x1", "y1", "x2", "y2")]
    + [(f"region_{side}", pa.int32()) for side in ("x1", "y1", "x2", "y2")]
    + [(f"picture_{side}", pa.int32()) for side in ("x0", "x1", "y0", "y1")]
    + [("offset", pa.int64()), ("size", pa.int64()), ("crc32", pa.int64())]
)
ROWS_NAME = "rows.parquet"  # of the dataset's own files
ROWS_SCHEMA = pa.schema([("person", pa.int64()), ("frame", pa.int64()), ("text", pa.string())])
LATER = ("crc32",)  # columns that tables of earlier versions lack
INTEGERS = [f.name for f in SCHEMA if pa.types.is_integer(f.type) and f.name not in LATER]


@dataclass(frozen=True)
class Faces:
    """The crops of one clip, sorted by person and frame; columns are (N,) or (N, 4)."""

    person: Ints
    frame: Ints
    time_s: Floats
    box: Floats  # box, region and picture: see `CropGeometry`
    region: Ints
    picture: Ints
    offset: Ints  # bytes, of the JPEG in crops.tar
    size: Ints  # bytes
    crc32: Ints | None = None  # of the JPEG; None in stores of earlier versions

    def __len__(self) -> int:
        return len(self.person)

    def geometry(self, row: int) -> CropGeometry:
        """Where the crop of a row comes from."""
        box, region, picture = (c[row].tolist() for c in (self.box, self.region, self.picture))
        return CropGeometry(tuple(box), tuple(region), tuple(picture))

    def rows_of(self, person: int) -> slice:
        """The rows of one person; their frames ascend."""
        first, end = np.searchsorted(self.person, [person, person + 1])
        return slice(int(first), int(end))

    def row_of(self) -> dict[tuple[int, int], int]:
        """The row of each (person, frame)."""
        keys = zip(self.person.tolist(), self.frame.tolist(), strict=True)
        return {key: row for row, key in enumerate(keys)}

    def persons(self) -> list[int]:
        return [int(person) for person in np.unique(self.person)]


def read_faces(table: pa.Table) -> Faces:
    """The crops in a table of the columns of `SCHEMA`, perhaps without those of `LATER`."""
    columns = {name: table[name].to_numpy() for name in table.column_names}

    def four(name: str) -> Array:
        return np.stack([c for n, c in columns.items() if n.startswith(f"{name}_")], axis=1)

    plain = {n: columns[n] for n in ("person", "frame", "time_s", "offset", "size")}
    return Faces(
        box=four("box"),
        region=four("region"),
        picture=four("picture"),
        crc32=columns.get("crc32"),
        **plain,
    )


def read_table(
    path: Path, schema: pa.Schema, remedy: str, optional: Sequence[str] = ()
) -> pa.Table:
    """The columns of `schema`; those in `optional` may be missing. Raises StoreError."""
    try:
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
        missing = [name for name in optional if name not in table.column_names]
        wanted = pa.schema([field for field in schema if field.name not in missing])
        return table.select(wanted.names).cast(wanted)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); {remedy}") from None
