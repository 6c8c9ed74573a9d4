"""Send generated messages to a live server, and watch the session beside them.

    python benchmarks/fuzz_live.py [--messages 2000] [--seed 0] [--weights talk|fake]

A neighbour streams pictures and sound all the time: first alone, then while hostile clients send
damaged and made-up messages, frames and requests, and vanish. Wanted: the server answers each with
a documented code or goes on; no process fails; nothing is left over, neither sockets nor memory;
the neighbour's pictures are looked at as before. Anything else ends with exit code 1.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import mutations  # noqa: E402
from quavf.live.serve.config import ServeConfig  # noqa: E402
from quavf.live.serve.pool import SESSIONS  # noqa: E402
from quavf.live.serve.processes import Loader  # noqa: E402
from quavf.live.serve.protocol import ENDINGS, Kind, pack_picture, pack_sound  # noqa: E402
from tests.helpers.live_sessions import FAKE, serving  # noqa: E402

HELLO = json.dumps({"type": "hello", "version": 1}).encode()
BYE = b'{"type":"bye"}'
DOCUMENTED = {1000, 1001, 1002, 1007, 1009, *(ending.close for ending in ENDINGS)} - {1011}
TEXT, BINARY, CLOSE = 1, 2, 8
STAMPS = (0.0, 1e-9, 1.0, 59.9, 1e9, 9.9e9, -1.0, 1e300, float("nan"), float("inf"))
MOST_EACH = 24  # messages of one connection
GROWTH_MB = 20
GAP_S = 2.0  # by which the neighbour's longest silence may grow
Raw = bytes  # bytes as they go over the network


def make_jpeg(width: int = 320, height: int = 240) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height)).save(out, "JPEG")
    return out.getvalue()


JPEG = make_jpeg()
SOUND = (np.sin(np.arange(1920) / 9) * 9000).astype("<i2").tobytes()


def frame(
    opcode: int, payload: bytes, *, first: int | None = None, claims: int | None = None
) -> Raw:
    """A masked frame; `first` overrides its first byte, `claims` the length that it states."""
    size = len(payload) if claims is None else claims
    head = bytes([0x80 | opcode if first is None else first])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + struct.pack(">H", size)
    else:
        head += b"\xff" + struct.pack(">Q", size)
    return head + bytes(4) + payload  # a mask of zeros changes nothing


def whole_messages(rng: random.Random, time_s: float) -> list[tuple[int, bytes]]:
    """A valid message of each kind."""
    side = rng.choice((1, 8, 64))
    return [
        (BINARY, pack_picture(Kind.JPEG, JPEG, time_s, (0, 0))),
        (BINARY, pack_picture(Kind.RGB, bytes(side * side * 3), time_s, (side, side))),
        (BINARY, pack_sound(SOUND, time_s, 48_000)),
        (BINARY, pack_sound(SOUND, time_s, rng.choice((8_000, 44_100)), channels=2)),
        (TEXT, HELLO),
        (TEXT, BYE),
    ]


def damaged(rng: random.Random, time_s: float) -> Raw:
    """A valid message with bytes changed, cut out or doubled."""
    opcode, data = rng.choice(whole_messages(rng, time_s))
    return frame(opcode, mutations.seeded(rng.getrandbits(40))(data, opcode == TEXT))


def damaged_body(rng: random.Random, time_s: float) -> Raw:
    """A picture with a good header and a damaged file."""
    jpeg = mutations.seeded(rng.getrandbits(40))(JPEG, False)
    return frame(BINARY, pack_picture(Kind.JPEG, b"\xff\xd8\xff" + jpeg[3:], time_s, (0, 0)))


def odd_header(rng: random.Random, _: float) -> Raw:
    """Fields at their edges and beyond, with data of any length."""
    fields = (rng.choice((0, 1, 2, 3, 255)), rng.choice((0, 1, 8, 9)), rng.choice((0, 0, 1)))
    place = rng.choice((0, 1, 7_999, 16_000, 192_000, (1 << 32) - 1))
    head = struct.pack("<BBHId", *fields, place, rng.choice(STAMPS))
    return frame(BINARY, head + rng.randbytes(rng.choice((0, 1, 2, 300, 5_000))))


def odd_time(rng: random.Random, _: float) -> Raw:
    """Valid messages whose stamps jump, repeat or make no sense."""
    opcode, data = rng.choice(whole_messages(rng, rng.choice(STAMPS))[:4])
    return frame(opcode, data)


def odd_text(rng: random.Random, _: float) -> Raw:
    texts = (
        "",
        "null",
        "[" * 4_000,
        '{"type":' * 300,
        '{"type":"bye"',
        "\x00",
        "é" * 5_000,
        "9" * 4_090,
    )
    return frame(TEXT, rng.choice((*map(str.encode, texts), b"\xff\xfe", HELLO * 40)))


def odd_frame(rng: random.Random, _: float) -> Raw:
    """What is no WebSocket frame, or says that much more is to come."""
    kind = rng.randrange(8)
    if kind == 0:
        return frame(BINARY, b"x" * 20, claims=rng.choice((1 << 32, (1 << 63) - 1, 9_000_000)))
    if kind == 1:
        return frame(BINARY, b"", first=rng.randrange(256))
    if kind == 2:  # not masked
        return bytes([0x82, 5]) + b"hello"
    if kind == 3:  # many fragments
        return b"".join(frame(BINARY, b"", first=0x02 if k == 0 else 0x00) for k in range(200))
    if kind == 4:
        return frame(9, b"ping" * 31)
    if kind == 5:  # a control frame that is too long
        return frame(9, bytes(200))
    if kind == 6:  # half a message
        return frame(BINARY, pack_sound(SOUND, 1.0, 48_000))[: rng.randrange(1, 2_000)]
    return rng.randbytes(rng.randrange(1, 400))


def flood(rng: random.Random, time_s: float) -> Raw:
    """Many small messages at once."""
    data = pack_sound(bytes(2), time_s, 16_000)
    return frame(BINARY, data) * rng.choice((300, 2_000))


KINDS: dict[str, Callable[[random.Random, float], Raw]] = {
    "damaged message": damaged,
    "damaged picture": damaged_body,
    "odd header": odd_header,
    "odd time": odd_time,
    "odd text": odd_text,
    "odd frame": odd_frame,
    "flood": flood,
}
REQUESTS = (
    b"GET /live HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"\x16\x03\x01\x02\x00" + bytes(200),  # a TLS greeting
    b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4294967296\r\n\r\n",
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET / HT",
)


class Attacker:
    """One hostile connection."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self._rng = rng
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._data = b""

    def send(self, data: Raw) -> bool:
        """Send, and tell whether the server still listens."""
        try:
            self._socket.settimeout(10)
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def shake_hands(self) -> None:
        key = base64.b64encode(self._rng.randbytes(16)).decode()
        self.send(
            "GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._data:
            block = self._socket.recv(65_536)
            assert block, "the server closed during the handshake"
            self._data += block
        self._data = self._data.partition(b"\r\n\r\n")[2]

    def close_code(self, wait_s: float) -> int | None:
        """Code of the server's close, 1006 for none; None while the connection is open."""
        end = time.monotonic() + wait_s
        while True:
            for opcode, payload in self._frames():
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                block = self._socket.recv(1 << 20)
            except TimeoutError:
                return None
            except OSError:
                return 1006
            if not block:
                return 1006
            self._data += block

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while len(self._data) >= 2:
            size, at = self._data[1] & 0x7F, 2
            if size >= 126:
                at = 4 if size == 126 else 10
                size = int.from_bytes(self._data[2:at], "big")
            if len(self._data) < at + size:
                return
            opcode, payload = self._data[0] & 0xF, self._data[at : at + size]
            self._data = self._data[at + size :]
            yield opcode, payload

    def vanish(self) -> None:
        """Close, sometimes with a reset."""
        with suppress(OSError):
            if self._rng.random() < 0.5:
                linger = struct.pack("ii", 1, 0)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._socket.close()


@dataclass
class Neighbour:
    """An honest client, in a thread."""

    port: int
    sent: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    longest_gap_s: float = 0.0
    problem: str = ""

    def run(self, stop: threading.Event) -> None:
        with connect(f"ws://127.0.0.1:{self.port}/live", compression=None) as socket_:
            socket_.send(HELLO.decode())
            socket_.recv()
            hearing = threading.Thread(target=self._hear, args=(socket_,))
            hearing.start()
            start_s, k = time.monotonic(), 0
            while not stop.is_set() and hearing.is_alive():
                wait_s = start_s + k / 25 - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                time_s = time.monotonic() - start_s
                socket_.send(pack_sound(SOUND, time_s, 48_000))
                if k % 2 == 0:  # 12.5 pictures a second
                    socket_.send(pack_picture(Kind.JPEG, JPEG, time_s, (0, 0)))
                    self.sent += 1
                k += 1
            socket_.send(BYE.decode())
            hearing.join()

    def _hear(self, socket_: Any) -> None:
        last_s = time.monotonic()
        try:
            while True:
                message = json.loads(socket_.recv())
                now_s = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now_s - last_s)
                last_s = now_s
                if message["type"] == "state":
                    self.counts = message["counts"]
                elif message["type"] == "error":
                    self.problem = message["message"]
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code != 1000:
                self.problem = self.problem or str(closed)


