"""Open media files, find the streams that count, and decode them past damage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition

from quavf.core.errors import MediaError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a path object has lost the second slash
TIMES_MAY_JUMP = 0x200  # AVFMT_TS_DISCONT: a format of broadcasts, whose times may start again
ENCRYPTED = ("encryption_info", "encryption_init_info")  # side data of protected packets
INDEXED = ("mov", "matroska")  # formats that list where each key picture is, at which time
FIRST_PACKETS = 8  # of a stream: enough to tell whether it is encrypted


def open_container(path: Path) -> InputContainer:
    """Open a media file. Raises MediaError if it is missing or not a media file."""
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: a folder, not a media file; name the files in it")
    if not path.is_file():
        refuse_url(path)
        raise MediaError(f"{path}: no such file")
    try:  # "file:", or a colon in the name would be read as a protocol
        return av.open(f"file:{path}", mode="r", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(
            f"{path}: not a readable media file ({reason}); download or export it again"
        ) from None


def refuse_url(path: Path | str) -> None:
    """Raise MediaError for a web address where a file is expected."""
    found = URL.match(str(path))
    if found is not None:
        rest = str(path)[found.end() :].lstrip("/")
        raise MediaError(
            f"{found[0]}/{rest}: a web address, not a file; download the video and name the file"
        )


def can_decode(stream: Any) -> bool:
    """Whether there is a decoder: PyAV gives streams of an unknown kind no codec context."""
    return getattr(stream, "codec_context", None) is not None


def is_cover(stream: Any) -> bool:
    """Whether a stream is the cover picture or a preview of the file, not its video."""
    return bool(stream.disposition & Disposition.attached_pic)


def is_default(stream: Any) -> bool:
    """Whether players choose this stream unless told otherwise."""
    return bool(stream.disposition & Disposition.default)


def read_packets(container: InputContainer, streams: Any, notes: Counter[str]) -> Iterator[Any]:
    """Read the packets of some streams until the end, or until damage that stops the reading."""
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            notes["damaged packets"] += 1
            return
        yield packet


def decode(packets: Iterable[Any], notes: Counter[str]) -> Iterator[Any]:
    """Decode every frame of a stream's packets; damaged packets are counted."""
    for packet in packets:
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            notes["damaged packets"] += 1


def is_encrypted(packet: Any) -> bool:
    """Whether a packet's content is protected, and so cannot be decoded."""
    return any(packet.has_sidedata(kind) for kind in ENCRYPTED)


def seek_before(container: InputContainer, stream: Any, time_s: Fraction) -> bool:
    """Go to a key picture at or before a time; whether the file has an index to do so exactly."""
    if time_s <= 0 or not any(name in container.format.name for name in INDEXED):
        return False
    try:
        container.seek(int(time_s / stream.time_base), stream=stream, backward=True)
    except av.error.FFmpegError:
        return False
    return True
