"""The state to resume from: one that can be read is there, whatever happens to the last."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from quavf.core.errors import CheckpointError, QuavfError
from quavf.store import ClipStore
from quavf.training.state import EARLIER, RESUME, StateIO, find_state
from quavf.training.train import BranchModule
from quavf.workflows.train import train_audio
from tests.helpers.stores import make_tiny_store
from tests.helpers.training import AUDIO, same, weights


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return make_tiny_store(tmp_path_factory.mktemp("state") / "store")


def interrupt(store: ClipStore, out: Path, after: int) -> None:
    """Train until `after` batches are done."""
    original, seen = BranchModule.training_step, []

    def step(self: BranchModule, batch: Any, index: int) -> Any:
        seen.append(index)
        if len(seen) > after:
            raise KeyboardInterrupt
        return original(self, batch, index)

    handler = signal.getsignal(signal.SIGINT)
    BranchModule.training_step = step  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            train_audio(store.path, out, AUDIO)
    finally:
        BranchModule.training_step = original  # type: ignore[method-assign]
        signal.signal(signal.SIGINT, handler)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path, io = tmp_path / RESUME, StateIO()
    for value in (1, 2):
        io.save_checkpoint({"a": torch.full((1000,), value)}, path)
    assert io.load_checkpoint(path, weights_only=True)["a"][0] == 2
    assert not caplog.records
    DAMAGE[damage](path)
    found = find_state(tmp_path)
    assert found is not None
    assert io.load_checkpoint(found, weights_only=True)["a"][0] == 1
    says = f"{path}: cannot be read (" in caplog.text
    assert says == (damage != "gone")
    assert says == (f"going on from the state before, {EARLIER}" in caplog.text)
    DAMAGE["cut"](path.with_name(EARLIER))
    with pytest.raises(CheckpointError, match=r"ckpt: cannot be read .*; delete .* to start over"):
        io.load_checkpoint(found, weights_only=True)


def test_a_run_goes_on_from_the_state_before(store: ClipStore, tmp_path: Path) -> None:
    """And ends with the same weights."""
    train_audio(store.path, tmp_path / "whole", AUDIO)
    out = tmp_path / "run"
    interrupt(store, out, after=5)
    flip(out / RESUME)
    train_audio(store.path, out, AUDIO)
    for name in ("last.safetensors", "best.safetensors"):
        assert same(weights(tmp_path / "whole", name), weights(out, name)), name


def test_a_state_is_not_copied_over_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning moves it from the temporary folder, which may lie on another disk."""

    def half(source: str, target: str, *args: Any) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "move", half)
    for _ in range(2):
        StateIO().save_checkpoint({"a": 1}, tmp_path / RESUME)
    assert sorted(p.name for p in tmp_path.iterdir()) == [RESUME, EARLIER]


def test_a_full_disk_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, io = tmp_path / RESUME, StateIO()
    io.save_checkpoint({"a": torch.ones(2)}, path)

    def full(content: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(QuavfError, match=r"last\.ckpt: cannot write \(No space left"):
            io.save_checkpoint({"a": torch.zeros(2)}, path)
    assert io.load_checkpoint(path, weights_only=True)["a"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == [RESUME]


def test_between_two_names(tmp_path: Path) -> None:
    """A process killed between the two renames leaves the state before."""
    assert find_state(tmp_path) is None
    StateIO().save_checkpoint({"a": 1}, tmp_path / RESUME)
    (tmp_path / RESUME).rename(tmp_path / EARLIER)
    assert find_state(tmp_path) == tmp_path / EARLIER
