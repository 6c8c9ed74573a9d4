"""Files that are no media, or that break off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from quavf.core.errors import MediaError
from quavf.sources.media.container import decode, open_container, read_packets
from quavf.sources.media.file import open_video_file
from quavf.sources.media.sound import read_sound
from tests.helpers.media_files import Sound, tone, write_video, write_wav


def stereo(seconds: float, rate: int = 48_000, level: float = 0.5) -> Sound:
    return np.stack([tone(seconds, rate, level)] * 2)


def test_a_file_that_breaks_off_while_it_is_read(tmp_path: Path) -> None:
    """As a disk error or a lost network drive does: what came before it counts."""
    notes: Counter[str] = Counter()
    with open_container(write_video(tmp_path / "x.mkv", 30)) as whole:

        class Broken:
            def demux(self, stream: Any) -> Iterator[Any]:
                for number, packet in enumerate(whole.demux(stream)):
                    if number == 12:
                        raise av.error.InvalidDataError(1, "broken")
                    yield packet

        container: Any = Broken()
        packets = read_packets(container, whole.streams.video[0], notes)
        frames = list(decode(packets, notes))
    assert 0 < len(frames) <= 12
    assert notes == {"damaged packets": 1}


def test_sound_only(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x.wav", stereo(0.1), 48_000)
    with pytest.raises(
        MediaError, match=r"x\.wav: no video in this file; is it sound only, or cut"
    ):
        open_video_file(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "not a readable media file .*download or export it again"),
        (b"hello\nworld\n" * 100, "not a readable media file"),
        (b"\0" * 5000, "not a readable media file"),
        (b"<html>404 not found</html>", "not a readable media file"),
    ],
)
@pytest.mark.parametrize("reader", [open_video_file, lambda path: read_sound(path, Counter())])
def test_no_media(tmp_path: Path, content: bytes | None, says: str, reader: Any) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=rf"x\.mp4: {says}") as caught:
        reader(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_media(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="a folder, not a media file"):
        open_video_file(tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_cut_inside_the_index(tmp_path: Path, share: float) -> None:
    path = write_video(tmp_path / "x.mp4", 10)
    data = path.read_bytes()
    path.write_bytes(data[: int(data.index(b"mdat") * share)])
    with pytest.raises(MediaError, match=r"x\.mp4: .*(download|cut short)"):
        open_video_file(path)


def test_video_of_an_unknown_kind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", 10, sound=stereo(1))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(MediaError, match=r"x\.mp4: its video is damaged or of an unknown kind"):
        open_video_file(path)
    samples = read_sound(path, Counter())
    assert samples is not None
    assert len(samples) >= 16_000
