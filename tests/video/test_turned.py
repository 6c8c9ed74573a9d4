from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.records import Image
from quavf.faces.detect import Detections
from quavf.sources.config import MediaOptions
from quavf.sources.media.file import open_video_file
from quavf.video.turned import suggest_turn
from tests.helpers.cue_media import find_face, write_cue

TIMES = np.arange(30) / 15


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


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_faces_on_their_side_suggest_a_turn(tmp_path: Path, turn: int) -> None:
    stored = turn // 90  # counterclockwise quarter turns
    path = write_cue(tmp_path / "x.mp4", sound=None, change=lambda p: np.rot90(p, stored))
    late = TIMES[TIMES >= 0.9]
    assert suggest_turn(open_video_file(path), Eyes(), late) == turn
    right = open_video_file(path, MediaOptions(turn=turn))
    assert suggest_turn(right, Eyes(), late) == 0


def test_nothing_is_decoded_without_faces(tmp_path: Path) -> None:
    file = open_video_file(write_cue(tmp_path / "x.mp4", sound=None))
    file.path.unlink()
    assert suggest_turn(file, Eyes(), np.empty(0)) == 0
    assert suggest_turn(file, Eyes(), np.array([100.0])) == 0  # too late to be worth it
