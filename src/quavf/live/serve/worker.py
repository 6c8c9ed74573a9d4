"""The process that runs sessions, one after the other: `python -m quavf.live.serve.worker`.

It ends with the server: when its standard input does.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quavf.core.errors import QuavfError
from quavf.live.serve.channel import (
    ENDED,
    ERROR,
    EVENT,
    PACKET,
    READY,
    START,
    STATE,
    FrameReader,
    pack_line,
)
from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.pictures import DamagedPictureError, read_picture, read_sound
from quavf.live.serve.protocol import parse_packet

if TYPE_CHECKING:
    from quavf.live.session import LiveSession

BLOCK = 1 << 20  # bytes read at once
POLL_S = 0.06  # between two states
NICENESS = 5  # the server answers first

Opener = Callable[[float], "LiveSession"]  # a session with a look-ahead in seconds


class Worker:
    """Feeds frames to a session and writes down what it says."""

    def __init__(self, open_session: Opener, limits: LimitsConfig, out: int) -> None:
        self._open, self._limits, self._out = open_session, limits, out
        self._session: LiveSession | None = None
        self._damaged = 0  # pictures
        self._told: dict[str, Any] = {}
        self._told_at_s = 0.0

    def take(self, kind: bytes, body: bytes) -> None:
        """Act on one frame."""
        if kind == START:
            self._close()
            self._session = self._open(json.loads(body)["look_ahead"])
            self._damaged = 0
            self._write(READY)
        elif kind == PACKET:
            self._take_packet(body)
            self.report()
        else:
            self._close()
            self._write(ENDED)

    def report(self, *, is_last: bool = False) -> None:
        """Write the events since the last time, and every POLL_S the state if it is another."""
        if self._session is None:
            return
        for event in self._session.events():
            self._write(EVENT, event=event.to_json())
        if time.monotonic() - self._told_at_s < POLL_S and not is_last:
            return
        self._told_at_s = time.monotonic()
        state = {
            "people": [person.to_json() for person in self._session.people()],
            "counts": {**asdict(self._session.counts), "damaged": self._damaged},
        }
        if state != self._told:
            self._told = state
            self._write(STATE, **state)

    def _take_packet(self, body: bytes) -> None:
        packet = parse_packet(body, self._limits)
        if self._session is None:
            return
        if not packet.is_picture:
            self._session.audio(read_sound(packet), packet.time_s, packet.rate)
        elif self._session.wants(packet.time_s):
            try:
                picture = read_picture(packet, self._limits)
            except DamagedPictureError:
                self._damaged += 1
            else:
                self._session.video(picture, packet.time_s)

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self.report(is_last=True)
        self._session, self._told = None, {}

    def _write(self, kind: str, **content: Any) -> None:
        line = pack_line(kind, **content)
        while line:
            line = line[os.write(self._out, line) :]


def main(words: list[str]) -> int:
    """Load the networks by `module:function` and its JSON options, then serve sessions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to act on
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print does not mix with the lines
    os.nice(NICENESS)
    place, options, limits = words
    module, _, function = place.partition(":")
    try:
        load = getattr(importlib.import_module(module), function)
        worker = Worker(load(**json.loads(options)), LimitsConfig(**json.loads(limits)), out)
    except QuavfError as error:
        os.write(out, pack_line(ERROR, message=str(error)))
        return 2
    os.write(out, pack_line(READY))
    _serve(worker)
    return 0


def _serve(worker: Worker) -> None:
    reader = FrameReader()
    while True:
        ready, _, _ = select.select([0], [], [], POLL_S)
        if not ready:
            worker.report()
            continue
        block = os.read(0, BLOCK)
        if not block:
            return
        for kind, body in reader.feed(block):
            worker.take(kind, body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
