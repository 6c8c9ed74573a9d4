"""Evaluation of scores against labels: systems, intervals, calibration, what each part adds.

See `quavf.evaluation.rows` for the two protocols, by frame and by segment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from quavf.core.branches import FUSED, QUALITY, STANDARD
from quavf.core.errors import ScoresError
from quavf.core.records import WEARER, Floats, Interval, Ints, Segment
from quavf.evaluation.ava import AvaResult
from quavf.evaluation.calibration import ReliabilityBin, bin_by_score, compute_calibration_error
from quavf.evaluation.config import EvaluateConfig
from quavf.evaluation.metrics import (
    Bootstrap,
    Bounds,
    Ties,
    accuracy,
    bootstrap_by_clip,
    mean_average_precision,
)
from quavf.evaluation.rows import (
    MEAN,
    Rows,
    Table,
    build_interval_rows,
    build_talking_rows,
    compute_systems,
    leave_one_out,
    list_systems,
)
from quavf.results.fusion import PUBLISHED, Fusion
from quavf.results.scores import Scores

ALWAYS = (*(spec.name for spec in STANDARD), MEAN, FUSED)  # listed even without a value
Mask = npt.NDArray[np.bool_]
Labels = Mapping[str, Mapping[str, Sequence[Interval]]]
"""Intervals in which the answer is yes, by score column (speaking, looking) and clip."""


@dataclass(frozen=True)
class SystemResult:
    """One system on the rows it has; None where a value does not exist (one class only)."""

    map: float | None  # tie-safe
    map_official: float | None  # equal scores in the order clip, person, frame
    map_ci: Bounds | None
    accuracy: float
    ece: float  # expected calibration error
    n_rows: int
    n_missing: int  # rows of the protocol for which it has no value
    n_positive: int
    n_clips: int
    reliability: tuple[ReliabilityBin, ...]  # the bins behind `ece`


@dataclass(frozen=True)
class Difference:
    """mAP of one system less another's, on the rows that all systems have."""

    map: float | None
    ci: Bounds | None


@dataclass(frozen=True)
class Contribution:
    """Contribution of one branch, or of the face quality, to the fused score."""

    map_without: float | None  # of the fusion that lacks it, on the rows that all fusions have
    gain: Difference  # fused less that


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
    contributions: dict[str, Contribution]  # by branch, and "quality"
    quality_bins: tuple[QualityBin, ...]
    counts: dict[str, int]
    rows: Rows  # for the figures

    @classmethod
    def empty(cls) -> Protocol:
        """The outcome for a store in which talking to me is not labelled."""
        nothing = Rows(np.empty(0, int), np.empty(0, int), np.empty(0), {})
        names = ("rows", "positive_rows", "clips", "common_rows", "common_rows_without_quality")
        counts = dict.fromkeys((*names, "resamples", "resamples_skipped"), 0)
        return cls({}, {}, {}, (), counts, nothing)


@dataclass(frozen=True)
class Task:
    """How well one score column answers another question than "talking to me"."""

    frame: SystemResult
    segment: SystemResult


@dataclass(frozen=True)
class Evaluation:
    """Both protocols, what was left out, and the configuration."""

    frame: Protocol
    segment: Protocol
    counts: dict[str, int]
    config: EvaluateConfig
    tasks: dict[str, Task] = field(default_factory=dict)  # "speaking", "looking"
    ava: AvaResult | None = None  # AVA-ActiveSpeaker's own measure, for its stores


