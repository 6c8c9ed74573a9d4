"""The weights that come with the package, from nothing but seeds and the package registry.

    python scripts/make_small.py --out FOLDER [--workers 2]

Simulates conversations, trains both branches from the recipes `small`, and writes
`FOLDER/small/{audio,visual}.safetensors` in half precision. Every step goes on where it was
interrupted: count on an hour or more of two cores. `benchmarks/worlds.py` judges what comes out.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from quavf.branches.audio import AudioBranch
from quavf.branches.checkpoint import checkpoint_info, load_branch, save_branch
from quavf.branches.predict import AudioPredictor, ClipData, VisualPredictor
from quavf.branches.train import train_audio, train_visual
from quavf.branches.visual import VisualBranch
from quavf.config import TrainAudioConfig, TrainVisualConfig, from_dict
from quavf.quality import score_quality
from quavf.recipes import recipe_path
from quavf.records import Floats, Ints
from quavf.simulate.config import SimulateConfig
from quavf.simulated import prepare_simulated
from quavf.store import ClipStore
from quavf.windows import Span
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
        trained = out / "runs" / branch / "best.safetensors"
        pack(trained, out / "small" / f"{branch}.safetensors", ClipStore.open(store))


def pack(trained: Path, packed: Path, store: ClipStore) -> None:
    """The same weights, calibrated, in half precision, without paths of where they were trained."""
    branch = load_branch(trained)
    shift = calibrate(branch, store)
    key = "encoder_weights" if isinstance(branch, AudioBranch) else "backbone_weights"
    branch.config = replace(branch.config, **{key: "random"})  # type: ignore[arg-type]
    packed.parent.mkdir(parents=True, exist_ok=True)
    info = checkpoint_info(trained)["info"] | {"shift": shift}
    save_branch(packed, branch.half(), info)


def calibrate(branch: AudioBranch | VisualBranch, store: ClipStore) -> float:
    """Shift a branch's log odds so that its mean score on labelled val frames is the true share.

    The loss weighs classes and counts unlabelled stretches, so that the branches are off by
    different amounts: fusion would mix levels instead of opinions. Only the level is mended;
    fitting a scale as well made the audio branch three times as timid. Returns the shift.
    """
    odds, labels = _judged(branch, store)
    low, high = -10.0, 10.0
    for _ in range(50):
        shift = (low + high) / 2
        too_high = float((1 / (1 + np.exp(-odds - shift))).mean()) > labels.mean()
        low, high = (low, shift) if too_high else (shift, high)
    with torch.no_grad():
        branch.head.bias.add_(torch.tensor([-shift / 2, shift / 2]))
    return shift


def _judged(branch: AudioBranch | VisualBranch, store: ClipStore) -> tuple[Floats, Ints]:
    """(N,) log odds and labels of the faces in labelled segments of the val split."""
    odds, labels = [], []
    for clip in store.clips("val"):
        data = ClipData(store, clip)
        if isinstance(branch, AudioBranch):
            scores = AudioPredictor(branch).faces(data)
        else:
            scores, _ = VisualPredictor(branch, branch.settings.quality).faces(data)
        for segment in data.manifest.segments:
            span = Span(segment.person, segment.start_frame, segment.last_frame)
            found = scores[data.rows(span)].clip(1e-6, 1 - 1e-6)
            odds.append(np.log(found / (1 - found)))
            labels.append(np.full(len(found), segment.label))
    return np.concatenate(odds), np.concatenate(labels)


if __name__ == "__main__":
    main()
