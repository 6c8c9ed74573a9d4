"""Whoever works on the clips: the same results, messages and errors; what happens when one dies."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.cli import main
from quavf.core.errors import ConfigError, EngineError, MediaError
from quavf.inference.config import PredictConfig
from quavf.models.checkpoint import save_branch
from quavf.results.scores import read_scores
from quavf.results.video import VideoResult
from quavf.utils.parallel import EngineConfig, connect_ray, run_each
from quavf.workflows.config import RunConfig
from quavf.workflows.predict import predict
from quavf.workflows.prepare import prepare_ego4d
from quavf.workflows.quality import score_quality
from quavf.workflows.run import run_videos
from tests.helpers.annotations import clip, person, segment, write_annotations
from tests.helpers.data import ROOT
from tests.helpers.face_videos import write_video
from tests.helpers.media_files import SIZE, tone
from tests.helpers.media_files import write_video as write_media
from tests.helpers.parallel_work import Dying, Squaring, refuse, warn, write_here
from tests.helpers.published import tiny_audio, tiny_visual
from tests.helpers.stores import make_tiny_store

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed"
)
PROCESSES = EngineConfig(workers=2)
RAY = EngineConfig("ray", workers=2)
OTHERS = [pytest.param(PROCESSES, id="processes"), pytest.param(RAY, id="ray", marks=needs_ray)]
ALL = [pytest.param(EngineConfig(), id="here"), *OTHERS]

pytestmark = [  # of ray's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One for all tests: starting it takes seconds."""
    if importlib.util.find_spec("ray") is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # of this file
        with connect_ray(RAY):
            yield


# The engine by itself.


@pytest.mark.parametrize("engine", ALL)
@pytest.mark.parametrize("n", [0, 1, 9])
def test_every_item_is_done_once(engine: EngineConfig, n: int, tmp_path: Path) -> None:
    found = {done.item: done.result[0] for done in run_each(Squaring(tmp_path), range(n), engine)}
    assert found == {k: k * k for k in range(n)}


@pytest.mark.parametrize("engine", OTHERS)
def test_each_worker_loads_once(engine: EngineConfig, tmp_path: Path) -> None:
    pids = {done.result[1] for done in run_each(Squaring(tmp_path), range(12), engine)}
    made = [path.name.split("-")[1] for path in tmp_path.iterdir()]
    assert os.getpid() not in pids
    assert sorted(made) == sorted(map(str, [os.getpid(), *pids]))


@pytest.mark.parametrize("engine", ALL)
def test_messages_come_back(engine: EngineConfig, caplog: pytest.LogCaptureFixture) -> None:
    list(run_each(warn, [1, 3], engine))
    assert sorted(caplog.messages) == ["item 1 is odd", "item 3 is odd"]


@pytest.mark.parametrize("engine", ALL)
def test_errors_are_those_of_the_work(engine: EngineConfig) -> None:
    with pytest.raises(MediaError, match=r"^two.mp4: not a video$"):
        list(run_each(refuse, [1, 2, 3], engine))


@pytest.mark.parametrize("engine", ALL)
def test_paths_mean_the_same_everywhere(
    engine: EngineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    list(run_each(write_here, [1, 2], engine))
    assert {path.name for path in tmp_path.iterdir()} == {"1.txt", "2.txt"}


@needs_ray
def test_a_cluster_gives_the_item_of_a_dead_worker_to_another(tmp_path: Path) -> None:
    done = run_each(Dying(tmp_path, times=2), range(8), RAY)
    assert sorted(d.result for d in done) == list(range(8))
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}


@pytest.mark.parametrize("engine", OTHERS)
def test_workers_that_keep_dying(engine: EngineConfig, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"died.*repeat the command"):
        list(run_each(Dying(tmp_path, times=99), range(8), engine))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"engine": "slurm"}, "engine: 'slurm' is not one of local, ray"),
        ({"workers": 0}, "workers: 0 is under 1"),
        ({"address": "auto"}, "address: needs --engine ray"),
    ],
)
def test_wrong_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EngineConfig(**values)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'quavf\[ray\]'"):
        list(run_each(refuse, [1], RAY))


# The commands.


