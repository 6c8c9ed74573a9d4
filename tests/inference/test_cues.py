"""Prediction with the cues branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quavf.core.errors import StoreError
from quavf.core.records import TALKING, Interval
from quavf.core.windows import Span
from quavf.cues import grid
from quavf.cues.grid import RATE, build_grid, count_ticks, find_judged
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.inference.cues import COLUMNS, TURN, CuesPredictor
from quavf.inference.loading import run_branch
from quavf.inference.predictor import Columns
from quavf.models.config import CuesConfig
from quavf.models.cues import CuesBranch, TorchCues
from quavf.store import ClipStore
from tests.helpers.cue_stores import make_cue_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return make_cue_store(tmp_path_factory.mktemp("cues") / "store", ("val",), seed=2)


@pytest.fixture(scope="module")
def predictor() -> CuesPredictor:
    torch.manual_seed(0)
    return CuesPredictor(CuesBranch(CuesConfig(dim=8, n_layers=3)).eval())


def test_grid_holds_the_table(store: ClipStore) -> None:
    faces, sound = store.cues("clip0"), store.sound_cues("clip0")
    people = np.unique(faces.person)
    grid = build_grid(faces, sound, people, range(180))
    own = faces.person == people[0]
    ticks = np.round(faces.time_s[own] * RATE).astype(int)
    np.testing.assert_allclose(grid.faces[0, ticks, 2], faces["yaw"][own], atol=1e-4)
    assert grid.voice.shape == (180,)
    part = build_grid(faces, sound, people, range(60, 120))
    np.testing.assert_array_equal(part.faces, grid.faces[:, 60:120])
    np.testing.assert_array_equal(part.voice, grid.voice[60:120])
    beyond = build_grid(faces, sound, people, range(170, 400))
    assert np.isnan(beyond.voice[-1])


def test_scores_of_a_store(store: ClipStore, predictor: CuesPredictor) -> None:
    data = ClipData(store, "clip0")
    scores = predictor.score_faces(data)
    assert tuple(scores) == COLUMNS
    for column in scores.values():
        assert column.shape == (len(data.faces),)
        known = column[~np.isnan(column)]
        assert len(known)
        assert known.min() >= 0
        assert known.max() <= 1
    assert not np.isnan(scores["speaking"][~data.scored_mask()]).all()


def test_a_video_has_the_scores_of_its_clip(store: ClipStore, predictor: CuesPredictor) -> None:
    data = ClipData(store, "clip0")
    person = data.faces.persons()[0]
    ticks = np.arange(0, 300, 3)
    spans = [(Span(person, 0, 400), ticks)]
    kept: dict[str, Columns] = {}

    def once(name: str, make: Callable[[], Columns]) -> Columns:
        kept[name] = make()
        return kept[name]

    rows = predictor.score_video(data, {person: spans, 99: spans}, once)
    alone = predictor.score_person(data, spans)
    for name in COLUMNS:
        np.testing.assert_array_equal(rows[person][name], alone[name])
        assert np.isnan(rows[99][name]).all(), "somebody without cues has no score"
    assert list(kept) == ["cues"]


def test_long_clips_are_judged_in_stretches(
    store: ClipStore, predictor: CuesPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ClipData(store, "clip0")
    whole = predictor.score_faces(data)
    monkeypatch.setattr(grid, "STRETCH_S", 4.0)
    monkeypatch.setattr(grid, "CONTEXT_S", 12.0)
    parts = predictor.score_faces(data)
    for name in COLUMNS:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-5)


def test_what_is_judged_is_known_before(store: ClipStore, predictor: CuesPredictor) -> None:
    """So that other branches can prepare for the rest alone."""
    data = ClipData(store, "clip0")
    faces = store.cues("clip0")
    judged = find_judged(faces, store.sound_cues("clip0"), data.manifest.n_samples)
    answers = predictor._judge(data)
    assert judged.keys() == answers.keys()
    for person, rows in answers.items():
        np.testing.assert_array_equal(judged[person], ~np.isnan(rows[0]))
    assert 0 < np.mean(np.concatenate([*judged.values()])) < 1


def test_faces_that_nobody_can_read_have_no_score(
    predictor: CuesPredictor, store: ClipStore
) -> None:
    faces = store.cues("clip0")
    grid = build_grid(faces, store.sound_cues("clip0"), np.unique(faces.person), range(180))
    grid.faces[0, 60:120, :6] = np.nan
    judged = predictor.judge_grid(grid)
    assert np.isnan(judged[0, :, 75:105]).all()


@pytest.mark.parametrize("how", [{"runtime": "openvino"}, {"precision": "bf16"}])
def test_torch_runs_the_network_whatever_runs_the_others(how: dict[str, Any]) -> None:
    branch = CuesBranch(CuesConfig(dim=8, n_layers=3)).eval()
    model = run_branch(branch, InferenceConfig(device="cpu", **how))
    assert isinstance(model, TorchCues)
    assert model.network is branch


def test_a_labelled_segment_is_judged_as_one_turn(
    store: ClipStore, predictor: CuesPredictor
) -> None:
    data = ClipData(store, "clip0")
    found = predictor.score_faces(data)["cues"]
    moments = predictor.score_faces(ClipData(store, "clip0", all_faces=True))["cues"]
    faces = store.cues("clip0")
    ticks = range(count_ticks(faces, data.manifest.n_samples))
    grid = build_grid(faces, store.sound_cues("clip0"), np.unique(faces.person), ticks)
    answers = predictor.judge_answers(grid)
    assert data.turns
    for rows in data.turns:
        person = int(np.searchsorted(np.unique(faces.person), data.faces.person[rows[0]]))
        at = np.round(data.faces.time_s[rows] * RATE).astype(int)
        np.testing.assert_allclose(found[rows], answers[person, TURN, at].mean(), atol=1e-5)
    outside = ~data.scored_mask()
    np.testing.assert_array_equal(found[outside], moments[outside])
    assert not np.allclose(found[~outside], moments[~outside], equal_nan=True)


def test_stretches_that_may_be_silent_are_no_turns(
    tmp_path: Path, predictor: CuesPredictor
) -> None:
    store = make_cue_store(tmp_path / "store", ("val",), seed=2)
    moments = predictor.score_faces(ClipData(store, "clip0", all_faces=True))["cues"]
    manifest = store.manifest("clip0")
    unknown = {TALKING: (Interval(1, 0, 5),)}
    store.write_intervals("clip0", manifest.speaking, manifest.looking, unknown)
    data = ClipData(store, "clip0")
    assert data.turns == []
    np.testing.assert_array_equal(predictor.score_faces(data)["cues"], moments)


def test_whose_turn_it_is_to_whom_needs_sound_but_no_face(
    store: ClipStore, predictor: CuesPredictor
) -> None:
    faces = store.cues("clip0")
    grid = build_grid(faces, store.sound_cues("clip0"), np.unique(faces.person), range(180))
    grid.faces[0, 60:120, :6] = np.nan
    assert not np.isnan(predictor.judge_answers(grid)[0, TURN]).any()
    grid.level_db[60:120] = np.nan
    judged = predictor.judge_answers(grid)[:, TURN]
    assert np.isnan(judged[:, 60:120]).all()
    assert not np.isnan(judged[:, :60]).any()


def test_without_sound_only_looks_are_judged(predictor: CuesPredictor, store: ClipStore) -> None:
    faces = store.cues("clip0")
    grid = build_grid(faces, store.sound_cues("clip0"), np.unique(faces.person), range(180))
    silent = replace(grid, voice=np.full(180, np.nan), level_db=np.full(180, np.nan))
    judged = predictor.judge_grid(silent)
    assert np.isnan(judged[:, :2]).all()
    assert not np.isnan(judged[:, 2]).all()


def test_a_store_without_cues_says_what_to_do(tmp_path: Path, predictor: CuesPredictor) -> None:
    store = make_cue_store(tmp_path / "store", ("val",))
    (store.folder("clip0") / "cues.parquet").unlink()
    with pytest.raises(StoreError, match="quavf cues"):
        predictor.score_faces(ClipData(store, "clip0"))
