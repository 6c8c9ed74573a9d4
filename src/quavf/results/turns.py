"""Whole turns: what the rows of one labelled segment say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quavf.core.records import Floats, Ints, Segment
from quavf.results.fusion import Fusion
from quavf.results.scores import Scores


def list_turns(scores: Scores, segments: Sequence[Segment]) -> list[Ints]:
    """The rows of one clip's scores inside each of its segments."""
    return [
        np.flatnonzero(segment.covers(scores.frame) & (scores.person == segment.person))
        for segment in segments
    ]


def pool_turns(values: Floats, turns: Sequence[Ints], outside: Floats | None = None) -> Floats:
    """The mean (N,) of known values (N,) over each turn's rows; `outside` (N,) elsewhere.

    A labelled segment is one person's turn to one addressee, so that its rows share one label, and
    each of them tells something about it. (The same helps for looking at me: PCIE, Ego4D 2025.) A
    row of several turns takes the first one's mean; a turn without any known value has none.
    """
    pooled = np.full(len(values), np.nan) if outside is None else outside.copy()
    for rows in reversed(turns):
        known = values[rows][~np.isnan(values[rows])]
        pooled[rows] = known.mean() if len(known) else np.nan
    return pooled


def fuse_turns(
    columns: Mapping[str, Floats], turns: Sequence[Ints], fusion: Fusion, outside: Floats
) -> Floats:
    """The fused score (N,) of turns from their means of all columns (N,); `outside` elsewhere."""
    pooled = {name: pool_turns(values, turns) for name, values in columns.items()}
    fused = outside.copy()
    inside = np.unique(np.concatenate([np.empty(0, np.int64), *turns]))
    fused[inside] = fusion.fuse({name: values[inside] for name, values in pooled.items()})
    return fused