def content(folder: Path) -> dict[str, str]:
    """A digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("engine", OTHERS)
def test_prepare(engine: EngineConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = [(frame, 0.0, 0.0, float(SIZE[0]), float(SIZE[1])) for frame in range(20)]
    names = ("a", "b", "broken")
    write_annotations(
        tmp_path / "annotations",
        [clip(n, [person(1, boxes)], [segment("1", 3, 9)]) for n in names],
    )
    (tmp_path / "clips").mkdir()
    for name in names[:2]:
        write_media(tmp_path / "clips" / f"{name}.mp4", 20, 30, sound=tone(0.7, 48_000)[None])
    (tmp_path / "clips" / "broken.mp4").write_text("no video")

    def make(store: Path, engine: EngineConfig) -> None:
        summary = prepare_ego4d(tmp_path / "annotations", tmp_path / "clips", store, engine=engine)
        assert (summary.clips, list(summary.failed)) == (2, ["broken"])

    make(tmp_path / "here", EngineConfig())
    make(tmp_path / "there", engine)
    assert content(tmp_path / "here") == content(tmp_path / "there")
    assert sum("clip broken is left out" in message for message in caplog.messages) == 2


def rescore(store: Path, engine: EngineConfig) -> None:
    make_tiny_store(store)
    for file in store.rglob("quality/*"):
        file.unlink()
    assert score_quality(store, engine=engine).clips == 3


@pytest.fixture(scope="module")
def qualities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Those of this process."""
    folder = tmp_path_factory.mktemp("quality")
    rescore(folder, EngineConfig())
    return content(folder)


@pytest.mark.parametrize("engine", OTHERS)
def test_quality(engine: EngineConfig, qualities: dict[str, str], tmp_path: Path) -> None:
    rescore(tmp_path, engine)
    assert content(tmp_path) == qualities


@pytest.mark.parametrize(
    ("engine", "runtime"),
    [
        pytest.param(PROCESSES, "torch", id="processes"),
        pytest.param(RAY, "onnx", id="ray", marks=needs_ray),  # which starts much faster
    ],
)
def test_predict(engine: EngineConfig, runtime: str, tmp_path: Path) -> None:
    models: dict[str, Any] = {"weights": "small"}
    if runtime == "torch":
        models = {kind: tmp_path / f"{kind}.safetensors" for kind in ("audio", "visual")}
        save_branch(models["audio"], tiny_audio())
        save_branch(models["visual"], tiny_visual(size=64))
    store, config = make_tiny_store(tmp_path / "store").path, PredictConfig(device="cpu")
    for name, who in (("here", EngineConfig()), ("there", engine)):
        summary = predict(store, tmp_path / name, **models, config=config, engine=who)
        assert (summary.clips, summary.branches.several) == (3, summary.rows)
    here, there = (read_scores(tmp_path / name) for name in ("here", "there"))
    for name in ("clip", "person", "frame"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
    for name in ("audio", "visual", "fused"):
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), atol=1e-6)


RUN = RunConfig(device="cpu", annotated=False, report=False)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VideoResult]:
    """A folder with videos, and the result of the first one in this process."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "broken.mp4").write_text("no video")
    for name in "ab":
        write_video(folder / f"{name}.mp4", seconds=2)
    (alone,) = run_videos([folder / "a.mp4"], folder / "here", RUN)
    assert alone.analysis is not None
    return folder, alone.analysis.result


@pytest.mark.parametrize("engine", OTHERS)
def test_run(engine: EngineConfig, judged: tuple[Path, VideoResult], tmp_path: Path) -> None:
    folder, here = judged
    names = ["broken.mp4", "a.mp4", "b.mp4"]
    outcomes = run_videos([folder / name for name in names], tmp_path, RUN, engine)
    assert [o.video.name for o in outcomes] == names
    assert "not a readable media file" in outcomes[0].error
    assert outcomes[1].analysis is not None
    assert outcomes[1].analysis.result.to_json() == here.to_json()


def simulate(store: Path, engine: EngineConfig) -> None:
    from quavf.simulate.config import PictureConfig, SimulateConfig, WorldConfig
    from quavf.workflows.prepare_simulated import prepare_simulated

    small = WorldConfig(picture=PictureConfig(width=320, height=180))
    world = SimulateConfig(seed=4, clips=2, seconds=4.0, test_share=0.0, world=small)
    assert prepare_simulated(store, world, engine=engine).clips == 2


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The store of this process."""
    pytest.importorskip("numba", reason="the renderer needs pip install 'quavf[simulate]'")
    pytest.importorskip("espeakng_loader", reason="speech needs pip install 'quavf[simulate]'")
    folder = tmp_path_factory.mktemp("simulate")
    simulate(folder, EngineConfig())
    return content(folder)


@pytest.mark.parametrize("engine", OTHERS)
def test_simulate(engine: EngineConfig, simulated: dict[str, str], tmp_path: Path) -> None:
    simulate(tmp_path, engine)
    assert content(tmp_path) == simulated


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_tiny_store(tmp_path / "store").path
    assert main(["quality", str(store), "--workers", "2"]) == 0
    assert main(["quality", str(store), "--engine", "slurm"]) == 2
    assert "engine" in capsys.readouterr().err
