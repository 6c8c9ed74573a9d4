from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quavf.video.find
from quavf.core.errors import ConfigError, MediaError, StoreError
from quavf.core.windows import WindowConfig
from quavf.cues.tracks import sound_levels
from quavf.cues.voice import VoiceDetector
from quavf.faces.config import SearchConfig
from quavf.faces.crop import decode_jpeg
from quavf.faces.search import FaceSearch
from quavf.sources.media.file import open_video_file
from quavf.sources.media.pictures import stored_region
from quavf.sources.media.sound import is_silent
from quavf.store import CropReader
from quavf.video.config import VideoConfig
from quavf.video.find import SEARCH_FORMAT
from quavf.video.prepare import clip_id, prepare_video, video_fingerprint
from quavf.video.prepared import NONE, UNREAD, PreparedVideo
from quavf.video.schedule import N_SAMPLES, first_ticks, ticks_to_score
from quavf.workflows.quality import score_quality
from tests.helpers.cue_media import write_cue
from tests.helpers.face_videos import BLOCKS, FACE, Box, still, turn, write_video
from tests.helpers.media_files import damage_sound

CONFIG = VideoConfig(search=SearchConfig(detector=BLOCKS, look_rate=10))


def prepared(path: Path, store: Path, **settings: Any) -> PreparedVideo:
    return prepare_video(path, store, VideoConfig(search=CONFIG.search, **settings))


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60)])
def test_pictures_keep_their_exact_time(tmp_path: Path, fps: Fraction) -> None:
    file = open_video_file(write_video(tmp_path / "v.mp4", fps=fps))
    shown = list(file.pictures())
    assert len(shown) == round(2 * fps)
    np.testing.assert_allclose(
        [s.time_s for s in shown], np.arange(len(shown)) / float(fps), atol=1e-4
    )
    assert [s.number for s in shown] == list(range(len(shown)))
    ticks = [t for s in shown for t in s.ticks]
    assert ticks == list(range(ticks[-1] + 1))  # each once: nothing counted, nothing lost
    assert ticks[-1] == first_ticks(np.array([shown[-1].time_s]))[0]
    for picture in shown:
        for tick in picture.ticks:  # what is on screen then
            assert picture.time_s - 1 / 60 <= tick / 30 + 1e-4
    assert file.notes == {}


def test_a_variable_rate_is_read_by_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.1, 0.4, 0.45, 1.0, 3.2, 3.25]
    file = open_video_file(write_video(tmp_path / "v.mp4", times=times, seconds=3.3))
    shown = list(file.pictures())
    np.testing.assert_allclose([s.time_s for s in shown], times, atol=1e-3)
    ticks = {t: s.number for s in shown for t in s.ticks}
    assert ticks[3 * 3] == 2  # 0.3 s: the picture of 0.1 s is still on
    assert ticks[59] == 5
    assert 65 not in ticks  # frozen for more than a second: nothing is shown


@pytest.mark.parametrize(
    ("degrees", "turns", "size"), [(90, 3, (180, 320)), (180, 2, (320, 180)), (270, 1, (180, 320))]
)
def test_rotation_by_metadata(
    tmp_path: Path, degrees: int, turns: int, size: tuple[int, int]
) -> None:
    path = turn(write_video(tmp_path / "v.mp4", faces=still((0, 0, 60, 30))), degrees)
    file = open_video_file(path)
    assert (file.turns, file.size) == (turns, size)
    shown = next(file.pictures())
    whole = shown.bgr((0, 0, *size))
    assert whole.shape[:2] == size[::-1]
    corner = {90: whole[5, -5], 180: whole[-5, -5], 270: whole[-5, 5]}[degrees]
    assert np.abs(corner[::-1].astype(int) - FACE).max() < 20  # top left went clockwise
    part = (10, 20, 90, 160)
    np.testing.assert_array_equal(shown.bgr(part), whole[20:160, 10:90])
    grey = shown.grey()
    assert grey.shape == whole.shape[:2]  # 320 along the longer side
    assert np.abs(grey.astype(int) - whole.mean(axis=2)).mean() < 20
    small = shown.rgb((0, 0, *size), (size[0] // 2, size[1] // 2))
    assert small.shape == (size[1] // 2, size[0] // 2, 3)
    inner = shown.rgb((10, 21, 91, 160), (81, 139))  # begins at an odd row
    assert np.abs(inner.astype(int) - whole[21:160, 10:91, ::-1]).mean() < 5


def test_regions_turn_back() -> None:
    assert stored_region((1, 2, 30, 40), (100, 50), 0) == (1, 2, 30, 40)
    assert stored_region((0, 0, 10, 20), (100, 50), 1) == (30, 0, 50, 10)
    assert stored_region((0, 0, 10, 20), (100, 50), 2) == (90, 30, 100, 50)
    assert stored_region((0, 0, 10, 20), (100, 50), 3) == (0, 90, 20, 100)


@pytest.mark.parametrize("start_s", [0.0, 0.5, 1.25])
def test_sound_starts_where_it_starts(tmp_path: Path, start_s: float) -> None:
    path = write_video(tmp_path / "v.mkv", seconds=3, sound_start_s=start_s)
    samples = np.concatenate(list(open_video_file(path).sound()))
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 1000)
    assert loud[0] / 16_000 == pytest.approx(start_s, abs=0.03)


def test_pictures_that_start_late_are_time_zero(tmp_path: Path) -> None:
    times = [0.5 + k / 30 for k in range(60)]
    path = write_video(tmp_path / "v.mkv", seconds=2.5, times=times)
    file = open_video_file(path)
    assert next(file.pictures()).time_s == 0
    samples = np.concatenate(list(file.sound()))
    assert len(samples) / 16_000 == pytest.approx(2.0, abs=0.1)


def test_each_pass_counts_its_own_damage(tmp_path: Path) -> None:
    """Whichever is read first, and however often."""
    path = damage_sound(write_video(tmp_path / "v.mp4", times=[0.0, 0.5, 1.9]))
    file = open_video_file(path)
    list(file.sound())
    sound = file.notes
    assert set(sound) == {"damaged packets", "gaps in the sound, filled with silence"}
    pictures = Counter({"stretches of over a second without a new picture": 1})
    for _ in range(2):
        assert len(list(file.pictures())) == 3
        assert file.notes == sound + pictures
        list(file.sound())
        assert file.notes == sound + pictures


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(10, [0, 3, 6, 9]), (30, list(range(10))), (0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), (4, [0, 8])],
)
def test_ticks_to_score(rate: float, expected: list[int]) -> None:
    assert ticks_to_score(np.arange(10) / 30, rate).tolist() == expected


