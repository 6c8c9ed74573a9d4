"""Names that may become file names: clip ids, scorers and other plug-ins."""

from __future__ import annotations

import re

SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*")
LONGEST_NAME = 200  # characters


def printable(text: object) -> str:
    """A text, such as a path, in which bytes that are no UTF-8 became replacement marks."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_safe_name(name: str) -> bool:
    """Whether a name can be a file's: no separators, no leading dot, at most 200 characters."""
    return len(name) <= LONGEST_NAME and SAFE_NAME.fullmatch(name) is not None


def name_safely(text: str, taken: set[str]) -> str:
    """A name for a file that is like a text and not in `taken`, to which it is added.

    Names that differ by case alone count as the same, as some disks do.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:80] or "video"
    name, k = stem, 1
    while name.lower() in taken:
        k += 1
        name = f"{stem}-{k}"
    taken.add(name.lower())
    return name
