"""Weights in a folder: which branches run, and which settings of moments apply."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from quavf.cli import main
from quavf.models.audio import AudioBranch
from quavf.models.bundle import BUNDLE_FILE
from quavf.models.checkpoint import save_branch
from quavf.models.config import AudioConfig, BranchSettings
from quavf.results.config import MomentsConfig
from quavf.results.scores import read_config
from quavf.results.video import VideoResult
from quavf.utils.files import read_json, write_json
from quavf.workflows.predict import predict
from quavf.workflows.report_clips import read_moments_config
from tests.helpers.face_videos import BLOCKS, write_video
from tests.helpers.scored_stores import CONFIG

MOMENTS: dict[str, Any] = {"threshold": 0.3, "margin": 0.05, "max_gap": 0.2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a miniature audio branch with random weights."""
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    audio = AudioConfig(encoder="16x1x2", encoder_weights="random", dim=16, n_heads=2)
    save_branch(folder / "ears.safetensors", AudioBranch(audio, BranchSettings("fixed")))
    content = {"format": 1, "name": "mine", "branches": {"audio": "ears.safetensors"}}
    write_json(folder / BUNDLE_FILE, content | {"moments": MOMENTS})
    return folder


def test_run_takes_branches_and_moments_of_the_bundle(tmp_path: Path, bundle: Path) -> None:
    video = write_video(tmp_path / "v.mp4", seconds=1)

    def run(*options: str) -> dict[str, Any]:
        words = ["--weights", str(bundle), "--video.search.detector", BLOCKS, "--report=no"]
        out = tmp_path / "out"
        assert main(["run", str(video), "--out", str(out), "--annotated=no", *words, *options]) == 0
        content: dict[str, Any] = read_json(out / "run.json")
        return content

    first = run()
    assert first["bundle"]["branches"] == {"audio": "ears.safetensors"}
    assert first["shown"]["moments"] == asdict(MomentsConfig(**MOMENTS))
    result = VideoResult.read(tmp_path / "out")
    assert result.threshold == 0.3
    assert [spec.name for spec in result.branches] == ["audio"]
    second = run("--moments.max_gap", "0.4", "--threshold", "0.6")
    assert second["key"] == first["key"]
    shown = second["shown"]["moments"]
    assert (shown["threshold"], shown["margin"], shown["max_gap"]) == (0.6, 0.05, 0.4)


def test_other_contents_make_other_scores(tmp_path: Path, bundle: Path) -> None:
    """A finished folder is not taken for the result of a bundle with another fusion."""
    from quavf.workflows.config import RunConfig
    from quavf.workflows.run import Pipeline

    pipeline = Pipeline(RunConfig(weights=str(bundle), device="cpu"))
    video = write_video(tmp_path / "v.mp4", seconds=1)
    key = pipeline._key(video)
    assert key == pipeline._key(video)
    (bundle / "ears.safetensors").touch()
    assert key != pipeline._key(video)


def test_predict_keeps_the_bundles_settings(tmp_path: Path, store: Path, bundle: Path) -> None:
    predict(store, tmp_path / "scores", weights=bundle, config=CONFIG)
    found = read_config(tmp_path / "scores")
    assert found["audio"]["checkpoint"] == str(bundle / "ears.safetensors")
    assert (found["visual"], found["fusion"]) == (None, {"kind": "published"})
    assert read_moments_config(tmp_path / "scores") == MomentsConfig(0.3, 0.05, 0.2)