def test_every_picture_of_25_a_second_is_scored_once() -> None:
    assert ticks_to_score(np.arange(6) / 25, 0).tolist() == [0, 1, 2, 4, 5, 6]
    assert ticks_to_score(np.empty(0), 10).tolist() == []


def two(time_s: float) -> list[tuple[int, int, int, int]]:
    left = int(20 + 30 * time_s)
    return [(left, 40, left + 50, 100), (220, 30, 270, 90)][: 1 + (time_s >= 1)]


def test_faces_are_found_tracked_and_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "two people.mp4", seconds=4, faces=two)
    video = prepared(path, tmp_path / "store")
    assert len(video.persons) == 2
    assert video.clip.startswith("two_people-")
    faces = video.store.faces(video.clip)
    own = faces.rows_of(1)
    assert faces.frame[own].tolist() == list(range(0, 118, 3))  # every tenth of a second, no more
    expected = np.array([two(t)[0] for t in faces.time_s[own]])
    assert np.abs(faces.box[own] - expected).max() < 4
    other = faces.rows_of(2)
    assert 30 <= faces.frame[other][0] <= 60  # found within a second
    picture = decode_jpeg(CropReader(video.store, video.clip, faces).read(own.start + 5))
    assert picture is not None
    assert np.abs(picture[112, 112].astype(int) - FACE).max() < 30  # the face is in the middle
    confidences = video.store.confidences(video.clip)
    assert confidences is not None
    np.testing.assert_allclose(confidences, 0.9)
    summary = score_quality(video.store.path)
    assert summary.crops == len(faces)


def test_a_second_run_changes_nothing_and_other_settings_do(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    first = prepared(path, tmp_path / "store")
    table = first.store.folder(first.clip) / "faces.parquet"
    before = table.stat().st_mtime_ns
    again = prepared(path, tmp_path / "store")
    assert table.stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.pictures, first.pictures)
    finer = prepared(path, tmp_path / "store", rate=30)
    assert len(finer.store.faces(finer.clip)) > 2.5 * len(again.schedules[1].scored.ticks)


def test_an_interrupted_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=4, faces=two)
    whole = prepared(path, tmp_path / "whole")
    monkeypatch.setattr(quavf.video.find, "SAVE_EVERY_S", 0.5)
    step, steps = FaceSearch.step, []

    def counted(self: FaceSearch, view: Any, scan: Any) -> int:
        steps.append(view.time_s)
        if len(steps) == 25:
            raise KeyboardInterrupt
        return step(self, view, scan)

    monkeypatch.setattr(FaceSearch, "step", counted)
    with pytest.raises(KeyboardInterrupt):
        prepared(path, tmp_path / "store")
    assert not list((tmp_path / "store").glob("clips/[!.]*"))
    steps.clear()
    steps.extend([0.0] * 100)
    video = prepared(path, tmp_path / "store")
    assert len(steps) - 100 < 30  # the first two seconds were not searched again
    assert len(video.persons) == len(whole.persons)
    np.testing.assert_array_equal(video.pictures, whole.pictures)
    np.testing.assert_array_equal(video.schedules[1].scored.ticks, whole.schedules[1].scored.ticks)
    steps.clear()
    finer = prepared(path, tmp_path / "store", rate=30)  # cut anew, but not searched anew
    assert steps == []
    assert len(finer.schedules[1].scored.ticks) > 2.5 * len(video.schedules[1].scored.ticks)


