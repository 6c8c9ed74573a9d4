"""Small Ego4D annotation files, generated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Row = tuple[int, float, float, float, float]  # frame, x, y, width, height


def track(rows: Iterable[Row]) -> dict[str, Any]:
    keys = ("frame", "x", "y", "width", "height")
    return {"track_id": "t", "track": [dict(zip(keys, row, strict=True)) for row in rows]}


def person(number: int | str, *tracks: Iterable[Row], wearer: bool = False) -> dict[str, Any]:
    return {
        "person_id": str(number),
        "camera_wearer": wearer,
        "tracking_paths": [track(rows) for rows in tracks],
        "voice_segments": [],
    }


def span(start_frame: Any, end_frame: Any, **more: Any) -> dict[str, Any]:
    """A voice segment."""
    return {"start_frame": start_frame, "end_frame": end_frame, **more}


def segment(
    who: Any, start_frame: float, end_frame: float, target: Any = None, **more: Any
) -> dict[str, Any]:
    frames = {"start_frame": start_frame, "end_frame": end_frame}
    return {"person": who, **frames, "target": target, "is_at_me": False, **more}


def still(first: int, end: int, x: float = 30, y: float = 30, side: float = 24) -> list[Row]:
    """One box that does not move, frames first..end - 1."""
    return [(frame, x, y, side, side) for frame in range(first, end)]


def clip(
    uid: str, persons: Sequence[dict[str, Any]], talking: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The wearer comes first, as in Ego4D."""
    return {
        "clip_uid": uid,
        "persons": [person(0, wearer=True), *persons],
        "social_segments_talking": list(talking),
        "social_segments_looking": [],
    }


def content(*clips: Any) -> dict[str, Any]:
    return {"videos": [{"video_uid": "v", "clips": list(clips)}]}


def write_annotations(folder: Path, train: Sequence[Any] = (), val: Sequence[Any] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "av_train.json").write_text(json.dumps(content(*train)))
    (folder / "av_val.json").write_text(json.dumps(content(*val)))
    return folder
