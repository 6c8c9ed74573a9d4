"""Pictures and sound out of media files that are whole, cut short, damaged, or none at all."""

from __future__ import annotations

import wave
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from quavf.core.errors import MediaError
from quavf.sources.media import Picture, decode, open_video, read_sound
from tests.helpers.media_files import (
    SIZE,
    Sound,
    cut_short,
    damage,
    number_of,
    numbered,
    tone,
    write_video,
    write_wav,
)

NTSC = Fraction(30_000, 1001)
EVERY = set(range(500))


def read(path: Path, wanted: Iterable[int] = EVERY) -> tuple[dict[int, int], dict[str, int]]:
    """Number shown by each frame, and notes."""
    video = open_video(path)
    with video.container:
        whole = (0, 0, *video.size)
        shown = [(p.frame, number_of(p.bgr(whole))) for p in video.pictures(set(wanted))]
    assert [frame for frame, _ in shown] == sorted({frame for frame, _ in shown})
    return dict(shown), dict(video.notes)


def sound(path: Path) -> tuple[Any, dict[str, int]]:
    notes: Counter[str] = Counter()
    samples = read_sound(path, notes)
    assert samples is None or (samples.dtype == np.int16 and samples.ndim == 1)
    return samples, dict(notes)


def stereo(seconds: float, rate: int = 48_000, level: float = 0.5) -> Sound:
    return np.stack([tone(seconds, rate, level)] * 2)


@pytest.mark.parametrize("fps", [Fraction(30), NTSC, Fraction(25), Fraction(24_000, 1001)], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # Matroska rounds times to milliseconds
def test_constant_rate(tmp_path: Path, fps: Fraction, suffix: str) -> None:
    path = write_video(tmp_path / f"x{suffix}", 70, fps)
    video = open_video(path)
    assert video.clock.fps == fps
    assert video.size == SIZE
    assert video.duration_s == pytest.approx(float(70 / fps), abs=0.002)
    video.container.close()
    assert read(path) == ({n: n for n in range(70)}, {})


def test_times_are_exact(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "x.mp4", 31, NTSC))
    with video.container:
        times = {p.frame: p.time_s for p in video.pictures({0, 30})}
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
    video = open_video(path)
    video.container.close()
    assert video.clock.fps == 30
    shown, notes = read(path)
    expected = {t: max(n for n, start in enumerate(VARIABLE) if start <= t) for t in range(26)}
    assert shown == expected
    assert notes == {"clips with a variable frame rate": 1}


def test_variable_rate_of_another_time_base(tmp_path: Path) -> None:
    """Pictures at 25ths of a second, with gaps: frames are still 30ths."""
    starts = [0, 1, 2, 3, 10, 11, 12, 20]
    path = write_video(tmp_path / "x.mp4", 8, 25, times=[Fraction(t, 25) for t in starts])
    video = open_video(path)
    video.container.close()
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
    cut_noted = "clips whose pictures end before their declared duration" in notes
    assert cut_noted == (len(shown) < 75)  # half a second
    samples, _ = sound(path)
    assert abs(len(samples) / 16_000 - len(shown) / 30) < 0.5


def test_frames_before_the_cut_say_nothing_of_it(tmp_path: Path) -> None:
    path = cut_short(write_video(tmp_path / "x.mp4", 90), 0.5)
    assert read(path, {3, 4}) == ({3: 3, 4: 4}, {})


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
    samples, notes = sound(path)
    assert notes["damaged packets"] > 0
    assert abs(len(samples) / 16_000 - 3) < 0.06


def test_damaged_all_over(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "x.mp4", 30, sound=stereo(1)), 0, 1)
    shown, notes = read(path)
    assert notes["damaged packets"] > 0
    assert len(shown) < 30
    samples, _ = sound(path)
    assert samples is None or len(samples) < 20_000


def test_a_file_that_breaks_off_while_it_is_read(tmp_path: Path) -> None:
    """As a disk error or a lost network drive does: what came before it counts."""
    video = open_video(write_video(tmp_path / "x.mkv", 30))

    class Broken:
        def demux(self, stream: Any) -> Iterator[Any]:
            for number, packet in enumerate(video.container.demux(stream)):
                if number == 12:
                    raise av.error.InvalidDataError(1, "broken")
                yield packet

    notes: Counter[str] = Counter()
    with video.container:
        container: Any = Broken()
        frames = list(decode(container, video.stream, notes))
    assert 0 < len(frames) <= 12
    assert notes == {"damaged packets": 1}


