"""Sound in step with the pictures."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from quavf.sources.media.sound import EARLY, GAPS, UNKNOWN
from quavf.sources.media.timeline import ALONE
from tests.helpers.media_files import Sound, cut_short, read_samples, tone, write_video, write_wav


def heard(path: Path) -> tuple[Any, dict[str, int]]:
    samples, notes = read_samples(path)
    assert samples is None or (samples.dtype == np.int16 and samples.ndim == 1)
    return samples, notes


def stereo(seconds: float, rate: int = 48_000, level: float = 0.5) -> Sound:
    return np.stack([tone(seconds, rate, level)] * 2)


def test_no_sound(tmp_path: Path) -> None:
    assert heard(write_video(tmp_path / "x.mp4", 5)) == (None, {})


def test_sound_of_an_unknown_kind(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mkv", 10, sound=stereo(1))
    path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", b"A_ZZZ/INT/LIT"))
    assert heard(path) == (None, {UNKNOWN: 1})


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_keeps_its_length_and_level(tmp_path: Path, rate: int, channels: int) -> None:
    """Two equal channels are as loud as one: the float down-mix would be 1.41 times as loud."""
    both = np.stack([tone(2, rate, 0.5)] * channels)
    samples, notes = heard(write_wav(tmp_path / "x.wav", both, rate))
    assert notes == {}
    assert abs(len(samples) - 32_000) <= 1
    middle = samples[4000:-4000].astype(float) / 32_768
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    expected = tone(2, 16_000, 0.5)[4000:-4000][: len(middle)]
    assert np.abs(middle - expected).max() < 0.01  # nor is it shifted


def test_loud_stereo_does_not_clip(tmp_path: Path) -> None:
    samples, _ = heard(write_wav(tmp_path / "x.wav", stereo(1, 16_000, 0.95)))
    assert np.abs(samples.astype(int)).max() == pytest.approx(0.95 * 32_768, rel=0.01)


def test_16_khz_mono_is_taken_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32_768, 32_768, 5000).astype("<i2")
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(values.tobytes())
    samples, _ = heard(tmp_path / "x.wav")
    np.testing.assert_array_equal(samples, values)


def test_sound_without_a_sample(tmp_path: Path) -> None:
    assert heard(write_wav(tmp_path / "x.wav", np.zeros((1, 0), np.float32))) == (None, {})


def test_cut_short_sound(tmp_path: Path) -> None:
    path = cut_short(write_wav(tmp_path / "x.wav", np.stack([tone(1, 16_000)])), 0.5)
    samples, _ = heard(path)
    assert abs(len(samples) - 8000) < 50


def beeps(path: Path, pieces: list[tuple[float, Sound]], first_picture_s: float = 0.0) -> Path:
    """A video whose sound is given in pieces, each with its start in seconds."""
    times = [first_picture_s + n / 30 for n in range(90)]
    silent = write_video(path.with_suffix(".silent.mkv"), 90, times=times)
    with av.open(str(silent)) as pictures, av.open(str(path), "w") as out:
        template = pictures.streams.video[0]
        shown = out.add_stream_from_template(template)
        track: Any = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
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
            packets += [(start_s, packet) for packet in track.encode(frame)]
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


@pytest.mark.parametrize(
    ("starts_s", "expected", "n_gaps"),
    [
        ([0.0], [(0, 0.5)], 0),
        ([0.0, 0.5], [(0, 1)], 0),
        ([0.0, 1.5], [(0, 0.5), (1.5, 2)], 1),
        ([0.0, 1.0, 2.0], [(0, 0.5), (1, 1.5), (2, 2.5)], 2),
        ([0.0, 0.53], [(0, 1)], 0),  # under a tick
        ([0.0, 0.54], [(0, 0.5), (0.54, 1.04)], 1),
        ([0.7], [(0.7, 1.2)], 1),  # starts after the pictures
    ],
)
def test_gaps_become_silence(
    tmp_path: Path, starts_s: list[float], expected: list[tuple[float, float]], n_gaps: int
) -> None:
    """What is heard stays in step with what is seen."""
    path = beeps(tmp_path / "x.mkv", [(start, BEEP) for start in starts_s])
    samples, notes = heard(path)
    assert loud(samples) == expected
    assert notes == ({GAPS: n_gaps} if n_gaps else {})


def test_small_gaps_do_not_add_up(tmp_path: Path) -> None:
    """Lost packets of 20 ms each: never more than a tick out of step."""
    pieces = [(0.12 * n, np.stack([tone(0.1, 16_000)])) for n in range(20)]
    pieces.append((2.6, np.stack([tone(0.2, 16_000)])))
    samples, notes = heard(beeps(tmp_path / "x.mkv", pieces))
    assert loud(samples)[-1] == (2.6, 2.8)
    assert notes[GAPS] >= 7
    assert abs(len(samples) / 16_000 - 2.8) < 0.05


def test_sound_that_starts_before_the_pictures_is_cut(tmp_path: Path) -> None:
    """Frame 0 is the first picture, and sample 0 is heard with it; later gaps are gaps still."""
    long = np.stack([tone(1, 16_000)])
    path = beeps(tmp_path / "x.mkv", [(0.0, long), (2.0, BEEP)], first_picture_s=0.7)
    samples, notes = heard(path)
    assert notes == {EARLY: 1, GAPS: 1}
    assert loud(samples) == [(0, 0.3), (1.3, 1.8)]


def test_a_damaged_time_stamp_is_no_gap(tmp_path: Path) -> None:
    """Else a flipped bit would ask for gigabytes of silence."""
    samples, notes = heard(beeps(tmp_path / "x.mkv", [(0.0, BEEP), (90_000.0, BEEP)]))
    assert notes == {ALONE: 1}
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
    samples, _ = heard(path)
    assert abs(len(samples) / 16_000 - 1) < 0.1
    for part in (samples[2000:6000], samples[-6000:-2000]):
        assert np.std(part / 32_768) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
