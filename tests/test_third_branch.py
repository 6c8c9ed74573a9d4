"""A third branch, defined in the tests alone, goes the whole way of the package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import quavf
from quavf.cli import main
from quavf.core.branches import score_columns
from quavf.faces.config import SearchConfig
from quavf.results.fusion import PUBLISHED
from quavf.results.scores import read_scores
from quavf.store import ClipStore
from quavf.training.config import TrainerConfig
from quavf.video.config import VideoConfig
from tests.helpers.face_videos import BLOCKS, write_video
from tests.helpers.published import tiny_audio, tiny_visual
from tests.helpers.stores import make_tiny_store
from tests.helpers.toy_branch import toy_branch
from tests.helpers.toy_model import TrainToyConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return make_tiny_store(tmp_path_factory.mktemp("third") / "store")


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    with toy_branch():
        yield


@pytest.fixture(scope="module")
def run(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training run of the toy branch; the label shows in a face's colour."""
    out = tmp_path_factory.mktemp("third") / "toy"
    trainer = TrainerConfig(epochs=3, lr=0.05, accelerator="cpu")
    with toy_branch():
        summary = quavf.train("toy", store.path, out, TrainToyConfig(trainer=trainer))
    assert summary.best_map is not None
    assert summary.best_map > 0.9
    return out


@pytest.fixture(scope="module")
def checkpoints(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of all three branches."""
    folder = tmp_path_factory.mktemp("checkpoints")
    quavf.save_branch(folder / "audio.safetensors", tiny_audio())
    quavf.save_branch(folder / "visual.safetensors", tiny_visual(size=64))
    (folder / "toy.safetensors").write_bytes((run / "best.safetensors").read_bytes())
    return {name: folder / f"{name}.safetensors" for name in ("audio", "visual", "toy")}


def test_it_is_trained_by_the_command(store: ClipStore, tmp_path: Path) -> None:
    words = ["train", "toy", "--store", str(store.path), "--out", str(tmp_path / "run")]
    assert main([*words, "--toy.width=4", "--trainer.accelerator=cpu"]) == 0
    branch = quavf.load_branch(tmp_path / "run")
    assert branch.name == "toy"
    assert branch.config.width == 4


def test_its_scores_are_fused_and_evaluated(
    store: ClipStore, checkpoints: dict[str, Any], tmp_path: Path
) -> None:
    config = quavf.PredictConfig(device="cpu", split="val")
    summary = quavf.predict(store.path, tmp_path / "all", **checkpoints, config=config)
    scores = read_scores(tmp_path / "all")
    assert summary.rows == len(scores) > 0
    expected = {name: scores[name] for name in ("audio", "visual", "quality", "toy")}
    assert not np.isnan(list(expected.values())).any()
    np.testing.assert_array_equal(scores.fused, PUBLISHED.fuse(expected))
    table = pq.read_schema(tmp_path / "all" / "scores.parquet")
    assert table.names == [
        "clip",
        "person",
        "frame",
        *score_columns()[:-1],
        "toy",
        "toy_noise",
        "fused",
    ]
    evaluation = quavf.evaluate(tmp_path / "all", store.path, tmp_path / "evaluation")
    systems = evaluation.frame.systems
    assert systems["toy"] is not None
    assert systems["toy"].map is not None
    assert systems["toy"].map > 0.9
    assert "Toy" in (tmp_path / "evaluation" / "metrics.md").read_text()
    reports = quavf.report_clips(tmp_path / "all", store.path, tmp_path / "pages")
    assert "Toy" in (reports.index.parent / "clips" / "clip2" / "report.html").read_text()


def test_branches_predicted_apart_are_fused(
    store: ClipStore, checkpoints: dict[str, Any], tmp_path: Path
) -> None:
    config = quavf.PredictConfig(device="cpu", split="val")
    path: Any
    for name, path in checkpoints.items():
        quavf.predict(store.path, tmp_path / name, config=config, **{name: path})
    quavf.fuse(tmp_path / "audio", tmp_path / "visual", tmp_path / "two")
    quavf.fuse(tmp_path / "two", tmp_path / "toy", tmp_path / "three")
    quavf.predict(store.path, tmp_path / "all", **checkpoints, config=config)
    apart, together = (
        read_scores(tmp_path / "three").sorted(),
        read_scores(tmp_path / "all").sorted(),
    )
    for name in ("audio", "visual", "toy", "fused"):
        np.testing.assert_allclose(apart[name], together[name], atol=1e-6)


def test_it_scores_a_raw_video(checkpoints: dict[str, Any], tmp_path: Path) -> None:
    path = write_video(tmp_path / "dinner.mp4", seconds=2)
    config = quavf.RunConfig(
        audio=str(checkpoints["audio"]),
        visual=str(checkpoints["visual"]),
        branches={"toy": str(checkpoints["toy"])},
        video=VideoConfig(search=SearchConfig(detector=BLOCKS)),
        device="cpu",
    )
    analysis = quavf.run_video(path, tmp_path / "out", config)
    rows = analysis.scores[1]
    assert not np.isnan(rows["toy"]).any()
    columns = {name: rows[name] for name in ("audio", "visual", "quality", "toy")}
    np.testing.assert_array_equal(rows.fused, PUBLISHED.fuse(columns))
    assert "toy" in (tmp_path / "out" / "scores.csv").read_text().splitlines()[0].split(",")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Toy" in page
    assert (tmp_path / "out" / "annotated.mp4").is_file()
    assert quavf.VideoResult.read(tmp_path / "out").models["toy"] == "toy.safetensors"


def test_a_folder_of_checkpoints_loads_it(checkpoints: dict[str, Any]) -> None:
    pipeline = quavf.load(checkpoints["toy"].parent, quavf.RunConfig(device="cpu"))
    assert list(pipeline.predictors) == ["audio", "visual", "toy"]


def test_the_commands_take_it(
    store: ClipStore, checkpoints: dict[str, Any], tmp_path: Path
) -> None:
    words = ["predict", str(store.path), "--toy", str(checkpoints["toy"]), "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "scores")]) == 0
    assert not np.isnan(read_scores(tmp_path / "scores")["toy"]).any()
    content = json.loads((tmp_path / "scores" / "config.json").read_text())
    assert content["toy"]["model"] == {"width": 8}
