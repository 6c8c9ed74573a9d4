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
