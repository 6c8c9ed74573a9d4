"""Tensors out of files, without ever running what a file holds.

Pickles are read by torch's weights-only reader, with numpy's scalars and arrays as the only
addition: the published checkpoints keep their metric in one.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from quavf.core.errors import CheckpointError
from quavf.models.description import file_head, is_safetensors, reason

StateDict = dict[str, Tensor]

TORCH_FILES = (b"PK", b"\x80")  # how they begin: a zip archive, or (before torch 1.6) a pickle


def read_weights(path: Path) -> Any:
    """The content of a pickle or safetensors file, tensors on the CPU; nothing is executed."""
    if is_safetensors(path):
        try:
            with safe_open(path, "pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); download it again") from None
    head = file_head(path)
    if not head.startswith(TORCH_FILES):
        found = f"it begins with {head!r}" if head else "it is empty"
        raise CheckpointError(
            f"{path}: not a checkpoint, neither of torch nor safetensors ({found}); download it "
            "again, or give another file"
        )
    if head.startswith(b"PK"):
        _check_size(path)
    try:
        with torch.serialization.safe_globals(_allowed_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or one that could run code when loaded, which is refused "
            f"({reason(error)})"
        ) from None
    except Exception as error:  # a damaged pickle makes its reader fail in any way there is
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({reason(error)}); download it again"
        ) from None


def _allowed_globals() -> list[Any]:
    """numpy's scalars and arrays under their old and new names, and the types that they need."""
    made = {
        "scalar": np.float64(0).__reduce__()[0],
        "_reconstruct": np.zeros(1).__reduce__()[0],
    }
    renamed = [
        (value, f"numpy.{core}.multiarray.{name}")
        for name, value in made.items()
        for core in ("_core", "core")
    ]
    dtypes = {type(np.dtype(kind)) for kind in "?bhilqBHILQefdgFDGSUmM"}
    return [*renamed, np.ndarray, np.dtype, *dtypes]


def _check_size(path: Path) -> None:
    """Raise CheckpointError for an archive that unpacks to more than its own size.

    torch packs nothing: an archive that does is not its own, and may fill the memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch says what is wrong with it
    size = path.stat().st_size
    if unpacked > size:
        raise CheckpointError(
            f"{path}: not a checkpoint of torch (an archive of {size:,} bytes that unpacks to "
            f"{unpacked:,}); download it again, or give another file"
        )
