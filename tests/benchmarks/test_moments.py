"""Comparison of moments with the truth: benchmarks/moments.py."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.branches import score_columns
from quavf.results.config import MomentsConfig
from quavf.results.records import PersonScores
from quavf.results.video import VideoResult
from tests.helpers.benchmarks import load_benchmark


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_benchmark("moments", monkeypatch)


def test_tracks_are_matched_with_the_truth(benchmark: Any) -> None:
    """The second of two people talks to the wearer at frame 3; track 1 follows the second."""
    left, right = [0.0, 0, 40, 40], [100.0, 0, 140, 40]
    truth = {
        "frame": np.array([0, 0, 3, 3]),
        "person": np.array([1, 2, 1, 2]),
        **dict(zip(benchmark.SIDES, np.array([left, right] * 2).T, strict=True)),
        "speaking": np.array([True, False, False, True]),
        "to_wearer": np.array([False, False, False, True]),
        "gaze": np.array([2, 0, 2, 1]),
    }
    half = np.full(3, 0.5)
    ticks = np.array([0, 3, 6])  # the truth ends before the last
    rows = PersonScores(
        ticks / 30, ticks, np.array([right] * 3), dict.fromkeys(score_columns(), half)
    )
    result = VideoResult(Path("clip.mp4"), 1.0, Fraction(30), (640, 360), scores={1: rows})
    (track,) = benchmark.match_tracks(result, truth)
    assert track.to_wearer.tolist() == [False, True, False]
    assert track.speaking.tolist() == [False, True, False]
    assert track.at_wearer.tolist() == [True, False, False]


def test_moments_are_scored_by_time(benchmark: Any) -> None:
    fused = np.array([0.9, 0.9, 0.1, 0.1, 0.9, 0.1])
    to_wearer = np.array([True, False, False, True, True, False])
    speaking = to_wearer.copy()
    track = benchmark.ScoredTrack(np.arange(6) / 10, fused, to_wearer, speaking, ~speaking)
    config = MomentsConfig(max_gap=0, min_length=0)
    found = benchmark.score_moments([track, track], config)
    assert found == {"f1": pytest.approx(2 / 3), "precision": 2 / 3, "recall": 2 / 3}
    assert benchmark.score_moments([track], config, gated=True)["precision"] == 1
    assert benchmark.summarise_states([track])["talks to the wearer"][0] == 3
    assert benchmark.score_moments([], config)["f1"] == 0
