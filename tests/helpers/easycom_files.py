"""Small sets of files in EasyCom's layout."""

from __future__ import annotations

import json
import math
import wave
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Entry = dict[str, Any]
Box = tuple[float, float, float, float]


def face(participant: Any, box: Box) -> Entry:
    return {"Participant_ID": participant, **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}


def speech(participant: Any, start: Any, end: Any, target: Any) -> Entry:
    return {
        "Start_Frame": start,
        "End_Frame": end,
        "Participant_ID": participant,
        "Transcription": "[L]",
        "Target_of_Speech": target,
    }


def pose(
    participant: int, place: tuple[float, float, float], heading_deg: float, **more: Any
) -> Entry:
    """A head turned by `heading_deg` to its left from Z, its way ahead, towards X."""
    half = math.radians(heading_deg) / 2
    turn = (0.0, math.sin(half), 0.0, math.cos(half))
    entry: Entry = {"Participant_ID": participant, "isUpSideDown": False}
    entry |= {f"Position_{axis}": value for axis, value in zip("XYZ", place, strict=True)}
    entry |= {f"Quaternion_{axis}": value for axis, value in zip("XYZW", turn, strict=True)}
    return {**entry, **more}


def frames(people: Mapping[int, Any]) -> list[Entry]:
    """The content of a file of boxes or poses: participants by frame number."""
    return [{"Frame_Number": n, "Participants": entries} for n, entries in people.items()]


def every_frame(numbers: Iterable[int], *entries: Entry) -> list[Entry]:
    """The same participants in every frame."""
    return frames({number: list(entries) for number in numbers})


def write(root: Path, kind: str, session: int, content: Any, piece: str = "00-00-000") -> Path:
    """Write one file of JSON, or bytes as they are."""
    path = root / "Main" / kind / f"Session_{session}" / f"{piece}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def write_array_sound(path: Path, channels: npt.NDArray[np.float64], rate: int = 48_000) -> Path:
    """A WAV file of 32-bit samples, (channels, N) in [-1, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(4)
        file.setframerate(rate)
        file.writeframes((channels.T * (2**31 - 1)).astype("<i4").tobytes())
    return path
