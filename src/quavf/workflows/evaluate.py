"""Evaluate: judge a scores folder against a store's labels."""

from __future__ import annotations

from pathlib import Path

from quavf.core.errors import StoreError
from quavf.core.records import Segment
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.protocols import Evaluation, evaluate_scores
from quavf.results.scores import read_scores
from quavf.store import ClipStore


def evaluate(
    scores: Path | str,
    store: Path | str,
    out: Path | str,
    config: EvaluateConfig | None = None,
) -> Evaluation:
    """Judge a scores folder against a store's labels; write figures, tables and pictures."""
    from quavf.report.evaluation import write_evaluation

    evaluation = evaluate_scores(read_scores(Path(scores)), read_labels(Path(store)), config)
    write_evaluation(Path(out), evaluation)
    return evaluation


def read_labels(store: Path) -> list[tuple[str, Segment]]:
    """Every labelled segment of a store with its clip's id. Raises StoreError when none is."""
    clips = ClipStore.open(store)
    found = [(clip, s) for clip in clips.clips() for s in clips.manifest(clip).segments]
    if not found:
        raise StoreError(f"{store}: nothing is labelled in this store; a challenge set is not")
    return found
