"""Recording a live session: what is written can be read, at the times given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quavf.live.recording import MediaWriter
from quavf.sources.media.file import open_video_file
from quavf.sources.media.pictures import Frame
from tests.helpers.cue_media import CUE_S, look, write_cue

RATE = 16_000


def read_frames(path: Path) -> list[Frame]:
    return list(open_video_file(path).pictures())


def read_sound(path: Path) -> np.ndarray:
    return np.concatenate(list(open_video_file(path).sound()))


@pytest.mark.parametrize("start_s", [0.0, 7.25])
def test_times_of_pictures_and_sound(tmp_path: Path, start_s: float) -> None:
    """Irregular pictures and blocks of sound come back where they were."""
    cue = write_cue(tmp_path / "cue.mp4")
    frames, sound = read_frames(cue), read_sound(cue)
    frames = [frame for k, frame in enumerate(frames) if k % 3 != 1]
    with MediaWriter(tmp_path / "out" / "live.mp4", with_sound=True) as writer:
        for frame in frames:
            writer.add_picture(frame, start_s + frame.time_s)
        for first in range(0, len(sound), 700):
            writer.add_sound(sound[first : first + 700], start_s + first / RATE, RATE)
    media = writer.media()
    assert media.has_sound
    assert media.size == frames[0].size
    assert media.pictures == pytest.approx([f.time_s for f in frames], abs=1e-3)
    assert media.numbers.tolist() == [*range(len(frames))]
    seen = look(writer.path)
    assert [f.time_s for f in read_frames(writer.path)] == pytest.approx(media.pictures, abs=1e-3)
    assert seen.square_s == pytest.approx(CUE_S, abs=0.04)
    assert seen.beep_s == pytest.approx(CUE_S, abs=0.03)


def test_a_gap_is_silence_and_what_comes_twice_is_left_out(tmp_path: Path) -> None:
    frames = read_frames(write_cue(tmp_path / "cue.mp4", seconds=2.0))
    tone = (8000 * np.sin(np.arange(RATE // 2) * 0.3)).astype(np.int16)
    with MediaWriter(tmp_path / "live.mp4", with_sound=True) as writer:
        writer.add_sound(tone, -0.5, RATE)  # before the first picture
        for frame in frames:
            writer.add_picture(frame, frame.time_s)
            writer.add_picture(frame, frame.time_s - 0.01)
        writer.add_sound(tone, 0.0, RATE)
        writer.add_sound(tone, 0.2, RATE)
        writer.add_sound(np.repeat(tone, 2), 1.5, 2 * RATE)  # connected again, at another rate
    sound = read_sound(writer.path).astype(float)
    loud = [
        np.abs(sound[round(s * RATE) : round((s + 0.2) * RATE)]).mean() for s in (0.1, 0.9, 1.6)
    ]
    assert loud[0] > 3000
    assert loud[1] < 100
    assert loud[2] > 3000
    assert len(sound) / RATE == pytest.approx(2.0, abs=0.06)
    assert len(read_frames(writer.path)) == len(frames)


def test_pictures_of_another_size_are_scaled(tmp_path: Path) -> None:
    small = read_frames(write_cue(tmp_path / "a.mp4", seconds=0.4))
    large = read_frames(write_cue(tmp_path / "b.mp4", seconds=0.4, size=(192, 144)))
    with MediaWriter(tmp_path / "live.mp4", with_sound=False) as writer:
        for start_s, frames in ((0.0, small), (1.0, large)):
            for frame in frames:
                writer.add_picture(frame, start_s + frame.time_s)
    found = read_frames(writer.path)
    assert len(found) == len(small) + len(large)
    a, b = (f.rgb((0, 0, *f.size), f.size).astype(float) for f in (found[2], found[-2]))
    assert a.shape == b.shape
    assert np.abs(a - b).mean() < 12
    assert not writer.media().has_sound


def test_nothing_came(tmp_path: Path) -> None:
    with MediaWriter(tmp_path / "live.mp4", with_sound=True) as writer:
        writer.add_sound(np.zeros(100, np.int16), 0.0, RATE)
    assert not len(writer.media().pictures)
