"""Pictures by frame number, of files that are whole, cut short or damaged."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import MediaError
from quavf.sources.media.clip import OTHER_RATE, open_clip_video
from quavf.sources.media.file import ENDS_EARLY
from tests.helpers.media_files import (
    SIZE,
    Sound,
    cut_short,
    damage,
    number_of,
    read_samples,
    tone,
    write_video,
)

NTSC = Fraction(30_000, 1001)
EVERY = set(range(500))


def read(path: Path, wanted: Iterable[int] = EVERY) -> tuple[dict[int, int], dict[str, int]]:
    """Number shown by each frame, and notes."""
    video = open_clip_video(path)
    whole = (0, 0, *video.size)
    shown = [(frame, number_of(p.bgr(whole))) for frame, p in video.pictures(set(wanted))]
    assert [frame for frame, _ in shown] == sorted({frame for frame, _ in shown})
    return dict(shown), dict(video.notes)


def stereo(seconds: float, rate: int = 48_000, level: float = 0.5) -> Sound:
    return np.stack([tone(seconds, rate, level)] * 2)


@pytest.mark.parametrize("fps", [Fraction(30), NTSC, Fraction(25), Fraction(24_000, 1001)], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # Matroska rounds times to milliseconds
def test_constant_rate(tmp_path: Path, fps: Fraction, suffix: str) -> None:
    path = write_video(tmp_path / f"x{suffix}", 70, fps)
    video = open_clip_video(path)
    assert video.clock.fps == fps
    assert video.size == SIZE
    assert video.file.declared_s == pytest.approx(float(70 / fps), abs=0.002)
    assert read(path) == ({n: n for n in range(70)}, {})


def test_times_are_exact(tmp_path: Path) -> None:
    video = open_clip_video(write_video(tmp_path / "x.mp4", 31, NTSC))
    times = {frame: p.time_s for frame, p in video.pictures({0, 30})}
    assert times == pytest.approx({0: 0.0, 30: 1.001}, abs=1e-4)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (set(), []),
        ({0}, [0]),
        ({29}, [29]),  # the very last
        ({3, 17}, [3, 17]),
        ({28, 29, 30, 31}, [28, 29]),  # beyond the end: left out
        ({1000}, []),
    ],
)
def test_only_the_given_frames(tmp_path: Path, wanted: set[int], expected: list[int]) -> None:
    shown, _ = read(write_video(tmp_path / "x.mp4", 30), wanted)
    assert shown == {n: n for n in expected}


VARIABLE = [0, 1, 2, 4, 5, 8, 9, 10, 14, 15, 16, 17, 20, 24, 25]  # 30ths of a second


def test_variable_rate(tmp_path: Path) -> None:
    """The models' clock, and on each frame the picture that is on screen then."""
    path = write_video(tmp_path / "x.mp4", len(VARIABLE), times=[Fraction(t, 30) for t in VARIABLE])
    video = open_clip_video(path)
    assert video.clock.fps == 30
    shown, notes = read(path)
    expected = {t: max(n for n, start in enumerate(VARIABLE) if start <= t) for t in range(26)}
    assert shown == expected
    assert notes == {"clips with a variable frame rate": 1}


def test_variable_rate_of_another_time_base(tmp_path: Path) -> None:
    """Pictures at 25ths of a second, with gaps: frames are still 30ths."""
    starts = [0, 1, 2, 3, 10, 11, 12, 20]
    path = write_video(tmp_path / "x.mp4", 8, 25, times=[Fraction(t, 25) for t in starts])
    video = open_clip_video(path)
    assert video.clock.fps == 30
    assert read(path)[0] == {0: 0, 1: 1, 2: 2, 3: 2, **dict.fromkeys(range(4, 12), 3)} | {
        12: 4,
        13: 5,
        **dict.fromkeys(range(14, 24), 6),
        24: 7,
    }


def test_picture_of_a_variable_rate_is_held_for_a_second_at_most(tmp_path: Path) -> None:
    times = [0, 1, 2, 92, 93]
    path = write_video(tmp_path / "x.mp4", 5, times=[Fraction(t, 30) for t in times])
    shown, _ = read(path)
    assert shown == {0: 0, 1: 1, **dict.fromkeys(range(2, 33), 2), 92: 3, 93: 4}


