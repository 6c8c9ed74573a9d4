"""Evaluate: scores and labels of a store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import ScoresError, StoreError
from quavf.core.records import Interval, Segment
from quavf.cues.tracks import FACE_COLUMNS, FaceCues, SoundCues
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.metrics import mean_average_precision
from quavf.results.scores import Scores, read_scores, write_scores
from quavf.results.stacker import fit_stacker
from quavf.workflows.evaluate import count_unmatched, evaluate, read_intervals, read_labels
from quavf.workflows.predict import predict
from tests.helpers.scored_stores import CONFIG, SEGMENTS
from tests.helpers.stores import make_store


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
    assert metrics["counts"]["store_faces"] == 12
    assert metrics["counts"]["store_faces_without_score"] == 0
    assert metrics["counts"]["scores_without_face"] == 0


def test_faces_without_a_score_and_scores_without_a_face(tmp_path: Path) -> None:
    segments = [Segment(1, 0, 2, 1), Segment(2, 5, 6, 0), Segment(0, 0, 9, 1)]
    faces = {1: range(5), 2: [5, 6, 9]}
    store = make_store(tmp_path / "store", faces, segments, clips=("a", "b"))
    # No score: 1/1 and 2/6 of clip a, all of clip b. No face: 1/7, 3/5, clip c.
    rows = [("a", 1, 0), ("a", 1, 1), ("a", 1, 2), ("a", 2, 5), ("a", 2, 9), ("a", 1, 7)]
    rows += [("a", 3, 5), ("c", 1, 0)]
    clip, person, frame = zip(*rows, strict=True)
    audio = np.array([0.5, np.nan, *[0.5] * 6])
    scores = Scores(np.array(clip, object), np.array(person), np.array(frame), {"audio": audio})
    assert count_unmatched(scores, store) == {
        "store_faces": 10,
        "store_faces_without_score": 2 + 5,
        "store_clips_without_score": 1,
        "scores_without_face": 3,
    }


def test_speaking_and_looking_of_a_store(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {1: range(4)}, [Segment(1, 0, 3, 1)], clips=("a", "b"))
    store.write_intervals("a", (Interval(0, 0, 9), Interval(1, 0, 1)), None)
    store.write_intervals("b", None, ())
    assert read_intervals(store) == {
        "speaking": {"a": (Interval(0, 0, 9), Interval(1, 0, 1))},
        "looking": {"b": ()},
    }


def test_evaluation_of_speaking_and_looking(tmp_path: Path) -> None:
    """From files to files, with scores of all faces."""
    segments = [Segment(1, 0, 3, 1), Segment(2, 4, 9, 0)]
    faces = {1: range(10), 2: range(10)}
    store = make_store(tmp_path / "store", faces, segments, clips=("a", "b"))
    for name in store.clips():
        store.write_intervals(name, (Interval(1, 0, 4),), (Interval(2, 7, 9), Interval(1, 0, 0)))
    keys = [(c, p, f) for c in ("a", "b") for p in (1, 2) for f in range(10)]
    clip, person, frame = (np.array(part) for part in zip(*keys, strict=True))
    columns = {"cues": np.where(person == 1, 0.9, 0.1)}
    columns |= {"speaking": columns["cues"], "looking": np.where(frame > 6, 0.9, 0.2)}
    columns["fused"] = columns["cues"]
    found = Scores(clip.astype(object), person, frame, columns)
    write_scores(tmp_path / "scores", found, {})
    assert read_scores(tmp_path / "scores").columns.keys() >= {"cues", "speaking", "looking"}
    evaluate(tmp_path / "scores", store.path, tmp_path / "eval", EvaluateConfig(20))
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())["frame"]
    assert metrics["fused"]["n_rows"] == 20
    assert metrics["speaking"]["n_rows"] == metrics["looking"]["n_rows"] == 40
    assert metrics["speaking"]["accuracy"] == 0.75
    assert metrics["looking"]["accuracy"] == 0.8
    for name in ("speaking", "looking"):
        low, high = metrics[name]["map_ci"]
        assert low <= metrics[name]["map"] <= high


def test_what_a_branch_adds_to_a_learned_fusion(tmp_path: Path) -> None:
    """The fusion reads sizes of faces beside scores; without them its parts would seem to add."""
    segments = [Segment(1, 0, 19, 1), Segment(2, 0, 19, 0)]
    faces = {person: range(20) for person in (1, 2)}
    store = make_store(tmp_path / "store", faces, segments, clips=("a", "b", "c"))
    keys = [(c, p, f) for c in ("a", "b", "c") for p in (1, 2) for f in range(20)]
    clip, person, frame = (np.array(part) for part in zip(*keys, strict=True))
    rng, labels = np.random.default_rng(0), (person == 1).astype(int)
    size = rng.uniform(20, 200, len(keys))
    for name in store.clips():
        own = clip == name
        values = np.full((own.sum(), len(FACE_COLUMNS)), np.nan)
        values[:, FACE_COLUMNS.index("face_size")] = size[own]
        cues = FaceCues(person[own], frame[own], frame[own] / 30, values)
        store.write_cues(name, cues, SoundCues(np.empty(0), np.empty(0)))
    noise: dict[str, Any] = {"audio": 1.0, "visual": size / 40, "cues": 1.0}
    columns = {
        name: 1 / (1 + np.exp(-(labels - 0.5 + rng.normal(size=len(keys)) * by)))
        for name, by in noise.items()
    }
    measured = {**columns, "face_size": size}
    fusion = fit_stacker(("audio", "visual", "cues"), ("face_size",), measured, labels)
    columns["fused"] = fusion.fuse(measured)
    found = Scores(clip.astype(object), person, frame, columns)
    write_scores(tmp_path / "scores", found, {"fusion": fusion.to_json()})
    frames = evaluate(tmp_path / "scores", store.path, tmp_path / "e", EvaluateConfig(20)).frame
    assert list(frames.contributions) == ["audio", "visual", "cues"]
    whole = mean_average_precision(labels, columns["fused"])
    for name, part in frames.contributions.items():
        less = fusion.fuse({n: v for n, v in measured.items() if n != name})
        without = mean_average_precision(labels, less)
        assert part.map_without == pytest.approx(without, abs=1e-9)
        assert part.gain.map == pytest.approx(whole - without, abs=1e-9)
