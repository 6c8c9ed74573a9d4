"""Reliability bins and calibration error against a plain reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quavf.evaluation.calibration import (
    ReliabilityBin,
    bin_by_score,
    compute_calibration_error,
)

TABLES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=40)


def naive_bins(table: list[tuple[int, int]], n_bins: int) -> list[tuple[float, float, int]]:
    """Row by row: the rows below it, and half of those equal to it, decide the bin."""
    bins: dict[int, list[tuple[int, int]]] = {}
    for row in table:
        below = sum(other[1] < row[1] for other in table)
        equal = sum(other[1] == row[1] for other in table)
        bins.setdefault(int((below + equal / 2) * n_bins / len(table)), []).append(row)
    return [
        (sum(r[1] for r in rows) / 8 / len(rows), sum(r[0] for r in rows) / len(rows), len(rows))
        for _, rows in sorted(bins.items())
    ]


@given(TABLES, st.integers(1, 20))
def test_bins_equal_the_naive_reference(table: list[tuple[int, int]], n_bins: int) -> None:
    labels, scores = zip(*table, strict=True)
    bins = bin_by_score(np.array(labels), np.array(scores) / 8, n_bins)
    expected = naive_bins(table, n_bins)
    assert [b.n_rows for b in bins] == [n for *_, n in expected]
    np.testing.assert_allclose([(b.score, b.share) for b in bins], [e[:2] for e in expected])
    error = sum(n * abs(score - share) for score, share, n in expected) / len(table)
    assert compute_calibration_error(bins) == pytest.approx(error)


@given(TABLES, st.randoms())
def test_row_order_does_not_matter(table: list[tuple[int, int]], random: Any) -> None:
    def judge() -> list[tuple[float, float, int]]:
        labels, scores = zip(*table, strict=True)
        found = bin_by_score(np.array(labels), np.array(scores), 5)
        return [(round(b.score, 9), round(b.share, 9), b.n_rows) for b in found]

    before = judge()
    random.shuffle(table)
    assert judge() == before


def test_bins_are_of_one_size() -> None:
    scores = np.random.default_rng(0).random(1003)
    counts = [b.n_rows for b in bin_by_score(scores > 0.5, scores, 15)]
    assert len(counts) == 15
    assert {*counts} <= {66, 67}
    assert sum(counts) == 1003


def test_calibrated_scores_have_no_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200_000)
    labels = rng.random(len(scores)) < scores
    assert compute_calibration_error(bin_by_score(labels, scores, 15)) < 0.005
    shifted = compute_calibration_error(bin_by_score(labels, scores / 2, 15))
    assert shifted == pytest.approx(0.25, abs=0.005)


def test_by_hand() -> None:
    bins = bin_by_score(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 1.0]), 2)
    assert bins == (ReliabilityBin(0.2, 0.5, 2), ReliabilityBin(0.8, 1.0, 2))
    assert compute_calibration_error(bins) == pytest.approx((0.3 + 0.2) / 2)


def test_of_nothing() -> None:
    assert bin_by_score(np.array([]), np.array([]), 15) == ()
    assert math.isnan(compute_calibration_error(()))
