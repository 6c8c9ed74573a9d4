from __future__ import annotations

from pathlib import Path

import pytest

from quavf.cli import main
from quavf.store import ClipStore
from quavf.workflows.check_boxes import check_boxes
from quavf.workflows.prepare import prepare_ego4d
from tests.helpers.annotations import clip, person, segment, still, write_annotations
from tests.helpers.data import REAL_MINI, needs_real
from tests.helpers.face_videos import BLOCKS, write_video

ONE = {"x": 200, "y": 100, "side": 40}
OTHER = {"x": 30, "y": 60, "side": 40}


@pytest.mark.parametrize(("box", "share"), [(ONE, 1.0), (OTHER, 0.0)])
def test_share_of_boxes_with_a_face(tmp_path: Path, box: dict[str, float], share: float) -> None:
    (tmp_path / "clips").mkdir()
    write_video(
        tmp_path / "clips" / "a.mp4", seconds=1, faces=lambda t: [(200, 100, 240, 140)], sound=None
    )
    annotated = clip("a", [person(1, still(0, 30, **box))], [segment("1", 0, 29)])
    annotations = write_annotations(tmp_path / "annotations", [annotated])
    prepare_ego4d(annotations, tmp_path / "clips", tmp_path / "store")
    found = check_boxes(ClipStore.open(tmp_path / "store"), BLOCKS)
    assert (found.n_looked, found.share) == (30, share)
    assert found.low == ({} if share else {"a": 0.0})


@needs_real
def test_the_command_reports_the_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--annotations", str(REAL_MINI / "annotations"), "--clips", str(REAL_MINI / "clips")]
    assert main(["prepare", "ego4d", *words, "--store", str(tmp_path / "store"), "--check"]) == 0
    said = capsys.readouterr().out
    assert "boxes with a face" in said
    assert "100 %" in said
