from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import quavf.video.scoring
import quavf.workflows.run
from quavf.cli import main
from quavf.core.errors import CheckpointError, ConfigError, MediaError
from quavf.faces.config import SearchConfig
from quavf.inference.audio import AudioPredictor
from quavf.inference.visual import VisualPredictor
from quavf.models.audio import AudioBranch
from quavf.models.checkpoint import save_branch
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.results.config import MomentsConfig
from quavf.results.records import Moment
from quavf.results.video import VideoResult
from quavf.utils.holding import hold_folder
from quavf.video.config import VideoConfig
from quavf.video.prepare import prepare_video
from quavf.workflows import run as run_module
from quavf.workflows import show_result
from quavf.workflows.config import RunConfig
from quavf.workflows.run import Pipeline, VideoAnalysis, output_folders, run_video, run_videos
from tests.helpers.face_videos import BLOCKS, still, turn, write_video
from tests.helpers.media_files import damage, damage_sound, read_samples

FACES = VideoConfig(search=SearchConfig(detector=BLOCKS))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Miniature branches with random weights."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    audio = AudioConfig(encoder="16x1x2", encoder_weights="random", dim=16)
    visual = VisualConfig(backbone="test_vit", backbone_weights="random", size=64, dim=16)
    settings = BranchSettings("fixed")
    save_branch(folder / "audio.safetensors", AudioBranch(audio, settings))
    save_branch(folder / "visual.safetensors", VisualBranch(visual, settings))
    return {kind: str(folder / f"{kind}.safetensors") for kind in ("audio", "visual")}


@pytest.fixture
def config(checkpoints: dict[str, Any]) -> RunConfig:
    """Everything but the pictures for people, which have tests of their own."""
    return RunConfig(**checkpoints, video=FACES, device="cpu", annotated=False, report=False)


def two(time_s: float) -> list[tuple[int, int, int, int]]:
    return [(40, 40, 90, 100), (220, 30, 270, 90)][: 1 + (time_s >= 1)]


def test_a_video_becomes_scores_and_moments(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "dinner.mp4", seconds=4, faces=two)
    run = run_video(path, tmp_path / "out", config)
    result = run.result
    assert [p.number for p in run.persons] == [1, 2]
    assert run.notes == ()
    assert all(p.thumbnail.startswith(b"\xff\xd8") for p in run.persons)
    rows = run.scores[1]
    np.testing.assert_allclose(rows.time_s, np.arange(40) / 10)
    assert rows.frame.tolist() == list(range(0, 120, 3))
    for name in ("audio", "visual", "quality", "fused"):
        values = getattr(rows, name)
        assert np.all((values >= 0) & (values <= 1)), name
    blend = (1 - rows.quality) * rows.audio + rows.quality * rows.visual
    np.testing.assert_allclose(rows.fused, blend)
    shared = np.isin(rows.time_s, run.scores[2].time_s)
    np.testing.assert_array_equal(rows.audio[shared], run.scores[2].audio)  # one sound for all
    assert len(result.boxes[1]) >= 116  # every picture, not only the scored ones
    assert result.duration_s == pytest.approx(4.0, abs=0.01)
    assert {"audio", "visual", "quality", "faces"} == set(result.models)
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    assert len(table) == len(rows) + len(run.scores[2])
    assert json.loads((tmp_path / "out" / "moments.json").read_text())["video"] == "dinner.mp4"
    assert not (tmp_path / "out" / "store").exists()
    assert VideoResult.read(tmp_path / "out").to_json() == result.to_json()


