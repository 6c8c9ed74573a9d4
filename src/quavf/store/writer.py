"""One clip on its way into the store."""

from __future__ import annotations

import io
import tarfile
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quavf.clock import SAMPLE_RATE
from quavf.files import write_json
from quavf.records import Ints
from quavf.store.manifest import Manifest
from quavf.store.tables import SCHEMA

TAR_BLOCK = 512  # bytes: a member's data starts one block after its header


class ClipWriter:
    """Writes one clip; nothing is visible until the block of `ClipStore.writing` ends well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._tar = tarfile.open(folder / "crops.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add_crop(
        self,
        person: int,
        frame: int,
        time_s: float,
        geometry: tuple[Sequence[float], Sequence[int], Sequence[int]],
        jpeg: bytes,
    ) -> None:
        """`geometry`: box (4,), region (4,) and picture (4,), as in `Faces`."""
        member = tarfile.TarInfo(f"{person}/{frame}.jpg")
        member.size = len(jpeg)
        offset = self._tar.offset + TAR_BLOCK
        self._tar.addfile(member, io.BytesIO(jpeg))
        box, region, picture = geometry
        self._rows.append((person, frame, time_s, *box, *region, *picture, offset, len(jpeg)))

    def add_confidences(self, confidences: dict[tuple[int, int], float]) -> None:
        """The face detector's for each crop, by person and frame, in [0, 1]."""
        keys = sorted(row[:2] for row in self._rows)
        column = pa.array([confidences[key] for key in keys], type=pa.float64(), from_pandas=True)
        pq.write_table(pa.table({"confidence": column}), self.folder / "confidence.parquet")

    def add_sound(self, samples: Ints) -> None:
        """(N,) 16-bit mono samples at 16 kHz, from the clip's start."""
        with wave.open(str(self.folder / "sound.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.astype("<i2").tobytes())

    @property
    def n_crops(self) -> int:
        return len(self._rows)

    def finish(self, manifest: Manifest) -> None:
        self._tar.close()
        rows = sorted(self._rows, key=lambda row: row[:2])
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
        arrays = [
            pa.array(c, type=f.type, from_pandas=True) for c, f in zip(columns, SCHEMA, strict=True)
        ]
        pq.write_table(pa.table(arrays, schema=SCHEMA), self.folder / "faces.parquet")
        write_json(self.folder / "clip.json", manifest.to_json())

    def close(self) -> None:
        self._tar.close()
