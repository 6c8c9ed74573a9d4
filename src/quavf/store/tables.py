"""The Parquet tables of a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.errors import StoreError
from quavf.core.records import CropGeometry, Floats, Ints

SCHEMA = pa.schema(
    [("person", pa.int64()), ("frame", pa.int64()), ("time_s", pa.float64())]
    + [(f"box_{side}", pa.float64()) for side in ("x1", "y1", "x2", "y2")]
    + [(f"region_{side}", pa.int32()) for side in ("x1", "y1", "x2", "y2")]
    + [(f"picture_{side}", pa.int32()) for side in ("x0", "x1", "y0", "y1")]
    + [("offset", pa.int64()), ("size", pa.int64())]
)


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


def read_table(path: Path, schema: pa.Schema, remedy: str) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None).select(schema.names).cast(schema)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); {remedy}") from None
