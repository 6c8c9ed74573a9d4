"""The toy dataset: its layout, that it repeats itself, and that its cues are there to be learnt."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from quavf.errors import ConfigError
from quavf.simulate.drawn import DrawnConfig, cartoon, draw_dataset, scene
from quavf.simulate.drawn import dataset as drawn

TINY = DrawnConfig(n_clips=2, seconds=2.0, width=160, height=90, n_test_segments=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn")
    draw_dataset(out, TINY)
    return out


def clips(out: Path, split: str) -> Iterator[dict[str, Any]]:
    for video in json.loads((out / f"annotations/av_{split}.json").read_text())["videos"]:
        yield from video["clips"]


def all_clips(out: Path) -> list[dict[str, Any]]:
    return [*clips(out, "train"), *clips(out, "val")]


def decode(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """RGB frames (N, H, W, 3) and sound (samples,) at 48 kHz."""
    with av.open(str(path)) as container:
        images = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    return images, sound


def test_layout_of_a_clip(dataset: Path) -> None:
    for clip in all_clips(dataset):
        assert (clip["clip_start_frame"], clip["clip_end_frame"]) == (0, 60)
        assert clip["video_end_frame"] - clip["video_start_frame"] == 60
        assert clip["video_start_sec"] == clip["video_start_frame"] / 30
        lists = ("missing_voice_segments", "transcriptions", "social_segments_looking")
        assert all(clip[name] == [] for name in lists)
        wearer, *partners = clip["persons"]
        assert clip["camera_wearer"] == wearer
        assert (wearer["person_id"], wearer["camera_wearer"]) == ("0", True)
        assert wearer["tracking_paths"] == []
        assert [p["person_id"] for p in partners] == [str(i + 1) for i in range(len(partners))]
        assert not any(p["camera_wearer"] for p in partners)
        rows = [row for p in partners for path in p["tracking_paths"] for row in path["track"]]
        keys = {"x", "y", "width", "height", "frame", "video_frame", "clip_frame"}
        assert rows
        assert all(set(row) == keys and row["width"] > 0 and row["height"] > 0 for row in rows)
        offset = clip["video_start_frame"]
        assert all(row["video_frame"] == row["clip_frame"] + offset for row in rows)


def test_social_segments(dataset: Path) -> None:
    for clip in all_clips(dataset):
        voices = {
            (p["person_id"], v["start_frame"]) for p in clip["persons"] for v in p["voice_segments"]
        }
        talking = clip["social_segments_talking"]
        assert voices == {(s["person"], s["start_frame"]) for s in talking}
        for segment in talking:
            assert segment["target"] in ("0", None)
            assert segment["is_at_me"] == (segment["target"] is not None)
            assert 0 <= segment["start_frame"] < segment["end_frame"] < 60
            assert segment["start_time"] == pytest.approx(segment["start_frame"] / 30)
            offset = clip["video_start_frame"]
            assert segment["video_end_frame"] == segment["end_frame"] + offset


def test_both_labels_in_each_split(dataset: Path) -> None:
    for split in ("train", "val"):
        ids = (dataset / f"split/{split}.txt").read_text().split()
        assert ids == [clip["clip_uid"] for clip in clips(dataset, split)]
        targets = [
            segment["target"]
            for clip in clips(dataset, split)
            for segment in clip["social_segments_talking"]
            if segment["person"] != "0"
        ]
        assert {target is not None for target in targets} == {True, False}


@pytest.mark.parametrize(("n_clips", "n_val"), [(2, 1), (3, 1), (8, 2)])
def test_a_quarter_validates(n_clips: int, n_val: int, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(drawn, "_write_clip", lambda *_: None)
    draw_dataset(tmp_path, replace(TINY, n_clips=n_clips, n_test_segments=0))
    assert len((tmp_path / "split/val.txt").read_text().split()) == n_val
    assert len((tmp_path / "split/train.txt").read_text().split()) == n_clips - n_val


def test_same_seed_same_dataset(dataset: Path, tmp_path: Path) -> None:
    draw_dataset(tmp_path, replace(TINY, seconds=2, fps=30))  # equal, though of other types
    names = sorted(path.relative_to(dataset) for path in dataset.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for name in names:
        if name.suffix == ".mp4":
            for one, other in zip(decode(dataset / name), decode(tmp_path / name), strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            assert (dataset / name).read_bytes() == (tmp_path / name).read_bytes()


def test_finished_clips_are_kept_and_other_settings_refused(dataset: Path) -> None:
    files = {p: p.stat().st_mtime_ns for p in dataset.rglob("*") if p.suffix in (".mp4", ".jpg")}
    draw_dataset(dataset, TINY)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    with pytest.raises(ConfigError, match="other settings"):
        draw_dataset(dataset, replace(TINY, seed=1))


def test_pictures_and_sound_last_as_long_as_annotated(dataset: Path) -> None:
    for clip in all_clips(dataset):
        images, sound = decode(dataset / "clips" / f"{clip['clip_uid']}.mp4")
        assert images.shape == (60, 90, 160, 3)
        assert 96_000 <= len(sound) < 96_000 + 2048
        assert 0.1 < np.abs(sound).max() <= 1.1


def test_ntsc_rate_without_sound(tmp_path: Path) -> None:
    fps = Fraction(30_000, 1001)
    draw_dataset(tmp_path, replace(TINY, fps=fps, with_audio=False))
    with av.open(str(next((tmp_path / "clips").iterdir()))) as container:
        assert not container.streams.audio
        assert container.streams.video[0].average_rate == fps
        assert sum(1 for _ in container.decode(video=0)) == 60
    assert not list(tmp_path.rglob("aud.wav"))


def test_boxes_cover_the_drawn_faces() -> None:
    n_faces = 0
    for index in range(6):
        drawn_scene = scene.clip_scene(replace(TINY, width=640, height=360), index)
        for actor in drawn_scene.actors:
            if abs(actor.yaw[0]) > 0.2 or actor.blur_px:
                continue
            x1, y1, x2, y2 = actor.box(0)
            image = np.zeros((360, 640, 3), np.uint8)
            cartoon.draw_actor(image, replace(actor, skin=(1, 255, 1)), 0)
            is_skin = np.all(image == (1, 255, 1), axis=2)
            rows, columns = np.nonzero(is_skin)
            assert columns.min() == pytest.approx(x1, abs=0.15 * (x2 - x1))
            assert columns.max() == pytest.approx(x2, abs=0.15 * (x2 - x1))
            assert rows.max() == pytest.approx(y2, abs=0.1 * (y2 - y1))
            assert y1 < rows.min() < y1 + 0.5 * (y2 - y1)  # under the fringe
            n_faces += 1
    assert n_faces >= 3


def test_speakers_face_their_addressee() -> None:
    at_wearer, away = [], []
    for index in range(4):
        drawn_scene = scene.clip_scene(DrawnConfig(), index)
        for turn in drawn_scene.turns:
            if turn.speaker > 0:
                first, last = drawn_scene.frames_of(turn)
                yaw = drawn_scene.actors[turn.speaker - 1].yaw[(first + last) // 2]
                (away if turn.addressee else at_wearer).append(abs(yaw))
    assert max(at_wearer) < 0.35
    assert min(away) > 0.4


def test_louder_and_brighter_when_addressed_to_the_wearer(dataset: Path) -> None:
    loudness: dict[bool, list[float]] = {True: [], False: []}
    brightness: dict[bool, list[float]] = {True: [], False: []}
    for clip in all_clips(dataset):
        _, sound = decode(dataset / "clips" / f"{clip['clip_uid']}.mp4")
        for segment in clip["social_segments_talking"]:
            if segment["person"] != "0":
                piece = sound[segment["start_frame"] * 1600 : segment["end_frame"] * 1600]
                power = np.abs(np.fft.rfft(piece)) ** 2
                hz = np.fft.rfftfreq(len(piece), 1 / 48_000)
                loudness[segment["is_at_me"]].append(float(np.sqrt(np.mean(piece**2))))
                is_bright = (hz > 2000) & (hz < 8000)
                brightness[segment["is_at_me"]].append(float(power[is_bright].sum() / power.sum()))
    assert np.mean(loudness[True]) > 1.3 * np.mean(loudness[False])
    assert np.mean(brightness[True]) > 1.2 * np.mean(brightness[False])


def test_challenge_set(dataset: Path) -> None:
    answers = json.loads((dataset / "social_test/answers.json").read_text())
    folder = dataset / "social_test/final_test_data"
    assert sorted(answers) == sorted(path.name for path in folder.iterdir())
    assert sorted(answers.values()) == [0, 1]
    for segment in answers:
        with wave.open(str(folder / segment / "audio/aud.wav")) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
            n_frames = round(file.getnframes() / 16_000 * 30)
        faces = sorted((folder / segment / "face").iterdir(), key=lambda path: int(path.stem))
        assert len(faces) < n_frames  # sparse
        assert int(faces[-1].stem) < n_frames
        assert all(cv2.imread(str(path)).shape == (224, 224, 3) for path in faces)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_clips": 1},
        {"seconds": 0.5},
        {"seconds": float("nan")},
        {"width": 161},
        {"height": 32},
        {"fps": Fraction(1)},
        {"seed": -1},
        {"n_test_segments": -1},
    ],
)
def test_impossible_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"give .*{next(iter(wrong))}"):
        replace(TINY, **wrong)
