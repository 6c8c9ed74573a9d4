"""`quavf run` with the weights `talk` on a real person: other branches judge what cues cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quavf.core.branches import FUSED
from quavf.workflows.config import RunConfig
from quavf.workflows.run import Pipeline
from tests.helpers.data import REAL_TALK

TALKING = REAL_TALK / "vr2.mp4"
CONFIG = RunConfig(weights="talk", annotated=False, report=False, device="cpu")


@pytest.mark.skipif(not TALKING.is_file(), reason=f"there is no {TALKING}")
def test_a_face_that_cues_judge_is_not_looked_at(tmp_path: Path) -> None:
    result = Pipeline(replace(CONFIG, keep_store=True)).run(TALKING, tmp_path / "out").result
    every = Pipeline(replace(CONFIG, every_branch=True)).run(TALKING).result
    rows, others = result.scores[1], every.scores[1]
    np.testing.assert_array_equal(rows["cues"], others["cues"])
    for name in ("audio", "visual"):
        assert name not in rows.columns or np.isnan(rows[name]).all()
        assert not np.isnan(others[name]).any()
    assert np.abs(rows[FUSED] - others[FUSED]).max() < 0.2
    assert result.persons[0].thumbnail
    assert result.moments[0].start_s == pytest.approx(every.moments[0].start_s, abs=0.2)
    assert len(list((tmp_path / "out" / "store" / "clips").glob("*/crops.tar"))) == 1
