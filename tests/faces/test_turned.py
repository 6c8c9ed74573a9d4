from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.records import Image
from quavf.faces.config import SearchConfig
from quavf.faces.detect import Detections
from quavf.faces.search import FaceSearch
from quavf.faces.turned import ENOUGH, count_turns, suggest_turn
from quavf.sources.config import MediaOptions
from quavf.sources.media.file import open_video_file
from tests.helpers.cue_media import CUE_S, find_face, write_cue


class Eyes:
    """A detector that sees where the white square is: the face's upper left."""

    name = "eyes"

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    def detect(self, image: Image) -> Detections:
        box = np.array(find_face(image.astype(int)), float)
        rows, columns = np.nonzero(image.min(axis=2) > 230)
        middle = (box[:2] + box[2:]) / 2
        square = np.array([columns.mean(), rows.mean()])
        up = square - middle
        up[np.argmin(np.abs(up))] = 0  # above, more than to the left
        eyes, mouth = middle + up, middle - up
        points = np.stack([eyes, eyes, middle, mouth, mouth])
        return Detections(box[None], np.array([0.9]), points[None])


def search(path: Path, options: MediaOptions | None = None) -> FaceSearch:
    """A search of the pictures in which the square is shown, each scanned."""
    found = FaceSearch(Eyes(), SearchConfig(scan_rate=15))
    for frame in open_video_file(path, options).pictures():
        if frame.time_s >= CUE_S + 0.1:
            found.step(frame)
    return found


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_faces_on_their_side_suggest_a_turn(tmp_path: Path, turn: int) -> None:
    stored = turn // 90  # counterclockwise quarter turns
    path = write_cue(tmp_path / "x.mp4", sound=None, change=lambda p: np.rot90(p, stored))
    found = search(path)
    turns = found.observations().turns
    assert turns.sum() == turns[stored] == ENOUGH
    assert suggest_turn(turns) == turn
    assert suggest_turn(search(path, MediaOptions(turn=turn)).observations().turns) == 0
    again = FaceSearch(Eyes(), SearchConfig())
    again.resume(found.observations())
    np.testing.assert_array_equal(again.observations().turns, turns)


def test_few_or_undecided_faces_suggest_nothing() -> None:
    assert suggest_turn(np.array([0, 1, 0, 0])) == 0
    assert suggest_turn(np.array([4, 3, 0, 0])) == 0
    assert suggest_turn(np.array([1, 0, 0, 3])) == 270
    assert suggest_turn(np.zeros(4, int)) == 0
    box = np.array([[0.0, 0.0, 9.0, 9.0]])
    assert count_turns(Detections(box, np.array([0.9]))).sum() == 0, "without landmarks"
    points = np.array([[[0.0, 4], [0, 4], [5, 5], [9, 4], [9, 4]]])
    assert count_turns(Detections(box, np.array([0.9]), points)).tolist() == [0, 1, 0, 0]
    assert count_turns(Detections(box, np.array([0.7]), points)).sum() == 0, "too unsure"
