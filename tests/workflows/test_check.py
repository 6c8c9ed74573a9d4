"""Checking a store: nothing to say about a whole one, one line a fault about a damaged one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from quavf.cli import main
from quavf.store import ClipStore
from quavf.workflows.check import check_store
from tests.helpers.stores import forget_sums, make_tiny_store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_store(tmp_path_factory.mktemp("check") / "store", ("train", "val")).path


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> ClipStore:
    return ClipStore.open(shutil.copytree(whole, tmp_path / "store"))


def overwrite(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def test_a_whole_store(store: ClipStore, capsys: pytest.CaptureFixture[str]) -> None:
    found = check_store(store.path)
    assert (found.clips, found.problems, found.without_sums, found.stale_tables) == (2, (), 0, 0)
    assert main(["check", str(store.path)]) == 0
    assert capsys.readouterr().out == f"{store.path}: 2 clips checked\n"


def test_every_fault_is_listed(store: ClipStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in what no command reads before it scores: the crops and each quality."""
    folder = store.folder("clip0")
    overwrite(folder / "crops.tar", 100_000, b"damage")
    overwrite(folder / "sound.wav", 5000, b"damage")
    (folder / "quality" / "light.parquet").write_bytes(b"PAR1")
    (store.folder("clip1") / "clip.json").unlink()
    found = check_store(store.path)
    assert found.clips == 1
    says = [problem.removeprefix(f"{store.path}/clips/") for problem in found.problems]
    remedy = "; delete the clip's folder and prepare again"
    crop = next(s for s in says if "crop " in s)
    assert crop.startswith("clip0/crops.tar: crop ")
    says.remove(crop)
    assert says[0].startswith("clip0/crops.tar: its content has changed since it was written")
    assert says[1].startswith("clip0/quality/light.parquet: cannot be read (")
    assert says[2] == f"clip0/sound.wav: its content has changed since it was written{remedy}"
    assert says[3] == f"clip1: has no clip.json{remedy}"
    assert main(["check", str(store.path)]) == 1
    assert f"{store.path}: 1 clips checked; problems: 5" in capsys.readouterr().out


def test_a_store_of_an_earlier_version(store: ClipStore) -> None:
    for clip in store.clips():
        forget_sums(store, clip)
    found = check_store(store.path)
    assert (found.clips, found.problems, found.without_sums) == (2, (), 2)
    tar = store.crops_path("clip0")
    overwrite(tar, int(store.faces("clip0").offset[3]), b"no picture")
    (problem,) = check_store(store.path).problems
    assert "crop 3 is " in problem


def test_a_stale_table_is_counted(store: ClipStore) -> None:
    old = (store.folder("clip0") / "quality" / "light.parquet").read_bytes()
    shutil.rmtree(store.path)
    again = make_tiny_store(store.path, ("train",), sound=False)
    again.write_quality("clip0", "other", np.zeros(len(again.faces("clip0"))), {})
    (again.folder("clip0") / "quality" / "light.parquet").write_bytes(old)
    found = check_store(again.path)
    assert (found.problems, found.stale_tables) == ((), 1)
