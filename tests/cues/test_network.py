"""The files of the perception networks and where they come from."""

from __future__ import annotations

import hashlib

from quavf.cues.network import FOLDER

LARGEST = 6e6  # bytes, all together


def test_each_network_has_its_source_in_the_notice() -> None:
    notice = (FOLDER / "NOTICE.md").read_text()
    files = sorted(FOLDER.glob("*.onnx"))
    assert [path.stem for path in files] == ["face_mesh", "iris", "voice"]
    for path in files:
        assert f"## {path.name}" in notice
        assert f"sha256 `{hashlib.sha256(path.read_bytes()).hexdigest()}`" in notice


def test_licences_come_along() -> None:
    assert "Apache License" in (FOLDER / "LICENSE.mediapipe").read_text()
    assert "MIT License" in (FOLDER / "LICENSE.silero-vad").read_text()


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.onnx")) <= LARGEST
