"""Compute one row for each crop of a clip: resumed when interrupted, repeated when replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from quavf.core.errors import QuavfError, StoreError
from quavf.core.records import Floats, Image
from quavf.faces.crop import decode_jpeg
from quavf.store import ClipStore, CropReader
from quavf.utils.files import replace_file

REPLACED_S = 1.0  # to wait for a clip's folder while another process replaces it
SAVE_EVERY_S = 30.0  # an interrupted clip loses at most this much work

Result = TypeVar("Result")


def repeat_if_replaced(store: ClipStore, clip: str, work: Callable[[str], Result]) -> Result:
    """Call `work` with the clip's fingerprint, again if the clip was prepared again meanwhile."""
    while True:
        fingerprint = store.fingerprint(clip)
        try:
            return work(fingerprint)
        except (QuavfError, IndexError):
            if not _has_changed(store, clip, fingerprint):
                raise


def _has_changed(store: ClipStore, clip: str, fingerprint: str) -> bool:
    """Whether the clip is another now; waits while `prepare` replaces its folder."""
    deadline = time.monotonic() + REPLACED_S
    while not store.has_clip(clip) and time.monotonic() < deadline:
        time.sleep(0.01)
    return store.has_clip(clip) and store.fingerprint(clip) != fingerprint


def read_crop(reader: CropReader, row: int) -> Image:
    """Read a crop (224, 224, 3) RGB of a clip. Raises StoreError if it is not a picture."""
    return decode_crop(reader, row, reader.read(row))


def decode_crop(reader: CropReader, row: int, data: bytes) -> Image:
    """Decode the JPEG of a crop; see `read_crop`."""
    picture = decode_jpeg(data)
    if picture is None:
        raise StoreError(
            f"{reader.path}: crop {row} is damaged; delete the clip's folder and prepare again"
        )
    return picture


class PartialRows:
    """The first rows of a clip, kept in a hidden file `.<name>.<key>.npy` while it is computed.

    Those with the same name and another key are of other settings, or of an earlier clip.
    """

    def __init__(self, folder: Path, name: str, key: str) -> None:
        self.path, self._name = folder / f".{name}.{key}.npy", name

    def load(self, n_rows: int, shape: tuple[int, ...]) -> Floats:
        """The saved rows (M, *shape), M <= n_rows; none without a file or if it is damaged."""
        try:
            done: Floats = np.load(self.path)
        except Exception:  # damage makes numpy fail in any way there is
            return np.empty((0, *shape))
        fits = done.ndim == 1 + len(shape) and done.shape[1:] == shape and len(done) <= n_rows
        return done if fits else np.empty((0, *shape))

    def save(self, done: Floats) -> None:
        with replace_file(self.path) as temporary, temporary.open("wb") as file:
            np.save(file, done)

    def remove(self) -> None:
        """Remove the rows of this name, also those with another key."""
        for part in self.path.parent.glob(f".{self._name}.*.npy"):
            part.unlink(missing_ok=True)


def compute_rows(
    n_rows: int,
    chunk: int,
    compute: Callable[[range], Floats],
    partial: PartialRows,
    shape: tuple[int, ...] = (),
) -> Floats:
    """Compute rows (n_rows, *shape) chunk by chunk, after those that an interrupted run saved."""
    parts = [partial.load(n_rows, shape)]
    n_done, saved = len(parts[0]), time.monotonic()
    while n_done < n_rows:
        rows = range(n_done, min(n_done + chunk, n_rows))
        parts.append(compute(rows))
        n_done = rows.stop
        if time.monotonic() - saved > SAVE_EVERY_S and n_done < n_rows:
            parts = [np.concatenate(parts)]
            partial.save(parts[0])
            saved = time.monotonic()
    return np.concatenate(parts)
