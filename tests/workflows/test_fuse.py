"""Fuse: joining predictions of single branches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quavf.core.errors import ScoresError
from quavf.results.scores import read_config, read_scores
from quavf.workflows.fuse import fuse
from quavf.workflows.predict import predict
from tests.helpers.published import tiny_audio, write_published
from tests.helpers.scored_stores import CONFIG


def test_branches_predicted_apart(
    store: Path, audio: Path, visual: Path, scores: Path, tmp_path: Path
) -> None:
    """The same as both in one go."""
    predict(store, tmp_path / "a", audio=audio, config=replace(CONFIG, split="val"))
    predict(store, tmp_path / "v", visual=visual, config=CONFIG)
    counts = fuse(tmp_path / "a", tmp_path / "v", tmp_path / "f")
    assert (counts.several, counts.only) == (8, {"audio": 0, "visual": 4})
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
        fuse(scores, tmp_path / "a", tmp_path / "f")