def test_no_sound(tmp_path: Path) -> None:
    assert sound(write_video(tmp_path / "x.mp4", 5)) == (None, {})


def test_sound_only(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x.wav", stereo(0.1), 48_000)
    with pytest.raises(
        MediaError, match=r"x\.wav: no video in this file; is it sound only, or cut"
    ):
        open_video(path)


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
@pytest.mark.parametrize("reader", [open_video, lambda path: read_sound(path, Counter())])
def test_no_media(tmp_path: Path, content: bytes | None, says: str, reader: Any) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=rf"x\.mp4: {says}") as caught:
        reader(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_media(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="a folder, not a media file"):
        open_video(tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_cut_inside_the_index(tmp_path: Path, share: float) -> None:
    path = write_video(tmp_path / "x.mp4", 10)
    data = path.read_bytes()
    path.write_bytes(data[: int(data.index(b"mdat") * share)])
    with pytest.raises(MediaError, match=r"x\.mp4: .*(download|cut short)"):
        open_video(path)


def test_video_of_an_unknown_kind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", 10, sound=stereo(1))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(MediaError, match=r"x\.mp4: its video is damaged or of an unknown kind"):
        open_video(path)
    assert len(sound(path)[0]) >= 16_000


def test_sound_of_an_unknown_kind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mkv", 10, sound=stereo(1))
    path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", b"A_ZZZ/INT/LIT"))
    assert sound(path) == (None, {"clips whose sound is damaged or of an unknown kind": 1})
    assert len(read(path)[0]) == 10


REGIONS = [
    (0, 0, *SIZE),
    (0, 0, 1, 1),
    (1, 1, 2, 2),
    (3, 5, 40, 33),
    (3, 4, 41, 33),
    (2, 4, 40, 32),
    (SIZE[0] - 3, SIZE[1] - 5, *SIZE),
    (SIZE[0] - 1, 0, SIZE[0], SIZE[1]),
    (0, SIZE[1] - 1, SIZE[0], SIZE[1]),
]
BT709 = {"colorspace": 1, "color_range": 1}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bt709": BT709,
    "full range": {"pix_fmt": "yuvj420p"},
    "bt709, full range": {"colorspace": 1, "color_range": 2},
    "10 bit": {"pix_fmt": "yuv420p10le"},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "4:2:2": {"pix_fmt": "yuv422p"},
    "odd": {"size": (SIZE[0] - 1, SIZE[1] - 1), "codec": "ffv1"},
    "odd 4:4:4": {"size": (SIZE[0] - 1, SIZE[1] - 1), "pix_fmt": "yuv444p"},
    "odd width": {"size": (SIZE[0] - 1, SIZE[1]), "codec": "ffv1"},
    "odd height": {"size": (SIZE[0], SIZE[1] - 1), "codec": "ffv1"},
    "padded rows": {"size": (SIZE[0] - 10, SIZE[1] - 6)},  # planes wider than the picture
}


@pytest.mark.parametrize("kind", KINDS)
def test_crop_equals_the_cut_picture(tmp_path: Path, kind: str) -> None:
    options = KINDS[kind]
    path = write_video(tmp_path / "x.mkv", 3, **options)
    width, height = options.get("size", SIZE)
    for number, (x1, y1, x2, y2) in enumerate(REGIONS):
        region = (min(x1, width - 1), min(y1, height - 1), min(x2, width), min(y2, height))
        video = open_video(path)
        with video.container:
            (picture,) = video.pictures({number % 3})
            cut = picture.bgr(region)
            whole = np.asarray(picture.source.to_ndarray(format="bgr24"), np.uint8)
        x1, y1, x2, y2 = region
        np.testing.assert_array_equal(cut, whole[y1:y2, x1:x2])
        assert number_of(whole) == number % 3


def test_colours_follow_the_tag(tmp_path: Path) -> None:
    """Were the tag lost on the way to a crop, its colours would be another standard's."""
    shown = []
    variants: dict[str, dict[str, Any]] = {"x": {}, "y": BT709}
    for name, tags in variants.items():
        video = open_video(write_video(tmp_path / f"{name}.mkv", 1, **tags))
        with video.container:
            (picture,) = video.pictures({0})
            assert picture.source.colorspace == tags.get("colorspace", 2)
            shown.append(picture.bgr((3, 50, 61, 91)).astype(int))
    expected = numbered(0)[50:91, 3:61, ::-1].astype(int)
    assert np.abs(shown[0] - expected).mean() < 12
    assert np.abs(shown[1] - shown[0]).max() > 5


def test_pictures_of_another_size_are_left_out(tmp_path: Path) -> None:
    """A stream may change its size half-way; boxes are of the first size."""
    path = write_video(tmp_path / "x.mp4", 4)
    video = open_video(path)
    with video.container:
        video.size = (video.size[0] + 2, video.size[1])
        assert list(video.pictures({0, 1, 2, 3})) == []
    assert video.notes["pictures of another size than the video's"] == 4


def test_time_stamps_that_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame comes twice."""
    video = open_video(write_video(tmp_path / "x.mp4", 9))
    source: Any = None
    jumps = [0, 1, 2, 3, 1, 2, 3, 4, 5]
    pictures = [Picture(frame, frame / 30, source) for frame in jumps]
    monkeypatch.setattr(video, "_decode", lambda: iter(pictures))
    with video.container:
        assert [p.frame for p in video.pictures(EVERY)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_keeps_its_length_and_level(tmp_path: Path, rate: int, channels: int) -> None:
    """Two equal channels are as loud as one: the float down-mix would be 1.41 times as loud."""
    heard = np.stack([tone(2, rate, 0.5)] * channels)
    samples, notes = sound(write_wav(tmp_path / "x.wav", heard, rate))
    assert notes == {}
    assert abs(len(samples) - 32_000) <= 1
    middle = samples[4000:-4000].astype(float) / 32_768
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    expected = tone(2, 16_000, 0.5)[4000:-4000][: len(middle)]
    assert np.abs(middle - expected).max() < 0.01  # nor is it shifted


def test_loud_stereo_does_not_clip(tmp_path: Path) -> None:
    samples, _ = sound(write_wav(tmp_path / "x.wav", stereo(1, 16_000, 0.95)))
    assert np.abs(samples.astype(int)).max() == pytest.approx(0.95 * 32_768, rel=0.01)


def test_16_khz_mono_is_taken_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32_768, 32_768, 5000).astype("<i2")
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(values.tobytes())
    samples, _ = sound(tmp_path / "x.wav")
    np.testing.assert_array_equal(samples, values)


def test_sound_without_a_sample(tmp_path: Path) -> None:
    assert sound(write_wav(tmp_path / "x.wav", np.zeros((1, 0), np.float32))) == (None, {})


def test_cut_short_sound(tmp_path: Path) -> None:
    path = cut_short(write_wav(tmp_path / "x.wav", np.stack([tone(1, 16_000)])), 0.5)
    samples, _ = sound(path)
    assert abs(len(samples) - 8000) < 50


def beeps(path: Path, pieces: list[tuple[float, Sound]], first_picture_s: float = 0.0) -> Path:
    """A video whose sound is given in pieces, each with its start in seconds."""
    times = [first_picture_s + n / 30 for n in range(90)]
    silent = write_video(path.with_suffix(".silent.mkv"), 90, times=times)
    with av.open(str(silent)) as pictures, av.open(str(path), "w") as out:
        template = pictures.streams.video[0]
        shown = out.add_stream_from_template(template)
        heard: Any = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        packets: list[Any] = []
        for packet in pictures.demux(template):
            if packet.dts is not None:
                packet.stream = shown
                packets.append((float(packet.dts * packet.time_base), packet))
        for start_s, piece in pieces:
            data = (piece * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
            frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
            frame.pts = round(start_s * 16_000)
            packets += [(start_s, packet) for packet in heard.encode(frame)]
        for _, packet in sorted(packets, key=lambda item: item[0]):
            out.mux(packet)
    return path


def loud(samples: Any) -> list[tuple[float, float]]:
    """Where there is sound, in seconds: (start, end) rounded to 10 ms."""
    on = np.concatenate([[0], np.abs(samples.astype(int)) > 1000, [0]])
    # a tone crosses zero: pauses of under 2 ms do not count
    edges = np.flatnonzero(np.diff(on))
    starts, ends = edges[::2], edges[1::2]
    parts = [(starts[0], ends[0])]
    for start, end in zip(starts[1:], ends[1:], strict=True):
        if start - parts[-1][1] < 32:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    return [(round(a / 16_000, 2), round(b / 16_000, 2)) for a, b in parts]


BEEP = np.stack([tone(0.5, 16_000)])
GAPS = "gaps in the sound, filled with silence"


@pytest.mark.parametrize(
    ("starts_s", "expected", "n_gaps"),
    [
        ([0.0], [(0, 0.5)], 0),
        ([0.0, 0.5], [(0, 1)], 0),
        ([0.0, 1.5], [(0, 0.5), (1.5, 2)], 1),
        ([0.0, 1.0, 2.0], [(0, 0.5), (1, 1.5), (2, 2.5)], 2),
        ([0.0, 0.54], [(0, 1)], 0),  # below 50 ms
        ([0.7], [(0.7, 1.2)], 1),  # starts after the pictures
    ],
)
def test_gaps_become_silence(
    tmp_path: Path, starts_s: list[float], expected: list[tuple[float, float]], n_gaps: int
) -> None:
    """What is heard stays in step with what is seen."""
    path = beeps(tmp_path / "x.mkv", [(start, BEEP) for start in starts_s])
    samples, notes = sound(path)
    assert loud(samples) == expected
    assert notes == ({GAPS: n_gaps} if n_gaps else {})


def test_small_gaps_do_not_add_up(tmp_path: Path) -> None:
    """Lost packets of 20 ms each: never more than 50 ms out of step."""
    pieces = [(0.12 * n, np.stack([tone(0.1, 16_000)])) for n in range(20)]
    pieces.append((2.6, np.stack([tone(0.2, 16_000)])))
    samples, notes = sound(beeps(tmp_path / "x.mkv", pieces))
    assert loud(samples)[-1] == (2.6, 2.8)
    assert notes[GAPS] >= 7
    assert abs(len(samples) / 16_000 - 2.8) < 0.05


def test_sound_that_starts_before_the_pictures_is_cut(tmp_path: Path) -> None:
    """Frame 0 is the first picture, and sample 0 is heard with it; later gaps are gaps still."""
    long = np.stack([tone(1, 16_000)])
    path = beeps(tmp_path / "x.mkv", [(0.0, long), (2.0, BEEP)], first_picture_s=0.7)
    samples, notes = sound(path)
    assert notes == {"clips whose sound starts before their pictures, cut": 1, GAPS: 1}
    assert loud(samples) == [(0, 0.3), (1.3, 1.8)]
    assert read(path)[0] == {n: n for n in range(90)}


def test_a_damaged_time_stamp_is_no_gap(tmp_path: Path) -> None:
    """Else a flipped bit would ask for gigabytes of silence."""
    samples, notes = sound(beeps(tmp_path / "x.mkv", [(0.0, BEEP), (90_000.0, BEEP)]))
    assert notes == {}
    assert len(samples) == 16_000


def test_sound_that_changes_its_layout(tmp_path: Path) -> None:
    """As damaged packets can make it look."""
    parts = []
    for channels in (1, 2):
        part = tmp_path / f"{channels}.aac"
        with av.open(str(part), "w", format="adts") as out:
            stream: Any = out.add_stream(
                "aac", rate=48_000, layout="mono" if channels == 1 else "stereo"
            )
            frame = av.AudioFrame.from_ndarray(
                np.stack([tone(0.5, 48_000)] * channels),
                format="fltp",
                layout="mono" if channels == 1 else "stereo",
            )
            frame.sample_rate = 48_000
            out.mux([*stream.encode(frame), *stream.encode(None)])
        parts.append(part.read_bytes())
    path = tmp_path / "x.aac"
    path.write_bytes(b"".join(parts))
    samples, _ = sound(path)
    assert abs(len(samples) / 16_000 - 1) < 0.1
    for part in (samples[2000:6000], samples[-6000:-2000]):
        assert np.std(part / 32_768) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
