"""The command line finds plug-ins of installed packages: a scorer, a detector and a branch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.media_files import write_video
from tests.helpers.stores import make_store

MODULE = """
from dataclasses import dataclass

import numpy as np

from quavf import BranchSpec, ConfigError, TrainConfig


class Sharp:
    name, settings = "sharp", {}

    def __init__(self, options):
        pass

    def score(self, regions, confidences=None):
        return np.full(len(regions), 0.5)


def open_eagle(options):
    raise ConfigError("the eagle was asked")


@dataclass(frozen=True)
class TrainNose(TrainConfig):
    \"\"\"Options of smelling.

    Args:
        n_noses: How many noses.
    \"\"\"

    n_noses: int = 2


NOSE = BranchSpec(
    "nose", "Nose", "what is smelled", "#112233", dict, dict, dict, train_config=TrainNose
)
"""
ENTRY_POINTS = """
[quavf.scorers]
sharp = own_plugins:Sharp
[quavf.detectors]
eagle = own_plugins:open_eagle
[quavf.branches]
nose = own_plugins:NOSE
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed package."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "own_plugins.py").write_text(MODULE)
    info = folder / "own_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def run(package: Path, *words: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "quavf", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_help_names_them(package: Path) -> None:
    assert "  train nose          Train the nose branch." in run(package, "--help").stdout
    text = " ".join(run(package, "run", "--help").stdout.split())
    assert "Face detector: retinaface or eagle" in text
    assert "Scorer of face quality: fan, light or sharp" in text
    assert "Scorer: fan, light or sharp" in run(package, "quality", "--help").stdout
    assert "--nose CKPT Model of the nose branch (what is smelled): a checkpoint, a run" in text
    assert " --nose CKPT " in run(package, "predict", "--help").stdout
    assert "--n-noses N" in run(package, "train", "nose", "--help").stdout


def test_scorer(package: Path, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {1: [0, 1]}, n_samples=None)
    done = run(package, "quality", store.path, "--scorer", "sharp")
    assert done.returncode == 0, done.stderr
    assert "sharp" in store.scorers()


def test_detector(package: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "video.mp4", 3)
    words = ["run", tmp_path / "video.mp4", "--out", tmp_path / "out", "--visual", ""]
    done = run(package, *words, "--video.search.detector", "eagle")
    assert done.returncode == 2
    assert "video.mp4: failed: the eagle was asked" in done.stdout


def test_broken_package(package: Path, tmp_path: Path) -> None:
    """It does not keep other commands from working."""
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "broken-1.0.dist-info" / "METADATA").write_text("Name: broken\nVersion: 1.0\n")
    points = "[quavf.scorers]\nbroken = nothing_here:Scorer\n"
    (tmp_path / "broken-1.0.dist-info" / "entry_points.txt").write_text(points)
    assert "fan, light or broken" in run(tmp_path, "quality", "--help").stdout
    done = run(
        tmp_path,
        "quality",
        make_store(tmp_path / "store", {1: [0, 1]}, n_samples=None).path,
        "--scorer",
        "broken",
    )
    assert done.returncode == 2
    assert "quality scorer 'broken': nothing_here:Scorer cannot be loaded" in done.stderr
    assert len(done.stderr.splitlines()) == 1
