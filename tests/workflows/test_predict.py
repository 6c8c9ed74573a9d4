"""The public functions from a store to a submission: what they check, join and write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import quavf
from quavf.core.clock import Clock
from quavf.core.errors import CheckpointError, ConfigError, QuavfError, ScoresError, StoreError
from quavf.core.records import Segment
from quavf.evaluation.protocols import EvaluateConfig
from quavf.faces.crop import encode_jpeg
from quavf.results.scores import Scores, read_config, read_scores, write_scores
from quavf.store import ClipStore, Manifest, StoreConfig
from quavf.workflows.predict import (
    PredictConfig,
    check_submission,
    concatenate,
    evaluate,
    fuse_folders,
    labels,
    predict,
    resolve_device,
    write_submission,
)
from tests.helpers.published import tiny_audio, tiny_visual, write_published
from tests.helpers.stores import WHOLE

CONFIG = PredictConfig(encoder_heads=2, n_heads=2, backbone="test_vit", device="cpu")
SEGMENTS = (Segment(1, 0, 30, 1), Segment(2, 0, 30, 0))
FACES = [(1, 0), (1, 15), (2, 3), (2, 30)]


def make_store(path: Path, splits: tuple[str, ...], labelled: bool = True) -> ClipStore:
    """A clip for each split: four faces of two people, or of one where nothing is labelled."""
    store = ClipStore.create(path, StoreConfig("ego4d", "fixed", "grown"))
    for index, split in enumerate(splits):
        clip = f"clip{index}"
        with store.writing(clip) as writer:
            for person, frame in FACES:
                crop = np.full((224, 224, 3), 40 * person + frame, np.uint8)
                person = person if labelled else 1
                writer.add_crop(person, frame, 0.0, WHOLE, encode_jpeg(crop))
            writer.add_sound(np.arange(40_000) * (index + 1) % 9000)
            segments = SEGMENTS if labelled else ()
            writer.finish(
                Manifest(clip, split, Clock(), segments, 40_000, 4, None, "0", store.config.hash)
            )
        store.write_quality(clip, "light", np.array([0.2, 0.9, 0.5, 0.7]), {})
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("pipe") / "store", ("train", "val", "val")).path


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without labels, one person in a clip."""
    return make_store(tmp_path_factory.mktemp("chal") / "store", ("test",) * 2, False).path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("audio") / "audio.ckpt", tiny_audio())


@pytest.fixture(scope="module")
def visual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("visual") / "visual.ckpt", tiny_visual())


