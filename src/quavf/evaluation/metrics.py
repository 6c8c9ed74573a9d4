"""The talking-to-me metric: mean average precision over both classes, and its uncertainty.

Labels are 0 or 1 (1: talking to me), scores are the probability of 1; both (N,), without NaN.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from quavf.core.errors import ScoresError
from quavf.core.records import Array

Vector = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Ties = Literal["safe", "stable"]
OneClass = Literal["raise", "nan"]
Bounds = tuple[float, float]  # of a confidence interval
TINY = np.finfo(np.float64).tiny


def average_precision(
    labels: Array,
    scores: Array,
    *,
    weights: Array | None = None,
    ties: Ties = "safe",
    one_class: OneClass = "raise",
) -> float:
    """Area under the precision-recall curve of class 1, precision made monotone (VOC, all points).

    `weights` (N,) says how often each row counts, as if it were written that many times.
    `ties="stable"` evaluates after every row, equal scores in row order, as the challenge does;
    "safe" evaluates once per distinct score, so that the row order cannot matter.
    Without a positive row the value does not exist: ScoresError, or NaN and a RuntimeWarning.
    """
    truth, ranking, counts = _check(labels, scores, weights)
    if not counts[truth == 1].any():
        return _report_undefined("no row of class 1", one_class)
    return _Ranked.of(truth, ranking, ties).area(counts)


def mean_average_precision(
    labels: Array,
    scores: Array,
    *,
    weights: Array | None = None,
    ties: Ties = "safe",
    one_class: OneClass = "raise",
) -> float:
    """Mean of the average precisions of class 1 by score and of class 0 by 1 - score.

    The Ego4D talking-to-me metric (its evaluation server); arguments as `average_precision`.
    Ties of class 0 are those of 1 - score with "stable" (which rounds, like the server), those of
    the score itself with "safe". With one class only: ScoresError, or NaN and a RuntimeWarning.
    """
    truth, ranking, counts = _check(labels, scores, weights)
    for label in (0, 1):
        if not counts[truth == label].any():
            return _report_undefined(f"no row of class {label}", one_class)
    talking = _Ranked.of(truth, ranking, ties).area(counts)
    opposite = -ranking if ties == "safe" else 1 - ranking
    return (talking + _Ranked.of(1 - truth, opposite, ties).area(counts)) / 2


def precision_recall(labels: Array, scores: Array) -> tuple[Vector, Vector]:
    """Recall and monotone precision of class 1, each (P,), at every positive, highest score first.

    The area under these steps is the tie-safe average precision. ScoresError without a positive.
    """
    truth, ranking, counts = _check(labels, scores, None)
    if not truth.any():
        _report_undefined("no row of class 1", "raise")
    ranked = _Ranked.of(truth, ranking, "safe")
    hits, precision = ranked.hits_and_precision(counts[ranked.positives], counts[ranked.negatives])
    return hits / hits[-1], precision


def accuracy(labels: Array, scores: Array, threshold: float = 0.5) -> float:
    """Share of rows on the right side of the threshold; a score equal to it is a yes."""
    truth, ranking, _ = _check(labels, scores, None)
    if not len(truth):
        raise ScoresError("accuracy: there are no rows to judge")
    return float(np.mean((ranking >= threshold) == (truth == 1)))


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of the tie-safe mAP; (NaN, NaN) where there were under two resamples.

    `differences` holds "b-a" for every two systems a, b in their given order; it is empty when
    the rows that all systems have are of one class.
    """

    intervals: dict[str, Bounds]
    differences: dict[str, Bounds]
    n_resamples: int  # those that counted
    n_skipped: int  # those in which a system had one class only


