"""Sources as plug-ins: registered by code, or brought by an installed package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from quavf import (
    ClipIndex,
    ClipRecord,
    ConfigError,
    CroppedClip,
    Segment,
    SourceSpec,
    TrackRows,
    prepare_source,
    register_source,
)
from quavf.cli import main
from quavf.faces.crop import encode_jpeg
from quavf.sources.registry import SOURCES, source_names
from quavf.store import ClipStore
from tests.helpers.media_files import tone, write_video
from tests.helpers.plugins import install_plugin, run_python


@dataclass(frozen=True)
class ToyConfig:
    """A folder of videos.

    Args:
        videos: The folder.
        label: Of every person: 1 talks to the wearer, 0 does not.
    """

    videos: Path
    label: int = 1


def read_toy(config: ToyConfig) -> ClipIndex:
    track = TrackRows(np.arange(10), np.tile([30.0, 20, 40, 50], (10, 1)))
    segment = Segment(1, 2, 6, config.label)
    paths = sorted(Path(config.videos).glob("*.mp4"))
    records = [
        ClipRecord(path.stem, "val", path, (segment,), {1: (track,)}, str(config.label))
        for path in paths
    ]
    return ClipIndex(records, {"videos without a name": 0, "files seen": len(paths)})


TOY = SourceSpec("toy", "Cut the faces out of toy videos.", ToyConfig, read_toy)


@pytest.fixture
def toy() -> Iterator[None]:
    register_source(TOY)
    yield
    SOURCES.unregister("toy")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", 12, 30, sound=np.stack([tone(0.4, 48_000)]))
    return folder


@pytest.mark.usefixtures("toy")
def test_a_registered_source_is_prepared(tmp_path: Path, videos: Path) -> None:
    assert source_names()[-1] == "toy"
    summary = prepare_source("toy", tmp_path / "store", ToyConfig(videos))
    assert (summary.clips, summary.crops, summary.positive_segments) == (1, 5, 1)
    assert summary.notes == {"files seen": 1}
    store = ClipStore.open(tmp_path / "store")
    assert (store.config.kind, store.config.semantics) == ("toy", "fixed")
    assert store.faces("a").frame.tolist() == [2, 3, 4, 5, 6]
    again = prepare_source("toy", tmp_path / "store", ToyConfig(videos))
    assert again.skipped == 1


@pytest.mark.usefixtures("toy")
def test_a_registered_source_has_a_command(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", "toy", "--videos", str(videos), "--store", str(tmp_path / "store")]
    assert main([*words, "--label", "0"]) == 0
    assert ClipStore.open(tmp_path / "store").manifest("a").segments == (Segment(1, 2, 6, 0),)
    capsys.readouterr()
    assert main(["prepare", "toy", "--help"]) == 0
    answer = capsys.readouterr().out
    assert answer.startswith("usage: quavf prepare toy --videos PATH --store STORE [options]")
    assert "1 talks to the wearer" in answer
    assert main(["prepare"]) == 0
    assert "prepare toy" in capsys.readouterr().out
    assert main(["prepare", "toy", "--store", "S"]) == 2
    assert "arguments are required: videos" in capsys.readouterr().err


def test_crops_of_several_people(tmp_path: Path) -> None:
    picture = tmp_path / "face.jpg"
    picture.write_bytes(encode_jpeg(np.zeros((224, 224, 3), np.uint8)))
    faces = {1: {0: picture}, 4: {0: picture, 15: picture}}
    index = ClipIndex([CroppedClip("a", "test", faces, None, "0")], framing="face")
    register_source(SourceSpec("cropped", "Take crops.", ToyConfig, lambda config: index))
    try:
        prepare_source("cropped", tmp_path / "store", ToyConfig(tmp_path))
    finally:
        SOURCES.unregister("cropped")
    table = ClipStore.open(tmp_path / "store").faces("a")
    assert list(zip(table.person.tolist(), table.frame.tolist(), strict=True)) == [
        (1, 0), (4, 0), (4, 15)
    ]  # fmt: skip


def test_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source 'nope': unknown; choose one of ego4d, challenge"):
        prepare_source("nope", tmp_path / "store", None)


CODE = """
from dataclasses import dataclass
from pathlib import Path
from quavf import ClipIndex, CroppedClip, SourceSpec

@dataclass(frozen=True)
class Config:
    pictures: Path

def read(config):
    faces = {1: {0: config.pictures / "face.jpg"}}
    return ClipIndex([CroppedClip("a", "test", faces, None, "0")], framing="face")

TOY = SourceSpec("toy", "Take one picture.", Config, read)
"""


def test_a_source_of_an_installed_package(tmp_path: Path) -> None:
    jpeg = encode_jpeg(np.zeros((224, 224, 3), np.uint8))
    (tmp_path / "face.jpg").write_bytes(jpeg)
    plugins = install_plugin(tmp_path / "site", "quavf.sources", "toy = toy_plugin:TOY", CODE)
    words = ("-m", "quavf", "prepare", "toy", "--pictures", ".", "--store", "store")
    done = run_python(*words, plugins=plugins, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(ClipStore.open(tmp_path / "store").faces("a")) == 1


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    plugins = install_plugin(
        tmp_path / "site", "quavf.sources", "toy = toy_plugin:TOY", "import no_such_module"
    )
    done = run_python("-m", "quavf", "prepare", "toy", plugins=plugins, folder=tmp_path)
    assert done.returncode == 2
    assert "source 'toy': toy_plugin:TOY cannot be loaded (ModuleNotFoundError" in done.stderr
    done = run_python("-m", "quavf", "prepare", plugins=plugins, folder=tmp_path)
    assert (done.returncode, "prepare toy" in done.stdout) == (0, True)
