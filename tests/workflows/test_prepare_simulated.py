"""Stores prepared directly from simulated clips."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("numba", reason="the renderer needs pip install 'quavf[simulate]'")
pytest.importorskip("espeakng_loader", reason="speech needs pip install 'quavf[simulate]'")
pytest.importorskip("pyroomacoustics", reason="sound needs pip install 'quavf[simulate]'")

from quavf.core.errors import ConfigError, StoreError
from quavf.simulate.config import MIXTURE, PRESETS, PictureConfig, SimulateConfig, WorldConfig
from quavf.store import ClipStore
from quavf.workflows.prepare_simulated import TRUTH, prepare_simulated

SMALL = WorldConfig(picture=PictureConfig(width=320, height=180))
WORLD = SimulateConfig(seed=4, clips=2, seconds=6.0, val_share=0.5, test_share=0.0, world=SMALL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    path = tmp_path_factory.mktemp("simulated") / "store"
    prepare_simulated(path, WORLD)
    return ClipStore.open(path)


def test_clips_have_everything_training_needs(store: ClipStore) -> None:
    assert [store.manifest(clip).split for clip in store.clips()] == ["train", "val"]
    for clip in store.clips():
        manifest, faces = store.manifest(clip), store.faces(clip)
        assert manifest.n_samples == 6 * 16_000
        assert len(store.sound(clip, 0, manifest.n_samples)) == manifest.n_samples
        assert set((faces.frame % 15).tolist()) <= {0}
        truth = pq.read_table(store.folder(clip) / TRUTH)
        assert set(faces.persons()) <= set(truth["person"].to_pylist())
        assert truth.num_rows % 180 == 0


def test_repeating_changes_nothing(store: ClipStore) -> None:
    before = {p: p.stat().st_mtime_ns for p in store.path.rglob("*") if p.parent != store.path}
    summary = prepare_simulated(store.path, WORLD)
    after = {p: p.stat().st_mtime_ns for p in store.path.rglob("*") if p.parent != store.path}
    assert before == after
    assert (summary.skipped, summary.clips) == (2, 2)


def test_clips_of_earlier_versions_get_labels(store: ClipStore) -> None:
    """Who speaks and looks is drawn again; the rest of the clip stays."""
    before = {clip: store.manifest(clip) for clip in store.clips()}
    for clip, manifest in before.items():
        assert manifest.speaking
        assert manifest.looking
        store.write_intervals(clip, None, None)
    prepare_simulated(store.path, WORLD)
    assert {clip: store.manifest(clip) for clip in store.clips()} == before


def test_a_different_world_is_rejected(store: ClipStore) -> None:
    other = SimulateConfig(4, 2, 7.0, "table", 0.5, 0.0, SMALL)
    with pytest.raises(StoreError, match="which these settings do not make; choose another"):
        prepare_simulated(store.path, other)
    with pytest.raises(StoreError, match="which these settings do not make"):
        prepare_simulated(store.path, WORLD, every=5)


def test_every_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every is 0"):
        prepare_simulated(tmp_path / "store", WORLD, every=0)


def test_a_mixed_world_has_all_presets() -> None:
    mixed = SimulateConfig(preset="mixed")
    assert [mixed.select_world(index) for index in range(5)] == [
        PRESETS[name]() for name in (*MIXTURE, MIXTURE[0])
    ]
    assert SimulateConfig(preset="clean").select_world(3) == PRESETS["clean"]()
