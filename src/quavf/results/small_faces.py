"""People in the background: faces too small, or much smaller than others, to tell whom they face.

A crowd on a screen, a picture on a wall and passers-by far away face the camera as often as not,
and a score of such a face says little.
"""

from __future__ import annotations

import numpy as np

from quavf.core.records import Floats
from quavf.results.config import MomentsConfig
from quavf.results.video import VideoResult

TYPICAL = 90  # percentile of a person's face sizes that counts, so that approaching is enough
SAME_TIME_S = 0.02  # scores that are closer are of one time


def find_small_faces(result: VideoResult, config: MomentsConfig) -> set[int]:
    """The persons who can have no moments, by `config.min_face` and `config.min_face_share`."""
    rows = {person: own for person, own in result.scores.items() if len(own)}
    if not rows:
        return set()
    times = {person: np.round(own.time_s / SAME_TIME_S).astype(int) for person, own in rows.items()}
    sides = {person: _sides(own.box) for person, own in rows.items()}
    every, where = np.unique(np.concatenate(list(times.values())), return_inverse=True)
    largest = np.zeros(len(every))
    np.maximum.at(largest, where, np.concatenate(list(sides.values())))
    small = set()
    for person, own in sides.items():
        share = float(np.median(own / largest[np.searchsorted(every, times[person])]))
        if np.percentile(own, TYPICAL) < config.min_face or share < config.min_face_share:
            small.add(person)
    return small


def _sides(boxes: Floats) -> Floats:
    """(N,) longer side of boxes (N, 4), pixels."""
    return np.asarray(np.maximum(np.max(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6))
