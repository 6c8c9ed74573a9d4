"""Average precision against a naive reference and the published values; the bootstrap."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quavf.core.errors import ScoresError
from quavf.evaluation.metrics import (
    accuracy,
    average_precision,
    bootstrap_by_clip,
    mean_average_precision,
    precision_recall,
)
from tests.helpers.data import GOLDEN, needs_golden

Ties = Literal["safe", "stable"]
RNG = np.random.default_rng(0)


def naive_average_precision(labels: list[int], scores: list[float], ties: Ties = "safe") -> float:
    """Written from the definition: thresholds one by one, no sums carried over."""
    ranked = sorted(zip(scores, labels, strict=True), key=lambda row: -row[0])  # stable
    if ties == "safe":
        groups = [list(group) for _, group in groupby(ranked, key=lambda row: row[0])]
    else:
        groups = [[row] for row in ranked]
    accepted: list[int] = []
    curve = []  # (recall, precision)
    for group in groups:
        accepted += [label for _, label in group]
        curve.append((sum(accepted) / sum(labels), sum(accepted) / len(accepted)))
    area, recall = 0.0, 0.0
    for i, (next_recall, _) in enumerate(curve):
        area += (next_recall - recall) * max(precision for _, precision in curve[i:])
        recall = next_recall
    return area


def naive_map(labels: list[int], scores: list[float], ties: Ties = "safe") -> float:
    opposite = [1 - s for s in scores]
    flipped = [1 - y for y in labels]
    return (
        naive_average_precision(labels, scores, ties)
        + naive_average_precision(flipped, opposite, ties)
    ) / 2


def rows(max_size: int = 40) -> st.SearchStrategy[list[tuple[int, int]]]:
    """(label, score in eighths) with both classes; eighths tie often and are exact."""
    row = st.tuples(st.integers(0, 1), st.integers(0, 8))
    return st.lists(row, min_size=2, max_size=max_size).filter(
        lambda r: len({y for y, _ in r}) == 2
    )


def unzip(table: list[tuple[int, int]]) -> tuple[list[int], list[float]]:
    return [y for y, _ in table], [s / 8 for _, s in table]


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([1], [0.3], 1.0),
        ([1, 1], [0.3, 0.1], 1.0),
        ([1, 0], [0.9, 0.1], 1.0),
        ([0, 1], [0.9, 0.1], 0.5),
        ([0, 1], [0.5, 0.5], 0.5),
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], 0.5 + 0.5 * 2 / 3),
        ([0, 1, 1], [0.9, 0.8, 0.7], 2 / 3),  # precision made monotone: 1/2 becomes 2/3
        ([0, 0, 0, 1], [0.0, 0.0, 0.0, 0.0], 0.25),
    ],
)
def test_average_precision_by_hand(labels: Any, scores: Any, expected: float) -> None:
    assert average_precision(np.array(labels), np.array(scores)) == pytest.approx(expected)


@pytest.mark.parametrize("ties", ["safe", "stable"])
@given(table=rows())
def test_equal_to_the_naive_reference(ties: Ties, table: list[tuple[int, int]]) -> None:
    labels, scores = unzip(table)
    ap = average_precision(np.array(labels), np.array(scores), ties=ties)
    assert ap == pytest.approx(naive_average_precision(labels, scores, ties), abs=1e-12)
    both = mean_average_precision(np.array(labels), np.array(scores), ties=ties)
    assert both == pytest.approx(naive_map(labels, scores, ties), abs=1e-12)


@given(table=rows(), seed=st.integers(0, 1000))
def test_safe_value_does_not_depend_on_row_order(table: list[tuple[int, int]], seed: int) -> None:
    labels, scores = map(np.array, unzip(table))
    order = np.random.default_rng(seed).permutation(len(labels))
    before = mean_average_precision(labels, scores)
    assert mean_average_precision(labels[order], scores[order]) == before


@pytest.mark.parametrize("ties", ["safe", "stable"])
@given(table=rows(20), data=st.data())
def test_weights_are_repeated_rows(
    ties: Ties, table: list[tuple[int, int]], data: st.DataObject
) -> None:
    labels, scores = map(np.array, unzip(table))
    n = len(labels)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    if len(set(labels[weights > 0])) < 2:
        weights = weights + 1
    repeated = np.repeat(np.arange(n), weights)
    expected = mean_average_precision(labels[repeated], scores[repeated], ties=ties)
    value = mean_average_precision(labels, scores, weights=weights, ties=ties)
    assert value == pytest.approx(expected, abs=1e-12)


@given(table=rows())
def test_flipping_everything_changes_nothing(table: list[tuple[int, int]]) -> None:
    labels, scores = map(np.array, unzip(table))
    value = mean_average_precision(labels, scores)
    assert value == pytest.approx(mean_average_precision(1 - labels, 1 - scores), abs=1e-12)
    assert 0 < value <= 1


def test_constant_scores_are_worth_guessing_in_any_order() -> None:
    labels = np.array([1] * 10 + [0] * 30)
    for order in (labels, labels[::-1], RNG.permutation(labels)):
        assert mean_average_precision(order, np.full(40, 0.5)) == pytest.approx(0.5)


def golden_cases() -> list[dict[str, Any]]:
    path = GOLDEN / "map_np2.4.6_pd3.1.1.json"
    return list(json.loads(path.read_text())) if path.is_file() else []


@needs_golden
def test_equal_to_the_official_metric() -> None:
    cases = golden_cases()
    assert len(cases) == 6
    for case in cases:
        labels, scores = np.array(case["labels"]), np.array(case["scores"])
        value = mean_average_precision(labels, scores, ties="stable")
        assert value == pytest.approx(case["mAP_stable"], abs=1e-12), case["kind"]
        if len(set(case["scores"])) == len(scores):
            safe = mean_average_precision(labels, scores)
            assert value == pytest.approx(case["mAP_orig"], abs=1e-12), case["kind"]
            assert safe == pytest.approx(case["mAP_orig"], abs=1e-12), case["kind"]


def test_scores_too_close_to_tell_from_1_still_rank_in_safe_mode() -> None:
    """1 - 1e-20 rounds to 1: a tie to the server, not to us."""
    labels, scores = np.array([1, 0, 1]), np.array([1e-19, 1e-20, 0.9])
    assert mean_average_precision(labels, scores) == 1.0
    assert mean_average_precision(labels, scores, ties="stable") == 0.75


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_one_class_only(labels: list[int]) -> None:
    truth, scores = np.array(labels, int), np.zeros(len(labels))
    with pytest.raises(ScoresError, match="both classes are needed"):
        mean_average_precision(truth, scores)
    with pytest.warns(RuntimeWarning, match="both classes are needed"):
        assert np.isnan(mean_average_precision(truth, scores, one_class="nan"))


def test_average_precision_needs_a_positive_only() -> None:
    assert average_precision(np.array([1, 1]), np.array([0.1, 0.2])) == 1
    with pytest.raises(ScoresError, match="no row of class 1"):
        average_precision(np.array([0, 0]), np.array([0.1, 0.2]))
    with pytest.warns(RuntimeWarning):
        assert np.isnan(average_precision(np.array([0]), np.array([0.1]), one_class="nan"))
    with pytest.raises(ScoresError, match="no row of class 1"):
        average_precision(np.array([1, 0]), np.array([0.1, 0.2]), weights=np.array([0, 1]))


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        ([0, 1], [0.1], None, "one length"),
        ([[0, 1]], [[0.1, 0.2]], None, "one length"),
        ([0, 2], [0.1, 0.2], None, "0 or 1"),
        ([0, -100], [0.1, 0.2], None, "0 or 1"),
        ([0, 1], [0.1, float("nan")], None, "1 of 2 scores are NaN"),
        ([0, 1], [0.1, 0.2], [1], "one length"),
        ([0, 1], [0.1, 0.2], [1, -1], "0 or more"),
        ([0, 1], [0.1, 0.2], [1, float("inf")], "0 or more"),
    ],
)
def test_bad_input_is_named(labels: Any, scores: Any, weights: Any, message: str) -> None:
    extra = None if weights is None else np.array(weights)
    with pytest.raises(ScoresError, match=message):
        mean_average_precision(np.array(labels), np.array(scores), weights=extra)


@given(table=rows())
def test_precision_recall_encloses_the_average_precision(table: list[tuple[int, int]]) -> None:
    labels, scores = map(np.array, unzip(table))
    recall, precision = precision_recall(labels, scores)
    area = np.sum(np.diff(recall, prepend=0) * precision)
    assert area == pytest.approx(average_precision(labels, scores), abs=1e-12)
    assert recall[-1] == 1
    assert (np.diff(precision) <= 0).all()


@pytest.mark.parametrize(
    ("labels", "scores", "threshold", "expected"),
    [
        ([1, 0], [0.5, 0.49], 0.5, 1.0),  # equal to the threshold is a yes
        ([0], [0.5], 0.5, 0.0),
        ([1, 1, 0, 0], [0.9, 0.1, 0.9, 0.1], 0.5, 0.5),
        ([1, 0], [0.5, 0.49], 0.4, 0.5),
    ],
)
def test_accuracy(labels: Any, scores: Any, threshold: float, expected: float) -> None:
    assert accuracy(np.array(labels), np.array(scores), threshold) == expected


def test_accuracy_of_nothing() -> None:
    with pytest.raises(ScoresError, match="no rows"):
        accuracy(np.array([], int), np.array([]))


def clips_and_scores(n_clips: int = 12, per_clip: int = 20) -> tuple[Any, Any, dict[str, Any]]:
    random = np.random.default_rng(1)
    clips = np.repeat([f"clip{i}" for i in range(n_clips)], per_clip)
    labels = random.integers(0, 2, len(clips))
    weak = np.round(random.normal(size=len(clips)) + 0.3 * labels, 1)  # with ties
    strong = random.normal(size=len(clips)) + 2 * labels
    return clips, labels, {"weak": weak, "strong": strong}


def naive_bootstrap(labels: Any, scores: Any, clips: Any, n: int, seed: int) -> list[float]:
    """The same draws, but rows really copied."""
    names = sorted(set(clips))
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=n
    )
    values = []
    for draw in draws:
        picked = np.concatenate(
            [np.tile(np.flatnonzero(clips == c), k) for c, k in zip(names, draw, strict=True)]
        )
        values.append(mean_average_precision(labels[picked], scores[picked]))
    return values


def test_bootstrap_equals_copying_rows() -> None:
    clips, labels, systems = clips_and_scores()
    result = bootstrap_by_clip(labels, systems, clips, n_resamples=50, confidence=0.9, seed=3)
    maps = {k: np.array(naive_bootstrap(labels, s, clips, 50, 3)) for k, s in systems.items()}
    for name, values in maps.items():
        expected = np.quantile(values, [0.05, 0.95])
        assert result.intervals[name] == pytest.approx(tuple(expected), abs=1e-12)
    gain = np.quantile(maps["strong"] - maps["weak"], [0.05, 0.95])
    assert result.differences["strong-weak"] == pytest.approx(tuple(gain), abs=1e-12)
    assert (result.n_resamples, result.n_skipped) == (50, 0)


def test_bootstrap_is_repeatable_paired_and_blind_to_row_order() -> None:
    clips, labels, systems = clips_and_scores()
    twins = {**systems, "twin": systems["strong"]}
    first = bootstrap_by_clip(labels, twins, clips, n_resamples=40)
    assert first.differences["twin-strong"] == (0.0, 0.0)
    assert list(first.differences) == ["strong-weak", "twin-weak", "twin-strong"]
    order = RNG.permutation(len(labels))
    shuffled = {name: scores[order] for name, scores in twins.items()}
    assert bootstrap_by_clip(labels[order], shuffled, clips[order], n_resamples=40) == first
    assert bootstrap_by_clip(labels, twins, clips, n_resamples=40, seed=1) != first


def test_bootstrap_judges_a_system_on_its_rows_and_pairs_on_common_rows() -> None:
    clips, labels, systems = clips_and_scores()
    gaps = systems["weak"].copy()
    gaps[::3] = np.nan
    has = ~np.isnan(gaps)
    both = {"gaps": gaps, "strong": systems["strong"]}
    result = bootstrap_by_clip(labels, both, clips, n_resamples=30)
    cut = {name: scores[has] for name, scores in both.items()}
    paired = bootstrap_by_clip(labels[has], cut, clips[has], n_resamples=30)
    assert result.intervals["gaps"] == paired.intervals["gaps"]
    assert result.intervals["strong"] != paired.intervals["strong"]
    assert result.differences == paired.differences


def test_resamples_of_one_class_are_skipped_and_counted() -> None:
    clips = np.array(["a", "a", "b", "b"])
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.5, 0.1])
    result = bootstrap_by_clip(labels, {"x": scores}, clips, n_resamples=200)
    assert result.n_resamples + result.n_skipped == 200
    assert 60 < result.n_skipped < 140  # half of the draws take one clip twice
    value = mean_average_precision(labels, scores)
    assert result.intervals["x"] == pytest.approx((value, value))


@pytest.mark.parametrize(("n_clips", "n_resamples"), [(1, 100), (5, 0), (5, 1)])
def test_no_interval_without_resamples(n_clips: int, n_resamples: int) -> None:
    clips, labels, systems = clips_and_scores(n_clips)
    result = bootstrap_by_clip(labels, systems, clips, n_resamples=n_resamples)
    assert np.isnan(result.intervals["weak"]).all()
    assert np.isnan(result.differences["strong-weak"]).all()


def test_bootstrap_needs_both_classes() -> None:
    clips, labels, systems = clips_and_scores()
    only = np.where(labels == 1, systems["weak"], np.nan)
    with pytest.raises(ScoresError, match="no row of class 0"):
        bootstrap_by_clip(labels, {"weak": only}, clips)


def test_no_differences_when_common_rows_have_one_class() -> None:
    clips, labels, systems = clips_and_scores()
    low, high = systems["weak"].copy(), systems["strong"].copy()
    negatives = np.flatnonzero(labels == 0)
    low[negatives[::2]] = np.nan
    high[negatives[1::2]] = np.nan
    result = bootstrap_by_clip(labels, {"low": low, "high": high}, clips, n_resamples=20)
    assert set(result.intervals) == {"low", "high"}
    assert result.differences == {}


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_interval_surrounds_the_middle_of_the_resamples(seed: int) -> None:
    clips, labels, systems = clips_and_scores()
    result = bootstrap_by_clip(labels, systems, clips, n_resamples=20, seed=seed)
    for low, high in result.intervals.values():
        assert 0 < low <= high <= 1
