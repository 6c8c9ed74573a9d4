"""How well faces can be seen, from a store's cues: what the learned fusion weighs scores by."""

from __future__ import annotations

import numpy as np

from quavf.core.records import Array, Floats
from quavf.inference.predictor import Columns
from quavf.store import ClipStore

MEASURES = ("confidence", "face_size")  # of the face mesh; longer side in pixels
NEAR_S = 0.25  # a measure holds this far before and after


def measure_faces(store: ClipStore, clip: str, person: Array, time_s: Floats) -> Columns:
    """`MEASURES` (N,) of persons (N,) at times (N,) of a clip: the nearest in time.

    NaN where there is none nearby; empty if the store has no cues of the clip.
    """
    if not store.has_cues(clip):
        return {}
    cues = store.cues(clip)
    found = {name: np.full(len(time_s), np.nan) for name in MEASURES}
    for number in np.unique(person):
        rows, own = np.flatnonzero(person == number), np.flatnonzero(cues.person == number)
        if not len(own):
            continue
        times = cues.time_s[own]
        after = np.searchsorted(times, time_s[rows]).clip(1, max(len(own) - 1, 1))
        pair = np.stack([after - 1, np.minimum(after, len(own) - 1)])  # (2, rows)
        apart = np.abs(times[pair] - time_s[rows])
        nearest, gap = own[np.take_along_axis(pair, apart.argmin(0)[None], 0)[0]], apart.min(0)
        for name in MEASURES:
            found[name][rows] = np.where(gap <= NEAR_S, cues[name][nearest], np.nan)
    return found
