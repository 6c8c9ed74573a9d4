"""Cameras, microphones and network streams as inputs of FFmpeg."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from quavf.core.errors import MediaError

CAMERA = re.compile(r"camera(?::(.+))?$")
STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp", "rtp")
OPEN_S, READ_S = 15.0, 10.0  # that opening, and waiting for the next packet, may take
SILENT = "none"  # name of no microphone


@dataclass(frozen=True)
class Input:
    """What FFmpeg opens: a device or an address."""

    name: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    def open(self) -> Any:
        """The container. Raises MediaError that says what is wrong."""
        try:
            return self.connect()
        except ConnectionError as error:
            kind = f" ({self.format})" if self.format else ""
            raise MediaError(
                f"{self.name}{kind}: {error}; check the name, and that nothing else uses it"
            ) from None

    def connect(self) -> Any:
        """The container. Raises ConnectionError with the reason alone."""
        try:
            return av.open(
                self.name,
                format=self.format,
                options=dict(self.options),
                timeout=(OPEN_S, READ_S),
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConnectionError(f"cannot be opened ({reason})") from None


@dataclass(frozen=True)
class Source:
    """Where pictures and sound come from: a file, or one or two inputs.

    A stream has both in `inputs[0]`; a camera has its microphone as a second one.
    """

    file: Path | None = None
    inputs: tuple[Input, ...] = ()

    @property
    def is_stream(self) -> bool:
        """Whether it comes by network, and may break and come back."""
        return len(self.inputs) == 1 and self.inputs[0].format is None


def find_source(
    source: str, microphone: str = "default", size: str = "", system: str = sys.platform
) -> Source:
    """The source of a name: `camera`, `camera:NAME`, /dev/video0, an address, or a file.

    `microphone` is the name of one, or none; `size` is the camera's, as 1280x720. Raises MediaError
    for what is none of these.
    """
    found = CAMERA.match(source)
    if found is not None or source.startswith("/dev/video"):
        camera = _camera((found[1] if found else source) or "", size, system)
        heard = () if microphone == SILENT else (_microphone(microphone, system),)
        return Source(inputs=(camera, *heard))
    scheme = source.partition("://")[0].lower()
    if "://" in source:
        if scheme not in STREAMS:
            raise MediaError(f"{source}: {scheme} is no kind of stream; use {', '.join(STREAMS)}")
        is_rtsp = scheme.startswith("rtsp")
        options = {"rtsp_transport": "tcp", "fflags": "nobuffer"} if is_rtsp else {}
        return Source(inputs=(Input(source, None, options),))
    path = Path(source)
    if not path.is_file():
        raise MediaError(
            f"{source}: no such file; give a file, an address such as rtsp://HOST/PATH, or camera"
        )
    return Source(file=path)


def _camera(name: str, size: str, system: str) -> Input:
    options = {"framerate": "30"} | ({"video_size": size} if size else {})
    if system == "darwin":
        return Input(f"{name or '0'}:none", "avfoundation", options)
    if system == "win32":
        if not name:
            raise MediaError(
                "camera: name it as camera:NAME; `ffmpeg -list_devices true -f dshow -i dummy` "
                "lists the names"
            )
        return Input(f"video={name}", "dshow", options)
    path = f"/dev/video{name or '0'}" if not name or name.isdigit() else name
    return Input(path, "v4l2", options)


def _microphone(name: str, system: str) -> Input:
    if system == "darwin":
        return Input(f"none:{'0' if name == 'default' else name}", "avfoundation")
    if system == "win32":
        return Input(f"audio={name}", "dshow")
    kind = "pulse" if "pulse" in av.formats_available else "alsa"
    return Input(name, kind)
