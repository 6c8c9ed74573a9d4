from __future__ import annotations

from pathlib import Path

import numpy as np

from quavf.cues.tracks import FACE_COLUMNS, FaceCues, SoundCues
from quavf.inference.measures import measure_faces
from tests.helpers.scored_stores import make_store


def test_the_nearest_cue_of_the_same_person_counts(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ("val",))
    assert measure_faces(store, "clip0", np.array([1]), np.array([0.0])) == {}
    values = np.full((4, len(FACE_COLUMNS)), np.nan)
    values[:, FACE_COLUMNS.index("face_size")] = [40, 50, 60, 90]
    values[:, FACE_COLUMNS.index("confidence")] = [0.1, 0.2, np.nan, 0.9]
    cues = FaceCues(
        np.array([1, 1, 1, 3]), np.array([0, 3, 30, 0]), np.array([0, 0.1, 1, 0]), values
    )
    empty = np.empty(0)
    store.write_cues("clip0", cues, SoundCues(empty, empty))
    person = np.array([1, 1, 1, 1, 1, 2, 3, 3])
    times = np.array([-0.1, 0.04, 0.06, 0.6, 1.2, 0.0, 0.2, 0.3])
    found = measure_faces(store, "clip0", person, times)
    nan = np.nan
    np.testing.assert_allclose(found["face_size"], [40, 40, 50, nan, 60, nan, 90, nan])
    np.testing.assert_allclose(found["confidence"], [0.1, 0.1, 0.2, nan, nan, nan, 0.9, nan])
