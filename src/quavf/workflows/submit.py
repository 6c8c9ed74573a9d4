"""Submit: write and check the challenge's submission file."""

from __future__ import annotations

from pathlib import Path

from quavf.evaluation.submission import find_problems, write_submission_file
from quavf.results.scores import read_scores
from quavf.store import ClipStore


def write_submission(scores: Path | str, out: Path | str) -> dict[str, int]:
    """Write the EvalAI file of a scores folder; return its numbers of rows and videos."""
    return write_submission_file(read_scores(Path(scores)), Path(out))


def check_submission(path: Path | str, store: Path | str) -> list[str]:
    """Problems of a submission file for the challenge in `store`; empty when it is valid."""
    clips = ClipStore.open(Path(store))
    expected = {clip: set(clips.faces(clip).frame.tolist()) for clip in clips.clips()}
    return find_problems(Path(path), expected)
