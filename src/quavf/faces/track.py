"""Turn annotated track rows into one box per frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quavf.core.records import Array, Floats, Ints, Track, TrackRows
from quavf.core.semantics import Semantics


def build_track(rows: TrackRows, semantics: Semantics) -> Track | None:
    """One box per frame from a track's rows, gaps filled linearly.

    Rows with a negative size are dropped; boxes are pushed or cut into x, y >= 0. None when
    nothing is left.
    """
    keep = ~has_negative_size(rows)
    frames, boxes = rows.frames[keep], _to_xyxy(rows.xywh[keep], semantics)
    if not len(frames):
        return None
    first, last = int(frames.min()), int(frames.max())
    covered = np.arange(first, last if semantics.lose_last_frame else last + 1)
    if semantics.pair_rows_in_order and len(frames) == len(covered):
        return Track(covered, boxes)
    if not len(covered):
        return None
    frames, boxes = _sort_by_frame(frames, boxes)
    filled = [np.interp(covered, frames, boxes[:, side]) for side in range(4)]
    return Track(covered, np.stack(filled, axis=1))


def merge_tracks(tracks: Sequence[Track], semantics: Semantics) -> Track | None:
    """Merge all tracks of one person; where two overlap, the later one wins."""
    if not tracks:
        return None
    if not semantics.merge_tracks_in_file_order:
        tracks = sorted(tracks, key=lambda track: int(track.frames[0]))
    return Track(
        *_sort_by_frame(
            np.concatenate([track.frames for track in tracks]),
            np.concatenate([track.boxes for track in tracks]),
        )
    )


def has_negative_size(rows: TrackRows) -> Array:
    """(N,) mask of the rows that annotators or trackers left with a negative width or height."""
    return np.asarray((rows.xywh[:, 2:] < 0).any(axis=1))


def _to_xyxy(xywh: Floats, semantics: Semantics) -> Floats:
    corner = np.maximum(xywh[:, :2], 0.0)
    far = (corner if semantics.shift_negative_boxes else xywh[:, :2]) + xywh[:, 2:]
    return np.concatenate([corner, np.maximum(far, corner)], axis=1)


def _sort_by_frame(frames: Ints, boxes: Floats) -> tuple[Ints, Floats]:
    """Sort by frame; of several rows for one frame keep the last."""
    order = np.argsort(frames, kind="stable")
    frames, boxes = frames[order], boxes[order]
    last = np.append(frames[1:] != frames[:-1], True)
    return frames[last], boxes[last]
