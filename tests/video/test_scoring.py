"""Scores of a video: what is not finite is counted, also by a run that goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quavf.video.scoring import VideoScoring


def test_scores_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    predictor: Any = SimpleNamespace(n_repaired=3)  # of another video

    def make() -> dict[str, Any]:
        predictor.n_repaired += 2
        return {"audio": np.zeros(4)}

    for _ in range(2):  # the second reads what the first has kept
        scoring = VideoScoring(SimpleNamespace(), {"audio": predictor}, "light", tmp_path)  # type: ignore[arg-type]
        assert list(scoring._once("audio-1", make)) == ["audio"]
        assert scoring._n_repaired == 2
    np.savez(tmp_path / "audio-2.npz", audio=np.zeros(4))  # of an earlier version
    assert list(scoring._once("audio-2", make)) == ["audio"]
    assert scoring._n_repaired == 2


def test_a_damaged_part_is_scored_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    predictor: Any = SimpleNamespace(n_repaired=0)
    (tmp_path / "audio-1.npz").write_bytes(b"PK half")
    scoring = VideoScoring(SimpleNamespace(), {"audio": predictor}, "light", tmp_path)  # type: ignore[arg-type]
    made = scoring._once("audio-1", lambda: {"audio": np.ones(2)})
    assert made["audio"].tolist() == [1, 1]
    assert "audio-1.npz: cannot be read (" in caplog.text


class Counting:
    """A predictor whose score is the tick."""

    n_repaired = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, data: Any, schedule: Any, once: Any, is_silent: bool) -> Any:
        ticks = {p: np.concatenate([np.empty(0), *(t for _, t in s)]) for p, s in schedule.items()}
        return {p: {self.name: own} if len(own) else {} for p, own in ticks.items()}


def test_a_fallback_judges_only_what_the_cues_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = SimpleNamespace(ticks=np.arange(0, 12, 3))
    spans, unread = (((None, scored.ticks),), ((None, scored.ticks[1:3]),))
    some = SimpleNamespace(scored=scored, spans=spans, unread=unread)
    none = SimpleNamespace(scored=scored, spans=spans, unread=())
    video: Any = SimpleNamespace(schedules={1: some, 2: none}, silent=False)
    predictors: Any = {name: Counting(name) for name in ("cues", "visual")}
    scoring = VideoScoring(video, predictors, "light", tmp_path, fallback=("visual",))
    monkeypatch.setattr(VideoScoring, "_fuse", lambda *_: None)
    columns = scoring._score_branches(SimpleNamespace())  # type: ignore[arg-type]
    nan = np.nan
    np.testing.assert_array_equal(columns[1]["cues"], [0, 3, 6, 9])
    np.testing.assert_array_equal(columns[1]["visual"], [nan, 3, 6, nan])
    assert list(columns[2]) == ["cues"]
