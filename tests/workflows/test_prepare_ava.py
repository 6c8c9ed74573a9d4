"""AVA's movies in a store: the right faces of the right part, and who is heard to speak."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quavf.cli import main
from quavf.core.records import Interval
from quavf.results.scores import Scores, write_scores
from quavf.sources.config import AvaConfig
from quavf.store import ClipStore
from quavf.workflows.evaluate import evaluate
from quavf.workflows.prepare import prepare_source
from quavf.workflows.submit import check_submission, write_submission
from tests.helpers.ava_files import SILENT, SPEAKS, row, write_rows
from tests.helpers.face_videos import write_video

BOX = (0.125, 0.25, 0.25, 0.5)  # of 320 x 180: 40, 45 to 80, 90
FIRST, N = 50, 20  # pictures of a movie of 4 s at 25 a second


def make_set(root: Path, ids: tuple[str, ...] = ("m",)) -> Path:
    """From 2 s on a face, that speaks in the second half of its rows; the picture shows its time.

    The background is grey by the number of the picture.
    """
    (root / "videos").mkdir(parents=True)
    lines = []
    for video in ids:
        write_video(
            root / "videos" / f"{video}.mp4",
            seconds=4.0,
            fps=25,
            faces=lambda time_s: [],
            background=lambda time_s: (round(time_s * 50),) * 3,
        )
        for k in range(N):
            label = SPEAKS if k >= N // 2 else SILENT
            lines.append(row(video, (FIRST + k) / 25, BOX, label, f"{video}:0"))
    write_rows(root / "val.csv", lines)
    return root


def prepare(root: Path, tmp_path: Path, **options: float) -> tuple[ClipStore, dict[str, str]]:
    config = AvaConfig(root / "videos", val=root / "val.csv", **options)  # type: ignore[arg-type]
    summary = prepare_source("ava", tmp_path / "store", config)
    return ClipStore.open(tmp_path / "store"), summary.failed


def grey(store: ClipStore, clip: str) -> list[int]:
    """Level of each face picture, which tells its time in the movie: 50 a second."""
    from quavf.faces.crop import decode_jpeg
    from quavf.store import CropReader

    faces = store.faces(clip)
    reader = CropReader(store, clip, faces)
    pictures = [decode_jpeg(reader.read(k)) for k in range(len(faces))]
    reader.close()
    return [round(float(picture.mean())) for picture in pictures if picture is not None]


def test_a_part_of_a_movie_becomes_a_clip(tmp_path: Path) -> None:
    store, failed = prepare(make_set(tmp_path / "set"), tmp_path)
    assert not failed
    manifest, faces = store.manifest("m"), store.faces("m")
    assert (manifest.split, manifest.segments, manifest.looking) == ("val", (), None)
    assert manifest.clock.fps == 25
    assert manifest.speaking == (Interval(1, 10, 19),)
    assert faces.frame.tolist() == list(range(N))
    np.testing.assert_allclose(faces.time_s, np.arange(N) / 25, atol=1e-6)
    assert faces.box[0].tolist() == [40, 45, 80, 90]
    levels = np.array(grey(store, "m"))
    np.testing.assert_allclose(levels, (FIRST + np.arange(N)) * 2, atol=3)
    assert manifest.n_samples == pytest.approx((69 / 25 + 1 - 2) * 16_000, abs=2)


def test_faces_of_every_second_picture(tmp_path: Path) -> None:
    store, _ = prepare(make_set(tmp_path / "set"), tmp_path, every=2)
    assert store.faces("m").frame.tolist() == list(range(0, N, 2))


def test_files_that_are_cut_too_short_say_so(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set", ("a", "m"))
    lines = (root / "val.csv").read_text().splitlines()
    write_rows(root / "val.csv", [x.replace("a,2", "a,902").replace("a,3", "a,903") for x in lines])
    store, failed = prepare(root, tmp_path)
    assert store.clips() == ["m"]
    assert "lasts 4.0 s, but is annotated from 902.0 s on; if the files were cut" in failed["a"]


def test_from_scores_to_official_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every second face is scored; the row before the first that speaks ranks above it."""
    store, _ = prepare(make_set(tmp_path / "set", ("m", "-n")), tmp_path, every=2)
    frame = np.arange(0, N, 2)
    value = np.where(frame >= N // 2, 0.8, 0.2)
    columns = {"speaking": value, "cues": value, "fused": value}
    scores = Scores(np.full(len(frame), "m", object), np.ones(len(frame), int), frame, columns)
    write_scores(tmp_path / "scores", scores, {"store": str(store.path)})

    result = evaluate(tmp_path / "scores", store.path, tmp_path / "eval")
    assert result.ava is not None
    assert (result.ava.n_rows, result.ava.n_positive, result.ava.n_filled) == (20, 10, 10)
    assert result.ava.ap == 1.0, "only clips with scores count; frame 9 has 0.5"
    assert result.frame.systems == {}
    assert result.tasks["speaking"].frame.n_rows == 10
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["ava"]["ap"] == 1.0
    assert metrics["frame"]["speaking"]["accuracy"] == 1.0
    text = (tmp_path / "eval" / "metrics.md").read_text()
    assert "AVA's own average precision of speaking: 100.0 % on all 20 rows of its files" in text
    assert not (tmp_path / "eval" / "precision_recall.png").exists()

    path = tmp_path / "predictions.csv"
    assert write_submission(tmp_path / "scores", path, "ava") == {"rows": 20, "videos": 1}
    assert check_submission(path, store.path, "ava") == []
    words = ["evaluate", str(tmp_path / "scores"), "--store", str(store.path)]
    assert main([*words, "--out", str(tmp_path / "eval")]) == 0
    assert "AVA's own average precision" in capsys.readouterr().out


def test_command(tmp_path: Path) -> None:
    root, store = make_set(tmp_path / "set"), tmp_path / "store"
    words = ["prepare", "ava", "--videos", str(root / "videos"), "--val", str(root / "val.csv")]
    assert main([*words, "--store", str(store), "--every", "5", "--start", "1"]) == 0
    assert ClipStore.open(store).faces("m").frame.tolist() == [0, 5, 10, 15]