@pytest.fixture(scope="module")
def scores(
    store: Path, audio: Path, visual: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("scores") / "scores"
    predict(store, out, audio, visual, CONFIG)
    return out


# Prediction.


def test_predict_without_a_checkpoint(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --audio, --visual, or both"):
        predict(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_row_for_each_face(store: Path, scores: Path) -> None:
    found = read_scores(scores)
    keys = list(zip(found.clip.tolist(), found.person.tolist(), found.frame.tolist(), strict=True))
    assert keys == [(clip, *face) for clip in ("clip0", "clip1", "clip2") for face in FACES]
    for name in ("audio", "visual", "quality", "fused"):
        values = getattr(found, name)
        assert ((values > 0) & (values < 1)).all(), name
    np.testing.assert_allclose(
        found.fused, (1 - found.quality) * found.audio + found.quality * found.visual, atol=1e-12
    )


@pytest.mark.parametrize("split", ["train", "val"])
def test_predict_one_split(split: str, store: Path, scores: Path, audio: Path, tmp_path: Path):
    summary = predict(store, tmp_path, audio, config=replace(CONFIG, split=split))
    clips = {"train": ["clip0"], "val": ["clip1", "clip2"]}[split]
    found, everything = read_scores(tmp_path), read_scores(scores)
    assert sorted(set(found.clip)) == clips
    assert (summary.clips, summary.rows) == (len(clips), 4 * len(clips))
    rows = np.isin(everything.clip.astype(str), clips)
    np.testing.assert_array_equal(found.audio, everything.audio[rows])
    assert np.isnan(found.visual).all()


def test_strings_do_for_paths(store: Path, audio: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, split="train")
    summary = quavf.predict(str(store), str(tmp_path / "s"), audio=str(audio), config=config)
    assert summary.scores == tmp_path / "s"
    quavf.evaluate(str(tmp_path / "s"), str(store), str(tmp_path / "e"), EvaluateConfig(0))
    quavf.fuse(str(tmp_path / "s"), str(tmp_path / "s"), str(tmp_path / "f"))
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["frame"]["audio"]


def test_config_tells_all_that_a_prediction_depends_on(
    scores: Path, store: Path, audio: Path
) -> None:
    import hashlib

    config = read_config(scores)
    assert config["command"] == "predict"
    assert config["store"] == str(store)
    assert config["store_config"] == {"kind": "ego4d", "semantics": "fixed", "framing": "grown"}
    assert config["quality"] == "light"
    assert config["audio"]["sha256"] == hashlib.sha256(audio.read_bytes()).hexdigest()
    assert config["audio"]["model"]["encoder"] == "16x1x2"
    assert config["visual"]["settings"]["semantics"] == "reference"
    assert config["options"]["encoder_heads"] == 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"store": "nowhere"}, StoreError, "nowhere: no store here .*`quavf prepare`"),
        ({"audio": "nowhere"}, CheckpointError, "nowhere: no such file"),
        ({"audio": "visual"}, ConfigError, r"--audio .*visual.ckpt: .* of the other branch"),
        ({"visual": "audio"}, ConfigError, r"--visual .*audio.ckpt: .* of the other branch"),
        ({"split": "test"}, StoreError, "no clip of split 'test' in this store"),
        ({"quality": "fan"}, StoreError, r"no quality from 'fan' .*there is: light"),
        ({"device": "gpu"}, ConfigError, "device: 'gpu' cannot be used .*; try cpu"),
        ({"backbone": "resnet18"}, CheckpointError, "does not fit the model"),
    ],
)
def test_predict_refuses(
    change: dict[str, str],
    error: type[Exception],
    message: str,
    store: Path,
    audio: Path,
    visual: Path,
    tmp_path: Path,
) -> None:
    named = {"audio": audio, "visual": visual, "nowhere": tmp_path / "nowhere"}
    paths = {"store": store, "audio": audio, "visual": visual}
    paths |= {key: named[value] for key, value in change.items() if key in paths}
    options: Any = {key: value for key, value in change.items() if key not in paths}
    with pytest.raises(error, match=message):
        predict(paths["store"], tmp_path / "out", paths["audio"], paths["visual"],
                replace(CONFIG, **options))  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_place_that_cannot_be_written(store: Path, audio: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(QuavfError, match=r"file.*: cannot write \(Not a directory\)"):
        predict(store, tmp_path / "file" / "scores", audio, config=CONFIG)


def test_store_without_clips(audio: Path, tmp_path: Path) -> None:
    ClipStore.create(tmp_path / "store", StoreConfig("ego4d", "fixed", "grown"))
    with pytest.raises(StoreError, match="no clip of split 'any' in this store"):
        predict(tmp_path / "store", tmp_path / "out", audio, config=CONFIG)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": "valid"}, "split: 'valid' is not train, val or test"),
        ({"batch_size": 0}, "batch_size: 0 is under 1"),
        ({"audio_batch_size": -1}, "audio_batch_size: -1 is under 1"),
        ({"encoder_heads": 0}, "encoder_heads: 0 is under 1; leave it out"),
        ({"n_heads": -8}, "n_heads: -8 is under 1; leave it out"),
    ],
)
def test_impossible_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PredictConfig(**values)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == "cpu"
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert resolve_device("auto") == expected
    for name in ("nonsense", "cuda:99"):
        with pytest.raises(ConfigError, match=f"device: '{name}' cannot be used"):
            resolve_device(name)


def test_parts_are_joined_in_order() -> None:
    assert len(concatenate([])) == 0
    empty = Scores.empty()
    assert len(concatenate([empty, empty])) == 0


# Fusion.