def evaluate_scores(
    scores: Scores,
    segments: Sequence[tuple[str, Segment]],
    config: EvaluateConfig | None = None,
    labels: Labels | None = None,
    fusion: Fusion = PUBLISHED,
    unlabelled: Labels | None = None,
) -> Evaluation:
    """Judge scores against (clip, segment) pairs under both protocols.

    Frames that segments of both labels claim are left out of the frame protocol and counted; a
    segment listed twice counts once. `labels` of speaking and looking judge the columns of these
    names, but for the stretches `unlabelled`. `fusion`, which made the fused scores, also fuses
    fewer branches, to tell what each adds.
    Without any segment, only `labels` are judged. Raises ScoresError when a row occurs twice, when
    no scored row lies in a labelled segment, or when those that do are of one class.
    """
    config = config or EvaluateConfig()
    scores, n_not_finite = _drop_infinite(scores)
    systems = compute_systems(scores, config.face_weight, fusion)
    if not systems:
        raise ScoresError(f"none of the {len(scores)} rows has a score; predict again")
    without = leave_one_out(scores, fusion, config.face_weight)
    table = Table.build(scores, systems, without)
    labelled = [(clip, segment) for clip, segment in segments if segment.person > WEARER]
    distinct = sorted(set(labelled))
    frame, segment, n_contradictory = build_talking_rows(table, distinct, config)
    tasks = _judge_tasks(scores, labels or {}, unlabelled or {}, config)
    if segments or not tasks:
        _check_classes(table, frame, segment, len(distinct))
    counts = {
        "scored_rows": len(table.frame),
        "unscored_rows": table.n_unscored,
        "scores_not_finite": n_not_finite,
        "rows_in_no_segment": len(table.frame) - len(frame.labels) - n_contradictory,
        "contradictory_rows": n_contradictory,
        "segments": len(distinct),
        "segments_of_wearer": len(segments) - len(labelled),
        "repeated_segments": len(labelled) - len(distinct),
        "segments_without_scores": len(distinct) - len(segment.labels),
    }
    if not segments:
        return Evaluation(Protocol.empty(), Protocol.empty(), counts, config, tasks)
    return Evaluation(_judge(frame, config), _judge(segment, config), counts, config, tasks)


def _drop_infinite(scores: Scores) -> tuple[Scores, int]:
    """Scores in which an infinite value counts as missing, and how many there were."""
    n = sum(int(np.isinf(values).sum()) for values in scores.columns.values())
    if not n:
        return scores, 0
    columns = {k: np.where(np.isinf(v), np.nan, v) for k, v in scores.columns.items()}
    return replace(scores, columns=columns), n


def _check_classes(table: Table, frame: Rows, segment: Rows, n_segments: int) -> None:
    if not len(segment.labels):
        raise ScoresError(
            f"none of the {len(table.frame)} scored rows lies in one of the {n_segments} "
            "labelled segments: the scores and the clip store do not belong together; "
            "predict on the store that is evaluated"
        )
    if len(set(frame.labels.tolist())) < 2:
        found = f"label {frame.labels[0]} only" if len(frame.labels) else "contradictory labels"
        raise ScoresError(
            f"the scored rows inside labelled segments have {found}; mean average precision "
            "needs both, so evaluate on more clips"
        )


def _judge_tasks(
    scores: Scores, labels: Labels, unlabelled: Labels, config: EvaluateConfig
) -> dict[str, Task]:
    """Each column that has both scores and labels."""
    tasks = {}
    for name, intervals in labels.items():
        column = scores.columns.get(name)
        if column is None or np.isnan(column).all():
            continue
        table = Table.build(scores, {name: column})
        frame, segment = build_interval_rows(table, intervals, config, unlabelled.get(name))
        if len(frame.labels):
            tasks[name] = Task(*(_judge_alone(rows, name, config) for rows in (frame, segment)))
    return tasks


def _judge_alone(rows: Rows, name: str, config: EvaluateConfig) -> SystemResult:
    return _judge_system(rows, name, _bootstrap(rows, rows.systems, config), config)


