"""Evaluation of scores against labelled segments: systems, intervals, bins of face quality.

Two protocols. *Frame*, which mimics the challenge's test layout: one row for every scored (clip,
person, frame) inside a labelled segment. *Segment*: one row for every labelled segment that has a
scored frame; its score is the mean over those frames. Only persons other than the camera wearer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from quavf.core.branches import FUSED, QUALITY, branch_names
from quavf.core.errors import ScoresError
from quavf.core.records import WEARER, Floats, Ints, Segment
from quavf.evaluation.config import EVEN_WEIGHT, EvaluateConfig
from quavf.evaluation.metrics import (
    Bootstrap,
    Interval,
    Ties,
    accuracy,
    bootstrap_by_clip,
    mean_average_precision,
)
from quavf.results.fusion import average_branches, encode_clips, fuse_at_quality, fuse_columns
from quavf.results.scores import Scores

MEAN = "mean"  # system: the plain mean of the branches
CONSTANT = "constant"  # system: the fusion at one face quality for all rows

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """What a protocol judges, all (N,); a system's NaN means that it has no value for the row."""

    clip: Ints  # index of the clip
    labels: Ints
    quality: Floats
    systems: dict[str, Floats]  # those that have any value


@dataclass(frozen=True)
class SystemResult:
    """One system on the rows it has; None where a value does not exist (one class only)."""

    map: float | None  # tie-safe
    map_official: float | None  # equal scores in the order clip, person, frame
    map_ci: Interval | None
    accuracy: float
    n_rows: int
    n_missing: int  # rows of the protocol for which it has no value
    n_positive: int
    n_clips: int


@dataclass(frozen=True)
class Difference:
    """mAP of one system less another's, on the rows that all systems have."""

    map: float | None
    ci: Interval | None


@dataclass(frozen=True)
class QualityBin:
    """Rows of face quality in [low, high) (the last bin: with 1) that all systems have."""

    low: float
    high: float
    n_rows: int
    n_positive: int
    map: dict[str, float | None]


@dataclass(frozen=True)
class Protocol:
    """The outcome under one protocol; a system without any value is None."""

    systems: dict[str, SystemResult | None]
    differences: dict[str, Difference]  # "fused-audio": fused less audio
    quality_bins: tuple[QualityBin, ...]
    counts: dict[str, int]
    rows: Rows  # for the figures


@dataclass(frozen=True)
class Evaluation:
    """Both protocols, what was left out, and the configuration."""

    frame: Protocol
    segment: Protocol
    counts: dict[str, int]
    config: EvaluateConfig


def evaluate_scores(
    scores: Scores, segments: Sequence[tuple[str, Segment]], config: EvaluateConfig | None = None
) -> Evaluation:
    """Judge scores against (clip, segment) pairs under both protocols.

    Frames that segments of both labels claim are left out of the frame protocol and counted; a
    segment listed twice counts once. Raises ScoresError when a row occurs twice, when no scored
    row lies in a labelled segment, or when those that do are of one class.
    """
    config = config or EvaluateConfig()
    table, n_unscored = _table_of(scores, config)
    labelled = [(clip, segment) for clip, segment in segments if segment.person > WEARER]
    distinct = sorted(set(labelled))
    bounds = [table.rows_of(clip, segment) for clip, segment in distinct]
    frame, n_contradictory = _frame_rows(table, distinct, bounds)
    segment = _segment_rows(table, distinct, bounds)
    if not len(segment.labels):
        raise ScoresError(
            f"none of the {len(table.frame)} scored rows lies in one of the {len(distinct)} "
            "labelled segments: the scores and the clip store do not belong together; "
            "predict on the store that is evaluated"
        )
    if len(set(frame.labels.tolist())) < 2:
        found = f"label {frame.labels[0]} only" if len(frame.labels) else "contradictory labels"
        raise ScoresError(
            f"the scored rows inside labelled segments have {found}; mean average precision "
            "needs both, so evaluate on more clips"
        )
    counts = {
        "scored_rows": len(table.frame),
        "unscored_rows": n_unscored,
        "rows_in_no_segment": len(table.frame) - len(frame.labels) - n_contradictory,
        "contradictory_rows": n_contradictory,
        "segments": len(distinct),
        "segments_of_wearer": len(segments) - len(labelled),
        "repeated_segments": len(labelled) - len(distinct),
        "segments_without_scores": len(distinct) - len(segment.labels),
    }
    return Evaluation(_judge(frame, config), _judge(segment, config), counts, config)


