"""A stream over HTTP on this machine, which breaks and comes back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: video/MP2T\r\n\r\n"
PIECES = 20  # that a stream is sent in


@contextmanager
def streaming(streams: Sequence[Path], seconds: float, refuse: int = 0) -> Iterator[str]:
    """Serve one MPEG transport stream a connection, each in its time; the address.

    After the first stream, `refuse` connections are closed at once. The last stream stays open at
    its end.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def send(connection: socket.socket, stream: Path, is_last: bool) -> None:
            with connection, suppress(OSError):
                connection.recv(4096)
                content = stream.read_bytes()
                connection.sendall(HEAD)
                size = len(content) // PIECES + 1
                for first in range(0, len(content), size):
                    connection.sendall(content[first : first + size])
                    time.sleep(seconds / PIECES)
                if is_last:
                    done.wait(30)

        def serve() -> None:
            with suppress(OSError):
                for k, stream in enumerate(streams):
                    for _ in range(refuse if k else 0):
                        listening.accept()[0].close()
                    send(listening.accept()[0], stream, k == len(streams) - 1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/live.ts"
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)
