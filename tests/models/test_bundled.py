"""Weights that come with the package, and loading by name."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

import quavf
from quavf.core.errors import CheckpointError, ConfigError
from quavf.models.audio import AudioBranch
from quavf.models.bundled import (
    DEFAULT,
    FOLDER,
    choose_bundle,
    load_bundle,
    weights_names,
    weights_path,
)
from quavf.models.checkpoint import load_branch
from quavf.models.description import checkpoint_info
from quavf.models.visual import VisualBranch
from quavf.results.config import MomentsConfig
from quavf.results.fusion import PUBLISHED
from quavf.workflows.config import RunConfig

LARGEST = 12e6  # bytes, both together


def test_the_default_is_there_with_its_card() -> None:
    assert DEFAULT in weights_names()
    card = (FOLDER / DEFAULT / "README.md").read_text()
    assert "simulated" in card


@pytest.mark.parametrize(("kind", "branch"), [("audio", AudioBranch), ("visual", VisualBranch)])
def test_they_load_and_know_how_to_be_used(kind: str, branch: type) -> None:
    path = weights_path("small", kind)
    loaded = load_branch(path)
    assert isinstance(loaded, branch)
    assert not loaded.training
    assert loaded.settings.semantics == "fixed"
    assert loaded.settings.context == "clip"
    assert "/" not in str(checkpoint_info(path)["config"])  # no path of where it was trained


def test_they_are_small() -> None:
    assert sum(p.stat().st_size for p in (FOLDER / "small").glob("*.safetensors")) <= LARGEST


def test_small_is_fused_as_published() -> None:
    bundle = load_bundle("small")
    assert list(bundle.branches) == ["audio", "visual"]
    assert (bundle.fusion, bundle.moments) == (PUBLISHED, MomentsConfig())
    assert bundle.card == FOLDER / "small" / "README.md"
    assert bundle.card.is_file()


@pytest.mark.parametrize(
    ("weights", "branches", "expected"),
    [
        (None, {}, {"audio": "small", "visual": "small", "cues": "talk"}),
        (None, {"audio": ""}, {"visual": "small", "cues": "talk"}),
        (None, {"audio": "a.pt"}, {"audio": "a.pt"}),
        (None, {"audio": "a.pt", "visual": "small"}, {"audio": "a.pt", "visual": "small"}),
        ("small", {"audio": "a.pt"}, {"audio": "a.pt", "visual": "small"}),
        ("small", {"audio": None, "visual": ""}, {"audio": "small"}),
    ],
)
def test_choosing_branches(
    weights: str | None, branches: dict[str, str | None], expected: dict[str, str]
) -> None:
    chosen = choose_bundle(weights, branches, "run").branches
    assert chosen == {name: weights_path(path, name) for name, path in expected.items()}


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({"audio": "", "visual": ""}, "predict: no branch is left; give a checkpoint with --audio"),
        ({"smell": "s.pt"}, "predict: no branch 'smell'; there are audio, visual"),
    ],
)
def test_choices_that_cannot_be_used(branches: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_bundle("small", branches, "predict")


def test_a_folder_of_that_name_is_told_apart(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        Path("small").mkdir()
        assert weights_path("small", "audio").parent.parent == FOLDER
        assert weights_path("./small", "audio") == Path("small")
    assert weights_path("other.ckpt", "audio") == Path("other.ckpt")


def test_loading_by_name_and_by_folder() -> None:
    for name in ("small", FOLDER / "small"):
        pipeline = quavf.load(name, RunConfig(report=False))
        assert not pipeline.config.report
        assert pipeline.windows.n_slots == 15


def test_unknown_weights() -> None:
    with pytest.raises(
        CheckpointError, match=r"large: no such folder, .* \(there are: small, talk\)"
    ):
        quavf.load("large")


def test_other_checkpoints_lose_the_learned_fusion_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = shutil.copy(load_bundle("talk").branches["cues"], tmp_path / "mine.safetensors")
    choose_bundle("talk", {"audio": ""}, "run")
    choose_bundle("small", {"audio": None}, "run")
    assert not caplog.records
    assert choose_bundle("talk", {"cues": mine}, "run").fusion == PUBLISHED
    assert "quavf bundle --start talk" in caplog.text
