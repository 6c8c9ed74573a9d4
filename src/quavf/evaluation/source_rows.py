"""Scores for the rows of a dataset's own files, every one of which must have a score."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from quavf.core.records import Floats, Ints, SourceRows
from quavf.results.scores import Scores

NEAR_S = Fraction(2)  # beyond, a score of speaking says nothing of the same face (measured)


@dataclass(frozen=True)
class RowScores:
    """Scores (N,) of the rows of a clip, and how many of them are not those of their own face."""

    scores: Floats
    n_filled: int = 0  # from scored faces of the same person shortly before or after
    n_unknown: int = 0  # without such a face


def score_rows(
    rows: SourceRows, scores: Scores, column: str, fps: Fraction, unknown: float
) -> RowScores:
    """Score a clip's rows by one column of the clip's `scores`; frames come `fps` a second.

    A row without a score of its own takes the value between its neighbours in time, if one of them
    is within `NEAR_S`, and the score `unknown` otherwise.
    """
    found = np.full(len(rows), unknown)
    n_filled = n_unknown = 0
    known = ~np.isnan(scores[column])
    for person in np.unique(rows.person).tolist():
        own = np.flatnonzero(rows.person == person)
        have = np.flatnonzero(known & (scores.person == person))
        if not len(have):
            n_unknown += len(own)
            continue
        have = have[np.argsort(scores.frame[have], kind="stable")]
        frames, wanted = scores.frame[have], rows.frame[own]
        distance = _find_distance(wanted, frames)
        near = distance <= float(fps * NEAR_S)
        found[own[near]] = np.interp(wanted[near], frames, scores[column][have])
        n_filled += int((near & (distance > 0)).sum())
        n_unknown += int((~near).sum())
    return RowScores(found, n_filled, n_unknown)


def _find_distance(wanted: Ints, frames: Ints) -> Ints:
    """Frames (N,) from each wanted frame (N,) to the nearest of `frames`, which ascend."""
    after = np.searchsorted(frames, wanted)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(frames) - 1)
    return np.asarray(np.minimum(np.abs(frames[after] - wanted), np.abs(frames[before] - wanted)))
