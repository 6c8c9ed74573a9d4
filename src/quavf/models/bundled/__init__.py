"""Weights that come with the package: `weights/<name>/<branch>.safetensors`, a card beside them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "small"


def weights_names() -> tuple[str, ...]:
    """Names that may stand for a checkpoint, sorted."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/audio.safetensors")))


def weights_path(checkpoint: Path | str, branch: str) -> Path:
    """The checkpoint of one branch, `audio` or `visual`, by the name of its weights or its path.

    A folder of such a name is meant by `./small`.
    """
    if str(checkpoint) in weights_names():
        return FOLDER / str(checkpoint) / f"{branch}.safetensors"
    return Path(checkpoint)