def attack(port: int, n_messages: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """Send the messages; how many of each kind, and how their connections ended."""
    rng, sent, ends = random.Random(seed), Counter[str](), Counter[str]()
    while sent.total() < n_messages:
        attacker = Attacker(port, rng)
        if rng.random() < 0.1:
            sent["odd request"] += 1
            attacker.send(rng.choice(REQUESTS))
            attacker.close_code(0.05)
            attacker.vanish()
            continue
        attacker.shake_hands()
        code = None
        if rng.random() < 0.9:
            attacker.send(frame(TEXT, HELLO))
            code = attacker.close_code(0.3)
        for k in range(rng.randrange(1, MOST_EACH) if code is None else 0):
            kind = rng.choice(list(KINDS))
            sent[kind] += 1
            if not attacker.send(KINDS[kind](rng, k / 10)):
                break
            code = attacker.close_code(0.02)
            if code is not None:
                break
        if code is None and rng.random() < 0.5:
            attacker.send(frame(TEXT, BYE))
            code = attacker.close_code(3.0)
        ends[str(code) if code is not None else "left by the client"] += 1
        attacker.vanish()
    return sent, ends


def measure(app: Any) -> tuple[int, float]:
    """Open files of the server, and memory of it and its processes in MB."""
    pids = [os.getpid(), *(worker.pid for worker in app.pool._spares)]
    memory = sum(
        int(line.split()[1]) / 1024
        for pid in pids
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return len(list(Path("/proc/self/fd").iterdir())), memory


def watch_neighbour(port: int, work: Callable[[], Any]) -> tuple[Neighbour, Any]:
    neighbour, stop = Neighbour(port), threading.Event()
    thread = threading.Thread(target=neighbour.run, args=(stop,))
    thread.start()
    try:
        found = work()
    finally:
        stop.set()
        thread.join(60)
    return neighbour, found


def settle(app: Any) -> None:
    """Wait until all sessions are closed and tidied up."""
    end = time.monotonic() + 60
    while app.pool.active or app.pool._cleaning:
        assert time.monotonic() < end, "sessions are left over"
        time.sleep(0.05)


def run(n_messages: int, seed: int, weights: str, alone_s: float) -> int:
    loader = Loader(FAKE, {}) if weights == "fake" else Loader(SESSIONS, {"weights": weights})
    with serving(ServeConfig(sessions=3), loader) as (port, app):
        attack(port, min(n_messages // 10, 200), seed + 1)  # whatever is allocated once
        settle(app)
        alone, _ = watch_neighbour(port, lambda: time.sleep(alone_s))
        settle(app)
        files_before, memory_before = measure(app)
        start_s = time.monotonic()
        beside, (sent, ends) = watch_neighbour(port, lambda: attack(port, n_messages, seed))
        took_s = time.monotonic() - start_s
        settle(app)
        files_after, memory_after = measure(app)
    grown = memory_after - memory_before
    for kind, count in sorted(sent.items()):
        print(f"{count:6} {kind}")
    print("ends:", ", ".join(f"{code}: {count}" for code, count in sorted(ends.items())))
    print(f"{sent.total()} messages in {took_s:.0f} s")
    for name, one in (("alone", alone), ("beside", beside)):
        looked, dropped = one.counts.get("looked_at"), one.counts.get("queue_dropped")
        print(
            f"neighbour {name}: {one.sent} pictures sent, {looked} looked at, {dropped} dropped, "
            f"longest silence {one.longest_gap_s:.2f} s {one.problem}"
        )
    print(f"open files {files_before} -> {files_after}, memory {grown:+.1f} MB")
    strange = {c for c in ends if c.isdigit() and int(c) not in DOCUMENTED | {1006}}
    problems = [
        (bool(strange), f"codes that nobody documented: {sorted(strange)}"),
        (bool(alone.problem or beside.problem), "the neighbour was cut off"),
        (beside.longest_gap_s > alone.longest_gap_s + GAP_S, "the neighbour had to wait"),
        (files_after > files_before, "files are left open"),
        (grown > GROWTH_MB, f"{grown:.0f} MB of memory are left"),
    ]
    for is_there, text in problems:
        if is_there:
            print(f"PROBLEM: {text}")
    return int(any(is_there for is_there, _ in problems))


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Send generated messages to a live server.")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", default="talk", help="fake: sessions without networks")
    parser.add_argument("--alone", type=float, default=10.0, help="seconds of the neighbour alone")
    args = parser.parse_args(words)
    return run(args.messages, args.seed, args.weights, args.alone)


if __name__ == "__main__":
    sys.exit(main())
