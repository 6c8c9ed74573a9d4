"""Write one clip of a store."""

from __future__ import annotations

import io
import tarfile
import wave
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import CropGeometry, Ints, SourceRows
from quavf.cues.tracks import CUE_SETTINGS, FaceCues, SoundCues
from quavf.store.clip_tables import write_clip_table
from quavf.store.cue_tables import FACES_NAME, SOUND_NAME, face_table, sound_table
from quavf.store.integrity import sum_files
from quavf.store.manifest import Manifest
from quavf.store.tables import ROWS_NAME, ROWS_SCHEMA, SCHEMA
from quavf.utils.files import write_json

CODES = {pa.int32(): "i", pa.int64(): "q", pa.float64(): "d"}  # of `array`
TAR_BLOCK = 512  # bytes: a member's data starts one block after its header


class ClipWriter:
    """Writes one clip; nothing is visible until the block of `ClipStore.write_clip` succeeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Arrays, not lists: an hour of two faces at 10 a second is 72,000 rows.
        self._columns: list[array[Any]] = [array(CODES[field.type]) for field in SCHEMA]
        self._n_samples: int | None = None
        self._tables: dict[str, tuple[pa.Table, dict[str, Any]]] = {}  # by file name
        self._tar = tarfile.open(folder / "crops.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add_crop(
        self,
        person: int,
        frame: int,
        time_s: float,
        geometry: CropGeometry,
        jpeg: bytes,
    ) -> None:
        member = tarfile.TarInfo(f"{person}/{frame}.jpg")
        member.size = len(jpeg)
        offset = self._tar.offset + TAR_BLOCK
        self._tar.addfile(member, io.BytesIO(jpeg))
        self._tar.members.clear()  # type: ignore[attr-defined]  # it keeps every member otherwise
        where = (*geometry.box, *geometry.region, *geometry.picture)
        row = (person, frame, time_s, *where, offset, len(jpeg), zlib.crc32(jpeg))
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def add_confidences(self, confidences: Sequence[float]) -> None:
        """Detector confidences in [0, 1], one per crop, in the order the crops were added."""
        column = pa.array(np.asarray(confidences, float)[self._order()], from_pandas=True)
        pq.write_table(pa.table({"confidence": column}), self.folder / "confidence.parquet")

    def add_sound(self, *chunks: Ints) -> None:
        """(N,) 16-bit mono samples at 16 kHz, from the clip's start."""
        self.add_sound_chunks(chunks)

    def add_sound_chunks(self, chunks: Iterable[Ints]) -> int | None:
        """Write sound chunk by chunk; returns the number of samples, None if there is no chunk."""
        chunks = iter(chunks)
        first = next(chunks, None)
        if first is None:
            return None
        with wave.open(str(self.folder / "sound.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            for chunk in chain([first], chunks):
                file.writeframesraw(chunk.astype("<i2").tobytes())
            self._n_samples = file.tell()
        return self._n_samples

    def add_table(self, name: str, table: pa.Table, settings: dict[str, Any]) -> None:
        """Add a table that belongs to this clip, under a file name; see `ClipStore.write_table`."""
        self._tables[name] = table, settings

    def add_cues(self, faces: FaceCues, sound: SoundCues) -> None:
        """Add the clip's cues; see `ClipStore.write_cues`."""
        self.add_table(FACES_NAME, face_table(faces), CUE_SETTINGS)
        self.add_table(SOUND_NAME, sound_table(sound), CUE_SETTINGS)

    def add_source_rows(self, rows: SourceRows) -> None:
        """Add the rows of the dataset's own files; see `ClipStore.source_rows`."""
        columns = {"person": rows.person, "frame": rows.frame, "text": rows.text}
        table = pa.table([pa.array(columns[f.name], f.type) for f in ROWS_SCHEMA], ROWS_SCHEMA)
        self.add_table(ROWS_NAME, table, {"format": 1})

    @property
    def n_crops(self) -> int:
        return len(self._columns[0])

    def _order(self) -> Ints:
        """(N,) the order of the crops in the table: by person, then frame."""
        person, frame = (np.asarray(column, np.int64) for column in self._columns[:2])
        return np.lexsort([frame, person])

    def finish(self, manifest: Manifest) -> None:
        """Write the tables and, last, the manifest with the sums of all files."""
        assert manifest.n_crops == self.n_crops, (manifest.n_crops, self.n_crops)
        assert manifest.n_samples == self._n_samples, (manifest.n_samples, self._n_samples)
        self._tar.close()
        order = self._order()
        arrays = [
            pa.array(np.asarray(column)[order], type=field.type, from_pandas=True)
            for column, field in zip(self._columns, SCHEMA, strict=True)
        ]
        pq.write_table(pa.table(arrays, schema=SCHEMA), self.folder / "faces.parquet")
        manifest = replace(manifest, files=sum_files(self.folder))
        for name, (table, settings) in self._tables.items():
            write_clip_table(self.folder / name, table, settings, manifest.version)
        write_json(self.folder / "clip.json", manifest.to_json())

    def close(self) -> None:
        self._tar.close()
