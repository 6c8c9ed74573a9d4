"""Training that starts from a whole checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from quavf.core.config import from_dict
from quavf.core.errors import CheckpointError, ConfigError
from quavf.core.windows import WindowConfig
from quavf.models.audio import AudioBranch
from quavf.models.bundled import weights_path
from quavf.models.checkpoint import load_branch, save_branch
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.cues import CuesBranch
from quavf.models.visual import VisualBranch
from quavf.training.config import (
    TrainAudioConfig,
    TrainCuesConfig,
    TrainerConfig,
    TrainVisualConfig,
)
from quavf.training.recipes import recipe_path
from quavf.training.start import adopt_settings, start_from
from quavf.workflows.train import train_audio, train_visual
from tests.helpers.data import GOLDEN, needs_golden
from tests.helpers.stores import make_tiny_store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

AUDIO = AudioConfig(encoder="16x1x2", encoder_weights="random", dim=16, n_heads=2)
VISUAL = VisualConfig(
    backbone="test_efficientnet",
    backbone_weights="random",
    dim=16,
    n_heads=2,
    frozen=False,
    size=64,
)
TRAINER = TrainerConfig(epochs=1, batch_size=2, lr=1e-12, save_every=2, accelerator="cpu")


def audio_file(folder: Path) -> Path:
    torch.manual_seed(1)
    save_branch(folder / "audio.safetensors", AudioBranch(AUDIO).half())
    return folder / "audio.safetensors"


def visual_file(folder: Path) -> Path:
    torch.manual_seed(1)
    save_branch(folder / "visual.safetensors", VisualBranch(VISUAL))
    return folder / "visual.safetensors"


@pytest.mark.parametrize("kind", ["audio", "visual"])
def test_training_goes_on_from_every_weight(kind: str, tmp_path: Path) -> None:
    """With a learning rate of nothing the weights of the checkpoint come out again."""
    store = make_tiny_store(tmp_path / "store").path
    if kind == "audio":
        start = audio_file(tmp_path)
        train_audio(
            store,
            tmp_path / "run",
            TrainAudioConfig(start=str(start), audio=AUDIO, trainer=TRAINER),
        )
    else:
        start = visual_file(tmp_path)
        windows = WindowConfig(min_quality=0.1, step=40)
        config = TrainVisualConfig(
            start=str(start), visual=VISUAL, windows=windows, trainer=TRAINER
        )
        train_visual(store, tmp_path / "run", config)
    before, after = load_branch(start), load_branch(tmp_path / "run")
    theirs = dict(before.named_parameters())
    assert theirs
    for name, weight in after.named_parameters():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-8, msg=name)


def test_a_name_stands_for_weights_that_come_with_the_package() -> None:
    shipped = load_branch(weights_path("small", "visual"))
    assert isinstance(shipped, VisualBranch)
    branch = VisualBranch(replace(shipped.config, frozen_stages=0, dropout=0.5, size=96))
    start_from(branch, "small")
    assert all(
        torch.equal(weight, branch.state_dict()[name])
        for name, weight in shipped.state_dict().items()
    )
    assert branch.config.dropout == 0.5


def test_the_recipe_that_trains_them_further_fits_them() -> None:
    """It repeats the recipe that they were made by; what it changes is meant."""
    first, further = (recipe(name) for name in ("small", "further"))
    changed = {key for key in first | further if first.get(key) != further.get(key)}
    assert changed == {"start", "windows.min_quality", "trainer.epochs", "trainer.lr"}
    config = from_dict(
        TrainVisualConfig, yaml.safe_load(recipe_path("further", "visual").read_text())
    )
    assert config.start == "small"
    start_from(VisualBranch(config.visual, BranchSettings(windows=config.windows)), config.start)


def recipe(name: str) -> dict[str, Any]:
    """A visual recipe's settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in yaml.safe_load(recipe_path(name, "visual").read_text()).items():
        inner = value if isinstance(value, dict) else {"": value}
        found |= {f"{key}.{k}".rstrip("."): v for k, v in inner.items()}
    return found


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("dim", 32, r"audio\.dim: 32, but .*audio.safetensors was trained with 16; set --audio"),
        ("n_heads", 4, r"audio\.n_heads: 4, .* with 2"),  # same shapes, another meaning
        ("n_layers", 2, r"audio\.n_layers: 2, .* with 1"),
        ("encoder", "16x2x2", r"audio\.encoder: '16x2x2', .* with '16x1x2'"),
    ],
)
def test_another_model_is_refused(field: str, value: Any, found: str, tmp_path: Path) -> None:
    start = audio_file(tmp_path)
    with pytest.raises(ConfigError, match=found):
        start_from(AudioBranch(replace(AUDIO, **{field: value})), start)


