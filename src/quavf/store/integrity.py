"""Checks of a clip's files against its manifest: damage is named, not scored."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import StoreError
from quavf.core.names import is_safe_name
from quavf.core.records import Ints
from quavf.store.tables import INTEGERS, Faces

REMEDY = "delete the clip's folder and prepare again"
CONTENT = ("faces.parquet", "crops.tar", "sound.wav")  # what a clip's folder may hold
BLOCK = 1 << 20  # bytes that are read at once


@dataclass(frozen=True)
class FileSum:
    """Size in bytes and SHA-256 of a file as it was written."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileSum:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
            return cls(file.tell(), digest.hexdigest())


def sum_files(folder: Path) -> dict[str, FileSum]:
    """The sums of all files that lie directly in a folder, by name."""
    return {path.name: FileSum.of(path) for path in sorted(folder.iterdir()) if path.is_file()}


def is_clip_folder(folder: Path) -> bool:
    """Whether a folder in `clips/` is a clip; StoreError if it is part of one, or misnamed."""
    if not (folder / "clip.json").is_file():
        if any((folder / name).exists() for name in CONTENT):
            raise StoreError(f"{folder}: has no clip.json; {REMEDY}")
        return False
    if not is_safe_name(folder.name):
        raise StoreError(
            f"{folder}: this is not the name of a clip; move the folder out of the store"
        )
    return True


def check_size(path: Path, expected: FileSum | None) -> int:
    """The file's size in bytes. Raises StoreError if it is missing or has another size.

    Clips of earlier versions know no sums (None): then only a missing file is an error.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from None
    if expected is not None and size != expected.size:
        raise StoreError(f"{path}: has {size} bytes, was written with {expected.size}; {REMEDY}")
    return size


def check_sum(path: Path, expected: FileSum | None) -> None:
    """Read the whole file. Raises StoreError if it is not as it was written."""
    check_size(path, expected)
    if expected is None:
        return
    try:
        found = FileSum.of(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from None
    if found != expected:
        raise StoreError(f"{path}: its content has changed since it was written; {REMEDY}")


def check_faces(path: Path, table: pa.Table, faces: Faces, n_crops: int, tar_size: int) -> None:
    """Raises StoreError if rows are missing, empty or unsorted, or point out of the tar file."""
    if len(table) != n_crops:
        raise StoreError(f"{path}: {len(table)} rows, clip.json says {n_crops}; {REMEDY}")
    fault = _describe_fault(faces, tar_size)
    if fault:
        raise StoreError(f"{path}: {fault}; {REMEDY}")


def check_nulls(path: Path, table: pa.Table) -> None:
    """Raises StoreError for an empty cell in a column of integers."""
    empty = [name for name in INTEGERS if table[name].null_count]
    if empty:
        raise StoreError(f"{path}: empty cells in {', '.join(empty)}; {REMEDY}")


def _describe_fault(faces: Faces, tar_size: int) -> str:
    same = faces.person[1:] == faces.person[:-1]
    ascending = np.where(same, _ascends(faces.frame), _ascends(faces.person))
    if not ascending.all():
        row = int(np.argmin(ascending)) + 1
        return f"row {row} is out of order, or twice there"
    inside = (faces.size > 0) & (faces.offset >= 0) & (faces.size <= tar_size - faces.offset)
    if not inside.all():
        return f"the crop of row {int(np.argmin(inside))} lies outside crops.tar"
    return ""


def _ascends(column: Ints) -> np.ndarray:
    return np.asarray(column[1:] > column[:-1])


def check_sound(path: Path, file: wave.Wave_read, n_samples: int | None) -> None:
    """Raises StoreError if a WAV file's header is not that of the clip's sound."""
    found = file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()
    expected = 1, 2, SAMPLE_RATE, n_samples
    if found != expected:
        raise StoreError(
            f"{path}: {_describe_sound(found)}; clip.json says {_describe_sound(expected)}; "
            f"{REMEDY}"
        )


def _describe_sound(params: Iterable[int | None]) -> str:
    channels, width, rate, n_samples = params
    return f"{n_samples} samples ({channels} channel, {8 * (width or 0)} bit, {rate} Hz)"
