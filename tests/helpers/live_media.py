"""A few seconds of a talking head for live sessions, and ways to feed them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.records import Array, Image
from quavf.sources.media.file import open_video_file
from tests.helpers.cue_media import remux
from tests.helpers.data import SHARED

HEAD = SHARED / "clips" / "WDA_KatieHill_000.mp4"
needs_head = pytest.mark.skipif(not HEAD.is_file(), reason=f"no talking head at {HEAD}")
RATE = 16_000


@dataclass(frozen=True)
class TalkingHead:
    """Pictures with times, and 16-bit sound from time 0."""

    path: Path
    pictures: list[tuple[float, Image]]
    sound: Array

    def blocks(self, size: int) -> Iterator[tuple[float, Array]]:
        """The sound in blocks, with the times at which they begin."""
        for first in range(0, len(self.sound), size):
            yield first / RATE, self.sound[first : first + size]


def read_head(path: Path) -> TalkingHead:
    """The whole of a file."""
    file = open_video_file(path)
    whole = (0, 0, *file.size)
    pictures = [(frame.time_s, frame.rgb(whole, file.size)) for frame in file.pictures()]
    return TalkingHead(path, pictures, np.concatenate(list(file.sound())))


def cut_head(folder: Path, seconds: float) -> Path:
    """The first seconds of the head, as a file."""

    def keep(packet: Any, number: int, index: int) -> Any:
        return packet if packet.pts * packet.time_base < seconds else None

    return remux(HEAD, folder / "head.mp4", keep)
