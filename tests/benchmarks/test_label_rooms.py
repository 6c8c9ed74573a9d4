"""The labels that the benchmark of own labels gives to simulated clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quavf.core.clock import Clock
from quavf.core.records import Interval, Segment
from quavf.store import Manifest
from tests.helpers.benchmarks import load_benchmark


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_benchmark("label_rooms", monkeypatch)


def test_turns_last_through_short_pauses_alone(rooms: Any) -> None:
    """Frames of 1/30 s: a pause of 0.4 s belongs to the turn, one of 0.8 s is doubtful."""
    manifest = Manifest(
        clip="a",
        split="train",
        clock=Clock(),
        segments=(Segment(1, 0, 99, 1), Segment(1, 130, 149, 0)),
        n_samples=16_000 * 200 // 30,
        n_crops=0,
        frame_size=(64, 64),
        fingerprint="",
        config_hash="",
        speaking=(
            Interval(0, 60, 90),
            Interval(1, 0, 9),
            Interval(1, 22, 30),
            Interval(1, 55, 60),
            Interval(1, 130, 149),
        ),
    )
    labelled = rooms.label_clip(manifest, [1])
    assert labelled.segments == (
        Segment(1, 0, 30, 1),
        Segment(1, 55, 60, 1),
        Segment(1, 61, 129, 0),
        Segment(1, 130, 149, 0),
        Segment(1, 150, 199, 0),
    )
    assert labelled.speaking == (Interval(1, 0, 30), Interval(1, 55, 60), Interval(1, 130, 149))
    assert labelled.unlabelled["talking"] == (Interval(0, 0, 200), Interval(1, 31, 54))
    assert labelled.looking is None


def test_runs(rooms: Any) -> None:
    assert rooms.find_runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert rooms.find_runs(np.zeros(3, bool)) == []
