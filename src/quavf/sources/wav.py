"""The sound file beside a clip's pictures, checked before it is decoded.

A WAV file's header is believed by every decoder: a rate of 1 Hz makes gigabytes of a few kilobytes.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from quavf.core.errors import MediaError
from quavf.sources.media.sound import read_sound

log = logging.getLogger(__name__)

RATES = range(1000, 768_001)  # Hz, of any sound that was ever recorded
MAX_CHANNELS = 64
UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF)  # of a file that was written to a pipe
CUT_SHORT_S = 0.05  # a sound that ends so much before its header says was cut
UNREADABLE = "sound files that cannot be read"
CUT = "sound files that were cut short"


@dataclass(frozen=True)
class WavHeader:
    """Header of a WAV file, and how much sound follows it."""

    rate: int  # Hz
    n_channels: int
    bytes_per_s: int
    n_stated: int | None  # bytes of sound; None: not said
    n_there: int  # bytes

    @property
    def missing_s(self) -> float:
        """How much sound the header promises and the file lacks."""
        if self.n_stated is None or not self.bytes_per_s:
            return 0.0
        return max(self.n_stated - self.n_there, 0) / self.bytes_per_s


def read_header(path: Path) -> WavHeader | None:
    """The header of a RIFF WAVE file; None for a file of another kind, or without sound."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return None
        size = path.stat().st_size
        form: tuple[int, int, int] | None = None
        while (chunk := _next_chunk(file)) is not None:
            kind, n_bytes = chunk
            if kind == b"data":
                break
            body = file.read(min(n_bytes, 16))
            if kind == b"fmt " and len(body) == 16:
                _, n_channels, rate, bytes_per_s = struct.unpack("<HHII", body[:12])
                form = rate, n_channels, bytes_per_s
            file.seek(n_bytes - len(body) + n_bytes % 2, 1)
        if chunk is None or form is None:
            return None
        stated = None if n_bytes in UNKNOWN_SIZES else n_bytes
        return WavHeader(*form, stated, size - file.tell())


def _next_chunk(file: BinaryIO) -> tuple[bytes, int] | None:
    """Kind and size of the chunk whose body comes next; None at the end."""
    head = file.read(8)
    return (head[:4], struct.unpack("<I", head[4:])[0]) if len(head) == 8 else None


def read_beside(
    path: Path, clip: str, notes: Counter[str], channels: tuple[int, ...] = ()
) -> npt.NDArray[np.int16] | None:
    """(N,) samples of the sound file of a clip; None, and a note, if it cannot be used.

    `channels`: see `read_sound`.
    """
    try:
        header = read_header(path)
        if header is not None:
            _check(path, header)
        samples = read_sound(path, notes, channels)
    except (MediaError, OSError, MemoryError, ValueError) as error:
        reason = str(error) if str(path) in str(error) else f"{path}: {error!r}"
        log.warning("clip %s has no usable sound: %s", clip, reason)
        notes[UNREADABLE] += 1
        return None
    if header is not None and header.missing_s > CUT_SHORT_S:
        log.warning("clip %s: %s ends %.1f s early", clip, path, header.missing_s)
        notes[CUT] += 1
    return samples


def _check(path: Path, header: WavHeader) -> None:
    if header.rate not in RATES:
        raise MediaError(
            f"{path}: a rate of {header.rate} Hz, which no sound has ({RATES[0]} to {RATES[-1]}); "
            "its header is damaged"
        )
    if not 1 <= header.n_channels <= MAX_CHANNELS:
        raise MediaError(f"{path}: {header.n_channels} channels; its header is damaged")
