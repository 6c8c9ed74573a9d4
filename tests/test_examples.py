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
from quavf.live.config import LiveConfig
from quavf.live.events import LiveEvent
from quavf.live.serve.config import ServeConfig
from quavf.simulate.config import PRESETS, SimulateConfig
from quavf.workflows.simulate import simulate_clips
from tests.helpers.data import ROOT
from tests.helpers.fake_sessions import FakeSession
from tests.helpers.live_sessions import serving
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


class FakePipeline:
    """Opens sessions that hear a tone as speech to the wearer."""

    def live(self, config: LiveConfig) -> FakeSession:
        return FakeSession(0.0, float("inf"))


def test_agent_gate(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    DATA["video"]()
    monkeypatch.setattr(quavf, "load", lambda weights: FakePipeline())
    out = run("agent_gate.py", "dinner.mp4")
    assert "addressed by person 1" in out
    assert "the agent heard 1.0 of 1.0 s" in out


def test_gate_of_agent_gate() -> None:
    """It passes on the sound from 0.3 s before the speech to 0.5 s after it."""
    gate = runpy.run_path(str(EXAMPLES / "agent_gate.py"))["Gate"]()
    heard: list[tuple[float, int]] = []
    for k in range(100):
        heard += gate.hear(k / 10, k)
        if k == 50:
            heard += gate.take(LiveEvent("addressed", 4.9, 1, since_s=4.5))
        if k == 73:
            heard += gate.take(LiveEvent("released", 7.0, 1, since_s=4.5))
    assert [block for _, block in heard] == [*range(42, 75)]


def test_live_client(run: Run) -> None:
    DATA["video"]()
    with serving(ServeConfig(sessions=1)) as (port, _):
        out = run("live_client.py", "dinner.mp4", "--url", f"ws://127.0.0.1:{port}/live")
    assert "look-ahead 0.3 s" in out
    assert "person 1 talks to me" in out


def test_every_example_is_listed_and_tested() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(scripts) == 7
    for text in ((EXAMPLES / "README.md").read_text(), Path(__file__).read_text()):
        assert all(script in text for script in scripts)
