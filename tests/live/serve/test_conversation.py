"""The WebSocket as clients see it, against a server with fake sessions."""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from socket import create_connection
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from quavf.live.serve import conversation
from quavf.live.serve.app import LiveApp
from quavf.live.serve.config import LimitsConfig, ServeConfig
from quavf.live.serve.protocol import Kind, pack_picture, pack_sound
from tests.helpers.live_sessions import serving

HELLO = json.dumps({"type": "hello", "version": 1})
BYE = json.dumps({"type": "bye"})
SILENCE = bytes(3200)
LOUD = (np.sin(np.arange(1600) / 5) * 8000).astype("<i2").tobytes()
RGB = bytes(64 * 48 * 3)
Served = tuple[int, LiveApp]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(ServeConfig(sessions=2, limits=LimitsConfig(hello_s=60, idle_s=60))) as found:
        yield found


def dial(port: int, host: str = "127.0.0.1", **options: Any) -> ClientConnection:
    sock = create_connection(("127.0.0.1", port))
    url = f"ws://{host}:{port}/live"
    connection: ClientConnection = connect(url, sock=sock, compression=None, **options)
    return connection


def picture(time_s: float) -> bytes:
    return pack_picture(Kind.RGB, RGB, time_s, (64, 48))


def listen(socket: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """The messages until the connection is closed, and the code of the close."""
    found = []
    with suppress(ConnectionClosed):
        while True:
            found.append(json.loads(socket.recv(timeout=20)))
    assert socket.close_code is not None
    return found, socket.close_code


def wait_until_free(app: LiveApp) -> None:
    end = time.monotonic() + 10
    while app.pool.active:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_session(served: Served) -> None:
    port, app = served
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "JPEG")
    with dial(port) as socket:
        socket.send(json.dumps({"type": "hello", "version": 1, "look_ahead": 1.0}))
        welcome = json.loads(socket.recv(timeout=20))
        assert (welcome["type"], welcome["version"], welcome["look_ahead"]) == ("welcome", 1, 1.0)
        assert welcome["limits"]["idle_s"] == 60
        for k, sound in enumerate((SILENCE, LOUD, LOUD, SILENCE)):
            socket.send(pack_sound(sound, k / 10, 16_000))
            socket.send(picture(k / 10))
        socket.send(pack_picture(Kind.JPEG, out.getvalue(), 0.4, (0, 0)))
        socket.send(pack_picture(Kind.JPEG, out.getvalue()[:300], 0.5, (0, 0)))
        socket.send(BYE)
        messages, code = listen(socket)
    events = [m["event"] for m in messages if m["type"] == "event"]
    assert (events, code) == (["seen", "addressed", "released"], 1000)
    assert messages[-1] == {"type": "end"}
    last = [m for m in messages if m["type"] == "state"][-1]
    assert last["people"][0]["box"] == [25.6, 14.4, 38.4, 33.6]
    counts = last["counts"]
    assert (counts["looked_at"], counts["damaged"], counts["queue_dropped"]) == (5, 1, 0)
    wait_until_free(app)


@pytest.mark.parametrize(
    ("messages", "code", "close"),
    [
        (["what"], "bad-message", 4400),
        ([b"\x01"], "bad-message", 4400),
        ([HELLO, HELLO], "bad-message", 4400),
        ([HELLO, b"\x09" + bytes(40)], "bad-message", 4400),
        ([HELLO.replace("1", "3")], "version", 4426),
        ([HELLO, picture(1.0), picture(61.1)], "clock", 1013),
        ([HELLO, picture(61.1), pack_sound(SILENCE, 1.0, 16_000)], "clock", 1013),
    ],
)
def test_ends(served: Served, messages: list[str | bytes], code: str, close: int) -> None:
    port, app = served
    with dial(port) as socket:
        for message in messages:
            socket.send(message)
        found, closed = listen(socket)
    assert closed == close
    assert (found[-1]["type"], found[-1]["code"], found[-1]["retry"]) == (
        "error",
        code,
        close < 4000,
    )
    wait_until_free(app)


def test_one_too_many_is_told(served: Served) -> None:
    port, app = served
    with dial(port) as first, dial(port) as second:
        for socket in (first, second):
            socket.send(HELLO)
            assert json.loads(socket.recv(timeout=20))["type"] == "welcome"
        with dial(port) as third:
            third.send(HELLO)
            messages, code = listen(third)
        assert (messages[0]["code"], messages[0]["retry"], code) == ("full", True, 1013)
    wait_until_free(app)