def test_all_settings_that_differ_are_named_at_once(tmp_path: Path) -> None:
    start = audio_file(tmp_path)
    with pytest.raises(ConfigError, match=r"set --audio\.encoder 16x1x2 --audio\.n_layers 1, or"):
        start_from(AudioBranch(replace(AUDIO, encoder="16x2x2", n_layers=2)), start)


def test_other_windows_are_refused(tmp_path: Path) -> None:
    start = visual_file(tmp_path)
    settings = BranchSettings(windows=WindowConfig(n_slots=7))
    with pytest.raises(ConfigError, match=r"windows\.n_slots: 7, .* with 15"):
        start_from(VisualBranch(VISUAL, settings), start)


def test_the_other_branch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"start: .* of the visual branch; give .* audio branch"):
        start_from(AudioBranch(AUDIO), visual_file(tmp_path))


def test_a_lost_checkpoint_leaves_no_run(tmp_path: Path) -> None:
    store = make_tiny_store(tmp_path / "store").path
    config = TrainAudioConfig(start=str(tmp_path / "lost"), audio=AUDIO, trainer=TRAINER)
    with pytest.raises(CheckpointError, match="lost: no such file"):
        train_audio(store, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


@needs_golden
@pytest.mark.parametrize("name", ["audio_tiny_L1.pt", "visual_test_resnet_score1_L1.pt"])
def test_published_checkpoints_can_be_trained_further(name: str, tmp_path: Path) -> None:
    """In other semantics than they were trained with, too."""
    state = torch.load(GOLDEN / name, weights_only=True)["state_dict"]
    torch.save({"model": state}, tmp_path / name)
    published = load_branch(tmp_path / name)
    settings = replace(published.settings, semantics="fixed")
    branch = type(published)(published.config, settings)
    start_from(branch, tmp_path / name)
    found = branch.state_dict()
    assert all(torch.equal(found[key], value) for key, value in published.state_dict().items())


def test_the_model_is_the_checkpoints_unless_said_otherwise(tmp_path: Path) -> None:
    start = str(audio_file(tmp_path))
    found = adopt_settings(TrainAudioConfig(start=start, unlabelled=0.0), "audio")
    assert found.audio == load_branch(start).config
    given = TrainAudioConfig(start=start, audio=replace(AUDIO, dim=32))
    assert adopt_settings(given, "audio") == given
    assert adopt_settings(TrainAudioConfig(), "audio") == TrainAudioConfig()


def test_the_weights_of_the_package_need_no_other_option() -> None:
    cues = adopt_settings(TrainCuesConfig(start="talk"), "cues")
    assert cues.cues == load_branch(weights_path("talk", "cues")).config
    visual = adopt_settings(TrainVisualConfig(start="small"), "visual")
    shipped = load_branch(weights_path("small", "visual"))
    assert (visual.windows, visual.context) == (shipped.settings.windows, shipped.settings.context)
    start_from(VisualBranch(visual.visual, shipped.settings), "small")
    start_from(CuesBranch(cues.cues), "talk")