@dataclass(frozen=True)
class _Table:
    """Scored rows sorted by clip, person and frame, with every system's value."""

    clip: Ints
    frame: Ints
    quality: Floats
    systems: dict[str, Floats]
    groups: dict[tuple[str, int], slice]  # rows of each (clip, person)

    def rows_of(self, clip: str, segment: Segment) -> slice:
        """Where the rows inside a segment lie; empty when there are none."""
        group = self.groups.get((clip, segment.person), slice(0, 0))
        ends = (segment.start_frame, segment.last_frame + 1)
        first, stop = (group.start + np.searchsorted(self.frame[group], ends)).tolist()
        return slice(first, max(first, stop))


def _table_of(scores: Scores, config: EvaluateConfig) -> tuple[_Table, int]:
    """The table, and how many rows were left out because no system has a value for them."""
    systems = compute_systems(scores, config.face_weight)
    if not systems:
        raise ScoresError(f"none of the {len(scores)} rows has a score; predict again")
    scored = np.any([~np.isnan(values) for values in systems.values()], axis=0)
    names, codes = encode_clips(scores.clip)
    order = np.lexsort((scores.frame, scores.person, codes))
    order = order[scored[order]]
    clip, person, frame = codes[order], scores.person[order], scores.frame[order]
    new_group = (np.diff(clip) != 0) | (np.diff(person) != 0)
    repeated = np.flatnonzero(~new_group & (np.diff(frame) == 0))
    if len(repeated):
        row = repeated[0]
        raise ScoresError(
            f"clip {names[clip[row]]}, person {person[row]}, frame {frame[row]} is scored twice "
            f"({len(repeated)} repeated rows in all); predict again into an empty folder"
        )
    starts = [0, *(np.flatnonzero(new_group) + 1).tolist()]
    groups = {
        (str(names[clip[start]]), int(person[start])): slice(start, stop)
        for start, stop in zip(starts, [*starts[1:], len(frame)], strict=True)
    }
    values = {name: column[order] for name, column in systems.items()}
    return _Table(clip, frame, scores.quality[order], values, groups), int((~scored).sum())


def list_systems() -> tuple[str, ...]:
    """All systems that can be compared: every branch alone, and their fusions."""
    return (*branch_names(), MEAN, CONSTANT, FUSED)


def compute_systems(scores: Scores, face_weight: float = EVEN_WEIGHT) -> dict[str, Floats]:
    """Every system's scores (N,), without the systems that have no value at all.

    "mean", "constant" and the gaps of "fused" need two branches to be there; within them, a
    row that misses a branch takes the others. "constant" is left out where it would be the
    mean.
    """
    branches = _drop_empty({name: scores[name] for name in branch_names()})
    fused = scores.fused
    fusions: dict[str, Floats] = {}
    if len(branches) > 1:
        columns = {**branches, QUALITY: scores.quality}
        fusions[MEAN] = average_branches(columns)
        if face_weight != EVEN_WEIGHT:
            fusions[CONSTANT] = fuse_at_quality(columns, face_weight)
        fused = np.where(np.isnan(fused), fuse_columns(columns), fused)
    return _drop_empty({**branches, **fusions, FUSED: fused})


def _frame_rows(
    table: _Table, segments: list[tuple[str, Segment]], bounds: list[slice]
) -> tuple[Rows, int]:
    """The rows of the frame protocol, and how many were left out for contradictory labels."""
    claimed = np.zeros((2, len(table.frame)), bool)
    for (_, segment), rows in zip(segments, bounds, strict=True):
        claimed[segment.label, rows] = True
    keep = np.flatnonzero(claimed[0] ^ claimed[1])
    judged = Rows(
        clip=table.clip[keep],
        labels=claimed[1, keep].astype(int),
        quality=table.quality[keep],
        systems=_drop_empty({name: values[keep] for name, values in table.systems.items()}),
    )
    return judged, int((claimed[0] & claimed[1]).sum())


def _segment_rows(table: _Table, segments: list[tuple[str, Segment]], bounds: list[slice]) -> Rows:
    """The rows of the segment protocol, one for every segment that has scored frames."""
    pairs = [
        (segment.label, rows)
        for (_, segment), rows in zip(segments, bounds, strict=True)
        if rows.stop > rows.start
    ]
    slices = [rows for _, rows in pairs]
    return Rows(
        clip=table.clip[np.array([rows.start for rows in slices], int)],
        labels=np.array([label for label, _ in pairs], int),
        quality=_means(table.quality, slices),
        systems=_drop_empty({k: _means(values, slices) for k, values in table.systems.items()}),
    )