def test_scores_are_the_branches_own(tmp_path: Path, config: RunConfig) -> None:
    """A window laid by hand around one time, from the crops that were stored."""
    from quavf.core.semantics import FIXED
    from quavf.inference.clip import load_picture
    from quavf.models.checkpoint import load_branch
    from quavf.models.transforms import face_part, normalise
    from quavf.store import ClipStore, CropReader

    path = write_video(tmp_path / "v.mp4", seconds=4)
    run = run_video(path, tmp_path / "out", replace(config, keep_store=True))
    store = ClipStore.open(tmp_path / "out" / "store")
    (clip,) = store.clips()
    faces, quality = store.faces(clip), store.quality(clip, "light")
    centre = 45
    row_of = {int(f): row for row, f in enumerate(faces.frame)}
    wanted = [row_of.get(centre + 15 * k) for k in range(-7, 8)]
    reader = CropReader(store, clip, faces)
    crops = torch.zeros(15, 3, 224, 224)
    for slot, row in enumerate(wanted):
        if row is not None:
            crops[slot] = face_part(normalise(load_picture(reader, row))[None], FIXED)[0]
    mean = sum(quality[row] for row in wanted if row is not None) / 15
    branch = load_branch(config.branches["visual"])
    with torch.inference_mode():
        logits = branch(crops[None], torch.tensor([mean]))
    rows = run.scores[1]
    at = int(np.argmin(np.abs(rows.time_s - centre / 30)))
    assert rows.quality[at] == pytest.approx(mean)
    assert rows.visual[at] == pytest.approx(float(logits.softmax(1)[0, 1]), abs=1e-5)


def test_long_sound_is_heard_in_windows_of_30_s(tmp_path: Path, config: RunConfig) -> None:
    def faces(time_s: float) -> list[tuple[int, int, int, int]]:
        return [(40, 40, 90, 100)] if not 32 <= time_s < 61 else []

    path = write_video(tmp_path / "v.mp4", seconds=65, fps=5, size=(160, 120), faces=faces)
    heard: list[int] = []
    pipeline = Pipeline(replace(config, visual=""))
    audio: Any = pipeline.predictors["audio"]
    run_network = audio._run_network

    def count(sounds: Any) -> Any:
        heard.append(len(sounds))
        return run_network(sounds)

    audio._run_network = count
    rows = pipeline.run(path, tmp_path / "out").scores[1]
    assert sum(heard) == 3
    assert not np.isnan(rows.audio).any()
    assert np.isnan(rows.visual).all()
    np.testing.assert_array_equal(rows.fused, rows.audio)


@pytest.mark.parametrize("kind", ["audio", "visual"])
def test_one_branch_is_enough(tmp_path: Path, config: RunConfig, kind: str) -> None:
    path = write_video(tmp_path / "v.mp4")
    other = "visual" if kind == "audio" else "audio"
    unset: dict[str, Any] = {other: ""}
    rows = run_video(path, tmp_path / "out", replace(config, **unset)).scores[1]
    assert np.isnan(getattr(rows, other)).all()
    np.testing.assert_array_equal(rows.fused, getattr(rows, kind))


@pytest.mark.parametrize(("rate", "n"), [(0, 50), (30, 60), (5, 10)])
def test_rates(tmp_path: Path, config: RunConfig, rate: float, n: int) -> None:
    path = write_video(tmp_path / "v.mp4", fps=25)
    video = replace(config.video, rate=rate)
    rows = run_video(path, tmp_path / "out", replace(config, video=video)).scores[1]
    assert n - 4 <= len(rows) <= n
    assert np.all(np.diff(rows.frame) >= 0)


