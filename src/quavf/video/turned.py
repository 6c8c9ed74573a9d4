"""Tell from its faces that a video was filmed on its side and does not say so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quavf.core.records import Floats, Image
from quavf.faces.detect import FaceDetector
from quavf.sources.media.file import VideoFile

N_PICTURES = 5  # that are tried
EVERY_S = 0.5  # between them
LATEST_S = 60.0  # a video whose first face is later is not decoded again to try
SHORTER_SIDE = 480  # pixels, of a picture that is tried
CLEAR = 0.8  # score of a face that counts
FEWEST = 2  # faces on their side, to suggest a turn
TURNED = "faces that are mostly on their side: run again with --turn {}"


def suggest_turn(file: VideoFile, detector: FaceDetector, times: Floats) -> int:
    """Degrees clockwise by which to turn the pictures, so that most faces are upright; 0: none.

    `times` (N,) are those at which faces were found; only a few of the first are tried.
    """
    counts = np.zeros(4, int)  # faces by the quarter turns, clockwise, that they need
    for picture in _sample(file, times):
        found = detector.detect(picture)
        if found.landmarks is None:
            return 0
        for points in found.landmarks[found.scores >= CLEAR]:
            down = points[3:].mean(axis=0) - points[:2].mean(axis=0)  # from the eyes to the mouth
            across = abs(down[0]) > abs(down[1])
            counts[(1 if down[0] > 0 else 3) if across else (0 if down[1] > 0 else 2)] += 1
    best = int(np.argmax(counts))
    return best * 90 if counts[best] >= max(FEWEST, counts.sum() / 2) else 0


def _sample(file: VideoFile, times: Floats) -> Iterator[Image]:
    """A few RGB pictures in which faces were found."""
    width, height = file.size
    scale = min(1.0, SHORTER_SIDE / min(width, height))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    due: list[float] = []
    last_s = -EVERY_S
    for time_s in times[times <= LATEST_S].tolist():
        if time_s >= last_s + EVERY_S and len(due) < N_PICTURES:
            due.append(time_s)
            last_s = time_s
    for frame in file.pictures() if due else ():
        if frame.time_s >= due[0] - 1e-6:
            yield frame.rgb((0, 0, width, height), size)
            due.pop(0)
        if not due:
            return