def test_faster_pictures_than_the_clock(tmp_path: Path) -> None:
    """Several pictures within one frame: the first one stands for it."""
    times = [0, 1, 1.2, 2, 3, 3.1, 3.2, 4, 8, 12]
    path = write_video(tmp_path / "x.mp4", 10, times=[t / 30 for t in times])
    shown, notes = read(path)
    assert notes == {"clips with a variable frame rate": 1}
    assert shown == {0: 0, 1: 1, 2: 3, 3: 4, **dict.fromkeys(range(4, 8), 7)} | dict.fromkeys(
        range(8, 12), 8
    ) | {12: 9}


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3])
def test_cut_short(tmp_path: Path, share: float) -> None:
    path = cut_short(write_video(tmp_path / "x.mp4", 90, sound=stereo(3)), share)
    shown, notes = read(path)
    assert shown == {n: n for n in range(len(shown))}
    assert 90 * share - 15 < len(shown) < 90 * share + 3
    cut_noted = ENDS_EARLY in notes
    assert cut_noted == (len(shown) < 75)  # half a second
    samples, _ = read_samples(path)
    assert samples is not None
    assert abs(len(samples) / 16_000 - len(shown) / 30) < 0.5


def test_frames_before_the_cut_say_nothing_of_it(tmp_path: Path) -> None:
    path = cut_short(write_video(tmp_path / "x.mp4", 90), 0.5)
    assert read(path, {3, 4}) == ({3: 3, 4: 4}, {})


LATE_S = 7  # of 9.6 s
UNEVEN = [k / 25 + (k % 3) / 100 for k in range(240)]
LATE_FILES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "h264": ("x.mp4", {}, True),
    "b-frames": ("x.mp4", {"max_b_frames": 3}, True),
    "matroska": ("x.mkv", {"max_b_frames": 2}, True),
    "variable rate": ("x.mp4", {"times": UNEVEN, "max_b_frames": 2}, True),
    "mpeg4": ("x.mov", {"codec": "mpeg4", "max_b_frames": 2}, True),
    "no index": ("x.ts", {"max_b_frames": 2}, False),
}


@pytest.mark.parametrize(("name", "options", "skips"), LATE_FILES.values(), ids=LATE_FILES)
def test_a_file_entered_late_shows_the_same(
    tmp_path: Path, name: str, options: dict[str, Any], skips: bool
) -> None:
    path = write_video(tmp_path / name, 240, 25, **options)
    video = open_clip_video(path, Fraction(24), timed=True)
    first, whole = LATE_S * 24, (0, 0, *video.size)
    wanted = set(range(first, 240))

    def list_all(start: int) -> list[tuple[int, Fraction, bytes]]:
        pairs = video.pictures(wanted, start)
        return [(frame, p.time, p.bgr(whole).tobytes()) for frame, p in pairs]

    found = list_all(first)
    assert found == list_all(0)
    assert len(found) >= 60
    assert (next(video.file.pictures(Fraction(LATE_S))).time > LATE_S - 2) == skips


def test_damaged_in_the_middle(tmp_path: Path) -> None:
    """Damage costs the pictures that depend on it; all others keep their numbers."""
    path = damage(write_video(tmp_path / "x.mp4", 90, sound=stereo(3)), 0.4, 0.45)
    shown, notes = read(path)
    assert notes["damaged packets"] > 0
    groups = [[n for n in range(g, g + 10) if shown.get(n) == n] for g in range(0, 90, 10)]
    whole = [len(group) == 10 for group in groups]
    assert whole.count(False) in (1, 2)  # a group of pictures is 10 frames long
    assert all(whole[:3])
    assert all(whole[5:])
    samples, notes = read_samples(path)
    assert notes["damaged packets"] > 0
    assert samples is not None
    assert abs(len(samples) / 16_000 - 3) < 0.06


def test_damaged_all_over(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "x.mp4", 30, sound=stereo(1)), 0, 1)
    with pytest.raises(MediaError, match="not a single picture can be decoded"):
        open_clip_video(path)


def test_annotated_rate_decides(tmp_path: Path) -> None:
    """A clip re-encoded at 25 pictures a second: frames are still those of the annotations."""
    path = write_video(tmp_path / "x.mp4", 50, 25)
    video = open_clip_video(path, Fraction(30))
    assert video.clock.fps == 30
    whole = (0, 0, *video.size)
    shown = {frame: number_of(p.bgr(whole)) for frame, p in video.pictures(EVERY)}
    assert set(shown) == set(range(60))
    assert all(abs(number / 25 - frame / 30) <= 1 / 25 for frame, number in shown.items())
    assert video.notes == {OTHER_RATE: 1}
    assert open_clip_video(path, Fraction(25)).notes == {}
