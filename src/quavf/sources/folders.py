"""List folders of data, with errors that say what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quavf.core.errors import AnnotationError


def list_folders(root: Path) -> list[Path]:
    """The folders of data below `root`, by name; hidden ones are some program's."""
    with explain_unreadable(root):
        found = sorted(root.iterdir())
    return [p for p in found if p.is_dir() and (p.name[0] != "." or (p / "face").is_dir())]


@contextmanager
def explain_unreadable(path: Path) -> Iterator[None]:
    """Turn an OSError within the block into an AnnotationError that names the path."""
    try:
        yield
    except OSError as error:
        raise AnnotationError(
            f"{error.filename or path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
