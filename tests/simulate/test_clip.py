"""Clips built without video: labels, crops and sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the renderer needs pip install 'quavf[simulate]'")
pytest.importorskip("espeakng_loader", reason="speech needs pip install 'quavf[simulate]'")
pytest.importorskip("pyroomacoustics", reason="sound needs pip install 'quavf[simulate]'")

from quavf.core.semantics import FIXED
from quavf.simulate.clip import build_simulated_clip
from quavf.simulate.config import PictureConfig, SimulateConfig, WorldConfig
from quavf.simulate.world import ClipKey
from quavf.sources.ego4d import read_ego4d
from quavf.utils.files import read_json
from quavf.workflows.simulate import write_clip
from tests.helpers.annotations import write_annotations


def test_built_clip_equals_the_written_clip(tmp_path: Path) -> None:
    world = WorldConfig(picture=PictureConfig(width=160, height=90))
    config = SimulateConfig(seed=2, seconds=5.0, world=world)
    key = ClipKey(2, "train", 3)
    clip = build_simulated_clip(config, key)
    write_clip(tmp_path, config, key)
    (written,) = read_json(tmp_path / "parts" / f"{key.name}.json")["video"]["clips"]
    talking = [s for s in written["social_segments_talking"] if s["person"] != "0"]
    assert [(s.person, s.start_frame, s.last_frame, s.label) for s in clip.segments] == [
        (int(s["person"]), s["start_frame"], s["end_frame"], int(s["target"] == "0"))
        for s in talking
    ]
    for person in written["persons"][1:]:
        rows = [row for path in person["tracking_paths"] for row in path["track"]]
        track = clip.tracks.get(int(person["person_id"]))
        frames = [] if track is None else track.frames.tolist()
        assert frames == [row["frame"] for row in rows]
    assert len(clip.sound) == 5 * 16_000
    folder = write_annotations(tmp_path / "annotations", [written])
    (record,) = read_ego4d(folder, tmp_path, None, FIXED).records
    assert (record.speaking, record.looking) == (clip.speaking, clip.looking)
    assert {interval.person for interval in clip.speaking} >= {0}
    for name, intervals in (("speaking", clip.speaking), ("looking", clip.looking)):
        columns = clip.table.columns
        truth = columns["speaking"] if name == "speaking" else columns["gaze"] == 0
        keys = zip(columns["person"].tolist(), columns["frame"].tolist(), strict=True)
        assert truth.tolist() == [
            any(i.person == p and i.start_frame <= f <= i.last_frame for i in intervals)
            for p, f in keys
        ]


def test_faces_come_from_labelled_segments() -> None:
    clip = build_simulated_clip(SimulateConfig(seconds=6.0, preset="clean"), ClipKey(0, "train", 0))
    crops = list(clip.render_faces(stride=5))
    assert crops
    for crop in crops:
        assert crop.frame % 5 == 0
        assert any(
            s.person == crop.person and s.start_frame <= crop.frame <= s.last_frame
            for s in clip.segments
        )
        x1, y1, x2, y2 = crop.expanded
        assert crop.region.shape == (y2 - y1, x2 - x1, 3)
        assert crop.region.dtype == np.uint8
        assert x1 <= max(crop.box[0], 0)
        assert y2 >= min(crop.box[3], 720)