def test_a_search_saved_by_another_version_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "v.mp4", faces=two)
    before = prepared(path, tmp_path / "store")
    (saved,) = (tmp_path / "store" / "search").glob("*.npz")
    with np.load(saved) as content:
        arrays = {name: content[name] for name in content.files}
    assert arrays.pop("pans").shape == (len(arrays["times"]), 2)
    assert arrays.pop("format") == SEARCH_FORMAT
    np.savez_compressed(saved, **arrays)  # as the first version wrote it
    again = prepared(path, tmp_path / "store", rate=30)
    assert "saved by another version; searching from the start" in caplog.text
    np.testing.assert_array_equal(again.persons[0].boxes, before.persons[0].boxes)
    with np.load(saved) as content:
        assert "pans" in content.files


def test_a_cut_splits_spans(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mp4",
        seconds=4,
        background=lambda t: (60, 90, 67) if t < 2 else (153, 229, 171),
    )
    video = prepared(path, tmp_path / "store")
    assert video.cuts.tolist() == [2.0]
    assert len(video.persons) == 1
    spans = video.schedules[1].spans
    assert next((s.start_frame, s.last_frame) for s, _ in spans) == (0, 59)
    assert [t[0] for _, t in spans] == [0, 60]


def test_crops_are_those_that_windows_need(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=2)
    windows = WindowConfig(n_slots=3, stride=10)  # 10 ticks are no multiple of the scores' 3
    video = prepare_video(path, tmp_path / "store", CONFIG, windows)
    frames = video.store.faces(video.clip).frame.tolist()
    scored = video.schedules[1].scored.ticks
    needed = {int(t) + d for t in scored for d in (-10, 0, 10)}
    assert set(frames) == {t for t in needed if 0 <= t <= scored[-1]}


def test_faces_that_cues_judge_need_no_crops(tmp_path: Path) -> None:
    """But for those in windows around the others, and a few for the thumbnail."""
    path = write_video(tmp_path / "v.mp4", seconds=2)
    windows = WindowConfig(n_slots=3, stride=10)
    whole = prepare_video(path, tmp_path / "store", CONFIG, windows)
    judged = np.repeat([True, False, True], [16, 2, 12])  # 1/15 s each
    video = replace(whole, cut=UNREAD, judged={1: judged})
    schedule, every = video.schedules[1], whole.schedules[1]
    assert [ticks.tolist() for _, ticks in schedule.unread] == [[33]]
    samples = schedule.scored.sample(N_SAMPLES).ticks.tolist()
    assert (samples[0], samples[-1]) == (0, 57)
    assert schedule.crops.ticks.tolist() == sorted({23, 33, 43, *samples})
    nobody = replace(video, judged={1: np.ones(30, bool)}).schedules[1]
    assert (nobody.unread, len(nobody.crops)) == ((), 0)
    for a, b in zip(schedule.spans, every.spans, strict=True):
        assert a[0] == b[0]
        np.testing.assert_array_equal(a[1], b[1])
    rows = np.searchsorted(every.crops.ticks, schedule.crops.ticks)
    np.testing.assert_array_equal(schedule.crops.boxes, every.crops.boxes[rows])
    assert len(replace(video, judged={}).schedules[1].crops) == len(every.crops), "without cues"


def test_some_faces_are_cut_anyway(tmp_path: Path) -> None:
    """Of somebody who is in no key picture, from all pictures."""
    first = still((40, 40, 90, 100))

    def faces(time_s: float) -> Sequence[Box]:
        return [*first(time_s), *([(200, 50, 240, 100)] if time_s > 0.4 else [])]

    path = write_video(tmp_path / "v.mp4", seconds=2, faces=faces)  # one key picture, the first
    whole = prepare_video(path, tmp_path / "whole", CONFIG)
    video = prepare_video(path, tmp_path / "store", CONFIG, cut=NONE)
    found, every = video.store.faces(video.clip), whole.store.faces(whole.clip)
    by_person = [found.frame[found.rows_of(p)].tolist() for p in found.persons()]
    assert by_person[0] == [0]
    assert len(by_person[1]) == N_SAMPLES
    assert set(by_person[1]) <= set(every.frame[every.rows_of(2)].tolist())
    pictures = [
        CropReader(v.store, v.clip, f).read(f.rows_of(1).start)
        for v, f in ((video, found), (whole, every))
    ]
    assert pictures[0] == pictures[1]
    assert video.notes == whole.notes
    assert video_fingerprint(path, CONFIG, WindowConfig()) != video_fingerprint(
        path, CONFIG, WindowConfig(), NONE
    )


