"""The whole system on conversations that it simulates, with the weights that come with it.

Nothing is trained and nothing downloaded: what the demo prints is what `small` is worth on a few
clips of the world that it was trained in, with other people, voices and rooms.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from quavf.evaluation.protocols import Evaluation

CLIPS = 8
SECONDS = 20.0
TEST_SHARE = 1 / 8  # one clip in the layout of the challenge; the others are labelled
PRESET = "clean"  # a handful of clips of a harder world would show chance more than skill
MOST_WORKERS = 4


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

    @property
    def video(self) -> Path:
        return self.root / "video"


def demo(out: Path, seed: int, console: Console) -> Evaluation:
    """Simulate, prepare, predict, fuse, evaluate, submit, score a raw video; print the table.

    Every step goes on where an earlier run was interrupted.
    """
    from quavf.models.bundled import DEFAULT
    from quavf.report.evaluation import print_evaluation
    from quavf.report.words import summarise
    from quavf.simulate.config import SimulateConfig
    from quavf.utils.parallel import EngineConfig
    from quavf.workflows import evaluate, predict, prepare, quality, submit
    from quavf.workflows.run import REPORT, load
    from quavf.workflows.simulate import simulate_clips

    paths = DemoPaths(Path(out))
    data = paths.data
    console.print(f"[bold]1/4[/] Simulating conversations in the Ego4D layout: {data}")
    world = SimulateConfig(seed, CLIPS, SECONDS, PRESET, 1 - TEST_SHARE, TEST_SHARE)
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    simulate_clips(data, world, EngineConfig(workers=workers), progress=True)

    console.print(f"[bold]2/4[/] Cutting faces and sound, scoring quality: {paths.store}")
    prepare.prepare_ego4d(data / "annotations", data / "clips", paths.store)
    prepare.prepare_challenge(data / "test" / "final_test_data", paths.challenge)
    for store in (paths.store, paths.challenge):
        quality.score_quality(store)

    console.print(f"[bold]3/4[/] Predicting, fusing, evaluating: {paths.evaluation}")
    predict.predict(paths.store, paths.scores, DEFAULT, DEFAULT)
    evaluation = evaluate.evaluate(paths.scores, paths.store, paths.evaluation)
    predict.predict(paths.challenge, paths.root / "challenge_scores", DEFAULT, DEFAULT)
    submit.write_submission(paths.root / "challenge_scores", paths.submission)
    assert not submit.check_submission(paths.submission, paths.challenge)

    video = min((data / "clips").glob("*-test-*.mp4"))
    console.print(f"[bold]4/4[/] One clip as a raw video, without its annotations: {paths.video}")
    run = load(DEFAULT).run(video, paths.video)

    print_evaluation(evaluation, console)
    console.print(
        f"\n{video.name}: {summarise(run.result).text}\n\n"
        f"These few simulated clips only show that everything works. For how well it works, see "
        f"docs/experiments/worlds.md.\n"
        f"Table and pictures: {paths.evaluation}   scores: {paths.scores}   "
        f"submission: {paths.submission}\n"
        f"Open in a browser: {paths.video / REPORT}",
        markup=False,
    )
    return evaluation
