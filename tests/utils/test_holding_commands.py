"""Two commands on one output folder: the second says who holds it, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from quavf.core.errors import ConfigError
from quavf.models.checkpoint import save_branch
from quavf.simulate.config import SimulateConfig
from quavf.utils.holding import LOCK, hold_folder
from quavf.workflows.predict import predict
from quavf.workflows.simulate import simulate_clips
from quavf.workflows.train import train_audio
from tests.helpers.published import tiny_audio
from tests.helpers.stores import make_tiny_store
from tests.helpers.training import AUDIO

HELD = r"out: process \d+ on \S+ \(.*\) is writing here; wait until it ends, or choose another --o"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_store(tmp_path_factory.mktemp("two") / "store", ("train", "val")).path


@pytest.mark.parametrize("command", ["predict", "train", "simulate"])
def test_the_second_is_refused(store: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"

    def work() -> None:
        if command == "predict":
            save_branch(tmp_path / "audio.safetensors", tiny_audio())
            predict(store, out, audio=tmp_path / "audio.safetensors")
        elif command == "train":
            train_audio(store, out, AUDIO)
        else:
            simulate_clips(out, SimulateConfig(clips=1, seconds=6))

    with hold_folder(out):
        with pytest.raises(ConfigError, match=HELD):
            work()
        assert [p.name for p in out.iterdir()] == [LOCK]


def test_what_a_killed_simulation_left_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    leftovers = ["clips/.sim-1.mp4.x.tmp", "truth/.sim-1.parquet.x.tmp", "parts/.sim-1.json.x.tmp"]
    for name in leftovers:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("half")
    (out / "simulation.json").write_text('{"seed": 9}')
    with pytest.raises(ConfigError, match="made with a different"):
        simulate_clips(out, SimulateConfig())
    assert not [name for name in leftovers if (out / name).exists()]