def test_key_pictures_have_the_times_of_all(tmp_path: Path) -> None:
    file = open_video_file(write_cue(tmp_path / "v.mp4", gop=10, seconds=1.6))
    times = {p.time: p.ticks.start for p in file.pictures()}
    before = Counter(file.notes)
    keys = [(p.time, p.ticks) for p in file.key_pictures()]
    assert len(keys) == 5
    assert keys == [(time, range(times[time], times[time] + 1)) for time, _ in keys]
    assert file.notes == before


def test_a_search_keeps_what_was_repaired(tmp_path: Path) -> None:
    """The pictures are not all decoded a second time, nor by a run that goes on."""
    path = write_video(tmp_path / "v.mp4", times=[0.0, 0.1, 0.2, 0.3, 1.9])
    for _ in range(2):
        video = prepare_video(path, tmp_path / "store", CONFIG, cut=NONE)
        assert video.notes == {"stretches of over a second without a new picture": 1}
        shutil.rmtree(video.store.folder(video.clip))


def test_no_faces_are_no_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", faces=still())
    video = prepared(path, tmp_path / "store")
    assert video.persons == ()
    assert len(video.store.faces(video.clip)) == 0


def test_files_that_are_no_video(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("Dear diary, today I filmed nothing.\n" * 50)
    with pytest.raises(MediaError, match=r"notes\.mp4: not a readable media file"):
        prepared(text, tmp_path / "store")
    with pytest.raises(MediaError, match="no such file"):
        prepared(tmp_path / "missing.mp4", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_damaged_clip_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    video = prepared(path, tmp_path / "store")
    (video.store.folder(video.clip) / "tracks.npz").write_bytes(b"broken")
    with pytest.raises(StoreError, match="prepare again"):
        prepared(path, tmp_path / "store")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b/ü.mp4", "...", "x" * 300])
def test_clip_names_are_safe(name: str) -> None:
    assert all(c.isascii() and (c.isalnum() or c in "_-") for c in clip_id(Path(name)))
    assert len(clip_id(Path(name))) < 80


@pytest.mark.parametrize("rate", [-1, 31])
def test_rates_that_cannot_be_used(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        VideoConfig(rate=rate)


def test_cues_are_stored_at_the_looks(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=3, faces=two)
    search = SearchConfig(detector=BLOCKS, look_rate=15)
    video = prepare_video(path, tmp_path / "store", VideoConfig(search=search))
    cues = video.store.cues(video.clip)
    assert video.store.has_cues(video.clip)
    first = cues.person == 1
    assert cues.frame[first].tolist() == list(range(0, 90, 2))
    np.testing.assert_allclose(cues.time_s[first], np.arange(45) / 15, atol=1e-3)
    assert set(cues.person.tolist()) == {1, 2}
    times = cues.time_s[first]
    np.testing.assert_allclose(cues["x"][first], (45 + 30 * times) / 320, atol=0.01)
    np.testing.assert_allclose(cues["y"][first], 70 / 180, atol=0.01)
    np.testing.assert_allclose(cues["face_size"][first], 60, atol=2)
    assert cues["confidence"].max() < 0.5  # blocks are no faces
    assert np.isnan(cues["yaw"]).all()
    sound = video.store.sound_cues(video.clip)
    n_samples = video.store.manifest(video.clip).n_samples
    assert n_samples is not None
    assert len(sound) == -(-n_samples // 512)
    whole = video.store.sound(video.clip, 0, n_samples)
    np.testing.assert_allclose(sound.voice, VoiceDetector().run(whole), atol=1e-6)
    np.testing.assert_allclose(sound.level_db, sound_levels(whole), atol=1e-4)


def test_without_the_mesh_there_are_no_cues(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=1)
    search = SearchConfig(detector=BLOCKS, look_rate=10, mesh=False)
    video = prepare_video(path, tmp_path / "store", VideoConfig(search=search))
    assert len(video.persons) == 1
    assert not video.store.has_cues(video.clip)


def test_a_video_without_faces_or_sound_has_empty_cues(tmp_path: Path) -> None:
    video = prepared(write_video(tmp_path / "v.mp4", faces=still(), sound=None), tmp_path / "store")
    assert len(video.store.cues(video.clip)) == 0
    assert len(video.store.sound_cues(video.clip)) == 0


@pytest.mark.parametrize(
    ("samples", "silent"), [([], True), ([0, 4, -4], True), ([0, 5], False), ([-32768], False)]
)
def test_silence(samples: list[int], silent: bool) -> None:
    assert is_silent(np.array(samples, np.int16)) == silent
