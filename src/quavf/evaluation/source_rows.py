"""Scores for the rows of a dataset's own files, every one of which must have a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quavf.core.records import Floats, SourceRows
from quavf.results.scores import Scores


@dataclass(frozen=True)
class RowScores:
    """Scores (N,) of the rows of a clip, and how many of them are not those of their own face."""

    scores: Floats
    n_filled: int = 0  # from scored faces of the same person before and after
    n_unknown: int = 0  # of persons without any score: 0


def score_rows(rows: SourceRows, scores: Scores, column: str) -> RowScores:
    """The scores of a clip's rows by one column of the clip's `scores`.

    A row without a score of its own takes the value between its neighbours in time, or the nearest.
    """
    found = np.zeros(len(rows))
    n_filled = n_unknown = 0
    known = ~np.isnan(scores[column])
    for person in np.unique(rows.person).tolist():
        own = rows.person == person
        have = np.flatnonzero(known & (scores.person == person))
        if not len(have):
            n_unknown += int(own.sum())
            continue
        have = have[np.argsort(scores.frame[have], kind="stable")]
        frames, wanted = scores.frame[have], rows.frame[own]
        found[own] = np.interp(wanted, frames, scores[column][have])
        n_filled += int((~np.isin(wanted, frames)).sum())
    return RowScores(found, n_filled, n_unknown)
