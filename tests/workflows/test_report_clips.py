"""Pages of a dataset's clips: the labels beside the scores, with and without the videos."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.errors import ConfigError, ScoresError
from quavf.core.records import Segment
from quavf.results.config import MomentsConfig
from quavf.results.fusion import PUBLISHED
from quavf.results.scores import Scores, write_scores
from quavf.results.video import VideoResult
from quavf.workflows.report_clips import report_clips
from tests.helpers.made_up_results import made_up, write_video
from tests.helpers.stores import N_FRAMES, make_tiny_store

MADE = {
    "quality": "light",
    "audio": {"checkpoint": "runs/audio"},
    "visual": {"checkpoint": "runs/<b>"},
}


def scores_of(clips: list[str], faces: list[tuple[int, int]], fused: float | None = None) -> Scores:
    """Scores that rise from 0 to 1 over each clip, of (person, frame) faces."""
    rows = [(clip, person, frame) for clip in clips for person, frame in faces]
    clip, person, frame = (list(column) for column in zip(*rows, strict=True))
    value = np.array(frame) / N_FRAMES
    columns = {"audio": value, "visual": value, "quality": np.full(len(rows), 0.5)}
    blended = PUBLISHED.fuse(columns) if fused is None else np.full(len(rows), fused)
    names = np.array(clip, object)
    return Scores(names, np.array(person), np.array(frame), {**columns, "fused": blended})


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A scores folder and the store that it belongs to: two clips of 4 s."""
    store = make_tiny_store(tmp_path / "store", ("val", "val"))
    faces = store.faces("clip0")
    keys = list(zip(faces.person.tolist(), faces.frame.tolist(), strict=True))
    write_scores(tmp_path / "scores", scores_of(["clip0", "clip1"], keys), MADE)
    return tmp_path / "scores", tmp_path / "store"


def data_of(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)
    assert found is not None
    return json.loads(found[1])


def test_a_page_for_each_clip(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    reports = report_clips(*folders, tmp_path / "eval")
    assert (reports.clips, reports.without_video) == (2, 2)
    index = reports.index.read_text()
    assert reports.index == tmp_path / "eval" / "report.html"
    for clip in ("clip0", "clip1"):
        assert f'<a href="clips/{clip}/report.html">{clip}</a>' in index
        folder = tmp_path / "eval" / "clips" / clip
        assert [p.name for p in folder.iterdir()] == ["report.html"]
    page = tmp_path / "eval" / "clips" / "clip0" / "report.html"
    assert "<script>alert" not in page.read_text()
    assert "&lt;b&gt;" in page.read_text()  # a checkpoint's name
    data = data_of(page)
    assert data["video"] is None
    assert data["duration"] == pytest.approx(4.0, abs=0.01)
    one, two = data["persons"]
    assert one["truth"] == [[0.0, 2.033]]  # frames 0 to 60, both inside
    assert one["others"] == [[2.667, 4.0]]
    assert (two["truth"], two["others"]) == ([], [[1.0, 3.2]])
    assert set(one["packed"]) == {"fused", "audio", "visual", "quality"}
    assert one["thumbnail"].startswith("data:image/jpeg;base64,")
    assert [m[:2] for m in one["moments"]] == [[2.0, 4.0]]  # from 0.5 on; unseen for < 1 s


def test_videos_lie_beside_their_pages(
    tmp_path: Path, folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "clip0.mp4", seconds=1.0)
    reports = report_clips(*folders, tmp_path / "eval", tmp_path / "clips")
    assert reports.without_video == 1
    assert "1 of 2 clips have no video here" in caplog.text
    pages = tmp_path / "eval" / "clips"
    assert (pages / "clip0" / "video.mp4").is_file()
    assert data_of(pages / "clip0" / "report.html")["video"] == "video.mp4"
    assert data_of(pages / "clip1" / "report.html")["video"] is None


def test_moments_follow_their_settings(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    report_clips(*folders, tmp_path / "eval", moments=MomentsConfig(threshold=1.0))
    data = data_of(tmp_path / "eval" / "clips" / "clip0" / "report.html")
    assert [p["moments"] for p in data["persons"]] == [[], []]
    assert data["threshold"] == 1.0


def test_people_without_faces_are_named(tmp_path: Path) -> None:
    make_tiny_store(tmp_path / "store", ("val",))
    write_scores(tmp_path / "scores", scores_of(["clip0"], [(1, 0), (1, 1)]), {})
    report_clips(tmp_path / "scores", tmp_path / "store", tmp_path / "eval")
    page = tmp_path / "eval" / "clips" / "clip0" / "report.html"
    assert "Labelled, but without a face to score: person 2." in page.read_text()
    assert [p["number"] for p in data_of(page)["persons"]] == [1, 2]


@pytest.mark.parametrize(
    ("clips", "faces", "message"),
    [
        (["other"], [(1, 0)], r"clip 'other' of the scores is not in this store"),
        (["../clip0"], [(1, 0)], r"clip '../clip0' of the scores is not in this store"),
        (["clip0"], [(1, 0), (1, 70)], r"clip0 has no face of person, frame \(1, 70\)"),
    ],
)
def test_scores_of_another_store(
    tmp_path: Path, clips: list[str], faces: list[tuple[int, int]], message: str
) -> None:
    make_tiny_store(tmp_path / "store", ("val",))
    write_scores(tmp_path / "scores", scores_of(clips, faces), {})
    with pytest.raises(ScoresError, match=message):
        report_clips(tmp_path / "scores", tmp_path / "store", tmp_path / "eval")


def test_a_folder_of_videos_that_is_not_there(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"--clips .*gone: no such folder"):
        report_clips(*folders, tmp_path / "eval", tmp_path / "gone")


def test_labels_survive_being_written(tmp_path: Path) -> None:
    result = made_up(Path("x.mp4"), has_truth=True, seed=7)
    whole = VideoResult(**{**vars(result), "others": result.truth})
    whole.write(tmp_path)
    read = VideoResult.read(tmp_path)
    assert read.others == read.truth != ()
    content = json.loads((tmp_path / "result.json").read_text())
    del content["others"]  # as earlier versions wrote it
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert VideoResult.read(tmp_path).others is None


def test_segments_of_the_wearer_have_no_lane(tmp_path: Path) -> None:
    from tests.helpers.stores import make_store

    segments = [Segment(0, 0, 9, 0), Segment(1, 0, 9, 1)]
    make_store(tmp_path / "store", {1: range(10)}, segments, n_samples=None)
    write_scores(tmp_path / "scores", scores_of(["clip"], [(1, f) for f in range(10)]), {})
    report_clips(tmp_path / "scores", tmp_path / "store", tmp_path / "eval")
    page = tmp_path / "eval" / "clips" / "clip" / "report.html"
    assert [p["number"] for p in data_of(page)["persons"]] == [1]
    assert "The video has no sound" in page.read_text()
