"""Frames to a session's process, cut anywhere."""

from __future__ import annotations

from quavf.live.serve.channel import PACKET, START, STOP, FrameReader, pack_frame


def test_frames_cut_anywhere() -> None:
    frames = [(START, b"{}"), (PACKET, b""), (PACKET, bytes(1000)), (STOP, b"x")]
    data = b"".join(pack_frame(*frame) for frame in frames)
    for step in (1, 7, 500, len(data)):
        reader = FrameReader()
        found = [f for k in range(0, len(data), step) for f in reader.feed(data[k : k + step])]
        assert found == frames
