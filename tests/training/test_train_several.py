"""Training in several processes: the weights of one process, and one voice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only

from quavf.core.errors import ConfigError
from quavf.models.audio import AudioBranch
from quavf.store import ClipStore
from quavf.training.datasets import IGNORED
from quavf.training.run_folder import RunFolder
from quavf.training.train import BranchModule, is_leader
from quavf.utils.files import read_json
from quavf.workflows.train import train_audio, train_visual
from tests.helpers.stores import make_tiny_store
from tests.helpers.training import (
    NO_DROPOUT,
    VISUAL,
    assert_same_weights,
    in_two_processes,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """One clip to validate on: less than there are processes."""
    return make_tiny_store(tmp_path_factory.mktemp("several") / "store")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "train", "config"),
    [("torchrun", train_audio, NO_DROPOUT), ("lightning", train_visual, VISUAL)],
)
def test_two_processes_train_the_weights_of_one(
    store: ClipStore, tmp_path: Path, launcher: str, train: Any, config: Any
) -> None:
    """The same samples a step, in halves; the halves differ in classes and in labelled sound."""
    config = replace(config, trainer=replace(config.trainer, batch_size=4))
    train(store.path, tmp_path / "one", config)
    said, noise = in_two_processes(launcher, store.path, tmp_path / "two", config)
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    one, two = (read_json(tmp_path / run / "training.json") for run in ("one", "two"))
    assert two.pop("best_map") == pytest.approx(one.pop("best_map"), abs=0.01)
    assert two | {"run": ""} == one | {"run": ""}
    assert said.count("Training of the") == 1
    assert "distributed" not in noise.lower()
    assert "self.log" not in noise


@pytest.mark.parametrize("weights", [None, torch.tensor([0.3, 0.7])])
def test_loss_of_a_group(tmp_path: Path, weights: torch.Tensor | None) -> None:
    """Summed and divided by what all processes count, which of one process is the mean."""
    torch.manual_seed(0)
    module = BranchModule(AudioBranch(NO_DROPOUT.audio), weights, NO_DROPOUT)
    labels = torch.full((2, 900), IGNORED)
    labels[0, :100], labels[1, :700] = 1, 0
    batch = (torch.randn(2, 480_000), labels)
    alone = module.loss(batch)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    try:
        together = module.loss(batch)
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(together, alone)


def test_only_the_first_process_claims_a_folder(tmp_path: Path) -> None:
    """Another may find the first one's files half-written, and leaves them alone."""
    first, second = (RunFolder(tmp_path / "run", is_leader=n == 0) for n in range(2))
    second.check({"lr": 1})
    second.claim({"lr": 1})
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.json.x.tmp").write_text("{")
    second.check({"lr": 1})
    with pytest.raises(ConfigError, match="no training run"):
        first.check({"lr": 1})
    (tmp_path / "run" / ".config.json.x.tmp").unlink()
    first.check({"lr": 1})
    first.claim({"lr": 1})
    with pytest.raises(ConfigError, match="lr 1, now 2"):
        second.check({"lr": 2})


def test_one_process_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_leader()
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert not is_leader()
