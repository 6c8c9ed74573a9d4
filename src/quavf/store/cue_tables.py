"""The tables of a clip's cues: `cues.parquet` and `cues_sound.parquet`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from quavf.core.records import Array
from quavf.cues.tracks import FACE_COLUMNS, SOUND_COLUMNS, FaceCues, SoundCues

FACES_NAME, SOUND_NAME = "cues.parquet", "cues_sound.parquet"
FACES_SCHEMA = pa.schema(
    [("person", pa.int64()), ("frame", pa.int64()), ("time_s", pa.float64())]
    + [(name, pa.float32()) for name in FACE_COLUMNS]
)
SOUND_SCHEMA = pa.schema([(name, pa.float32()) for name in SOUND_COLUMNS])


def face_table(cues: FaceCues) -> pa.Table:
    """The table of the cues of a clip's faces; missing values are null."""
    columns = {"person": cues.person, "frame": cues.frame, "time_s": cues.time_s}
    columns |= {name: cues[name] for name in FACE_COLUMNS}
    return _to_table(columns, FACES_SCHEMA)


def sound_table(cues: SoundCues) -> pa.Table:
    """The table of the cues of a clip's sound, a row for each 32 ms."""
    return _to_table({"voice": cues.voice, "level_db": cues.level_db}, SOUND_SCHEMA)


def read_face_table(table: pa.Table) -> FaceCues:
    person, frame, time_s = (
        np.asarray(table[name].to_numpy()) for name in ("person", "frame", "time_s")
    )
    values = np.stack([table[name].to_numpy() for name in FACE_COLUMNS], axis=1)
    return FaceCues(person, frame, time_s, values)


def read_sound_table(table: pa.Table) -> SoundCues:
    voice, level_db = (np.asarray(table[name].to_numpy()) for name in SOUND_COLUMNS)
    return SoundCues(voice, level_db)


def _to_table(columns: dict[str, Array], schema: Any) -> pa.Table:
    arrays = [pa.array(columns[f.name], type=f.type, from_pandas=True) for f in schema]
    return pa.table(arrays, schema=schema)