def _drop_empty(systems: dict[str, Floats]) -> dict[str, Floats]:
    return {name: values for name, values in systems.items() if not np.isnan(values).all()}


def _means(values: Floats, slices: list[slice]) -> Floats:
    """Mean of each stretch without its NaN; NaN where nothing is left.

    Rounded to 12 decimals, so that stretches of one constant score stay tied.
    """
    means = np.full(len(slices), np.nan)
    for index, rows in enumerate(slices):
        present = values[rows][~np.isnan(values[rows])]
        if len(present):
            means[index] = present.mean()
    return np.round(means, 12)


def _judge(rows: Rows, config: EvaluateConfig) -> Protocol:
    common = np.all([~np.isnan(scores) for scores in rows.systems.values()], axis=0)
    boot = _bootstrap(rows, config)
    systems: dict[str, SystemResult | None] = {
        name: _judge_system(rows, name, boot.intervals) if name in rows.systems else None
        for name in list_systems()
        if name in rows.systems or name != CONSTANT
    }
    return Protocol(
        systems=systems,
        differences=_differences(rows, common, boot.differences),
        quality_bins=_quality_bins(rows, common, config.n_bins),
        counts={
            "rows": len(common),
            "positive_rows": int(rows.labels.sum()),
            "clips": len(np.unique(rows.clip)),
            "common_rows": int(common.sum()),
            "common_rows_without_quality": int((common & np.isnan(rows.quality)).sum()),
            "resamples": boot.n_resamples,
            "resamples_skipped": boot.n_skipped,
        },
        rows=rows,
    )


def _bootstrap(rows: Rows, config: EvaluateConfig) -> Bootstrap:
    """Of the systems whose rows hold both classes.

    Where one of them fails that, so do the rows that all have: then no difference exists.
    """
    judged = {
        name: scores
        for name, scores in rows.systems.items()
        if len(np.unique(rows.labels[~np.isnan(scores)])) == 2
    }
    boot = bootstrap_by_clip(
        rows.labels,
        judged,
        rows.clip,
        n_resamples=config.n_resamples,
        confidence=config.confidence,
        seed=config.seed,
    )
    return boot if len(judged) == len(rows.systems) else replace(boot, differences={})


def _judge_system(rows: Rows, name: str, intervals: Mapping[str, Interval]) -> SystemResult:
    has_value = ~np.isnan(rows.systems[name])
    labels, scores = rows.labels[has_value], rows.systems[name][has_value]
    return SystemResult(
        map=_map(labels, scores, "safe"),
        map_official=_map(labels, scores, "stable"),
        map_ci=_drop_missing(intervals.get(name)),
        accuracy=accuracy(labels, scores),
        n_rows=len(labels),
        n_missing=int((~has_value).sum()),
        n_positive=int(labels.sum()),
        n_clips=len(np.unique(rows.clip[has_value])),
    )


def _differences(
    rows: Rows, common: Mask, intervals: Mapping[str, Interval]
) -> dict[str, Difference]:
    """Every pair, the later system less the earlier."""
    maps = {
        name: _map(rows.labels[common], scores[common], "safe")
        for name, scores in rows.systems.items()
    }
    differences = {}
    for a, b in combinations(maps, 2):
        first, second = maps[a], maps[b]
        gain = None if first is None or second is None else second - first
        differences[f"{b}-{a}"] = Difference(gain, _drop_missing(intervals.get(f"{b}-{a}")))
    return differences


def _quality_bins(rows: Rows, common: Mask, n_bins: int) -> tuple[QualityBin, ...]:
    known = np.nan_to_num(rows.quality, nan=-1.0)  # a missing quality falls in no bin
    # Rounded first, so that 0.57 with 100 bins is in the bin that starts at 0.57.
    index = np.minimum(np.floor(np.round(known * n_bins, 9)), n_bins - 1)
    bins = []
    for i in range(n_bins):
        inside = common & (index == i)
        labels = rows.labels[inside]
        maps = {name: _map(labels, s[inside], "safe") for name, s in rows.systems.items()}
        bins.append(QualityBin(i / n_bins, (i + 1) / n_bins, len(labels), int(labels.sum()), maps))
    return tuple(bins)


def _map(labels: Ints, scores: Floats, ties: Ties) -> float | None:
    if len(np.unique(labels)) < 2:
        return None
    return mean_average_precision(labels, scores, ties=ties)


def _drop_missing(interval: Interval | None) -> Interval | None:
    return None if interval is None or math.isnan(interval[0]) else interval
