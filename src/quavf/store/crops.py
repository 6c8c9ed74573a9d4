"""Read crops by row from a clip's tar file."""

from __future__ import annotations

import os
import zlib
from typing import Any

from quavf.core.errors import StoreError
from quavf.store.clips import ClipStore
from quavf.store.integrity import REMEDY
from quavf.store.tables import Faces


class CropReader:
    """Reads the JPEG bytes of crops by row; opens the tar file on first use."""

    def __init__(self, store: ClipStore, clip: str, faces: Faces) -> None:
        self.path, self.faces = store.crops_path(clip), faces
        self._descriptor: int | None = None

    def read(self, row: int) -> bytes:
        size = int(self.faces.size[row])
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY)
            data = os.pread(self._descriptor, size, int(self.faces.offset[row]))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror}); {REMEDY}") from None
        if len(data) != size:
            raise StoreError(f"{self.path}: truncated; {REMEDY}")
        if self.faces.crc32 is not None and zlib.crc32(data) != int(self.faces.crc32[row]):
            raise StoreError(f"{self.path}: crop {row} is damaged; {REMEDY}")
        return data

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}  # each process opens its own
