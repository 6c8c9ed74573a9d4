"""Streams: sources by name, stamps on one clock, and reading over HTTP."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import av
import pytest

import quavf.live.stream
from quavf.core.errors import MediaError
from quavf.live.devices import find_source
from quavf.live.stream import NO_PICTURE, Heard, Seen, Stamps, StreamFeed
from tests.helpers.cue_media import write_cue
from tests.helpers.live_streams import streaming


@pytest.mark.parametrize(
    ("source", "system", "inputs"),
    [
        ("camera", "linux", [("/dev/video0", "v4l2"), ("default", None)]),
        ("camera:2", "linux", [("/dev/video2", "v4l2"), ("default", None)]),
        ("/dev/video1", "linux", [("/dev/video1", "v4l2"), ("default", None)]),
        ("camera", "darwin", [("0:none", "avfoundation"), ("none:0", "avfoundation")]),
        ("camera:Cam", "win32", [("video=Cam", "dshow"), ("audio=default", "dshow")]),
        ("rtsp://host/path", "linux", [("rtsp://host/path", None)]),
    ],
)
def test_sources_by_name(source: str, system: str, inputs: list[tuple[str, str | None]]) -> None:
    found = find_source(source, system=system).inputs
    assert [given.name for given in found] == [name for name, _ in inputs]
    kinds = zip(found, inputs, strict=True)
    assert all(kind is None or given.format == kind for given, (_, kind) in kinds)


@pytest.mark.parametrize(
    ("source", "message"),
    [("nothing.mp4", "no such file"), ("ftp://host/x", "no kind of stream")],
)
def test_sources_that_are_none(source: str, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        find_source(source)


def test_no_microphone_is_no_input() -> None:
    assert len(find_source("camera", "none", "640x480").inputs) == 1


def test_a_camera_that_is_not_there() -> None:
    source = find_source("/dev/video97", "none")
    with pytest.raises(MediaError, match=r"/dev/video97 \(v4l2\): cannot be opened"):
        list(StreamFeed(source, threading.Event()))


def test_stamps_go_on_after_a_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stamps = Stamps(100.0, threading.Event())
    times = []
    for clock, stamp in ((100.0, 5.0), (100.1, 5.1), (100.25, 5.2), (103.0, 1.0), (103.1, 1.1)):
        now[0] = clock
        times.append(stamps.place(stamp))
    assert times == pytest.approx([0.0, 0.1, 0.2, 3.0, 3.1])


def test_a_file_over_http_comes_at_its_own_pace(tmp_path: Path) -> None:
    write_cue(tmp_path / "cue.mp4", seconds=0.6, mux={"movflags": "+faststart"})
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        source = find_source(f"http://127.0.0.1:{server.server_port}/cue.mp4")
        items = list(StreamFeed(source, threading.Event()))
        server.shutdown()
    seen = [item for item in items if isinstance(item, Seen)]
    heard = [item for item in items if isinstance(item, Heard)]
    assert len(seen) == 18
    assert seen[-1].time_s - seen[0].time_s == pytest.approx(17 / 30, abs=0.01)
    assert sum(len(item.samples) / item.rate for item in heard) == pytest.approx(0.6, abs=0.1)


def test_a_stream_without_pictures_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as one that is joined long before its next key picture."""
    decode = quavf.live.stream._decode
    monkeypatch.setattr(
        "quavf.live.stream._decode",
        lambda packet: [f for f in decode(packet) if isinstance(f, av.AudioFrame)],
    )
    monkeypatch.setattr("quavf.live.stream.NO_PICTURE_S", 0.0)
    stop = threading.Event()
    with streaming([write_cue(tmp_path / "cue.ts", seconds=0.6)], 0.4, at_end=stop.set) as address:
        items = list(StreamFeed(find_source(address), stop))
    assert all(isinstance(item, Heard) for item in items)
    told = [r.getMessage() for r in caplog.records]
    assert told.count(f"{address}: {NO_PICTURE}") == 1


def test_a_stream_that_breaks_is_connected_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The waits double until it is there; times go on, with the gap."""
    monkeypatch.setattr("quavf.live.stream.FIRST_WAIT_S", 0.1)
    stream = write_cue(tmp_path / "cue.ts", seconds=0.6)
    stop, times = threading.Event(), []
    with streaming([stream, stream], 0.4, refused=2) as address:
        feed = StreamFeed(find_source(address), stop)
        for item in feed:
            if isinstance(item, Seen):
                times.append(item.time_s)
            if feed.n_reconnected and len(times) >= 18 + 10:
                stop.set()
    assert feed.n_reconnected == 1
    assert [a < b for a, b in pairwise(times)].count(False) == 0
    assert max(b - a for a, b in pairwise(times)) > 0.5  # it was away for 0.1 + 0.2 + 0.4 s
    waits = [r.getMessage().partition("trying again in ")[2] for r in caplog.records]
    assert waits[:3] == ["0.1 s", "0.2 s", "0.4 s"]
