"""Matching of raw tracks with true faces: benchmarks/raw_faces.py."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quavf.core.branches import score_columns
from quavf.core.clock import Clock
from quavf.core.records import READY_MADE, CropGeometry
from quavf.faces.crop import encode_jpeg
from quavf.results.records import PersonScores
from quavf.results.scores import Scores
from quavf.results.video import VideoResult
from quavf.store import ClipStore, Manifest, StoreConfig
from tests.helpers.data import ROOT

PATH = ROOT / "benchmarks" / "raw_faces.py"
spec = importlib.util.spec_from_file_location("raw_faces", PATH)
assert spec is not None
assert spec.loader is not None
raw_faces: Any = importlib.util.module_from_spec(spec)
sys.modules["raw_faces"] = raw_faces  # dataclasses look up their module
spec.loader.exec_module(raw_faces)

NAN = float("nan")
LEFT: list[float] = [0, 0, 40, 40]
RIGHT: list[float] = [100, 0, 140, 40]
FAR: list[float] = [300, 0, 340, 40]


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def test_overlap() -> None:
    found = raw_faces.iou(
        boxes(LEFT, [0, 0, 0, 0]), boxes(LEFT, [20, 0, 60, 40], FAR, [5, 5, 5, 5])
    )
    expected = np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        ([], [], []),
        ([LEFT], [], []),
        ([LEFT, RIGHT], [RIGHT, LEFT], [(0, 1), (1, 0)]),
        ([LEFT], [[0, 0, 40, 20], LEFT], [(0, 1)]),  # the better match
        ([LEFT, [0, 0, 40, 44]], [[0, 0, 40, 45]], [(1, 0)]),  # each box at most once
        ([LEFT], [[0, 0, 40, 20]], [(0, 0)]),  # exactly half
        ([LEFT], [[0, 0, 40, 19.9]], []),
    ],
)
def test_matching(a: Any, b: Any, pairs: list[tuple[int, int]]) -> None:
    assert sorted(raw_faces.match_boxes(boxes(*a), boxes(*b))) == pairs


@pytest.mark.parametrize(
    ("numbers", "switches", "fragments"),
    [
        ([], 0, 0),
        ([0, 0], 0, 0),
        ([1, 1, 1], 0, 0),
        ([0, 1, 1, 0], 0, 0),
        ([1, 0, 1], 0, 1),
        ([1, 0, 2, 2, 1], 2, 1),
        ([1, 2], 1, 0),
    ],
)
def test_trajectory(numbers: list[int], switches: int, fragments: int) -> None:
    trajectory = raw_faces.Trajectory(numbers)
    assert (trajectory.switches, trajectory.fragments) == (switches, fragments)


def test_tally() -> None:
    """Two people at three times; the second is hidden at first, then changes its track number."""
    frames = np.repeat([0, 6, 12], 2)
    person = np.tile([1, 2], 3)
    box = np.tile(boxes(LEFT, RIGHT), (3, 1))
    counts = np.array([True, False, True, True, True, True])
    size = np.full(6, 40.0)
    zeros = np.zeros(6)
    truth = raw_faces.TrueFaces(frames, person, box, size, zeros, zeros, zeros > 0, counts)
    detections = {0: boxes(LEFT, RIGHT), 6: boxes(LEFT, FAR), 12: boxes(RIGHT)}
    tracks = {
        1: boxes(LEFT, LEFT, [NAN] * 4),
        2: boxes([NAN] * 4, RIGHT, LEFT),
        3: boxes(FAR, FAR, FAR),
    }
    raw = SimpleNamespace(
        file=SimpleNamespace(size=(640, 360)),
        persons=(None,) * 3,
        face_at=lambda number, ticks: SimpleNamespace(boxes=tracks[number]),
    )
    tally = raw_faces.FaceTally()
    tally.add("clip", truth, detections, raw)
    figures = tally.compute_figures()
    assert figures["faces"] == 5
    assert figures["detection recall"] == pytest.approx(3 / 5)
    assert figures["detections"] == 4  # the one on a hidden face is ignored
    assert figures["detection precision"] == pytest.approx(3 / 4)
    assert figures["track recall"] == pytest.approx(4 / 5)
    assert (figures["identity switches"], figures["fragments"]) == (1, 0)
    assert figures["tracks"] == {"all": 3, "on nobody": 1, "on several people": 1}
    assert figures["people followed for 80 % of their time"] == 1
    (row,) = [r for r in figures["by height"] if r["n"]]
    assert (row["low"], row["high"], row["n"]) == (40, 60, 5)
    assert row["tracked"] == pytest.approx(4 / 5)


def test_raw_scores_replace_annotated_ones(tmp_path: Path) -> None:
    """Person 1 has track 2 at frame 0 only; person 2 has track 1 at both frames."""
    store = ClipStore.create(tmp_path / "store", StoreConfig("ego4d", "fixed", "grown"))
    place = {1: LEFT, 2: RIGHT}
    keys = [(1, 0), (1, 3), (2, 0), (2, 3)]
    with store.write_clip("clip") as writer:
        for person, frame in keys:
            left, top, right, bottom = place[person]
            geometry = CropGeometry((left, top, right, bottom), READY_MADE.region)
            jpeg = encode_jpeg(np.zeros((224, 224, 3), np.uint8))
            writer.add_crop(person, frame, frame / 30, geometry, jpeg)
        writer.finish(
            Manifest("clip", "val", Clock(), (), None, 4, (640, 360), "0", store.config.hash, {})
        )

    def rows(ticks: list[int], at: list[list[float]], fused: list[float]) -> PersonScores:
        columns = dict.fromkeys(score_columns(), np.array(fused))
        time_s = np.array(ticks) / 30
        return PersonScores(time_s, np.array(ticks), boxes(*at), columns)

    scores = {1: rows([0, 3], [RIGHT, RIGHT], [0.1, 0.2]), 2: rows([0, 3], [LEFT, FAR], [0.8, 0.9])}
    result = VideoResult(Path("clip.mp4"), 1.0, Fraction(30), (640, 360), scores=scores)
    persons, frames = np.array(keys).T
    half = dict.fromkeys(("audio", "quality", "fused"), np.full(4, 0.5))
    annotated = Scores(np.full(4, "clip", object), persons, frames, half)
    raw = raw_faces.score_raw_tracks(annotated, store, {"clip": result})
    np.testing.assert_array_equal(raw.fused, [0.8, NAN, 0.1, 0.2])
    filled, coverage = raw_faces.fill_missing(raw, annotated)
    assert coverage == 0.75
    np.testing.assert_array_equal(filled.fused, [0.8, 0.0, 0.1, 0.2])
