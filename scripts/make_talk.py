"""Train the weights `talk` from seeds: the cues branch, and a fusion with `small`.

    python scripts/make_talk.py --out FOLDER [--workers 2]

Renders conversations, reads their cues, trains the cues branch with the recipe `talk` on them and
on simulated cues, fits the fusions to further conversations, and writes `FOLDER/talk`, which uses
the sound and the face branch of `small`. Takes about three hours on two cores; interrupted runs
resume.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from make_small import load_recipe, read_options
from quavf.inference.config import PredictConfig
from quavf.models.bundle import BUNDLE_FILE
from quavf.models.bundled import load_bundle
from quavf.results.config import MomentsConfig
from quavf.simulate.config import SimulateConfig
from quavf.training.config import TrainCuesConfig
from quavf.utils.parallel import EngineConfig, run_each
from quavf.workflows.bundle import make_bundle
from quavf.workflows.cues import compute_cues
from quavf.workflows.predict import predict
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality
from quavf.workflows.train import train

# Seeds and presets of clips, each of a world of its own, for the network and for the fusion.
PRESETS = ("table", "mixed", "table", "party", "clean", "mixed")
TRAINING = [
    (first + k, PRESETS[k % len(PRESETS)])
    for first, n_clips in ((20000, 130), (22000, 107))
    for k in range(n_clips)
]
FITTING = [(seed, "mixed") for seed in range(8000, 8055)]
EVERY = 2  # frames between faces: lips need 15 pictures per second
LIVE_MOMENTS = MomentsConfig(margin=0.15, max_gap=0.33)
PRIOR = 0.15  # share of time that somebody in view talks to the wearer
BASE = "small"
NAME = "talk"
CARD = Path(__file__).parents[1] / "src" / "quavf" / "models" / "bundled" / NAME / "README.md"


def main() -> None:
    """Render, train, fit and pack."""
    options = read_options(__doc__)
    out: Path = options.out
    engine = EngineConfig(workers=options.workers)
    rendered = render_clips(out / "rendered", TRAINING, "train", engine)
    fitting = render_clips(out / "fitting", FITTING, "val", engine)
    recipe = load_recipe(NAME, "cues", TrainCuesConfig)
    recipe = replace(recipe, stores=tuple(map(str, rendered)))
    train("cues", fitting[0], out / "run", recipe)
    # The learning rate ends at 0: the last weights are the best.
    cues = out / "run" / "last.safetensors"
    others = load_bundle(BASE).branches
    branches: dict[str, Any] = {**others, "cues": cues}
    scores = [store.parent / f"{store.name}_scores" for store in fitting]
    turns = [store.parent / f"{store.name}_turns" for store in fitting]
    for store, frames, segments in zip(fitting, scores, turns, strict=True):
        predict(store, frames, **branches, config=PredictConfig(all_faces=True))
        predict(store, segments, **branches)
    make_bundle(
        scores,
        out / NAME,
        name=NAME,
        prior=PRIOR,
        card=CARD,
        spoken=True,
        turns=turns,
        foreign=tuple(others),  # they learned from drawn faces alone
        by_face=False,
        fallback=tuple(others),
    )
    complete(out / NAME)


def render_clips(
    folder: Path, clips: Sequence[tuple[int, str]], split: str, engine: EngineConfig
) -> list[Path]:
    """Render a clip of each seed and preset into a store of its own, with its cues."""
    stores = [folder / f"{preset}_{seed}" for seed, preset in clips]
    for _ in run_each(partial(_render_clip, split), stores, engine):
        pass
    return stores


def _render_clip(split: str, store: Path) -> None:
    preset, seed = store.name.split("_")
    is_val = split == "val"
    world = SimulateConfig(
        seed=int(seed),
        preset=preset,
        clips=1,
        seconds=30.0 if is_val else 40.0,
        val_share=float(is_val),
        test_share=0.0,
    )
    prepare_simulated(store, world, every=EVERY)
    score_quality(store)
    compute_cues(store)


def complete(folder: Path) -> None:
    """Add the moments of live sessions, and use the files of `small` beside it, not copies."""
    path = folder / BUNDLE_FILE
    content = json.loads(path.read_text())
    for name, source in load_bundle(BASE).branches.items():
        (folder / content["branches"][name]).unlink()
        content["branches"][name] = f"../{BASE}/{source.name}"
    content["live"] = asdict(LIVE_MOMENTS)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
