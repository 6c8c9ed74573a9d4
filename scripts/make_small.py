"""The weights that come with the package, from nothing but seeds and the package registry.

    python scripts/make_small.py --out FOLDER [--workers 2]

Simulates conversations, trains both branches from the recipes `small`, trains the visual one
further on other conversations (recipe `further`), and writes
`FOLDER/small/{audio,visual}.safetensors` in half precision. Every step goes on where it was
interrupted: count on two hours of two cores. `benchmarks/worlds.py` judges what comes out.
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
from quavf.models.checkpoint import (
    checkpoint_file,
    checkpoint_info,
    load_branch,
    save_branch,
)
from quavf.simulate.config import SimulateConfig
from quavf.training.config import TrainAudioConfig, TrainVisualConfig
from quavf.training.recipes import recipe_path
from quavf.training.train import train_audio, train_visual
from quavf.utils.parallel import EngineConfig
from quavf.workflows.evaluate import evaluate
from quavf.workflows.predict import predict
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality
from registry_weights import write_starts

WORLD = SimulateConfig(
    seed=11, preset="mixed", clips=512, seconds=30.0, val_share=1 / 16, test_share=0.0
)
FURTHER = replace(WORLD, seed=12, clips=1024, val_share=1 / 32)  # other people, voices, rooms


def recipe(name: str, branch: str, kind: type[Any]) -> Any:
    """A recipe's settings for a branch."""
    path = recipe_path(name, branch)
    return from_dict(kind, yaml.safe_load(path.read_text()), path)


def main() -> None:
    """Simulate, train, pack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    options = parser.parse_args()
    out: Path = options.out
    starts = write_starts(out / "start")
    store, further = out / "store", out / "further"
    for folder, world in ((store, WORLD), (further, FURTHER)):
        prepare_simulated(folder, world, engine=EngineConfig(workers=options.workers))
        score_quality(folder)
    audio = recipe("small", "audio", TrainAudioConfig)
    model = replace(audio.audio, encoder_weights=str(starts["whisper_tiny"]))
    train_audio(store, out / "runs" / "audio", replace(audio, audio=model))
    pack("audio", store, out / "runs" / "audio", out / "small" / "audio.safetensors")
    visual = recipe("small", "visual", TrainVisualConfig)
    network = replace(visual.visual, backbone_weights=str(starts["mobilenetv2_100"]))
    train_visual(store, out / "runs" / "visual", replace(visual, visual=network))
    first = out / "first" / "visual.safetensors"
    pack("visual", store, out / "runs" / "visual", first)
    visual = replace(recipe("further", "visual", TrainVisualConfig), start=str(first))
    train_visual(further, out / "runs" / "further", visual)
    pack("visual", further, out / "runs" / "further", out / "small" / "visual.safetensors")


def pack(kind: str, store: Path, run: Path, packed: Path) -> None:
    """The best weights, calibrated, in half precision, without paths of where they were trained."""
    shift = shift_of(kind, store, run)
    branch = load_branch(run)
    with torch.no_grad():
        branch.head.bias.add_(torch.tensor([-shift / 2, shift / 2]))
    key = "encoder_weights" if isinstance(branch, AudioBranch) else "backbone_weights"
    branch.config = replace(branch.config, **{key: "random"})  # type: ignore[arg-type]
    packed.parent.mkdir(parents=True, exist_ok=True)
    info = checkpoint_info(checkpoint_file(run))["info"] | {"shift": shift}
    save_branch(packed, branch.half(), info)


def shift_of(kind: str, store: Path, run: Path) -> float:
    """The shift of a branch's log odds that makes its mean score on val frames the true share.

    The loss weighs classes and counts unlabelled stretches, so that the branches are off by
    different amounts: fusion would mix levels instead of opinions. Only the level is mended;
    fitting a scale as well made the audio branch three times as timid.
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
