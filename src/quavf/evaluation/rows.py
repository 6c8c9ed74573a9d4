"""The rows that an evaluation judges: every system's scores, with labels, by protocol.

Two protocols. *Frame*, which mimics the challenge's test layout: one row for every scored (clip,
person, frame) inside a labelled segment. *Segment*: one row for every labelled segment that has a
scored frame; its score is the mean over those frames. Only persons other than the camera wearer.

Speaking and looking are labelled in every frame of a clip, or in none, but for stretches that are
given as not labelled. There a segment is a stretch of one person's scored frames with one label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from quavf.core.branches import BRANCHES, FUSED, QUALITY, branch_names
from quavf.core.errors import ScoresError
from quavf.core.records import WEARER, Floats, Interval, Ints, Segment
from quavf.evaluation.config import EVEN_WEIGHT, EvaluateConfig, SegmentScore
from quavf.results.fusion import (
    PUBLISHED,
    Fusion,
    PublishedFormula,
    average_branches,
    encode_clips,
    fuse_at_quality,
)
from quavf.results.scores import Scores

MEAN = "mean"  # system: the plain mean of the branches
CONSTANT = "constant"  # system: the fusion at one face quality for all rows

Systems = dict[str, Floats]  # by name, (N,) each, NaN where a system has no value


@dataclass(frozen=True)
class Rows:
    """The rows of a protocol, all (N,); NaN where a system has no value for a row."""

    clip: Ints  # index of the clip
    labels: Ints
    quality: Floats
    systems: Systems  # those that have any value
    without: Systems = field(default_factory=dict)  # fusions that lack one part, by its name


@dataclass(frozen=True)
class Table:
    """Scored rows sorted by clip, person and frame, with every system's value."""

    clip: Ints
    frame: Ints
    quality: Floats
    systems: Systems
    without: Systems
    groups: dict[tuple[str, int], slice]  # rows of each (clip, person)
    n_unscored: int  # rows that were left out because no system has a value for them

    @classmethod
    def build(cls, scores: Scores, systems: Systems, without: Systems | None = None) -> Table:
        """Raises ScoresError when a row occurs twice."""
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
                f"clip {names[clip[row]]}, person {person[row]}, frame {frame[row]} is scored "
                f"twice ({len(repeated)} repeated rows in all); predict again into an empty folder"
            )
        starts = [0, *(np.flatnonzero(new_group) + 1).tolist()] if len(clip) else []
        groups = {
            (str(names[clip[start]]), int(person[start])): slice(start, stop)
            for start, stop in zip(starts, [*starts[1:], len(frame)], strict=True)
        }
        return cls(
            clip,
            frame,
            scores.quality[order],
            {name: values[order] for name, values in systems.items()},
            {name: values[order] for name, values in (without or {}).items()},
            groups,
            int((~scored).sum()),
        )

    def rows_of(self, clip: str, item: Segment | Interval) -> slice:
        """Where the rows inside a segment or interval lie; empty when there are none."""
        group = self.groups.get((clip, item.person), slice(0, 0))
        ends = (item.start_frame, item.last_frame + 1)
        first, stop = (group.start + np.searchsorted(self.frame[group], ends)).tolist()
        return slice(first, max(first, stop))

    def take(self, rows: Ints, labels: Ints) -> Rows:
        """The rows of an index array, with their labels."""
        return Rows(
            clip=self.clip[rows],
            labels=labels,
            quality=self.quality[rows],
            systems=_drop_empty({name: values[rows] for name, values in self.systems.items()}),
            without=_drop_empty({name: values[rows] for name, values in self.without.items()}),
        )

    def summarise(self, slices: list[slice], labels: Ints, how: SegmentScore) -> Rows:
        """One row for each stretch of rows."""

        def shorten(systems: Systems) -> Systems:
            return _drop_empty({n: _summarise(v, slices, how) for n, v in systems.items()})

        return Rows(
            clip=self.clip[np.array([rows.start for rows in slices], int)],
            labels=labels,
            quality=_summarise(self.quality, slices, "mean"),
            systems=shorten(self.systems),
            without=shorten(self.without),
        )


def list_systems() -> tuple[str, ...]:
    """All systems that can be compared: every branch alone, and their fusions."""
    return (*branch_names(), MEAN, CONSTANT, FUSED)


