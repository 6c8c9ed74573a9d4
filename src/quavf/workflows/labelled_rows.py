"""The labelled rows that a fusion is fitted to, of scores and the stores that were predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quavf.core.branches import QUALITY, SPEAKING, branch_names
from quavf.core.errors import ScoresError
from quavf.core.records import TALKING, Array, Floats, Interval, Ints, Segment
from quavf.results.fusion import encode_clips
from quavf.results.scores import Scores, read_scores
from quavf.results.turns import list_turns, pool_turns
from quavf.store import ClipStore


@dataclass(frozen=True)
class LabelledRows:
    """Labelled rows of all scores folders: columns and labels (N,), and a number of the clip."""

    columns: dict[str, Floats]
    labels: Ints
    clip: Ints

    def __len__(self) -> int:
        return len(self.labels)

    def columns_of(self, rows: Array) -> dict[str, Floats]:
        return {name: values[rows] for name, values in self.columns.items()}

    def part(self, rows: Array) -> LabelledRows:
        return LabelledRows(self.columns_of(rows), self.labels[rows], self.clip[rows])


def read_labelled_rows(
    folder: Path, path: Path, *, spoken: bool = False, whole_turns: bool = False
) -> LabelledRows:
    """The labelled rows of a scores folder, with what the store knows of their faces.

    With `whole_turns`, each has the means of its labelled segment.
    """
    from quavf.inference.measures import MEASURES, measure_faces

    scores, store = read_scores(folder), ClipStore.open(path)
    names, codes = encode_clips(scores.clip)
    labels = np.full(len(scores), -1)
    columns = {n: scores[n].copy() for n in (*branch_names(), QUALITY) if n in scores.columns}
    columns |= {name: np.full(len(scores), np.nan) for name in MEASURES}
    for index, clip in enumerate(names):
        own = np.flatnonzero(codes == index)
        if not store.has_clip(str(clip)):
            raise ScoresError(
                f"{folder}: clip {clip} is not in {path}; give the store that was predicted on"
            )
        manifest = store.manifest(str(clip))
        here = scores.take(own)
        labels[own] = _label(here, manifest.segments)
        if spoken and manifest.speaking is not None:
            heard = manifest.speaking + manifest.unlabelled.get(SPEAKING, ())
            labels[own[~_is_inside(here, heard)]] = 0
        unknown = _is_inside(here, manifest.unlabelled.get(TALKING, ()))
        labels[own[unknown & ~_is_inside(here, manifest.segments)]] = -1
        times = scores.frame[own] / float(manifest.clock.fps)
        for name, values in measure_faces(store, str(clip), scores.person[own], times).items():
            columns[name][own] = values
        if whole_turns and TALKING in manifest.unlabelled:
            labels[own] = -1  # silence is labelled, too: segments are not turns
        if whole_turns:
            turns = list_turns(here, manifest.segments)
            for values in columns.values():
                values[own] = pool_turns(values[own], turns)
    known = labels >= 0
    return LabelledRows({n: v[known] for n, v in columns.items()}, labels[known], codes[known])


def _label(scores: Scores, segments: Sequence[Segment]) -> Ints:
    """1 or 0 for each row of a clip (N,), -1 where segments contradict each other."""
    claimed = [
        _is_inside(scores, [segment for segment in segments if segment.label == label])
        for label in (0, 1)
    ]
    labels: Ints = claimed[1].astype(int)
    labels[claimed[0] & claimed[1]] = -1
    return labels


def _is_inside(scores: Scores, parts: Sequence[Segment | Interval]) -> Array:
    """(N,) whether each row of a clip lies in a part of its person."""
    inside = np.zeros(len(scores), bool)
    for part in parts:
        inside |= part.covers(scores.frame) & (scores.person == part.person)
    return inside


def join_rows(parts: Sequence[LabelledRows]) -> LabelledRows:
    """All rows, with clips of different stores told apart."""
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    columns = {
        name: np.concatenate([p.columns.get(name, np.full(len(p), np.nan)) for p in parts])
        for name in names
    }
    offsets = np.cumsum([0, *(int(part.clip.max(initial=-1)) + 1 for part in parts)])
    clips = [part.clip + offset for part, offset in zip(parts, offsets, strict=False)]
    joined = LabelledRows(columns, np.concatenate([p.labels for p in parts]), np.concatenate(clips))
    if len(np.unique(joined.labels)) < 2:
        raise ScoresError(
            f"bundle: the {len(joined)} labelled rows are of one class only; give more clips"
        )
    return joined
