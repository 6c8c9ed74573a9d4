"""Tell from its faces that a video was filmed on its side and does not say so."""

from __future__ import annotations

import numpy as np

from quavf.core.records import Ints
from quavf.faces.detect import Detections

CLEAR = 0.8  # score of a face that counts
ENOUGH = 10  # faces, after which no more are counted
FEWEST = 2  # faces on their side, to suggest a turn


def count_turns(found: Detections) -> Ints:
    """(4,) clear faces by the quarter turns, clockwise, that bring them upright.

    All 0 if the detector has no landmarks.
    """
    counts = np.zeros(4, np.int64)
    points = () if found.landmarks is None else found.landmarks[found.scores >= CLEAR]
    for own in points:
        down = own[3:].mean(axis=0) - own[:2].mean(axis=0)  # from the eyes to the mouth
        across = abs(down[0]) > abs(down[1])
        counts[(1 if down[0] > 0 else 3) if across else (0 if down[1] > 0 else 2)] += 1
    return counts


def suggest_turn(counts: Ints) -> int:
    """Degrees clockwise by which to turn pictures with these faces (4,); 0: none."""
    best = int(np.argmax(counts))
    return best * 90 if counts[best] >= max(FEWEST, counts.sum() / 2) else 0
