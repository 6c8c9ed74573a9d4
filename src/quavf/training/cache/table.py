"""Features of frozen networks on disk: tables of rows of tensors.

    CACHE/<name>-<key>/about.json      what the key stands for: weights, settings, data
                       <table>         a checksum (uint32) for each row, then the rows

A row is stored once its checksum is, which is written after the row: an interrupted write leaves
no row, and damage is detected. Rows are read and written at their place in the file. The file is
not mapped into memory: on a network drive, two machines that map the same page undo each other's
changes. Only the rows in use are in memory.
"""

from __future__ import annotations

import fcntl
import math
import os
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quavf.core.errors import StoreError
from quavf.core.records import Array, Ints
from quavf.models.tensors import StateDict
from quavf.utils.files import config_hash, explain_os_errors, write_json

PAGE = 4096  # bytes; where the rows begin is a multiple
FIELD = 16  # bytes; where a tensor begins within a row is a multiple
SUM_BYTES = 4
TensorSpec = tuple[tuple[int, ...], torch.dtype]  # shape and type of one tensor of a row


@dataclass
class FeatureTable:
    """Rows of tensors in one file, each stored or missing.

    Several processes may read and write it; each opens the file when it first needs it. Raises
    StoreError that names the file if it is damaged.
    """

    path: Path
    n_rows: int
    specs: tuple[TensorSpec, ...]
    _descriptor: int | None = None

    def stored_mask(self, rows: Ints | None = None) -> Array:
        """Mask (N,) of the rows that are stored, of all rows or of `rows`."""
        if not self.path.is_file():
            return np.zeros(self.n_rows if rows is None else len(rows), bool)
        sums = np.frombuffer(self._read(0, self.n_rows * SUM_BYTES), np.uint32)
        return np.asarray((sums if rows is None else sums[rows]) != 0)

    def read(self, row: int) -> tuple[Tensor, ...]:
        """The tensors of one row."""
        assert 0 <= row < self.n_rows, row
        data = self._read(self._place(row), self.row_bytes)
        checksum = int.from_bytes(self._read(row * SUM_BYTES, SUM_BYTES), "little")
        if checksum != _checksum(data):
            what = "damaged" if checksum else "missing"
            raise StoreError(f"{self.path}: row {row} is {what}; {self._remedy}")
        tensors, at = [], 0
        for shape, kind in self.specs:
            flat = torch.frombuffer(data, dtype=kind, count=math.prod(shape), offset=at)
            tensors.append(flat.view(shape))
            at += _field_bytes((shape, kind))
        return tuple(tensors)

    def read_all(self, rows: Iterable[int]) -> tuple[Tensor, ...]:
        """The tensors of several rows, each (N, ...)."""
        found = zip(*(self.read(int(row)) for row in rows), strict=True)
        return tuple(torch.stack(tensors) for tensors in found)

    def write(self, row: int, tensors: Sequence[Tensor]) -> None:
        """Store one row; a stored row stays as it is."""
        data = bytearray(self.row_bytes)
        at = 0
        for spec, tensor in zip(self.specs, tensors, strict=True):
            shape, kind = spec
            assert tensor.shape == shape, (tensor.shape, shape)
            flat = tensor.detach().to("cpu", kind).contiguous().view(-1)
            data[at : at + flat.nbytes] = flat.view(torch.uint8).numpy().tobytes()
            at += _field_bytes(spec)
        with explain_os_errors(self.path):
            file = self._open(create=True)
            with _RowLock(file, row * SUM_BYTES):
                if int.from_bytes(self._read(row * SUM_BYTES, SUM_BYTES), "little"):
                    return
                _write(file, data, self._place(row))
                _write(file, _checksum(data).to_bytes(SUM_BYTES, "little"), row * SUM_BYTES)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in the file; missing rows take no room on most disks."""
        return sum(_field_bytes(spec) for spec in self.specs)

    @property
    def _remedy(self) -> str:
        return "delete this file and repeat the command"

    def _place(self, row: int) -> int:
        first = -(-self.n_rows * SUM_BYTES // PAGE) * PAGE
        return first + row * self.row_bytes

    def _read(self, at: int, n_bytes: int) -> bytearray:
        data = bytearray(n_bytes)
        try:
            n_read = os.preadv(self._open(), [data], at)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be read ({error.strerror}); {self._remedy}"
            ) from None
        if n_read != n_bytes:
            raise StoreError(f"{self.path}: cut short; {self._remedy}")
        return data

    def _open(self, create: bool = False) -> int:
        if self._descriptor is not None:
            return self._descriptor
        size = self._place(self.n_rows)
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            if os.fstat(file).st_size == 0:
                os.ftruncate(file, size)  # two processes at once do the same
        else:
            file = os.open(self.path, os.O_RDWR if os.access(self.path, os.W_OK) else os.O_RDONLY)
        if (n_bytes := os.fstat(file).st_size) != size:
            os.close(file)
            raise StoreError(f"{self.path}: has {n_bytes} bytes, expected {size}; {self._remedy}")
        self._descriptor = file
        return file

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}  # each process opens its own


class _RowLock:
    """Keeps other processes from writing the same row, on disks that support locks."""

    def __init__(self, file: int, at: int) -> None:
        self.file, self.at = file, at

    def __enter__(self) -> None:
        with suppress(OSError):
            fcntl.lockf(self.file, fcntl.LOCK_EX, SUM_BYTES, self.at)

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            fcntl.lockf(self.file, fcntl.LOCK_UN, SUM_BYTES, self.at)


def feature_folder(cache: Path, name: str, about: dict[str, Any]) -> Path:
    """The folder for features that depend on `about`, JSON-able, and on nothing else."""
    folder = cache / f"{name}-{config_hash(about)}"
    write_json(folder / "about.json", about)
    return folder


def weights_hash(state: StateDict) -> str:
    """A fingerprint of weights: names, types, shapes and every byte."""
    found = sha256()
    for name, value in sorted(state.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def arrays_hash(*arrays: Array) -> str:
    """A fingerprint of arrays: types, shapes and every byte."""
    found = sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def feature_type(precision: str) -> torch.dtype:
    """The type to store features in; the next layer uses no more digits in that precision."""
    kinds = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
    return next((k for name, k in kinds.items() if precision.startswith(name)), torch.float32)


def _checksum(data: bytearray) -> int:
    return zlib.crc32(data) or 1  # 0 means that the row is missing


def _field_bytes(spec: TensorSpec) -> int:
    shape, kind = spec
    return -(-math.prod(shape) * kind.itemsize // FIELD) * FIELD


def _write(file: int, data: bytes | bytearray, at: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, memoryview(data)[done:], at + done)
