"""Evaluate: scores and labels of a store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quavf.core.errors import ScoresError, StoreError
from quavf.evaluation.config import EvaluateConfig
from quavf.results.scores import read_scores, write_scores
from quavf.workflows.evaluate import evaluate, read_labels
from quavf.workflows.predict import predict
from tests.helpers.scored_stores import CONFIG, SEGMENTS


def test_labels(store: Path) -> None:
    assert read_labels(store) == [(f"clip{i}", s) for i in range(3) for s in SEGMENTS]


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
