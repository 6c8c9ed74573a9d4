"""The weights that come with the package, from nothing but seeds and the package registry.

    python scripts/make_small.py --out FOLDER [--workers 2]

Simulates conversations, trains both branches from the recipes `small`, and writes
`FOLDER/small/{audio,visual}.safetensors` in half precision. Every step goes on where it was
interrupted; about two hours on two cores. `benchmarks/worlds.py` judges what comes out.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from quavf.branches.checkpoint import checkpoint_info, load_branch, save_branch
from quavf.branches.train import train_audio, train_visual
from quavf.config import TrainAudioConfig, TrainVisualConfig, from_dict
from quavf.quality import score_quality
from quavf.recipes import recipe_path
from quavf.simulate.config import SimulateConfig
from quavf.simulated import prepare_simulated
from registry_weights import write_starts

WORLD = SimulateConfig(
    seed=11, preset="mixed", clips=512, seconds=30.0, val_share=1 / 16, test_share=0.0
)
BRANCHES = ("audio", "visual")


def recipe(branch: str, kind: type[Any]) -> Any:
    """The settings of recipe `small`."""
    path = recipe_path("small", branch)
    return from_dict(kind, yaml.safe_load(path.read_text()), path)


def main() -> None:
    """Simulate, train, pack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    options = parser.parse_args()
    out: Path = options.out
    starts = write_starts(out / "start")
    store = out / "store"
    prepare_simulated(store, WORLD, workers=options.workers)
    score_quality(store)
    audio = recipe("audio", TrainAudioConfig)
    model = replace(audio.audio, encoder_weights=str(starts["whisper_tiny"]))
    train_audio(store, out / "runs" / "audio", replace(audio, audio=model))
    visual = recipe("visual", TrainVisualConfig)
    network = replace(visual.visual, backbone_weights=str(starts["mobilenetv2_100"]))
    train_visual(store, out / "runs" / "visual", replace(visual, visual=network))
    for branch in BRANCHES:
        pack(out / "runs" / branch / "best.safetensors", out / "small" / f"{branch}.safetensors")


def pack(trained: Path, packed: Path) -> None:
    """The same weights in half precision, without the paths of the machine that trained them."""
    branch = load_branch(trained)
    key = "encoder_weights" if hasattr(branch.config, "encoder_weights") else "backbone_weights"
    branch.config = replace(branch.config, **{key: "random"})  # type: ignore[arg-type]
    packed.parent.mkdir(parents=True, exist_ok=True)
    save_branch(packed, branch.half(), checkpoint_info(trained)["info"])


if __name__ == "__main__":
    main()