def _judge(rows: Rows, config: EvaluateConfig) -> Protocol:
    common = np.all([~np.isnan(scores) for scores in rows.systems.values()], axis=0)
    boot = _bootstrap(rows, rows.systems, config)
    systems: dict[str, SystemResult | None] = {
        name: _judge_system(rows, name, boot, config) if name in rows.systems else None
        for name in list_systems()
        if name in rows.systems or name in ALWAYS
    }
    differences = _differences(rows.labels, rows.systems, boot)
    return Protocol(
        systems=systems,
        differences=differences,
        contributions=_judge_contributions(rows, differences, config),
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


def _bootstrap(rows: Rows, systems: Mapping[str, Floats], config: EvaluateConfig) -> Bootstrap:
    """Resample the systems whose rows hold both classes.

    If one system lacks a class, so do the rows that all systems have; there are no differences
    then.
    """
    judged = {
        name: scores
        for name, scores in systems.items()
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
    return boot if len(judged) == len(systems) else replace(boot, differences={})


def _judge_system(rows: Rows, name: str, boot: Bootstrap, config: EvaluateConfig) -> SystemResult:
    has_value = ~np.isnan(rows.systems[name])
    labels, scores = rows.labels[has_value], rows.systems[name][has_value]
    reliability = bin_by_score(labels, scores, config.n_reliability_bins)
    return SystemResult(
        map=_map(labels, scores, "safe"),
        map_official=_map(labels, scores, "stable"),
        map_ci=_drop_missing(boot.intervals.get(name)),
        accuracy=accuracy(labels, scores),
        ece=compute_calibration_error(reliability),
        n_rows=len(labels),
        n_missing=int((~has_value).sum()),
        n_positive=int(labels.sum()),
        n_clips=len(np.unique(rows.clip[has_value])),
        reliability=reliability,
    )


def _differences(
    labels: Ints, systems: Mapping[str, Floats], boot: Bootstrap
) -> dict[str, Difference]:
    """Every pair, the later system less the earlier, on the rows that all have."""
    maps = _map_common(labels, systems)
    return {
        f"{b}-{a}": _compare(maps[b], maps[a], boot.differences.get(f"{b}-{a}"))
        for a, b in combinations(maps, 2)
    }


def _map_common(labels: Ints, systems: Mapping[str, Floats]) -> dict[str, float | None]:
    """mAP of each system on the rows that all have."""
    common = np.all([~np.isnan(scores) for scores in systems.values()], axis=0)
    return {name: _map(labels[common], s[common], "safe") for name, s in systems.items()}


def _compare(one: float | None, other: float | None, bounds: Bounds | None) -> Difference:
    return Difference(None if one is None or other is None else one - other, _drop_missing(bounds))


def _judge_contributions(
    rows: Rows, differences: Mapping[str, Difference], config: EvaluateConfig
) -> dict[str, Contribution]:
    """Fused less the fusion without each part, on the rows that all of them have."""
    without = {n: s for n, s in rows.without.items() if n == QUALITY or n in rows.systems}
    if FUSED not in rows.systems or not without:
        return {}
    fusions, rival = rows.systems, {name: _find_equal(s, rows) for name, s in without.items()}
    if not all(rival.values()):  # with two branches they are, and the bootstrap has been done
        rival = {name: f"without {name}" for name in without}
        fusions = {rival[name]: scores for name, scores in without.items()}
        fusions[FUSED] = rows.systems[FUSED]
        differences = _differences(rows.labels, fusions, _bootstrap(rows, fusions, config))
    maps = _map_common(rows.labels, fusions)
    return {
        name: Contribution(maps[other], differences[f"{FUSED}-{other}"])
        for name, other in rival.items()
    }


def _find_equal(scores: Floats, rows: Rows) -> str:
    """The first system other than fused that has these scores; empty if there is none."""
    others = [(name, other) for name, other in rows.systems.items() if name != FUSED]
    return next((n for n, other in others if np.array_equal(scores, other, equal_nan=True)), "")


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


def _drop_missing(interval: Bounds | None) -> Bounds | None:
    return None if interval is None or math.isnan(interval[0]) else interval