def test_messages_that_are_too_large(served: Served) -> None:
    """A header that claims 4 GB, a message over the limit, and a fragment without end."""
    port, app = served
    with dial(port) as socket:
        socket.send(HELLO)
        socket.recv(timeout=20)
        socket.socket.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 32) + bytes(20))
        assert listen(socket)[1] == 1009
    with dial(port) as socket:
        socket.send(HELLO)
        socket.recv(timeout=20)
        with suppress(ConnectionClosed):
            socket.send(bytes(app.config.limits.picture_bytes + 2000))
        assert listen(socket)[1] in (1006, 1009)  # the code may be lost behind what was not read
    wait_until_free(app)


@pytest.mark.slow
def test_nothing_comes() -> None:
    """No hello; nothing after it; half a message."""
    limits = LimitsConfig(hello_s=1.0, idle_s=1.0)
    with serving(ServeConfig(sessions=3, limits=limits)) as (port, _), ExitStack() as stack:
        sockets = [stack.enter_context(dial(port)) for _ in range(3)]
        for socket in sockets[1:]:
            socket.send(HELLO)
        sockets[2].socket.sendall(b"\x82\xfe\xff\xff" + bytes(50))
        for socket in sockets:
            messages, code = listen(socket)
            assert (messages[-1]["code"], code) == ("idle", 4408)


def test_headers_decide(served: Served) -> None:
    """Without a token, only names of this machine; never pages of other origins."""
    port, app = served
    own = f"http://127.0.0.1:{port}"
    with dial(port, origin=own) as socket:
        socket.send(HELLO)
        assert json.loads(socket.recv(timeout=20))["type"] == "welcome"
    for options in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        with pytest.raises(InvalidStatus) as refused, dial(port, **options):
            pass
        assert refused.value.response.status_code == 403
    wait_until_free(app)


def test_a_process_that_dies_ends_its_session_only() -> None:
    with serving(ServeConfig(sessions=2), fails_at_s=5.0) as (port, app):
        with dial(port) as well, dial(port) as ill:
            for socket in (well, ill):
                socket.send(HELLO)
                socket.recv(timeout=20)
            ill.send(picture(6.0))
            messages, code = listen(ill)
            assert (messages[-1]["code"], messages[-1]["retry"], code) == ("failed", True, 1011)
            well.send(picture(1.0))
            well.send(BYE)
            assert listen(well)[1] == 1000
        wait_until_free(app)
        with dial(port) as again:
            again.send(HELLO)
            assert json.loads(again.recv(timeout=20))["type"] == "welcome"


def test_a_session_too_slow_for_its_pictures_drops_them_and_says_so() -> None:
    with serving(ServeConfig(sessions=1), delay_s=0.05) as (port, _), dial(port) as socket:
        socket.send(HELLO)
        socket.recv(timeout=20)
        for k in range(90):
            socket.send(picture(k / 60))
            time.sleep(1 / 200)
        socket.send(BYE)
        messages, code = listen(socket)
    counts = [m["counts"] for m in messages if m["type"] == "state"][-1]
    assert code == 1000
    assert counts["looked_at"] + counts["queue_dropped"] + counts["too_fast"] == 90
    assert counts["queue_dropped"] > 20


def test_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "WRONG_TOKEN_S", 0.1)
    config = ServeConfig(token="a secret of some length", limits=LimitsConfig(hello_s=5.0))
    with serving(config) as (port, app):
        for token in ({}, {"token": "another"}, {"token": "a secret of some lengtH"}):
            with dial(port) as socket:
                socket.send(json.dumps({"type": "hello", "version": 1, **token}))
                messages, code = listen(socket)
            assert (messages[0]["code"], code) == ("token", 4401)
        with dial(port, host="elsewhere.example") as socket:
            given = {"token": config.token}
            socket.send(json.dumps({"type": "hello", "version": 1, **given}))
            assert json.loads(socket.recv(timeout=20))["type"] == "welcome"
        wait_until_free(app)


def test_a_server_that_stops_says_so() -> None:
    with ExitStack() as stack:
        with serving(ServeConfig(sessions=1)) as (port, _):
            socket = stack.enter_context(dial(port))
            socket.send(HELLO)
            socket.recv(timeout=20)
        assert listen(socket)[1] == 1012
