"""Train the weights `talk` from seeds: the cues branch, and a fusion with `small`.

    python scripts/make_talk.py --out FOLDER [--workers 2]

Simulates conversations to validate and to fit the fusion on, trains the cues branch with the recipe
`talk` on simulated cues, and writes `FOLDER/talk`, which uses the sound and the face branch of
`small`. Takes about an hour on two cores; interrupted runs resume.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from make_small import load_recipe, read_options
from quavf.inference.config import PredictConfig
from quavf.models.bundle import BUNDLE_FILE
from quavf.models.bundled import load_bundle
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
    seed=901, preset="mixed", clips=24, seconds=30.0, val_share=1.0, test_share=0.0
)
EVERY = 2  # frames between faces: lips need 15 pictures per second
MOMENTS = MomentsConfig(threshold=0.6, margin=0.15)
PRIOR = 0.3  # share of time that somebody in view talks to the wearer
BASE = "small"
NAME = "talk"
CARD = Path(__file__).parents[1] / "src" / "quavf" / "models" / "bundled" / NAME / "README.md"


def main() -> None:
    """Simulate, train, fit and pack."""
    options = read_options(__doc__)
    out: Path = options.out
    store, run, scores = out / "store", out / "runs" / "cues", out / "scores"
    prepare_simulated(store, WORLD, every=EVERY, engine=EngineConfig(workers=options.workers))
    score_quality(store)
    compute_cues(store)
    train("cues", store, run, load_recipe(NAME, "cues", TrainCuesConfig))
    weights = run / "last.safetensors"  # the learning rate ends at 0: the last are the best
    branches: dict[str, Any] = {**load_bundle(BASE).branches, "cues": weights}
    moments = PredictConfig(all_faces=True, whole_turns=False)
    predict(store, scores, **branches, config=moments)
    make_bundle(
        [scores],
        out / NAME,
        name=NAME,
        prior=PRIOR,
        moments=MOMENTS,
        card=CARD,
        spoken=True,
        foreign=tuple(load_bundle(BASE).branches),  # they learned from drawn faces alone
    )
    share_weights(out / NAME)


def share_weights(folder: Path) -> None:
    """Let the bundle use the files of `small` beside it instead of copies."""
    path = folder / BUNDLE_FILE
    content = json.loads(path.read_text())
    for name, source in load_bundle(BASE).branches.items():
        (folder / content["branches"][name]).unlink()
        content["branches"][name] = f"../{BASE}/{source.name}"
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
