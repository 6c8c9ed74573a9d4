"""A live server with fake sessions, to talk to."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from quavf.live.serve.app import LiveApp
from quavf.live.serve.config import ServeConfig
from quavf.live.serve.listen import make_server
from quavf.live.serve.processes import Loader
from tests.helpers.data import ROOT

FAKE = "tests.helpers.fake_sessions:load"


@contextmanager
def serving(
    config: ServeConfig | None = None,
    loader: Loader | None = None,
    port: int = 0,
    **options: Any,
) -> Iterator[tuple[int, LiveApp]]:
    """Run a live server with fake sessions in a thread; its port and its application."""
    app = LiveApp(loader or Loader(FAKE, options), config or ServeConfig())
    server = make_server(app, app.config)
    listening = socket.create_server(("127.0.0.1", port))
    with listening, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")  # for the fake sessions

        def run() -> None:
            asyncio.run(server.serve(sockets=[listening]))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.02)
            yield listening.getsockname()[1], app
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