def test_branches_predicted_apart(
    store: Path, audio: Path, visual: Path, scores: Path, tmp_path: Path
) -> None:
    """The same as both in one go."""
    predict(store, tmp_path / "a", audio=audio, config=replace(CONFIG, split="val"))
    predict(store, tmp_path / "v", visual=visual, config=CONFIG)
    counts = fuse_folders(tmp_path / "a", tmp_path / "v", tmp_path / "f")
    assert (counts.both, counts.visual_only, counts.audio_only) == (8, 4, 0)
    found, expected = read_scores(tmp_path / "f"), read_scores(scores)
    np.testing.assert_array_equal(found.frame, expected.frame)
    np.testing.assert_array_equal(found.visual, expected.visual)
    np.testing.assert_array_equal(found.fused[:4], expected.visual[:4])  # no audio: split train
    np.testing.assert_array_equal(found.fused[4:], expected.fused[4:])
    inputs = read_config(tmp_path / "f")["inputs"]
    assert [part["scores"] for part in inputs] == [str(tmp_path / "a"), str(tmp_path / "v")]
    assert [part["command"] for part in inputs] == ["predict", "predict"]


def test_fusion_of_two_predictions_of_one_branch(
    store: Path, audio: Path, scores: Path, tmp_path: Path
) -> None:
    other = write_published(tmp_path / "other.ckpt", tiny_audio(seed=1))
    predict(store, tmp_path / "a", audio=other, config=CONFIG)
    with pytest.raises(
        ScoresError, match=r"clip clip0, person 1, frame 0: audio is .* in the first"
    ):
        fuse_folders(scores, tmp_path / "a", tmp_path / "f")


# Evaluation.


def test_labels(store: Path) -> None:
    assert labels(store) == [(f"clip{i}", s) for i in range(3) for s in SEGMENTS]


def test_evaluation_of_a_challenge_store(challenge: Path, audio: Path, tmp_path: Path) -> None:
    predict(challenge, tmp_path / "scores", audio, config=CONFIG)
    with pytest.raises(StoreError, match="nothing is labelled in this store; a challenge set is"):
        evaluate(tmp_path / "scores", challenge, tmp_path / "eval")
    assert not (tmp_path / "eval").exists()


def test_evaluation_of_other_clips(store: Path, scores: Path, tmp_path: Path) -> None:
    found = read_scores(scores)
    strange = replace(found, clip=np.full(len(found), "elsewhere", object))
    write_scores(tmp_path / "scores", strange, {})
    with pytest.raises(ScoresError):
        evaluate(tmp_path / "scores", store, tmp_path / "eval")


def test_evaluation_writes_figures(store: Path, scores: Path, tmp_path: Path) -> None:
    evaluation = evaluate(scores, store, tmp_path / "eval", EvaluateConfig(n_resamples=20))
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    for protocol in ("frame", "segment"):
        for system in ("audio", "visual", "mean", "fused"):
            assert 0 <= metrics[protocol][system]["map"] <= 1
    assert metrics["frame"]["fused"]["n_rows"] == 12
    result = evaluation.frame.systems["fused"]
    assert result is not None
    assert metrics["frame"]["fused"]["map"] == result.map


# Submission.


def test_submission_and_its_check(challenge: Path, audio: Path, visual: Path, tmp_path: Path):
    predict(challenge, tmp_path / "scores", audio, visual, CONFIG)
    path = tmp_path / "submission.json"
    assert write_submission(tmp_path / "scores", path) == {"rows": 8, "videos": 2}
    assert check_submission(path, challenge) == []
    content = json.loads(path.read_text())
    scores = read_scores(tmp_path / "scores")
    assert [row["score"] for row in content["results"]] == scores.fused.tolist()
    content["results"].pop()
    path.write_text(json.dumps(content))
    (problem,) = check_submission(path, challenge)
    assert "1 row (video clip1 frame 30) missing" in problem


def test_submission_of_two_people_in_one_clip(scores: Path, tmp_path: Path) -> None:
    found = read_scores(scores)
    write_scores(tmp_path / "scores", replace(found, frame=found.frame * 0), {})
    with pytest.raises(ScoresError, match=r"3 rows .* more than once"):
        write_submission(tmp_path / "scores", tmp_path / "submission.json")
    assert not (tmp_path / "submission.json").exists()
