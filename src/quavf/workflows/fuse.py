"""Fuse: join scores folders of branches that were predicted apart."""

from __future__ import annotations

from pathlib import Path

from quavf.results.fusion import FusionCounts, fuse_scores
from quavf.results.scores import read_config, read_scores, write_scores


def fuse(scores_a: Path | str, scores_v: Path | str, out: Path | str) -> FusionCounts:
    """Fuse branches that were predicted apart; a row that one lacks takes the other's score."""
    scores, counts = fuse_scores(read_scores(Path(scores_a)), read_scores(Path(scores_v)))
    inputs = [
        {"scores": str(folder), **read_config(Path(folder))} for folder in (scores_a, scores_v)
    ]
    write_scores(Path(out), scores, {"command": "fuse", "inputs": inputs})
    return counts
