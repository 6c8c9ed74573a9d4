"""Stretches of speaking and looking, and the note about faces that no cue could be read from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from quavf.core.branches import LOOKING, SPEAKING
from quavf.core.records import Floats
from quavf.results.config import MomentsConfig
from quavf.results.records import PersonScores
from quavf.results.stretches import add_stretches, describe_unread
from quavf.results.video import VideoResult


def make(*people: dict[str, Floats]) -> VideoResult:
    """Persons 1, 2, ... with these columns at 10 Hz."""
    scores = {}
    for number, columns in enumerate(people, 1):
        n = len(next(iter(columns.values())))
        keys = (np.arange(n) / 10, np.arange(n), np.tile([0.0, 0, 90, 90], (n, 1)))
        scores[number] = PersonScores(*keys, columns)
    return VideoResult(Path("v.mp4"), 10.0, Fraction(30), (640, 480), scores=scores)


def test_stretches_are_found_at_one_half() -> None:
    low, high, nan = np.full(30, 0.2), np.full(30, 0.6), np.full(30, np.nan)
    speaks = {SPEAKING: np.concatenate([low, high, nan]), LOOKING: np.concatenate([high, nan, low])}
    result = add_stretches(make(speaks), 0.1, MomentsConfig(threshold=0.9))
    assert result.speaking is not None
    assert [(m.person, m.start_s, round(m.end_s, 3)) for m in result.speaking] == [(1, 3.0, 6.0)]
    assert [(m.start_s, round(m.end_s, 3)) for m in result.looking_of(1)] == [(0.0, 3.0)]
    assert result.looking_of(2) == ()


def test_without_cues_nobody_was_judged() -> None:
    for column in ("audio", SPEAKING):
        result = add_stretches(make({column: np.full(30, np.nan)}), 0.1, MomentsConfig())
        assert (result.speaking, result.looking) == (None, None)
        assert describe_unread(result, 0.1) == []


def test_the_note_names_who_could_not_be_read() -> None:
    read, unread, some = np.full(50, 0.5), np.full(50, np.nan), np.full(50, 0.5)
    some[:20] = np.nan
    fused = np.full(50, 0.4)
    people = [{LOOKING: column, "fused": fused} for column in (read, unread, some)]
    (note,) = describe_unread(make(*people), 0.1)
    assert "covered: person 2 (100 % of the time) and person 3 (40 % of the time)." in note
    assert describe_unread(make(*people), 0.02) == describe_unread(make(*people[:2]), 0.02)
    deaf = {LOOKING: read, SPEAKING: unread, "fused": fused}
    assert describe_unread(make(deaf), 0.1) == [], "without sound, the face was read all the same"


def test_results_keep_them(tmp_path: Path) -> None:
    columns = {SPEAKING: np.full(30, 0.9), LOOKING: np.full(30, 0.1)}
    result = add_stretches(make(columns), 0.1, MomentsConfig())
    result.write(tmp_path)
    again = VideoResult.read(tmp_path)
    assert again.speaking is not None
    assert [m.person for m in again.speaking] == [1]
    assert again.looking == ()
    text = (tmp_path / "moments.json").read_text()
    assert '"speaking": [' in text
    assert '"moments": []' in text
    plain = make({"audio": np.full(30, 0.5)})
    plain.write(tmp_path)
    assert VideoResult.read(tmp_path).speaking is None
    assert "speaking" not in (tmp_path / "moments.json").read_text()
