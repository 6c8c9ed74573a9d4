"""Small complete simulations on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("numba", reason="the renderer needs pip install 'quavf[simulate]'")
pytest.importorskip("espeakng_loader", reason="speech needs pip install 'quavf[simulate]'")
pytest.importorskip("pyroomacoustics", reason="sound needs pip install 'quavf[simulate]'")

import av

from quavf.core.errors import ConfigError
from quavf.simulate.config import PictureConfig, SimulateConfig, TruthConfig, WorldConfig
from quavf.simulate.world import ClipKey
from quavf.workflows.simulate import list_clip_keys, simulate_clips, write_clip

NEAR = (0.8, 1.5)  # metres; further away faces of so small a picture are not tracked
TINY = WorldConfig(picture=PictureConfig(width=320, height=180, distance_m=NEAR))
CONFIG = SimulateConfig(seed=4, clips=3, seconds=6.0, val_share=0.34, test_share=0.34, world=TINY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    report = simulate_clips(out, CONFIG)
    assert (report.made, report.kept) == (3, 0)
    assert report.clips == {"train": 1, "val": 1, "test": 1}
    assert 0 <= report.positive_share <= 1
    return out


def digest(out: Path, pattern: str) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.glob(pattern))
    }


def decoded(path: Path) -> tuple[str, str]:
    with av.open(str(path)) as container:
        picture = hashlib.sha256()
        for frame in container.decode(video=0):
            picture.update(frame.to_ndarray(format="yuv420p").tobytes())
    with av.open(str(path)) as container:
        sound = hashlib.sha256()
        for piece in container.decode(audio=0):
            sound.update(piece.to_ndarray().tobytes())
    return picture.hexdigest(), sound.hexdigest()


def test_same_seed_same_bytes(folder: Path, tmp_path: Path) -> None:
    """A clip made on its own equals the same clip of a larger simulation."""
    key = ClipKey(4, "val", 0)
    write_clip(tmp_path, CONFIG, key)
    for pattern in (f"truth/{key.name}.parquet", f"parts/{key.name}.json"):
        assert digest(tmp_path, pattern) == digest(folder, pattern)
        assert digest(tmp_path, pattern)
    name = f"clips/{key.name}.mp4"
    assert decoded(tmp_path / name) == decoded(folder / name)


def test_clips_differ(folder: Path) -> None:
    assert len({decoded(path) for path in folder.glob("clips/*.mp4")}) == 3


def test_media_has_the_documented_format(folder: Path) -> None:
    for key in list_clip_keys(CONFIG):
        with av.open(str(folder / "clips" / f"{key.name}.mp4")) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert video.codec_context.name == "h264"
            assert audio.codec_context.name == "aac"
            assert video.average_rate == 30
            assert sum(1 for _ in container.decode(video)) == 180


def test_annotations_have_the_keys_of_ego4d(folder: Path) -> None:
    clip_keys_ = {
        *("clip_uid", "source_clip_uid", "video_uid", "valid", "camera_wearer", "persons"),
        *("video_start_sec", "video_end_sec", "video_start_frame", "video_end_frame"),
        *("clip_start_sec", "clip_end_sec", "clip_start_frame", "clip_end_frame"),
        *("missing_voice_segments", "transcriptions"),
        *("social_segments_talking", "social_segments_looking"),
    }
    for split in ("train", "val"):
        content = json.loads((folder / "annotations" / f"av_{split}.json").read_text())
        (video,) = content["videos"]
        (clip,) = video["clips"]
        assert clip_keys_ <= clip.keys()
        assert clip["camera_wearer"]["person_id"] == "0"
        assert [p["person_id"] for p in clip["persons"]] == [
            str(i) for i in range(len(clip["persons"]))
        ]
        assert [p["camera_wearer"] for p in clip["persons"]][:2] == [True, False]
        row = clip["persons"][1]["tracking_paths"][0]["track"][0]
        assert {"x", "y", "width", "height", "frame", "video_frame", "clip_frame"} <= row.keys()
        listed = (folder / "annotations" / f"{split}.list").read_text().split()
        assert listed == [clip["clip_uid"]]


def test_labels_follow_ego4d(tmp_path: Path) -> None:
    """Without annotation errors, `target` is "0" exactly where the wearer is addressed."""
    truth = TruthConfig(edge_sd_s=0.0, p_label_flip=0.0, join_s=0.0)
    world = WorldConfig(picture=PictureConfig(width=64, height=64), truth=truth)
    config = SimulateConfig(seed=8, clips=1, seconds=12.0, world=world)
    key = ClipKey(8, "train", 0)
    write_clip(tmp_path, config, key)
    table = pq.read_table(tmp_path / "truth" / f"{key.name}.parquet").to_pydict()
    truth_at = {
        (p, f): (s, w)
        for p, f, s, w in zip(
            table["person"], table["frame"], table["speaking"], table["to_wearer"], strict=True
        )
    }
    part = json.loads((tmp_path / "parts" / f"{key.name}.json").read_text())
    segments = part["video"]["clips"][0]["social_segments_talking"]
    partners = [s for s in segments if s["person"] != "0"]
    assert {s["target"] for s in partners} == {"0", None}
    for segment in partners:
        assert segment["is_at_me"] == (segment["target"] is not None)
        middle = (segment["start_frame"] + segment["end_frame"]) // 2
        speaking, to_wearer = truth_at[int(segment["person"]), middle]
        assert speaking
        assert to_wearer == (segment["target"] == "0")
    assert all(s["target"] is None for s in segments if s["person"] == "0")


def test_answers_of_the_test_split_are_separate(folder: Path) -> None:
    index = json.loads((folder / "test" / "seg_info.json").read_text())
    answers = json.loads((folder / "answers" / "test_labels.json").read_text())
    assert index.keys() == {a["segment"] for a in answers}
    assert index
    for answer in answers:
        segment = folder / "test" / "final_test_data" / answer["segment"]
        faces = sorted(int(p.stem) for p in (segment / "face").iterdir())
        info = index[answer["segment"]]
        assert faces == info["frame_list"]
        assert info["frame_num"] > faces[-1]
        assert (segment / "audio" / "aud.wav").stat().st_size > 44
        assert answer["label"] in (0, 1)
    assert not (folder / "annotations" / "av_test.json").exists()
    assert (folder / "answers" / "av_test.json").exists()


def test_truth_has_a_row_for_every_frame_and_partner(folder: Path) -> None:
    for key in list_clip_keys(CONFIG):
        columns = pq.read_table(folder / "truth" / f"{key.name}.parquet").to_pydict()
        n_partners = len(set(columns["person"]))
        assert len(columns["frame"]) == 180 * n_partners
        names = "yaw_deg pitch_deg distance_m speaking mouth addressee blur light snr_db visible"
        for name in names.split():
            assert np.isfinite(np.array(columns[name], float)).all() or name == "snr_db", name


def test_existing_clips_are_kept(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.glob("clips/*.mp4")}
    report = simulate_clips(folder, CONFIG)
    assert (report.made, report.kept) == (0, 3)
    assert before == {p: p.stat().st_mtime_ns for p in folder.glob("clips/*.mp4")}


def test_an_interrupted_run_resumes(folder: Path) -> None:
    """A clip without its last file is made again, with the same bytes."""
    key = ClipKey(4, "train", 0)
    before = digest(folder, "**/*.json"), digest(folder, "truth/*")
    (folder / "parts" / f"{key.name}.json").unlink()
    (folder / "clips" / f"{key.name}.mp4").write_bytes(b"half a clip")
    report = simulate_clips(folder, CONFIG)
    assert (report.made, report.kept) == (1, 2)
    assert before == (digest(folder, "**/*.json"), digest(folder, "truth/*"))
    assert (folder / "clips" / f"{key.name}.mp4").stat().st_size > 1000


def test_different_settings_are_rejected(folder: Path) -> None:
    other = SimulateConfig(seed=5, clips=3, seconds=6.0, val_share=0.34, world=TINY)
    with pytest.raises(ConfigError, match="seed"):
        simulate_clips(folder, other)
