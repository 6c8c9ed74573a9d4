"""The whole system on data that it draws itself, with miniature models, in a few minutes.

The models are far too small and the world far too simple to tell anything about real people: the
demo shows that every step runs, and what comes out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quavf.config import (
    AudioConfig,
    TrainAudioConfig,
    TrainerConfig,
    TrainVisualConfig,
    VisualConfig,
)
from quavf.windows import WindowConfig

if TYPE_CHECKING:
    from rich.console import Console

    from quavf.evaluation import Evaluation

AUDIO = TrainAudioConfig(
    audio=AudioConfig(encoder="32x1x2", encoder_weights="random", dim=32, n_heads=2),
    trainer=TrainerConfig(epochs=6, batch_size=4, lr=5e-3),
)
VISUAL = TrainVisualConfig(
    visual=VisualConfig(
        backbone="test_efficientnet", backbone_weights="random", frozen=False, dim=32, n_heads=4
    ),
    windows=WindowConfig(step=24),
    trainer=TrainerConfig(epochs=2, batch_size=8, lr=3e-3, limit_val_clips=1),
)


@dataclass(frozen=True)
class DemoPaths:
    """Where the demo puts what it makes."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def challenge(self) -> Path:
        return self.root / "challenge"

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    @property
    def submission(self) -> Path:
        return self.root / "submission.json"

    def run(self, branch: str) -> Path:
        return self.root / "runs" / branch


def demo(out: Path, seed: int, console: Console) -> Evaluation:
    """Draw clips, prepare, train both branches, predict, fuse, evaluate, submit; print the table.

    Every step goes on where an earlier run was interrupted.
    """
    from quavf import pipeline, prepare, quality
    from quavf.branches.train import train_audio, train_visual
    from quavf.report.evaluation import print_evaluation
    from quavf.simulate.drawn import DrawnConfig, draw_dataset

    paths = DemoPaths(Path(out))
    console.print(f"[bold]1/5[/] Drawing conversations in the Ego4D layout: {paths.data}")
    draw_dataset(paths.data, DrawnConfig(seed=seed))

    console.print(f"[bold]2/5[/] Cutting faces and sound, scoring quality: {paths.store}")
    data = paths.data
    prepare.prepare_ego4d(data / "annotations", data / "clips", paths.store, splits=data / "split")
    prepare.prepare_challenge(data / "social_test" / "final_test_data", paths.challenge)
    for store in (paths.store, paths.challenge):
        quality.score_quality(store)

    console.print(f"[bold]3/5[/] Training miniature branches: {paths.root / 'runs'}")
    train_audio(paths.store, paths.run("audio"), AUDIO)
    train_visual(paths.store, paths.run("visual"), VISUAL)

    console.print(f"[bold]4/5[/] Predicting, fusing, evaluating: {paths.evaluation}")
    checkpoints = paths.run("audio"), paths.run("visual")
    validation = pipeline.PredictConfig(split="val")
    pipeline.predict(paths.store, paths.scores, *checkpoints, validation)
    evaluation = pipeline.evaluate(paths.scores, paths.store, paths.evaluation)

    console.print(f"[bold]5/5[/] Scoring the challenge segments: {paths.submission}")
    pipeline.predict(paths.challenge, paths.root / "challenge_scores", *checkpoints)
    pipeline.write_submission(paths.root / "challenge_scores", paths.submission)
    assert not pipeline.check_submission(paths.submission, paths.challenge)

    print_evaluation(evaluation, console)
    console.print(
        f"\nDrawn faces and tones, miniature models: this shows that all works, not how well.\n"
        f"Table and pictures: {paths.evaluation}   scores: {paths.scores}   "
        f"submission: {paths.submission}",
        markup=False,
    )
    return evaluation
