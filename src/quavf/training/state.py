"""The state of an interrupted run, `last.ckpt`: a readable one is there at any moment."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from quavf.core.errors import CheckpointError
from quavf.utils.files import replace_file

log = logging.getLogger(__name__)

RESUME = "last.ckpt"
EARLIER = "last.previous.ckpt"  # the state before, for when the last one is damaged


def resume_checkpoint(out: Path) -> ModelCheckpoint:
    """Make the callback that saves Lightning's state after every part, under the same name."""
    return ModelCheckpoint(
        dirpath=out,
        filename=RESUME.removesuffix(".ckpt"),
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def find_state(out: Path) -> Path | None:
    """The state to go on from; None for a run without one."""
    paths = (out / RESUME, out / EARLIER)
    return next((path for path in paths if path.is_file()), None)


class StateIO(TorchCheckpointIO):
    """Writes a state beside its place and renames it; reads the one before where it is damaged.

    Lightning's own writer goes through the temporary folder; where that is another disk, it copies
    over the last state, and an interrupted copy leaves none.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path = Path(path)
        with replace_file(path) as temporary:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if path.name == RESUME and path.is_file():
                path.replace(path.with_name(EARLIER))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Raises CheckpointError if neither this state nor the one before can be read."""
        path = Path(path)
        candidates = [path, path.with_name(EARLIER)] if path.name == RESUME else [path]
        faults = []
        for candidate in candidates:
            try:
                _check_sums(candidate)
                state: dict[str, Any] = super().load_checkpoint(
                    candidate, map_location or _keep, weights_only
                )
            except Exception as error:  # a damaged pickle makes its reader fail in any way there is
                faults.append(f"{candidate}: cannot be read ({_first_line(error)})")
                continue
            if faults:
                log.warning("%s; going on from the state before, %s", faults[0], candidate.name)
            return state
        raise CheckpointError(
            f"{faults[0]}, and neither can an earlier state; delete {path.parent} to start over"
        )


def _check_sums(path: Path) -> None:
    """Compare each part of a torch file with its sum, which torch writes but does not read."""
    with zipfile.ZipFile(path) as archive:
        part = archive.testzip()
    if part is not None:
        raise ValueError(f"{part} is damaged")


def _keep(storage: Any, location: Any) -> Any:
    return storage


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
