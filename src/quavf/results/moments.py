"""Moments: stretches of the scores in which a person talks to the camera wearer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from quavf.core.records import Floats
from quavf.results.config import MomentsConfig
from quavf.results.records import Moment


def find_moments(
    person: int, times: Floats, scores: Floats, step_s: float, config: MomentsConfig
) -> list[Moment]:
    """Find the moments of one person, ordered by start.

    `times` (N,) ascending, s; `scores` (N,) in [0, 1], NaN (no score) counts as not seen. Each
    score holds until the next one, for `step_s` at most, the time between scores. The confidence
    of a moment is the mean score inside it.
    """
    known = ~np.isnan(scores)
    times, scores = times[known], scores[known]
    runs = [
        run
        for part in _split_at_gaps(times, max(config.max_unseen, step_s))
        for run in _find_runs(scores[part], config, part.start)
    ]
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        gap_s = times[first] - (times[joined[-1][1]] + step_s) if joined else np.inf
        if gap_s <= min(config.max_gap, config.max_unseen) + 1e-9:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    found = []
    for first, last in joined:
        start_s, end_s = float(times[first]), float(times[last] + step_s)
        if end_s - start_s >= config.min_length - 1e-9:
            found.append(Moment(person, start_s, end_s, float(scores[first : last + 1].mean())))
    return found


def _split_at_gaps(times: Floats, max_unseen_s: float) -> list[slice]:
    """Split where a person has no score for too long."""
    breaks = np.flatnonzero(np.diff(times) > max_unseen_s + 1e-9) + 1
    edges = [0, *breaks.tolist(), len(times)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def _find_runs(scores: Floats, config: MomentsConfig, offset: int) -> list[tuple[int, int]]:
    """First and last index, inclusive, of each moment by the two thresholds."""
    low = config.threshold - config.margin
    runs: list[tuple[int, int]] = []
    first: int | None = None
    for index, score in enumerate(scores):
        if first is None and score >= config.threshold:
            first = index
        elif first is not None and score < low:
            runs.append((first + offset, index - 1 + offset))
            first = None
    if first is not None:
        runs.append((first + offset, len(scores) - 1 + offset))
    return runs
