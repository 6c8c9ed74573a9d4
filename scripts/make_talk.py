"""Train the weights `talk` from seeds: the cues branch, and a fusion with `small`.

    python scripts/make_talk.py --out FOLDER [--workers 2]

Simulates conversations to validate and to fit the fusion on, trains the cues branch with the recipe
`talk` on simulated cues, and writes `FOLDER/talk`, which uses the sound and the face branch of
`small`. Takes about an hour on two cores; interrupted runs resume.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from make_small import load_recipe, read_options
from quavf.inference.config import PredictConfig
from quavf.models.bundle import BUNDLE_FILE
from quavf.models.bundled import load_bundle
from quavf.models.checkpoint import load_branch, save_branch
from quavf.models.description import checkpoint_info
from quavf.results.config import MomentsConfig
from quavf.simulate.config import SimulateConfig
from quavf.training.config import TrainCuesConfig
from quavf.utils.parallel import EngineConfig
from quavf.workflows.bundle import make_bundle
from quavf.workflows.cues import compute_cues
from quavf.workflows.predict import predict
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality
from quavf.workflows.train import train

WORLD = SimulateConfig(
    seed=901, preset="mixed", clips=48, seconds=30.0, val_share=1.0, test_share=0.0
)
EVERY = 2  # frames between faces: lips need 15 pictures per second
MOMENTS = MomentsConfig(threshold=0.6, margin=0.15)
LIVE_MOMENTS = MomentsConfig(threshold=0.65, margin=0.15, max_gap=0.33)
PRIOR = 0.3  # share of time that somebody in view talks to the wearer
BASE = "small"
NAME = "talk"
CARD = Path(__file__).parents[1] / "src" / "quavf" / "models" / "bundled" / NAME / "README.md"


def main() -> None:
    """Simulate, train, fit and pack."""
    options = read_options(__doc__)
    out: Path = options.out
    store, run, of_turns = (out / part for part in ("store", "run", "run_turns"))
    scores, turns = out / "scores", out / "turns"
    prepare_simulated(store, WORLD, every=EVERY, engine=EngineConfig(workers=options.workers))
    score_quality(store)
    compute_cues(store)
    recipe = load_recipe(NAME, "cues", TrainCuesConfig)
    train("cues", store, run, recipe)
    # The learning rate ends at 0: the last weights are the best.
    train("cues", store, of_turns, adapt_recipe(recipe, run / "last.safetensors"))
    weights = pack_weights(of_turns / "last.safetensors", out / "cues.safetensors")
    branches: dict[str, Any] = {**load_bundle(BASE).branches, "cues": weights}
    predict(store, scores, **branches, config=PredictConfig(all_faces=True))
    predict(store, turns, **branches)
    make_bundle(
        [scores],
        out / NAME,
        name=NAME,
        prior=PRIOR,
        moments=MOMENTS,
        card=CARD,
        spoken=True,
        turns=[turns],
        foreign=tuple(load_bundle(BASE).branches),  # they learned from drawn faces alone
    )
    complete(out / NAME)


def adapt_recipe(recipe: TrainCuesConfig, start: Path) -> TrainCuesConfig:
    """Settings that train the answer for labelled turns on conversations, which have them."""
    return replace(
        recipe,
        start=str(start),
        footage=0.0,
        simulated=1600,
        seconds=24.0,
        cues=replace(recipe.cues, frozen=True),
        trainer=replace(recipe.trainer, epochs=3),
    )


def pack_weights(trained: Path, packed: Path) -> Path:
    """Write the weights so that all of them learn when somebody trains on; return the file."""
    branch = load_branch(trained)
    branch.config = replace(branch.config, frozen=False)
    save_branch(packed, branch, checkpoint_info(trained)["info"])
    return packed


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
