"""Train a branch on a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quavf.core.branches import BRANCHES
from quavf.store import ClipStore
from quavf.training.config import TrainAudioConfig, TrainVisualConfig
from quavf.utils.extras import require_torch

if TYPE_CHECKING:
    from quavf.training.run_folder import TrainSummary


def train(branch: str, store: Path | str, out: Path | str, config: Any = None) -> TrainSummary:
    """Train any branch on a store's train split, validating on its val split.

    `config` is an instance of the branch's `train_config`; default: its defaults. Writes
    `best.safetensors`, `last.safetensors`, TensorBoard logs and the configuration into `out`. An
    interrupted run goes on; a finished one is left as it is.

    Raises ConfigError for a branch that does not exist or cannot be trained, and for settings that
    differ from those that a run was started with.
    """
    require_torch("training")
    from quavf.training.train import train_branch

    spec = BRANCHES.get(branch)
    config = spec.load("train_config")() if config is None else config
    return train_branch(spec, ClipStore.open(Path(store)), Path(out), config)


def train_audio(
    store: Path | str, out: Path | str, config: TrainAudioConfig | None = None
) -> TrainSummary:
    """Train the audio branch; see `train`."""
    return train("audio", store, out, config)


def train_visual(
    store: Path | str, out: Path | str, config: TrainVisualConfig | None = None
) -> TrainSummary:
    """Train the visual branch; see `train`."""
    return train("visual", store, out, config)
