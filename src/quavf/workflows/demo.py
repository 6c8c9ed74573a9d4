"""Run the whole system on simulated conversations, with the bundled weights.

Nothing is trained or downloaded. The printed table shows how well `talk` does on a few clips of
a simulated world, with new people, voices and rooms.
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
PRESET = "clean"  # a few clips of a harder world would say little about the weights
MAX_WORKERS = 4


@dataclass(frozen=True)
class DemoPaths:
    """Paths of everything the demo writes."""

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

    Repeating an interrupted demo resumes it.
    """
    from quavf.models.bundled import DEFAULT
    from quavf.report.evaluation import print_evaluation
    from quavf.report.words import summarise
    from quavf.simulate.config import SimulateConfig
    from quavf.utils.parallel import EngineConfig
    from quavf.workflows import cues, evaluate, predict, prepare, quality, submit
    from quavf.workflows.run import load
    from quavf.workflows.show_result import REPORT
    from quavf.workflows.simulate import simulate_clips

    paths = DemoPaths(Path(out))
    data = paths.data
    console.print(f"[bold]1/4[/] Simulating conversations in the Ego4D layout: {data}")
    world = SimulateConfig(seed, CLIPS, SECONDS, PRESET, 1 - TEST_SHARE, TEST_SHARE)
    workers = min(os.cpu_count() or 1, MAX_WORKERS)
    simulate_clips(data, world, EngineConfig(workers=workers), progress=True)

    console.print(f"[bold]2/4[/] Preparing faces and sound, and reading their cues: {paths.store}")
    prepare.prepare_ego4d(data / "annotations", data / "clips", paths.store)
    prepare.prepare_challenge(data / "test" / "final_test_data", paths.challenge)
    for store in (paths.store, paths.challenge):
        quality.score_quality(store)
        cues.compute_cues(store)

    console.print(f"[bold]3/4[/] Predicting, fusing and evaluating: {paths.evaluation}")
    predict.predict(paths.store, paths.scores, weights=DEFAULT)
    evaluation = evaluate.evaluate(paths.scores, paths.store, paths.evaluation)
    predict.predict(paths.challenge, paths.root / "challenge_scores", weights=DEFAULT)
    submit.write_submission(paths.root / "challenge_scores", paths.submission)
    assert not submit.check_submission(paths.submission, paths.challenge)

    video = min((data / "clips").glob("*-test-*.mp4"))
    console.print(
        f"[bold]4/4[/] Processing one clip as a raw video, without annotations: {paths.video}"
    )
    run = load(DEFAULT).run(video, paths.video)

    print_evaluation(evaluation, console)
    console.print(
        f"\n{video.name}: {summarise(run.result).text}\n\n"
        f"These few simulated clips only show that everything works. For how well it works, see "
        f"docs/experiments/worlds.md.\n"
        f"Evaluation: {paths.evaluation}\n"
        f"Scores:     {paths.scores}\n"
        f"Submission: {paths.submission}\n"
        f"Report:     {paths.video / REPORT} (open it in a browser)",
        markup=False,
    )
    return evaluation
