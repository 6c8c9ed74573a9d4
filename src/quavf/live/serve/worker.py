"""The process that runs sessions, one after the other: `python -m quavf.live.serve.worker`.

It ends with the server: when its input does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import warnings
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
    """Load the networks by `module:function` and its JSON options, then serve sessions.

    With the number of a socket as the last word, fork a process for each socket that comes by it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to act on
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print does not mix with the lines
    os.nice(NICENESS)
    place, options, limits, *control = words
    module, _, function = place.partition(":")
    try:
        load = getattr(importlib.import_module(module), function)
        open_session, checked = load(**json.loads(options)), LimitsConfig(**json.loads(limits))
    except QuavfError as error:
        os.write(out, pack_line(ERROR, message=str(error)))
        return 2
    os.write(out, pack_line(READY, pid=os.getpid()))
    given = 0
    if control:
        given = out = fork_sessions(socket.socket(fileno=int(control[0])), out)
    if out >= 0:
        _serve(Worker(open_session, checked, out), given)
    return 0


def fork_sessions(control: socket.socket, out: int) -> int:
    """Fork a process for each socket that comes; in it, return the socket's number.

    Returns -1 when the server has gone. Forking is safe: the networks run without threads of their
    own, none has run yet, and OpenBLAS and pyarrow's jemalloc, which have some, prepare for it by
    handlers of their own. `out` is where this process says that it is ready; it stays its own.
    """
    # Python 3.12 warns of any thread that there is.
    warnings.filterwarnings("ignore", "This process", DeprecationWarning)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries them
    gc.collect()
    gc.freeze()  # what is shared stays so
    while True:
        message, sockets, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return -1
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            for own in (0, out):
                os.close(own)
            os.write(sockets[0], pack_line(READY, pid=os.getpid()))
            return sockets[0]
        os.close(sockets[0])


def _serve(worker: Worker, given: int) -> None:
    """Take frames from a file descriptor until it ends."""
    reader = FrameReader()
    while True:
        ready, _, _ = select.select([given], [], [], POLL_S)
        if not ready:
            worker.report()
            continue
        block = os.read(given, BLOCK)
        if not block:
            return
        for kind, body in reader.feed(block):
            worker.take(kind, body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
