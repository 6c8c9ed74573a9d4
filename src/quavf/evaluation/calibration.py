"""Calibration: whether scores are probabilities.

A score is calibrated if, of all rows with a score near p, a share p is positive. The expected
calibration error weighs the distance from that (Guo et al. 2017, https://arxiv.org/abs/1706.04599)
over bins of equal mass, which do not depend on where the scores lie (Nixon et al. 2019,
https://arxiv.org/abs/1904.01685).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quavf.core.records import Array


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of neighbouring scores."""

    score: float  # their mean
    share: float  # of positive rows
    n_rows: int


def bin_by_score(labels: Array, scores: Array, n_bins: int) -> tuple[ReliabilityBin, ...]:
    """Split rows into bins of about equal size, lowest scores first; empty bins are left out.

    `labels` (N,) are 0 or 1, `scores` (N,) without NaN. Equal scores share a bin, the one that
    holds the middle of them, so that the order of rows does not matter.
    """
    truth, values = np.asarray(labels, float), np.asarray(scores, float)
    ranked = np.sort(values)
    middle = (np.searchsorted(ranked, values) + np.searchsorted(ranked, values, "right")) / 2
    index = (middle * n_bins / max(len(values), 1)).astype(int)  # (N,)
    count = np.bincount(index, minlength=n_bins)
    sums = [np.bincount(index, weights=each, minlength=n_bins) for each in (values, truth)]
    return tuple(
        ReliabilityBin(float(sums[0][b] / n), float(sums[1][b] / n), int(n))
        for b, n in enumerate(count)
        if n
    )


def compute_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error, in [0, 1]: mean distance of score and share over all rows.

    NaN without bins.
    """
    n_rows = sum(b.n_rows for b in bins)
    return sum(b.n_rows * abs(b.share - b.score) for b in bins) / n_rows if n_rows else float("nan")
