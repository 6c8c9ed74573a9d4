"""The scripts in examples/ run, on small made-up data."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import quavf
from quavf.faces.quality.scorer import SCORERS
from quavf.simulate.config import PRESETS, SimulateConfig
from quavf.workflows.simulate import simulate_clips
from tests.helpers.data import ROOT
from tests.helpers.pages import DATA

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run an example with arguments, in an empty folder; what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SCORERS, "_plugins", dict(SCORERS._plugins))

    def run_example(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def test_own_video(run: Run) -> None:
    DATA["video"]()
    assert "report: out/report.html" in run("own_video.py", "dinner.mp4")
    assert Path("out/report.html").is_file()


def test_ego4d_end_to_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small pictures, since drawing them is most of the work."""

    def simulate_small(out: Path, config: SimulateConfig) -> None:
        world = PRESETS[config.preset]()
        world = replace(world, picture=replace(world.picture, width=480, height=270))
        simulate_clips(out, replace(config, world=world))

    monkeypatch.setattr(quavf, "simulate_clips", simulate_small)
    out = run("ego4d_end_to_end.py", "--seconds", "5")
    assert "fused: mAP" in out
    assert "submission: valid" in out


def test_published_checkpoints(run: Run) -> None:
    DATA["store"]()
    DATA["published"]()
    out = run("published_checkpoints.py", "STORE", "audio.ckpt", "visual.ckpt")
    assert "faces of 3 clips scored" in out
    assert Path("scores/visual.safetensors").is_file()


def test_custom_scorer(run: Run) -> None:
    DATA["store"]()
    assert "faces of 3 clips scored" in run("custom_scorer.py", "STORE")
    assert Path("STORE/clips/clip0/quality/size-contrast.parquet").is_file()


def test_results_in_pandas(run: Run) -> None:
    DATA["store"]()
    DATA["published"]()
    run("published_checkpoints.py", "STORE", "audio.ckpt", "visual.ckpt")
    assert "branches agree" in run("results_in_pandas.py", "scores")


def test_every_example_is_listed_and_tested() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(scripts) == 5
    for text in ((EXAMPLES / "README.md").read_text(), Path(__file__).read_text()):
        assert all(script in text for script in scripts)