def bootstrap_by_clip(
    labels: Array,
    systems: Mapping[str, Array],
    clips: Array,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Intervals of each system's mAP and of all pairwise differences, resampling whole clips.

    Rows of one clip are far from independent, so clips are drawn with replacement, the same draws
    for every system. `systems` maps names to scores (N,); NaN means that the system has no value
    for that row. A system is judged on the rows it has, a difference on the rows that all have.
    `clips` (N,) may be of any type that sorts; with one clip alone there is no interval.
    Raises ScoresError when a system has one class only on the rows it is judged on.
    """
    columns = {name: np.asarray(scores, np.float64) for name, scores in systems.items()}
    names, clip_of_row = np.unique(clips, return_inverse=True)
    common = np.all([~np.isnan(scores) for scores in columns.values()], axis=0)
    own = {
        name: _Resampler.of(labels, scores, clip_of_row, ~np.isnan(scores))
        for name, scores in columns.items()
    }
    paired = own
    if not common.all():
        both = len(np.unique(np.asarray(labels)[common])) == 2
        paired = {
            name: _Resampler.of(labels, scores, clip_of_row, common)
            for name, scores in columns.items()
            if both
        }
    draws = _draw_clips(len(names), n_resamples, seed)
    usable = np.ones(len(draws), bool)
    for system in (*own.values(), *paired.values()):
        usable &= system.has_both_classes(draws)
    draws = draws[usable]
    maps = {name: system.maps(draws) for name, system in own.items()}
    pairs = maps
    if paired is not own:
        pairs = {name: system.maps(draws) for name, system in paired.items()}
    return Bootstrap(
        intervals={name: _compute_interval(values, confidence) for name, values in maps.items()},
        differences={
            f"{b}-{a}": _compute_interval(pairs[b] - pairs[a], confidence)
            for a, b in combinations(pairs, 2)
        },
        n_resamples=len(draws),
        n_skipped=int((~usable).sum()),
    )


@dataclass(frozen=True)
class _Ranked:
    """Rows sorted once by score, highest first; average precision under any row weights.

    Only positives add area, so a curve needs its false alarms at the positives alone.
    """

    positives: Indices  # (P,) row numbers, highest score first
    negatives: Indices  # (N,)
    false_alarms: Indices  # (P,) how many of the negatives are accepted along with each positive

    @classmethod
    def of(cls, truth: Vector, ranking: Vector, ties: Ties) -> _Ranked:
        order = np.argsort(-ranking, kind="stable")
        is_positive = truth[order] == 1
        positives, negatives = order[is_positive], order[~is_positive]
        if ties == "stable":
            false_alarms = np.cumsum(~is_positive)[is_positive]
        else:
            # All negatives of an equal score. Equal positives need no such care: precision grows
            # from one to the next, and being monotone it takes the last one's value.
            false_alarms = np.searchsorted(-ranking[negatives], -ranking[positives], side="right")
        return cls(positives, negatives, false_alarms)

    def hits_and_precision(self, positive: Vector, negative: Vector) -> tuple[Vector, Vector]:
        """Weighted positives so far and the best precision from there on; each (P,).

        Takes the weights of `positives` and of `negatives`.
        """
        alarms = np.concatenate(([0.0], np.cumsum(negative)))[self.false_alarms]
        hits = np.cumsum(positive)
        precision = hits / np.maximum(hits + alarms, TINY)  # leading rows may all weigh 0
        return hits, np.maximum.accumulate(precision[::-1])[::-1]

    def area(self, weights: Vector) -> float:
        """Average precision with one weight (rows,) for each row."""
        positive = weights[self.positives]
        hits, precision = self.hits_and_precision(positive, weights[self.negatives])
        return float(positive @ precision / hits[-1])


@dataclass(frozen=True)
class _Resampler:
    """One system's rows, sorted once; its mAP under any draw of clips."""

    sides: tuple[_Ranked, _Ranked]  # of class 1 and of class 0, with clips in place of rows
    clip_rows: npt.NDArray[np.int64]  # (clips, 2): rows of class 0 and of class 1

    @classmethod
    def of(cls, labels: Array, scores: Vector, clip: Array, keep: Array) -> _Resampler:
        n_clips = int(clip.max(initial=-1)) + 1
        # Ordered by clip, so that equal scores are summed in one order however the rows came.
        rows = np.flatnonzero(keep)
        rows = rows[np.argsort(clip[rows], kind="stable")]
        clip = clip[rows]
        truth, ranking, _ = _check(np.asarray(labels)[rows], scores[rows], None)
        by_class = [np.bincount(clip[truth == label], minlength=n_clips) for label in (0, 1)]
        for label, rows in enumerate(by_class):
            if not rows.any():
                _report_undefined(f"no row of class {label}", "raise")
        ranked = (_Ranked.of(truth, ranking, "safe"), _Ranked.of(1 - truth, -ranking, "safe"))
        sides = [_Ranked(clip[r.positives], clip[r.negatives], r.false_alarms) for r in ranked]
        return cls((sides[0], sides[1]), np.stack(by_class, axis=1))

    def has_both_classes(self, draws: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each of the (R, clips) draws holds both."""
        return np.asarray((draws @ self.clip_rows > 0).all(axis=1))

    def maps(self, draws: npt.NDArray[np.int64]) -> Vector:
        """mAP of every draw, (R,)."""
        talking, silent = self.sides
        weights = draws.astype(np.float64)
        return np.array([(talking.area(w) + silent.area(w)) / 2 for w in weights], np.float64)


def _check(labels: Array, scores: Array, weights: Array | None) -> tuple[Vector, Vector, Vector]:
    truth = np.asarray(labels, np.float64)
    ranking = np.asarray(scores, np.float64)
    counts = np.ones(truth.shape) if weights is None else np.asarray(weights, np.float64)
    if not truth.shape == ranking.shape == counts.shape or truth.ndim != 1:
        raise ScoresError(
            "labels, scores and weights must be of one length, found shapes "
            f"{truth.shape}, {ranking.shape} and {counts.shape}"
        )
    if not np.isin(truth, (0, 1)).all():
        raise ScoresError("labels must be 0 or 1")
    if np.isnan(ranking).any():
        n = int(np.isnan(ranking).sum())
        raise ScoresError(f"{n} of {len(ranking)} scores are NaN; leave those rows out")
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise ScoresError("weights must be finite and 0 or more")
    return truth, ranking, counts


def _report_undefined(reason: str, one_class: OneClass) -> float:
    message = f"average precision does not exist: {reason}; both classes are needed"
    if one_class == "raise":
        raise ScoresError(message)
    warnings.warn(message, RuntimeWarning, stacklevel=3)
    return float("nan")


def _draw_clips(n_clips: int, n_resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each clip is drawn, (R, clips); no rows when there is nothing to resample."""
    if n_clips < 2:
        return np.empty((0, n_clips), np.int64)
    random = np.random.default_rng(seed)
    return random.multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=n_resamples)


def _compute_interval(values: Vector, confidence: float) -> Bounds:
    if len(values) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
