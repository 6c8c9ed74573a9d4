"""The live server on Ray Serve."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="ray[serve] is not installed")
pytest.importorskip("ray.serve", reason="ray is not installed")
from ray import serve
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from quavf.core.errors import ConfigError
from quavf.live.ray import ReplicasConfig, build
from quavf.live.serve.protocol import Kind, pack_picture
from tests.helpers.data import ROOT
from tests.helpers.live_sessions import FAKE

PICTURE = pack_picture(Kind.RGB, bytes(64 * 48 * 3), 0.0, (64, 48))


def test_options() -> None:
    assert build({"sessions": "2", "cpus": "0.5"})
    with pytest.raises(ConfigError, match="seats: no such option; known are weights, sessions"):
        build({"seats": "2"})
    with pytest.raises(ConfigError, match="sessions: 'two' is not a number"):
        build({"sessions": "two"})
    assert ReplicasConfig().place == "quavf.workflows.serve:open_sessions"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A local cluster with two replicas of one fake session each."""
    import ray

    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}{os.pathsep}{ROOT}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"port": number})
        options = {"sessions": 1, "replicas": 2, "most_replicas": 2, "cpus": 1, "place": FAKE}
        serve.run(build(options))
        yield number
        serve.shutdown()
    finally:
        ray.shutdown()


def open_session(port: int, stack: list[Any]) -> Any:
    """Connect as clients do: again, when the server says full."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with suppress(ConnectionClosed, OSError):
            manager = connect(f"ws://127.0.0.1:{port}/live", compression=None)
            connection = manager.__enter__()
            stack.append(manager)
            connection.send('{"type":"hello","version":1}')
            if json.loads(connection.recv(timeout=60))["type"] == "welcome":
                return connection
        time.sleep(0.5)
    raise AssertionError("no session within 90 s")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_replica_that_dies_takes_only_its_session_along(port: int) -> None:
    stack: list[Any] = []
    first, second = open_session(port, stack), open_session(port, stack)
    victim = find_replicas()[0]
    os.kill(victim, signal.SIGKILL)
    ended = None
    end = time.monotonic() + 60
    while ended is None and time.monotonic() < end:
        for connection in (first, second):
            try:
                connection.send(PICTURE)
                connection.recv(timeout=1)
            except TimeoutError:
                continue
            except ConnectionClosed:
                ended = connection
    other = second if ended is first else first
    assert ended is not None
    assert ended.close_code in (1006, 1011)  # codes to connect again on
    other.send(PICTURE)
    assert json.loads(other.recv(timeout=20))["type"] in ("state", "event")
    again = open_session(port, stack)
    again.send(PICTURE)
    assert json.loads(again.recv(timeout=20))["type"] in ("state", "event")
    for manager in stack:
        with suppress(ConnectionClosed):
            manager.__exit__(None, None, None)


def find_replicas() -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    lines = [line.split(None, 1) for line in listed.stdout.splitlines()]
    found = [int(pid) for pid, words in lines if words.startswith("ray::ServeReplica")]
    assert found
    return found
