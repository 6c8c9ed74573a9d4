"""The annotated video: times, sound and size survive; what is drawn is where it should be."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av import AudioFrame, VideoFrame

from quavf.core.branches import BranchSpec
from quavf.core.errors import MediaError
from quavf.report.annotate import (
    convert_video,
    plays_in_browsers,
    read_start_offset_s,
    write_annotated_video,
)
from quavf.report.canvas import Canvas, render_text
from quavf.report.overlay import (
    NO,
    YES,
    Overlay,
    interpolate_at,
    pick_colour,
    pick_tone,
    sample_scores,
)
from quavf.results.records import PersonScores
from quavf.results.video import VideoResult
from tests.helpers.face_videos import turn
from tests.helpers.face_videos import write_video as write_tone
from tests.helpers.made_up_results import made_up, write_video
from tests.helpers.media_files import write_video as write_sized


def time_of(frame: VideoFrame | AudioFrame) -> float:
    assert frame.time is not None
    return frame.time


def probe(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        sounds = list(container.streams.audio)
        start_s = float((video.start_time or 0) * (video.time_base or 1))
        found: dict[str, Any] = {
            "codec": video.codec_context.name,
            "format": video.codec_context.pix_fmt,
            "size": (video.width, video.height),
            "sound": [s.codec_context.codec.canonical_name for s in sounds],
            "times": [time_of(f) - start_s for f in container.decode(video=0)],
        }
    if sounds:
        with av.open(str(path)) as container:
            found["samples"] = sum(f.samples for f in container.decode(audio=0))
    return found


@pytest.mark.parametrize(
    "fps", [Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60), Fraction(12)]
)
def test_frame_rates_survive(tmp_path: Path, fps: Fraction) -> None:
    video = write_video(tmp_path / "a.mp4", fps=fps, seconds=1.0)
    out = write_annotated_video(made_up(video, duration_s=1.0, fps=fps), tmp_path / "o.mp4")
    before, after = probe(video), probe(out)
    assert after["codec"] == "h264"
    assert after["format"] == "yuv420p"
    np.testing.assert_allclose(after["times"], before["times"], atol=1e-4)
    assert after["sound"] == ["aac"]
    assert after["samples"] == before["samples"]


def test_variable_frame_rate_keeps_every_time(tmp_path: Path) -> None:
    times = [Fraction(n, 1000) for n in (0, 33, 66, 200, 210, 400, 900, 933, 1000, 1500)]
    video = write_video(tmp_path / "a.mp4", times=times)
    out = write_annotated_video(made_up(video, duration_s=1.5), tmp_path / "o.mp4")
    np.testing.assert_allclose(probe(out)["times"], [float(t) for t in times], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "sound", "sound_after"),
    [
        ("a.avi", "mpeg4", None, []),
        ("a.avi", "mpeg4", "mp3", ["mp3"]),
        ("a.mkv", "libx264", "flac", ["aac"]),
        ("a.mp4", "libx264", None, []),
    ],
)
def test_codecs(
    tmp_path: Path, name: str, codec: str, sound: str | None, sound_after: list[str]
) -> None:
    video = write_video(tmp_path / name, codec=codec, sound=sound, seconds=1.0)
    out = write_annotated_video(made_up(video, duration_s=1.0), tmp_path / "o.mp4")
    assert probe(out)["sound"] == sound_after
    assert len(probe(out)["times"]) == 30
    assert plays_in_browsers(out)


@pytest.mark.parametrize("start_s", [0.0, 0.5])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_stays_beside_the_pictures(tmp_path: Path, name: str, start_s: float) -> None:
    video = write_tone(tmp_path / name, seconds=2.0, sound="tone", sound_start_s=start_s)
    out = write_annotated_video(made_up(video, duration_s=2.0), tmp_path / "o.mp4")
    starts = []
    for path in (video, out):
        with av.open(str(path)) as container:
            first = next(f for f in container.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.1)
        with av.open(str(path)) as container:
            picture = next(container.decode(video=0))
        starts.append(time_of(first) - time_of(picture))
    assert starts[1] == pytest.approx(starts[0], abs=0.03)
    assert starts[1] == pytest.approx(start_s, abs=0.06)


def test_it_starts_to_play_before_it_is_loaded(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=0.5)
    data = write_annotated_video(made_up(video, duration_s=0.5), tmp_path / "o.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("size", "after"), [((321, 181), (320, 180)), ((2560, 64), (1280, 32))])
def test_sizes(tmp_path: Path, size: tuple[int, int], after: tuple[int, int]) -> None:
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    video = write_video(tmp_path / "a.mp4", size=even, seconds=0.2, sound=None)
    if size != even:
        video = write_video(tmp_path / "b.avi", size=size, seconds=0.2, sound=None, codec="mpeg4")
    result = made_up(video, duration_s=0.2, size=size)
    assert probe(write_annotated_video(result, tmp_path / "o.mp4"))["size"] == after


def test_a_copy_for_browsers_may_be_larger(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", size=(2560, 64), seconds=0.2, sound=None)
    assert probe(convert_video(video, tmp_path / "o.mp4"))["size"] == (1920, 48)


@pytest.mark.parametrize(
    ("degrees", "after"), [(90, (180, 320)), (180, (320, 180)), (270, (180, 320))]
)
def test_turned_by_metadata(tmp_path: Path, degrees: int, after: tuple[int, int]) -> None:
    video = turn(write_video(tmp_path / "a.mp4", seconds=0.2, sound=None), degrees)
    result = VideoResult(video, 0.2, Fraction(30), after)
    out = write_annotated_video(result, tmp_path / "o.mp4")
    assert probe(out)["size"] == after
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation == 0
        shown = frame.to_ndarray(format="gray")
    bright = {90: shown[:8], 180: shown[:, -8:], 270: shown[-8:]}[degrees]  # was the left edge
    assert bright.mean() > shown.mean() + 50


def test_sound_only(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=0.5)
    with av.open(str(video)) as source, av.open(str(tmp_path / "b.m4a"), "w") as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    with pytest.raises(MediaError, match="no video in this file"):
        write_annotated_video(made_up(tmp_path / "b.m4a"), tmp_path / "o.mp4")


def test_one_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", times=[Fraction(0)], sound=None)
    out = write_annotated_video(made_up(video, duration_s=0.1), tmp_path / "o.mp4")
    assert probe(out)["times"] == [0.0]


def test_cut_short(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", seconds=2.0, sound=None)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    out = write_annotated_video(made_up(video, duration_s=2.0), tmp_path / "o.mp4")
    assert 10 < len(probe(out)["times"]) < 60


def test_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        write_annotated_video(made_up(tmp_path / "gone.mp4"), tmp_path / "o.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(MediaError, match="not a readable media file"):
        write_annotated_video(made_up(tmp_path / "text.mp4"), tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()


def test_progress(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=1.0)
    told: list[float] = []
    write_annotated_video(made_up(video, duration_s=1.0), tmp_path / "o.mp4", told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(29 / 30)


def test_nobody_leaves_the_picture_alone(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=0.2, sound=None)
    result = VideoResult(video, 0.2, Fraction(30), (320, 180))
    planes = np.full((270, 320), 120, np.uint8)
    Overlay(result, (320, 180)).draw(Canvas.of(planes), 0.1)
    assert (planes == 120).all()


def test_start_offset(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=0.5)
    assert read_start_offset_s(video) == pytest.approx(0, abs=0.05)


def test_the_box_is_drawn_in_its_colour() -> None:
    result = made_up(Path("x.mp4"), n_persons=1, size=(640, 360))
    planes = np.full((540, 640), 128, np.uint8)
    canvas = Canvas.of(planes)
    Overlay(result, (640, 360)).draw(canvas, 1.0)
    x1, y1, x2, y2 = result.boxes[1].box[30]
    inside = canvas.y[int(y1) + 8 : int(y2) - 8, int(x1) + 8 : int(x2) - 8]
    assert (inside == 128).all()  # the face itself stays free
    edge = canvas.y[int((y1 + y2) / 2), round(x1 / 2) * 2 - 1]
    assert edge != 128


@pytest.mark.parametrize(
    "box", [(-50, -50, 30, 30), (600, 340, 700, 400), (0, 0, 640, 360), (9, 9, 9, 9)]
)
def test_boxes_at_the_borders(box: tuple[float, float, float, float]) -> None:
    result = made_up(Path("x.mp4"), n_persons=1, size=(640, 360))
    result.boxes[1].box[:] = box
    planes = np.full((540, 640), 128, np.uint8)
    Overlay(result, (640, 360)).draw(Canvas.of(planes), 1.0)


def test_regions_come_back_as_they_were() -> None:
    planes = np.random.default_rng(0).integers(60, 180, (270, 320), np.uint8)
    planes[180:] = 128
    before = planes.copy()
    with Canvas.of(planes).region(11, 7, 100, 51) as bgr:
        assert bgr.shape == (44, 90, 3)
    assert np.abs(planes.astype(int) - before).max() <= 2
    with Canvas.of(planes).region(400, 0, 500, 10) as bgr:
        assert bgr.size == 0


def test_colours() -> None:
    ends = pick_colour(np.array([0.0, 0.25, 0.75, 1.0, np.nan]))
    np.testing.assert_allclose(ends, [NO, NO, YES, YES, NO])


@pytest.mark.parametrize("score", [0.0, 0.25, 0.4, 0.75, 1.0, np.nan])
def test_the_colour_of_one_score(score: float) -> None:
    np.testing.assert_array_equal(pick_tone(score), pick_colour(np.array(score)))


def test_encoding_that_fails_ends_the_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_video(tmp_path / "a.mp4", seconds=1.0, sound=None)

    def fail(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(Overlay, "draw", fail)
    with pytest.raises(MediaError, match=r"cannot be written as .*o\.mp4 \(no\)"):
        write_annotated_video(made_up(video, duration_s=1.0), tmp_path / "o.mp4")
    assert not [t for t in threading.enumerate() if t.name == "read-ahead"]
    assert not (tmp_path / "o.mp4").exists()


def test_colours_keep_their_standard(tmp_path: Path) -> None:
    video = write_sized(tmp_path / "a.mkv", 2, size=(1600, 64), colorspace=1, color_range=1)
    out = write_annotated_video(
        VideoResult(video, 0.1, Fraction(30), (1600, 64)), tmp_path / "o.mp4"
    )
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.colorspace == 1


@pytest.mark.parametrize(
    ("time", "value"),
    [(0.05, 0.5), (0.1, 1.0), (0.12, 1.0), (0.5, None), (0.98, 3.0), (-0.5, None), (9.0, None)],
)
def test_rows_between_times(time: float, value: float | None) -> None:
    got = interpolate_at(np.array([0, 0.1, 1.0]), np.array([[0.0], [1.0], [3.0]]), time, 0.03)
    assert (None if got is None else got[0]) == (None if value is None else pytest.approx(value))


def test_samples_of_the_past() -> None:
    time_s, fused = np.array([0.0, 0.1, 5.0]), np.array([0.0, 1.0, 0.5])
    rows = PersonScores(time_s, np.zeros(3, int), np.zeros((3, 4)), {"fused": fused})
    got = sample_scores(rows, np.array([-3.0, 0.05, 2.0, 5.1]))
    np.testing.assert_allclose(got, [np.nan, 0.5, np.nan, 0.5])


def test_text_has_ink() -> None:
    assert render_text("12 %", 20).max() == 255


def test_key_and_bar_show_a_third_branch(toy_spec: BranchSpec) -> None:
    result = made_up(Path("v.mp4"), duration_s=2.0)
    rows = result.scores[1]
    toy = {**rows.columns, toy_spec.name: np.full(len(rows), 0.5)}
    overlay = Overlay(
        replace(result, scores={**result.scores, 1: replace(rows, columns=toy)}), (640, 360)
    )
    values = {"audio": 0.2, "visual": 0.8, "toy": 0.5, "quality": 0.25, "fused": 0.4}
    stacked = overlay._stack_shares(values)
    assert [spec.name for spec, _ in stacked] == ["audio", "visual", "toy"]
    np.testing.assert_allclose([share for _, share in stacked], [1, 0.5, 1 / 3])
    assert overlay._stack_shares(dict.fromkeys(values, np.nan)) == []
    planes = np.full((540, 640), 128, np.uint8)
    overlay.draw(Canvas.of(planes), 1.0)
    assert np.ptp(planes) > 0
