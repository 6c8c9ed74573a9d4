"""A stream over HTTP on this machine, which breaks and comes back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/MP2T\r\n\r\n"
PIECES = 20  # that a stream is sent in


@contextmanager
def streaming(
    streams: Sequence[Path],
    seconds: float,
    refused: int = 0,
    at_end: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """Serve one MPEG transport stream a connection, each in its time; the address.

    After the first stream, `refused` connections are closed at once. `at_end` is called when
    somebody who has had the last stream comes back.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def send(stream: Path) -> None:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError):
                connection.recv(4096)
                content = stream.read_bytes()
                connection.sendall(HEAD)
                size = len(content) // PIECES + 1
                for first in range(0, len(content), size):
                    connection.sendall(content[first : first + size])
                    time.sleep(seconds / PIECES)

        def serve() -> None:
            with suppress(OSError):
                for k, stream in enumerate(streams):
                    for _ in range(refused if k else 0):
                        listening.accept()[0].close()
                    send(stream)
                listening.accept()[0].close()
                at_end()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/live.ts"
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)
