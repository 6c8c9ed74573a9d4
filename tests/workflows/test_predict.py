"""Predict: what it checks, scores and writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import quavf
from quavf.core.errors import CheckpointError, ConfigError, QuavfError, StoreError
from quavf.core.records import Segment
from quavf.evaluation.config import EvaluateConfig
from quavf.inference.clip import ClipData
from quavf.inference.config import PredictConfig
from quavf.inference.loading import resolve_device
from quavf.results.scores import read_config, read_scores
from quavf.store import ClipStore, StoreConfig
from quavf.workflows.predict import predict, score_clip
from tests.helpers.scored_stores import CONFIG, FACES
from tests.helpers.stores import make_store


def test_predict_without_a_checkpoint(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="predict: no branch is left; give a checkpoint with"):
        predict(store, tmp_path / "out", audio="", visual="", cues="")
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


class Anywhere:
    """Stands for a predictor with a score for every other face of a clip, in segments or not."""

    def score_faces(self, data: ClipData) -> dict[str, Any]:
        return {"audio": np.where(np.arange(len(data.faces)) % 2, 0.25, np.nan)}


def test_faces_outside_segments_are_kept_where_a_branch_scores_them(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {1: range(8)}, [Segment(1, 0, 2, 1)])
    scores = score_clip(ClipData(store, "clip"), cast(Any, {"audio": Anywhere()}))
    assert scores.frame.tolist() == [0, 1, 2, 3, 5, 7]
    expected = [np.nan, 0.25, np.nan, 0.25, 0.25, 0.25]
    np.testing.assert_array_equal(scores.audio, expected)
    np.testing.assert_array_equal(scores.fused, expected)


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
        ({"audio": "visual"}, ConfigError, r"--audio .*visual.ckpt: .* of the .* branch"),
        ({"visual": "audio"}, ConfigError, r"--visual .*audio.ckpt: .* of the .* branch"),
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
    config = PredictConfig(device="cpu")
    assert resolve_device(config) == config
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert resolve_device(PredictConfig()).device == expected
    for name in ("nonsense", "cuda:99"):
        with pytest.raises(ConfigError, match=f"device: '{name}' cannot be used"):
            resolve_device(PredictConfig(device=name))
