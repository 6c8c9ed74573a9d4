"""Messages of the live WebSocket, version 1; docs/reference/live_protocol.md describes them.

Up: a JSON `hello`, then pictures and blocks of sound as binary messages with a header of 16 bytes.
Down: JSON objects, whose `type` says which.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from quavf.core.errors import QuavfError
from quavf.live.serve.config import LimitsConfig

VERSION = 1
PICTURE_HEADER = struct.Struct("<BBHHHd")  # kind, 0, 0, width, height, time_s
SOUND_HEADER = struct.Struct("<BBHId")  # kind, channels, 0, rate, time_s
HEADER_BYTES = PICTURE_HEADER.size
LONGEST_TEXT = 4096  # characters of a JSON message up
LATEST_S = 1e10  # of a time stamp; seconds since 1970 are below
CHANNELS = (1, 8)
LONGEST_LEAP_S = 60.0  # between the time stamps of one session
RATES = (8_000, 192_000)  # samples a second
LONGEST_BLOCK_S = 1.0  # of sound
LONGEST_LOOK_AHEAD_S = 2.0
JPEG_START = b"\xff\xd8\xff"


class Kind(IntEnum):
    """What a binary message holds."""

    JPEG = 1
    RGB = 2
    PCM = 3


@dataclass(frozen=True)
class Ending:
    """Why the server ends a connection: the code of the `error` message, and that of the close."""

    code: str
    close: int

    @property
    def is_retried(self) -> bool:
        """Clients connect again, with back-off; 4000 and above mean that it would not help."""
        return self.close < 4000


BAD_MESSAGE = Ending("bad-message", 4400)
BAD_TOKEN = Ending("token", 4401)
IDLE = Ending("idle", 4408)
BAD_VERSION = Ending("version", 4426)
FAILED = Ending("failed", 1011)
STOPPING = Ending("stopping", 1012)
FULL = Ending("full", 1013)
SLOW = Ending("slow", 1013)
CLOCK = Ending("clock", 1013)
ENDINGS = (BAD_MESSAGE, BAD_TOKEN, IDLE, BAD_VERSION, FAILED, STOPPING, FULL, SLOW, CLOCK)


class ProtocolError(QuavfError):
    """A client broke the protocol, or cannot be served; `ending` says how its connection ends."""

    def __init__(self, ending: Ending, message: str) -> None:
        super().__init__(message)
        self.ending = ending


@dataclass(frozen=True)
class Hello:
    """First message of a client."""

    token: str
    look_ahead: float | None


@dataclass(frozen=True)
class Packet:
    """A picture or a block of sound, as it arrived."""

    kind: Kind
    time_s: float
    data: bytes  # the whole message
    width: int = 0
    height: int = 0
    channels: int = 0
    rate: int = 0

    @property
    def payload(self) -> memoryview:
        return memoryview(self.data)[HEADER_BYTES:]

    @property
    def is_picture(self) -> bool:
        return self.kind is not Kind.PCM

    @property
    def duration_s(self) -> float:
        """Length of the sound, 0 for a picture."""
        return 0.0 if self.is_picture else len(self.payload) / (2 * self.channels * self.rate)


def parse_hello(text: str) -> Hello:
    """Check the first message. Raises ProtocolError."""
    message = _parse_object(text)
    if message.get("type") != "hello":
        raise ProtocolError(BAD_MESSAGE, 'the first message must be of type "hello"')
    version = message.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ProtocolError(
            BAD_VERSION, f"version: {version!r:.20} is not spoken here; use {VERSION}"
        )
    token, look_ahead = message.get("token", ""), message.get("look_ahead")
    if not isinstance(token, str):
        raise ProtocolError(BAD_MESSAGE, "token: not a string")
    if look_ahead is None:
        return Hello(token, None)
    is_number = isinstance(look_ahead, int | float) and not isinstance(look_ahead, bool)
    if not is_number or not 0 <= look_ahead <= LONGEST_LOOK_AHEAD_S:
        raise ProtocolError(
            BAD_MESSAGE, f"look_ahead: not a number from 0 to {LONGEST_LOOK_AHEAD_S:g}"
        )
    return Hello(token, float(look_ahead))


def check_bye(text: str) -> None:
    """Check a later text message: only `bye` is known. Raises ProtocolError."""
    kind = _parse_object(text).get("type")
    if kind != "bye":
        raise ProtocolError(BAD_MESSAGE, f"type: {kind!r:.40} is unknown; send bye")


def parse_packet(data: bytes, limits: LimitsConfig) -> Packet:
    """Check a binary message, but not its JPEG. Raises ProtocolError."""
    if len(data) <= HEADER_BYTES:
        raise ProtocolError(BAD_MESSAGE, f"{len(data)} bytes hold no more than a header")
    if data[0] not in list(Kind):
        raise ProtocolError(BAD_MESSAGE, f"kind: {data[0]} is not 1 (JPEG), 2 (RGB) or 3 (PCM)")
    packet = _parse_sound(data) if data[0] == Kind.PCM else _parse_picture(data, limits)
    if not (math.isfinite(packet.time_s) and 0 <= packet.time_s < LATEST_S):
        raise ProtocolError(BAD_MESSAGE, f"time_s: {packet.time_s} is not from 0 to {LATEST_S:g}")
    return packet


def _parse_picture(data: bytes, limits: LimitsConfig) -> Packet:
    kind, *zeros, width, height, time_s = PICTURE_HEADER.unpack_from(data)
    packet = Packet(Kind(kind), time_s, data, width, height)
    size = len(data) - HEADER_BYTES
    if any(zeros):
        raise ProtocolError(BAD_MESSAGE, "bytes 1 to 3 of a picture's header must be 0")
    if size > limits.picture_bytes:
        raise ProtocolError(
            BAD_MESSAGE, f"a picture of {size} bytes; at most {limits.picture_bytes}"
        )
    if kind == Kind.JPEG:
        if width or height:
            raise ProtocolError(BAD_MESSAGE, "width and height of a JPEG must be 0")
        if data[HEADER_BYTES : HEADER_BYTES + 3] != JPEG_START:
            raise ProtocolError(BAD_MESSAGE, "a picture of kind JPEG is no JPEG")
    elif width * height * 3 != size:
        raise ProtocolError(BAD_MESSAGE, f"{size} bytes are not {width} × {height} RGB pixels")
    elif width * height > limits.picture_pixels:
        raise ProtocolError(
            BAD_MESSAGE,
            f"a picture of {width * height} pixels; at most {limits.picture_pixels}",
        )
    return packet


def _parse_sound(data: bytes) -> Packet:
    kind, channels, zero, rate, time_s = SOUND_HEADER.unpack_from(data)
    size = len(data) - HEADER_BYTES
    if zero:
        raise ProtocolError(BAD_MESSAGE, "bytes 2 and 3 of a header must be 0")
    if not CHANNELS[0] <= channels <= CHANNELS[1]:
        raise ProtocolError(BAD_MESSAGE, f"channels: {channels} is not from 1 to {CHANNELS[1]}")
    if not RATES[0] <= rate <= RATES[1]:
        raise ProtocolError(BAD_MESSAGE, f"rate: {rate} is not from {RATES[0]} to {RATES[1]}")
    if size % (2 * channels):
        raise ProtocolError(BAD_MESSAGE, f"{size} bytes are no whole samples of 16 bits")
    packet = Packet(Kind(kind), time_s, data, channels=channels, rate=rate)
    if packet.duration_s > LONGEST_BLOCK_S:
        raise ProtocolError(BAD_MESSAGE, f"a block of sound over {LONGEST_BLOCK_S:g} s")
    return packet


def _parse_object(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_TEXT:
        raise ProtocolError(BAD_MESSAGE, f"a text message over {LONGEST_TEXT} characters")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(BAD_MESSAGE, "a text message that is no JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError(BAD_MESSAGE, "a text message that is no JSON object")
    return message


def pack_picture(kind: Kind, payload: bytes, time_s: float, size: tuple[int, int]) -> bytes:
    """A binary message with a picture; `size` is (width, height) of raw RGB, (0, 0) of a JPEG."""
    return PICTURE_HEADER.pack(kind, 0, 0, *size, time_s) + payload


def pack_sound(payload: bytes, time_s: float, rate: int, channels: int = 1) -> bytes:
    """A binary message with sound: 16-bit little-endian samples, channels interleaved."""
    return SOUND_HEADER.pack(Kind.PCM, channels, 0, rate, time_s) + payload


def write_message(kind: str, **content: Any) -> str:
    """A JSON message down."""
    return json.dumps({"type": kind, **content}, separators=(",", ":"), allow_nan=False)


def write_error(ending: Ending, message: str) -> str:
    """The last message before the server ends a connection."""
    return write_message("error", code=ending.code, message=message, retry=ending.is_retried)
