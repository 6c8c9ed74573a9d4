"""Faces that never move: posters, photographs, and pictures on a screen."""

from __future__ import annotations

import numpy as np

from quavf.cues.tracks import FaceCues

LEAST_S = 4.5  # a face must be read for so long; a listener may keep still for a few seconds
LEAST_ROWS = 40
SPREAD = (5, 95)  # percentiles between which a cue moves
# How far the cues of a picture move, by the jitter of the mesh and of a camera: twelve posters
# of 60 to 200 pixels, half of them filmed from the hand, stay below; of seventeen real people who
# were read for 3 s or longer, none does.
STILL = {"lip_opening": 0.04, "mouth_width": 0.06, "eye_opening": 0.1, "pitch": 6.0}


def find_still_faces(cues: FaceCues) -> set[int]:
    """The persons whose face moves no more than that of a picture, all the time that it is read.

    Such a face does not talk. Persons of whom too little is read are not among them.
    """
    still = set()
    for person in np.unique(cues.person).tolist():
        rows = np.flatnonzero((cues.person == person) & ~np.isnan(cues["lip_opening"]))
        if len(rows) < LEAST_ROWS or np.ptp(cues.time_s[rows]) < LEAST_S:
            continue
        spreads = (np.ptp(np.percentile(cues[name][rows], SPREAD)) for name in STILL)
        if all(spread < most for spread, most in zip(spreads, STILL.values(), strict=True)):
            still.add(int(person))
    return still
