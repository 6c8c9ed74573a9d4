"""Small sets of files in AVA-ActiveSpeaker's layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

SPEAKS, UNHEARD, SILENT = "SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE", "NOT_SPEAKING"
Box = tuple[float, float, float, float]  # 0 to 1 of the picture


def row(video: str, time_s: float, box: Box, label: str, entity: str) -> str:
    """A line of AVA's CSV; times have two decimals at most, as there."""
    corners = ",".join(f"{corner:g}" for corner in box)
    return f"{video},{round(time_s, 2):g},{corners},{label},{entity}"


def write_rows(path: Path, rows: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in rows))
    return path
