"""Train the bundled weights from seeds and weights on the package registry.

    python scripts/make_small.py --out FOLDER [--workers 2]

Simulates conversations, trains both branches with the recipe `small`, trains the visual branch
further on other conversations (recipe `further`), and writes
`FOLDER/small/{audio,visual}.safetensors` in half precision. Takes about two hours on two cores;
interrupted runs resume. `benchmarks/worlds.py` evaluates the result.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from quavf.core.config import from_dict
from quavf.inference.config import PredictConfig
from quavf.models.audio import AudioBranch
from quavf.models.checkpoint import load_branch, save_branch
from quavf.models.description import checkpoint_file, checkpoint_info
from quavf.simulate.config import SimulateConfig
from quavf.training.config import TrainAudioConfig, TrainVisualConfig
from quavf.training.recipes import recipe_path
from quavf.utils.parallel import EngineConfig
from quavf.workflows.evaluate import evaluate
from quavf.workflows.predict import predict
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality
from quavf.workflows.train import train_audio, train_visual
from registry_weights import write_starts

WORLD = SimulateConfig(
    seed=11, preset="mixed", clips=512, seconds=30.0, val_share=1 / 16, test_share=0.0
)
FURTHER_WORLD = replace(
    WORLD, seed=12, clips=1024, val_share=1 / 32
)  # new people, voices and rooms


def read_options(description: str | None) -> argparse.Namespace:
    """Read the command line of a script that makes weights."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--workers", type=int, default=2, help="processes for simulation")
    return parser.parse_args()


def load_recipe(name: str, branch: str, kind: type[Any]) -> Any:
    """Load the settings of a recipe for a branch."""
    path = recipe_path(name, branch)
    return from_dict(kind, yaml.safe_load(path.read_text()), path)


def main() -> None:
    """Simulate, train and pack."""
    options = read_options(__doc__)
    out: Path = options.out
    starts = write_starts(out / "start")
    store, further = out / "store", out / "further"
    for folder, world in ((store, WORLD), (further, FURTHER_WORLD)):
        prepare_simulated(folder, world, engine=EngineConfig(workers=options.workers))
        score_quality(folder)
    audio = load_recipe("small", "audio", TrainAudioConfig)
    model = replace(audio.audio, encoder_weights=str(starts["whisper_tiny"]))
    train_audio(store, out / "runs" / "audio", replace(audio, audio=model))
    pack_weights("audio", store, out / "runs" / "audio", out / "small" / "audio.safetensors")
    visual = load_recipe("small", "visual", TrainVisualConfig)
    network = replace(visual.visual, backbone_weights=str(starts["mobilenetv2_100"]))
    train_visual(store, out / "runs" / "visual", replace(visual, visual=network))
    first = out / "first" / "visual.safetensors"
    pack_weights("visual", store, out / "runs" / "visual", first)
    visual = replace(load_recipe("further", "visual", TrainVisualConfig), start=str(first))
    train_visual(further, out / "runs" / "further", visual)
    pack_weights("visual", further, out / "runs" / "further", out / "small" / "visual.safetensors")


def pack_weights(kind: str, store: Path, run: Path, packed: Path) -> None:
    """Write the best weights of a run, calibrated, in half precision, without local paths."""
    shift = fit_shift(kind, store, run)
    branch: Any = load_branch(run)
    with torch.no_grad():
        branch.head.bias.add_(torch.tensor([-shift / 2, shift / 2]))
    key = "encoder_weights" if isinstance(branch, AudioBranch) else "backbone_weights"
    branch.config = replace(branch.config, **{key: "random"})
    packed.parent.mkdir(parents=True, exist_ok=True)
    info = checkpoint_info(checkpoint_file(run))["info"] | {"shift": shift}
    save_branch(packed, branch.half(), info)


def fit_shift(kind: str, store: Path, run: Path) -> float:
    """Fit the log-odds shift that gives a branch the true mean score on validation frames.

    The loss weights classes and includes unlabelled stretches, which biases the branches by
    different amounts; without the shift, the bias would dominate fusion. Only the level is
    calibrated: fitting a scale too reduced the audio log odds to a third.
    """
    branches: dict[str, Any] = {kind: run}
    predict(store, run / "val", **branches, config=PredictConfig(split="val"))
    judged = evaluate(store=store, scores=run / "val", out=run / "val").frame.rows
    scores = judged.systems[kind].clip(1e-6, 1 - 1e-6)
    odds = np.log(scores / (1 - scores))
    low, high = -10.0, 10.0
    for _ in range(50):
        shift = (low + high) / 2
        too_high = float((1 / (1 + np.exp(-odds - shift))).mean()) > judged.labels.mean()
        low, high = (low, shift) if too_high else (shift, high)
    return shift


if __name__ == "__main__":
    main()
