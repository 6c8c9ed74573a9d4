"""The scripts in examples/ run, on small made-up data."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quavf.faces.quality.scorer import SCORERS
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


@pytest.mark.slow
def test_ego4d_end_to_end(run: Run) -> None:
    out = run("ego4d_end_to_end.py")
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
