"""Small training runs: their settings, their weights, and runs in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from quavf.core.windows import WindowConfig
from quavf.models.config import AudioConfig, VisualConfig
from quavf.training.config import TrainAudioConfig, TrainerConfig, TrainVisualConfig

AUDIO = TrainAudioConfig(
    audio=AudioConfig(encoder="16x1x2", encoder_weights="random", dim=16, n_heads=2),
    trainer=TrainerConfig(epochs=2, batch_size=2, lr=1e-3, save_every=2, accelerator="cpu"),
)
VISUAL = TrainVisualConfig(
    visual=VisualConfig(
        backbone="test_efficientnet", backbone_weights="random", size=64, dim=16, n_heads=2
    ),
    windows=WindowConfig(min_quality=0.1, step=40),
    trainer=TrainerConfig(epochs=2, batch_size=2, lr=1e-3, save_every=2, accelerator="cpu"),
)
NO_DROPOUT = replace(AUDIO, audio=replace(AUDIO.audio, dropout=0.0))

QUAVF = ["-m", "quavf"]
LAUNCHERS = {
    "lightning": QUAVF,
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *QUAVF],
}


def weights(run: Path, name: str = "last.safetensors") -> dict[str, torch.Tensor]:
    return load_file(run / name)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def options(config: Any, prefix: str = "") -> list[str]:
    """A configuration as words of a command line."""
    words = []
    for name, value in vars(config).items():
        if hasattr(value, "__dataclass_fields__"):
            words += options(value, f"{prefix}{name}.")
        elif value != "":
            words.append(f"--{prefix}{name}={list(value) if isinstance(value, tuple) else value}")
    return words


def in_two_processes(launcher: str, store: Path, out: Path, config: Any) -> tuple[str, str]:
    """What `quavf train` in two processes writes to stdout and stderr."""
    branch = "audio" if isinstance(config, TrainAudioConfig) else "visual"
    two = replace(config.trainer, batch_size=config.trainer.batch_size // 2)
    config = replace(config, trainer=replace(two, devices="2", strategy="ddp"))
    command = [sys.executable, *LAUNCHERS[launcher], "train", branch, *options(config)]
    done = subprocess.run(
        [*command, f"--store={store}", f"--out={out}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def assert_same_weights(a: Path, b: Path) -> None:
    """To 1e-6, but for the bias of the attention's keys.

    That has no gradient by mathematics, and Adam makes steps of any rounding that is left of one.
    """
    one, other = (load_file(run / "last.safetensors") for run in (a, b))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        error = (weight - other[name]).abs()
        if name.endswith("attention.in_proj_bias"):
            error[len(error) // 3 : 2 * len(error) // 3] = 0
        assert error.max() <= 1e-6, (name, error.max())
