"""Options of the live server, and the limits that it keeps its clients to."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field, fields
from pathlib import Path

from quavf.core.errors import ConfigError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SHORTEST_TOKEN = 16  # characters


@dataclass(frozen=True)
class LimitsConfig:
    """What one client may send.

    Args:
        picture_bytes: Bytes of one picture.
        picture_pixels: Pixels of one picture.
        pictures_per_s: Pictures a second; more are dropped.
        bytes_per_s: Bytes a second; the server reads no faster.
        hello_s: Seconds that a client has to say hello.
        idle_s: Seconds without picture and sound after which a session ends.
        send_s: Seconds that a client has to take a message.
    """

    picture_bytes: int = 8_000_000
    picture_pixels: int = 1920 * 1080
    pictures_per_s: float = 60.0
    bytes_per_s: float = 32_000_000.0
    hello_s: float = 10.0
    idle_s: float = 30.0
    send_s: float = 10.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"limits.{f.name}: {value} is not a positive number")


@dataclass(frozen=True)
class ServeConfig:
    """Where the live server listens, and whom it serves.

    Args:
        host: Address to listen on; 0.0.0.0: all of them.
        port: Port to listen on; 0: any that is free.
        sessions: Sessions at once, each in a process of its own; a further client is told that
            the server is full.
        token: Secret that clients must give; None: none on this machine, beyond it a new one at
            each start.
        origins: Further web origins whose pages may connect, such as https://app.example.com.
        certificate: TLS certificate (PEM) with its chain; browsers give a page camera and
            microphone only over HTTPS, except on this machine.
        key: Private key (PEM) of the certificate.
        look_ahead: Seconds that a score may wait for what comes after, if the client asks for
            no other.
        limits: What one client may send.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    sessions: int = 4
    token: str | None = None
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    look_ahead: float = 0.3
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port: {self.port} is not from 0 to 65535")
        if self.sessions < 1:
            raise ConfigError(f"sessions: {self.sessions} is under 1")
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise ConfigError(f"token: shorter than {SHORTEST_TOKEN} characters; give a longer one")
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("certificate: needs its key, and the key its certificate; give both")
        for path in (self.certificate, self.key):
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"{path}: no file here; give the certificate and its key as PEM")
        for origin in self.origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(
                    f"origins: {origin!r} is not an origin; write it like https://app.example.com"
                )

    @property
    def is_local(self) -> bool:
        """Only this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