def test_without_a_folder_nothing_is_written(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4")
    run = Pipeline(config).run(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.mp4"]
    folder = run.save(tmp_path / "out")
    assert (folder / "scores.csv").is_file()
    assert (folder / "moments.json").is_file()


def test_a_finished_run_is_not_done_again(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4")
    first = run_video(path, tmp_path / "out", config)
    with monkeypatch.context() as patched:
        patched.setattr("quavf.workflows.run.prepare_video", None)
        again = run_video(path, tmp_path / "out", config)
        assert again.result.to_json() == first.result.to_json()
        strict = replace(config, moments=MomentsConfig(threshold=0.999, margin=0))
        assert run_video(path, tmp_path / "out", strict).moments == ()
        truth = (Moment(1, 0.5, 1.0),)
        assert run_video(path, tmp_path / "out", strict, truth).result.truth == truth
    write_video(path, seconds=1.5)  # another video under the same name
    assert run_video(path, tmp_path / "out", config).result.duration_s < 1.6


def test_an_interrupted_run_goes_on(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=3, faces=two)
    whole = run_video(path, tmp_path / "whole", config)
    with monkeypatch.context() as patched:
        patched.setattr(quavf.video.scoring, "cut_thumbnails", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_video(path, tmp_path / "out", config)
    assert not (tmp_path / "out" / "result.json").exists()
    with monkeypatch.context() as patched:  # everything up to there is on disk
        patched.setattr("quavf.video.find.open_detector", None)
        patched.setattr(AudioPredictor, "score_ticks", _interrupt)
        patched.setattr(VisualPredictor, "score_person", _interrupt)
        run = run_video(path, tmp_path / "out", config)
    assert run.result.to_json() == whole.result.to_json()
    for name in ("scores.csv", "moments.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "out" / "parts").exists()


def _interrupt(*arguments: Any) -> dict[int, bytes]:
    raise KeyboardInterrupt


# What can be wrong with a video ---------------------------------------------------------------


def notes_of(path: Path, tmp_path: Path, config: RunConfig) -> tuple[VideoAnalysis, str]:
    run = run_video(path, tmp_path / "out", config)
    return run, " ".join(run.notes)


def test_no_sound(tmp_path: Path, config: RunConfig) -> None:
    run, notes = notes_of(write_video(tmp_path / "v.mp4", sound=None), tmp_path, config)
    assert notes == "The video has no sound: judged by the faces alone."
    assert not run.result.has_sound
    np.testing.assert_array_equal(run.scores[1].fused, run.scores[1].visual)


def test_no_sound_and_no_eyes(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4", sound=None)
    run, notes = notes_of(path, tmp_path, replace(config, visual=""))
    assert "nothing could be judged" in notes
    assert np.isnan(run.scores[1].fused).all()
    assert run.moments == ()


def test_silence(tmp_path: Path, config: RunConfig) -> None:
    run, notes = notes_of(write_video(tmp_path / "v.mp4", sound="silence"), tmp_path, config)
    assert notes == "The sound is silent throughout: judged by the faces alone."
    assert np.isnan(run.scores[1].audio).all()


def test_no_faces(tmp_path: Path, config: RunConfig) -> None:
    run, notes = notes_of(write_video(tmp_path / "v.mp4", faces=still()), tmp_path, config)
    assert notes == "No faces were found in the video."
    assert run.scores == {}
    assert (tmp_path / "out" / "scores.csv").read_text().startswith("time_s,frame,person")


def test_one_picture(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=1 / 30, sound=None)
    run, notes = notes_of(path, tmp_path, config)
    assert "single picture" in notes
    assert run.result.duration_s == pytest.approx(1 / 30)


def test_4k(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(
        tmp_path / "v.mp4", seconds=1, fps=10, size=(3840, 2160),
        faces=still((1000, 500, 1400, 1000)), sound=None,
    )  # fmt: skip
    run, _ = notes_of(path, tmp_path, config)
    assert run.result.frame_size == (3840, 2160)
    np.testing.assert_allclose(run.scores[1].box[0], [1000, 500, 1400, 1000], atol=30)


def test_rotated(tmp_path: Path, config: RunConfig) -> None:
    path = turn(write_video(tmp_path / "v.mp4", faces=still((40, 40, 90, 100))), 90)
    run, _ = notes_of(path, tmp_path, config)
    assert run.result.frame_size == (180, 320)
    np.testing.assert_allclose(run.scores[1].box[0], [80, 40, 140, 90], atol=4)


def test_variable_rate(tmp_path: Path, config: RunConfig) -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.08, 60)).tolist()
    times = [0.0, *times]
    path = write_video(tmp_path / "v.mp4", times=times, seconds=times[-1])
    rows = run_video(path, tmp_path / "out", config).scores[1]
    for time_s, frame in zip(rows.time_s, rows.frame, strict=True):
        assert times[frame] <= time_s + 1 / 60 + 1e-3  # the picture that is on screen then
        assert frame + 1 == len(times) or times[frame + 1] >= time_s - 1 / 60 - 1e-3


def test_cut_short(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mkv", seconds=6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    run, notes = notes_of(path, tmp_path, config)
    assert "pictures end before the declared duration" in notes
    assert 1 < run.result.duration_s < 5.5
    assert len(run.scores[1]) > 8


def wander(time_s: float) -> list[tuple[int, int, int, int]]:
    left = int(40 + 10 * np.sin(time_s * 3))
    return [(left, 40, left + 50, 100)]


def test_damaged_in_the_middle(tmp_path: Path, config: RunConfig) -> None:
    """Two seconds are lost without the decoder saying so."""
    path = write_video(tmp_path / "v.mkv", seconds=6, faces=wander)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(content)
    run, notes = notes_of(path, tmp_path, config)
    assert "stretches of over a second without a new picture (1)" in notes
    assert run.result.duration_s == pytest.approx(6, abs=0.1)
    assert len(run.scores[1]) > 8


def test_damaged_packets(tmp_path: Path, config: RunConfig) -> None:
    path = damage(write_video(tmp_path / "v.mp4", seconds=6, faces=wander), 0.45, 0.5)
    run, notes = notes_of(path, tmp_path, config)
    assert "damaged packets" in notes
    assert run.result.duration_s == pytest.approx(6, abs=0.1)
    assert sum(map(len, run.scores.values())) > 30


@pytest.mark.parametrize("faces", [wander, still()])
def test_damaged_sound(tmp_path: Path, config: RunConfig, faces: Any) -> None:
    """It is read between two passes over the pictures; without faces there is one pass alone."""
    path = damage_sound(write_video(tmp_path / "v.mp4", faces=faces))
    _, counted = read_samples(path)
    assert counted["damaged packets"] > 0
    run, _ = notes_of(path, tmp_path, config)
    assert {f"In the file: {what} ({n})." for what, n in counted.items()} <= set(run.notes)


def test_files_without_a_picture(tmp_path: Path, config: RunConfig) -> None:
    sound = tmp_path / "song.wav"
    with av.open(str(sound), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        samples = np.zeros((1, 16_000), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    text = tmp_path / "notes.mp4"
    text.write_text("not a video\n" * 100)
    half = write_video(tmp_path / "half.mp4")  # what an MP4 holds is listed at its end
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    (tmp_path / "empty.mp4").touch()
    for path, message in [
        (half, r"half\.mp4: not a readable media file .*download or export it again"),
        (tmp_path / "empty.mp4", r"empty\.mp4: not a readable media file"),
        (sound, r"song\.wav: no video in this file; is it sound only, or cut short\?"),
        (text, r"notes\.mp4: not a readable media file"),
        (tmp_path / "gone.mp4", r"gone\.mp4: no such file"),
        (tmp_path, "a folder, not a media file"),
    ]:
        with pytest.raises(MediaError, match=message):
            run_video(path, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


def test_a_broken_video_stops_no_other(tmp_path: Path, config: RunConfig) -> None:
    good = write_video(tmp_path / "good.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_text("no")
    outcomes = run_videos([bad, good, tmp_path / "gone.mp4"], tmp_path / "out", config)
    assert [o.analysis is not None for o in outcomes] == [False, True, False]
    assert "bad.mp4: not a readable media file" in outcomes[0].error
    assert "gone.mp4: no such file" in outcomes[2].error
    assert (tmp_path / "out" / "good" / "scores.csv").is_file()


def test_the_command_says_what_is_wrong_in_a_line_each(
    tmp_path: Path, checkpoints: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    silent = write_video(tmp_path / "silent.mp4", sound="silence")
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n")
    words = [f"--{kind}={path}" for kind, path in checkpoints.items()]
    words += ["--video.search.detector", BLOCKS, "--annotated=no", "--report=no"]
    code = main(["run", str(silent), str(text), "gone.mp4", "--out", str(tmp_path / "o"), *words])
    said = capsys.readouterr().out.splitlines()
    assert code == 1  # one of them is finished
    assert (tmp_path / "o" / "silent" / "moments.json").is_file()
    whole = " ".join(" ".join(said).split())
    assert "The sound is silent throughout: judged by the faces alone." in whole
    assert "text.mp4: failed:" in whole
    assert "not a readable media file" in whole
    assert "gone.mp4: failed: gone.mp4: no such file" in whole


def test_no_faces_still_make_a_report(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4", faces=still())
    run_video(path, tmp_path / "out", replace(config, annotated=True, report=True))
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"report.html", "video.mp4", "scores.csv"} <= names
    assert "annotated.mp4" not in names  # there is nothing to draw
    assert "No face was found in this video." in (tmp_path / "out" / "report.html").read_text()


def test_output_folders_differ() -> None:
    out = Path("out")
    assert output_folders(["a/b.mp4"], out) == [out]
    names = ["a/x.mp4", "b/x.mp4", "c/X.mov", "../..", "ü.mp4", "/x y.mkv"]
    folders = output_folders(names, out)
    assert len({str(f).lower() for f in folders}) == len(folders)
    assert all(f.parent == out for f in folders)


def test_configurations_that_cannot_be_used(tmp_path: Path, checkpoints: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="no branch is left; give a checkpoint with --audio"):
        Pipeline(RunConfig(weights="small", audio="", visual=""))
    with pytest.raises(ConfigError, match="this is a checkpoint of the visual branch"):
        Pipeline(RunConfig(audio=checkpoints["visual"], visual=""))
    with pytest.raises(CheckpointError, match="no such file"):
        Pipeline(RunConfig(audio=str(tmp_path / "none.pt")))
    with pytest.raises(ConfigError, match="batch_size"):
        RunConfig(batch_size=0)


def test_everything_is_written_when_it_is_asked_for(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=1.5)
    whole = replace(config, annotated=True, report=True)
    run_video(path, tmp_path / "out", whole)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {
        "annotated.mp4", "boxes.parquet", "moments.json", "report.html", "result.json",
        "run.json", "scores.csv", "scores.parquet",
    }  # fmt: skip
    before = (tmp_path / "out" / "annotated.mp4").stat().st_mtime_ns
    run_video(path, tmp_path / "out", whole)
    assert (tmp_path / "out" / "annotated.mp4").stat().st_mtime_ns == before
    strict = replace(whole, moments=MomentsConfig(threshold=0.99))
    run_video(path, tmp_path / "out", strict)  # other moments: drawn anew
    assert (tmp_path / "out" / "annotated.mp4").stat().st_mtime_ns != before


def test_too_few_pictures_to_follow_anyone(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4", fps=Fraction(1, 2), seconds=10)
    _, notes = notes_of(path, tmp_path, config)
    assert notes == "Nobody could be followed: the video has only 0.5 pictures a second."


def test_an_unexpected_error_stops_no_other_video(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept in a log file and named in one line."""
    prepare = prepare_video

    def fail(path: Path, *rest: Any) -> Any:
        if path.stem == "bad":
            raise ZeroDivisionError("all\nwrong")
        return prepare(path, *rest)

    monkeypatch.setattr(quavf.workflows.run, "prepare_video", fail)
    videos = [write_video(tmp_path / f"{name}.mp4", seconds=1) for name in ("bad", "good")]
    bad, good = run_videos(videos, tmp_path / "out", config)
    assert good.analysis is not None
    log = tmp_path / "out" / "bad" / "error.log"
    assert bad.error == f"ZeroDivisionError: all wrong (unexpected; the details are in {log})"
    assert "in fail" in log.read_text()


@pytest.mark.parametrize(
    ("name", "note"),
    [("write_annotated_video", "annotated.mp4"), ("write_report", "report.html")],
)
def test_what_decorates_cannot_lose_the_scores(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch, name: str, note: str
) -> None:
    import quavf.report.annotate
    import quavf.report.video

    def fail(*arguments: Any) -> None:
        raise RuntimeError("no ink")

    module = quavf.report.annotate if "annotated" in note else quavf.report.video
    config = replace(config, annotated=True, report=True)
    path, out = write_video(tmp_path / "v.mp4", seconds=1), tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(module, name, fail)
        run = run_video(path, out, config)
    assert any(n.startswith(f"{note} could not be written: RuntimeError") for n in run.notes)
    assert run.notes == VideoResult.read(out).notes
    assert (out / "scores.csv").is_file()
    assert not (out / note).exists()
    again = run_video(path, out, config)  # writes what is missing, and says so no more
    assert again.notes == ()
    assert (out / note).is_file()


def test_names_that_look_like_something_else(
    tmp_path: Path,
    checkpoints: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A colon, a dash in front, bytes that are no UTF-8; and a web address, which is refused."""
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"no\xfftext.mp4")
    for name in ("a:b.mp4", "-dash.mp4", odd):
        write_video(tmp_path / "v.mp4", seconds=0.5).rename(tmp_path / name)
    words = [f"--{kind}={path}" for kind, path in checkpoints.items()]
    words += ["--video.search.detector", BLOCKS, "--annotated=no", "--report=no"]
    videos = ["a:b.mp4", "-dash.mp4", odd, "https://example.org/x.mp4"]
    assert main(["run", *videos, "--out", "o", *words]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "https://example.org/x.mp4: failed: https://example.org/x.mp4: a web address" in said
    assert said.endswith("1 of 4 videos failed")
    for folder in ("a_b", "dash", "no_text"):
        assert (tmp_path / "o" / folder / "moments.json").is_file()


def test_a_run_that_goes_on_after_its_result_draws_the_same(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files that keep fewer digits than the memory does; at 23.976 pictures a second."""
    path = write_video(tmp_path / "v.mp4", seconds=2.5, fps=Fraction(24_000, 1001))
    config = replace(
        config,
        annotated=True,
        video=replace(FACES, rate=0),
        moments=MomentsConfig(threshold=0.05, min_length=0.0, min_face=0, min_face_share=0),
    )
    shown: list[VideoResult] = []
    write = show_result.write_reports

    def keep(result: VideoResult, *others: Any) -> VideoResult:
        shown.append(result)
        return write(result, *others)

    monkeypatch.setattr(run_module, "write_reports", keep)
    run_video(path, tmp_path / "out", config)
    first = (tmp_path / "out" / "annotated.mp4").read_bytes()
    (tmp_path / "out" / "annotated.mp4").unlink()
    run_video(path, tmp_path / "out", config)
    assert shown[0].moments
    assert shown[0].moments == shown[1].moments
    assert (tmp_path / "out" / "annotated.mp4").read_bytes() == first


def test_what_a_killed_run_left_is_removed(tmp_path: Path, config: RunConfig) -> None:
    out = tmp_path / "out"
    path = write_video(tmp_path / "v.mp4", seconds=1)
    run_video(path, out, config)
    for name in (".annotated.mp4.x.tmp", "parts/abc/.audio.npz.x.tmp", "parts/abc/audio.npz"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("half")
    run_video(path, out, config)
    assert {p.name for p in out.iterdir()} == {
        "boxes.parquet", "moments.json", "result.json", "run.json", "scores.csv", "scores.parquet",
    }  # fmt: skip


def test_a_folder_that_another_process_holds(tmp_path: Path, config: RunConfig) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=1)
    with hold_folder(tmp_path / "out"):
        before = [p.name for p in (tmp_path / "out").iterdir()]
        with pytest.raises(ConfigError, match=r"out: process \d+ on .* is writing here; wait"):
            run_video(path, tmp_path / "out", config)
        assert [p.name for p in (tmp_path / "out").iterdir()] == before


def test_links_out_of_the_output_folder_are_not_written_through(
    tmp_path: Path, config: RunConfig
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    for folder in (out, other):
        folder.mkdir()
    (out / "store").symlink_to(other)
    with pytest.raises(ConfigError, match="outside of the folder to write"):
        run_video(write_video(tmp_path / "v.mp4", seconds=0.5), out, config)
    assert not list(other.iterdir())
    (out / "store").unlink()
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    (out / "result.json").symlink_to(kept)
    run_video(tmp_path / "v.mp4", out, config)
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(("beside", "n_links"), [("link", 2), ("copy", 1), ("none", 0)])
def test_the_video_beside_a_report_is_as_asked(
    tmp_path: Path, config: RunConfig, beside: str, n_links: int
) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=0.5)
    run_video(path, tmp_path / "out", replace(config, report=True, beside=beside))
    video = tmp_path / "out" / "video.mp4"
    assert video.exists() == (n_links > 0)
    assert n_links == 0 or video.stat().st_nlink == n_links
