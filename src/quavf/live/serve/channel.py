"""What the server and the process of a session say to each other, over pipes.

To the process: frames of a length, a kind and a body; START and STOP hold JSON, PACKET a client's
binary message as it came. From the process: JSON, one object a line.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

START, PACKET, STOP = b"S", b"P", b"E"
FRAME = struct.Struct("<Ic")
LONGEST_LINE = 4_000_000  # bytes
FORK = b"F"  # to the process with the networks, with a socket
READY, EVENT, STATE, ENDED, ERROR = "ready", "event", "state", "ended", "error"


def pack_frame(kind: bytes, body: bytes = b"") -> bytes:
    """A frame to the process."""
    return FRAME.pack(len(body), kind) + body


class FrameReader:
    """Puts frames together from blocks of bytes of any size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, block: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Add a block; yield (kind, body) of the frames that are complete."""
        self._data += block
        while len(self._data) >= FRAME.size:
            size, kind = FRAME.unpack_from(self._data)
            if len(self._data) < FRAME.size + size:
                return
            body = bytes(self._data[FRAME.size : FRAME.size + size])
            del self._data[: FRAME.size + size]
            yield kind, body


def pack_line(kind: str, **content: Any) -> bytes:
    """A line from the process."""
    return json.dumps({"kind": kind, **content}).encode() + b"\n"
