"""Weights that come with the package: `bundled/<name>/<branch>.safetensors` and a model card."""

from __future__ import annotations

from pathlib import Path

from quavf.core.branches import branch_names

FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"
DEFAULT = "small"


def weights_names() -> tuple[str, ...]:
    """Names that may stand for a checkpoint, sorted."""
    return tuple(sorted({path.parent.name for path in FOLDER.glob(f"*/*{SUFFIX}")}))


def weights_path(checkpoint: Path | str, branch: str) -> Path:
    """The checkpoint of one branch, by the name of bundled weights or its path.

    For a folder that has such a name write `./small`.
    """
    if str(checkpoint) in weights_names():
        return FOLDER / str(checkpoint) / f"{branch}{SUFFIX}"
    return Path(checkpoint)


def folder_checkpoints(folder: Path) -> dict[str, Path]:
    """The checkpoints `<branch>.safetensors` in a folder, by branch."""
    paths = {name: folder / f"{name}{SUFFIX}" for name in branch_names()}
    return {name: path for name, path in paths.items() if path.is_file()}