def compute_systems(
    scores: Scores, face_weight: float = EVEN_WEIGHT, fusion: Fusion = PUBLISHED
) -> Systems:
    """Every system's scores (N,), without the systems that have no value at all.

    "mean", "constant" and the gaps of "fused" need two branches to be there; within them, a
    row that misses a branch takes the others. "constant" is left out where it would be the
    mean. `fusion` fills the gaps.
    """
    branches = _list_branches(scores)
    fused = scores.fused
    fusions: Systems = {}
    if len(branches) > 1:
        columns = {**branches, QUALITY: scores.quality}
        fusions[MEAN] = average_branches(columns)
        if face_weight != EVEN_WEIGHT:
            fusions[CONSTANT] = fuse_at_quality(columns, face_weight)
        fused = np.where(np.isnan(fused), fusion.fuse(columns), fused)
    return _drop_empty({**branches, **fusions, FUSED: fused})


def leave_one_out(scores: Scores, fusion: Fusion, face_weight: float = EVEN_WEIGHT) -> Systems:
    """The fusion without each branch and its columns, and with one quality for all rows, by name.

    Instead of the quality, the published formula gets `face_weight`, and a learned fusion the mean
    it was fitted to. Nothing with a single branch.
    """
    branches = _list_branches(scores)
    if len(branches) < 2:
        return {}
    columns = {**branches, QUALITY: scores.quality}
    without = {
        name: fusion.fuse({n: v for n, v in columns.items() if n not in _list_columns(name)})
        for name in branches
    }
    if not np.isnan(scores.quality).all():
        even = face_weight if isinstance(fusion, PublishedFormula) else np.nan
        without[QUALITY] = fusion.fuse({**columns, QUALITY: np.full(len(scores), even)})
    return _drop_empty(without)


def _list_branches(scores: Scores) -> Systems:
    """The branches that have a score of any row."""
    return _drop_empty({name: scores[name] for name in branch_names()})


def _list_columns(branch: str) -> tuple[str, ...]:
    return (branch, *BRANCHES.get(branch).columns)


def build_talking_rows(
    table: Table, segments: list[tuple[str, Segment]], config: EvaluateConfig
) -> tuple[Rows, Rows, int]:
    """Rows by frame, rows by segment, and the number of rows left out.

    Left out of the frames are those that segments of both labels claim.
    """
    bounds = [table.rows_of(clip, segment) for clip, segment in segments]
    claimed = np.zeros((2, len(table.frame)), bool)
    for (_, segment), rows in zip(segments, bounds, strict=True):
        claimed[segment.label, rows] = True
    keep = np.flatnonzero(claimed[0] ^ claimed[1])
    frames = table.take(keep, claimed[1, keep].astype(int))
    pairs = [
        (segment.label, rows)
        for (_, segment), rows in zip(segments, bounds, strict=True)
        if rows.stop > rows.start
    ]
    labels = np.array([label for label, _ in pairs], int)
    whole = table.summarise([rows for _, rows in pairs], labels, config.segment_score)
    return frames, whole, int((claimed[0] & claimed[1]).sum())


def build_interval_rows(
    table: Table,
    intervals: Mapping[str, Sequence[Interval]],
    config: EvaluateConfig,
    unlabelled: Mapping[str, Sequence[Interval]] | None = None,
) -> tuple[Rows, Rows]:
    """Rows by frame and by segment of a task that is labelled in whole clips.

    `intervals` holds when the answer is yes, by clip; a clip that it lacks is not labelled, and
    neither are the stretches `unlabelled` of the others.
    """
    labels = np.full(len(table.frame), -1)
    stretches: list[slice] = []
    for (clip, person), group in table.groups.items():
        if clip not in intervals or person <= WEARER:
            continue
        labels[group] = 0
        for interval in intervals[clip]:
            if interval.person == person:
                labels[table.rows_of(clip, interval)] = 1
        for interval in (unlabelled or {}).get(clip, ()):
            if interval.person == person:
                labels[table.rows_of(clip, interval)] = -1
        edges = group.start + 1 + np.flatnonzero(np.diff(labels[group]))
        ends = [group.start, *edges.tolist(), group.stop]
        stretches += [slice(a, b) for a, b in pairwise(ends) if labels[a] >= 0]
    keep = np.flatnonzero(labels >= 0)
    firsts = np.array([rows.start for rows in stretches], int)
    whole = table.summarise(stretches, labels[firsts], config.segment_score)
    return table.take(keep, labels[keep]), whole


def _drop_empty(systems: Systems) -> Systems:
    return {name: values for name, values in systems.items() if not np.isnan(values).all()}


def _summarise(values: Floats, slices: list[slice], how: SegmentScore) -> Floats:
    """Mean or maximum of each stretch without its NaN; NaN where nothing is left.

    Rounded to 12 decimals, so that stretches of one constant score stay tied.
    """
    summaries = np.full(len(slices), np.nan)
    for index, rows in enumerate(slices):
        present = values[rows][~np.isnan(values[rows])]
        if len(present):
            summaries[index] = present.mean() if how == "mean" else present.max()
    return np.round(summaries, 12)
