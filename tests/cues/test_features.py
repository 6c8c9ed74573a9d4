"""Features of cues."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.cues.features import N_FACE, N_RULE, N_SOUND, compute_features
from quavf.cues.grid import COLUMNS, CueGrid


def random_grid(seed: int = 0, n_ticks: int = 80) -> CueGrid:
    rng = np.random.default_rng(seed)
    faces = rng.random((3, n_ticks, len(COLUMNS)))
    faces[:, :, 7] = 60 + 100 * faces[:, :, 7]
    faces[1, 20:50] = np.nan
    faces[2] = np.nan
    return CueGrid(faces, rng.random(n_ticks), -60 * rng.random(n_ticks))


def test_missing_faces_have_flags_and_no_values() -> None:
    features = compute_features(random_grid())
    assert features.face.shape == (3, 80, N_FACE)
    assert features.sound.shape == (80, N_SOUND)
    assert features.rule.shape == (3, 80, N_RULE)
    assert not features.seen[2].any()
    assert np.isfinite(features.face).all()
    assert features.face[1, 25, 0] == 0
    assert features.face[0, 25, 0] == 1


def test_a_clip_without_sound_has_a_flag() -> None:
    grid = random_grid()
    silent = CueGrid(grid.faces, np.full(80, np.nan), np.full(80, np.nan))
    features = compute_features(silent)
    assert np.isfinite(features.sound).all()
    assert features.sound[:, 5].max() == 0
    assert compute_features(grid).sound[:, 5].min() == 1


@pytest.mark.parametrize("look_ahead", [0, 5])
def test_features_read_no_further_than_the_look_ahead(look_ahead: int) -> None:
    grid = random_grid()
    faces, voice, level = grid.faces.copy(), grid.voice.copy(), grid.level_db.copy()
    faces[:2, 60:], voice[60:], level[60:] = 0.9, 0.9, 0.0
    changed = CueGrid(faces, voice, level)
    a, b = compute_features(grid, look_ahead), compute_features(changed, look_ahead)
    end = 60 - look_ahead
    np.testing.assert_allclose(a.face[:, :end], b.face[:, :end], atol=1e-5)
    np.testing.assert_allclose(a.sound[:end], b.sound[:end], atol=1e-6)
    np.testing.assert_allclose(a.rule[:, :end], b.rule[:, :end], atol=1e-6)
    assert not np.allclose(a.face[:, end:], b.face[:, end:])


def test_order_of_people_does_not_matter() -> None:
    grid = random_grid()
    order = np.array([2, 0, 1])
    a, b = compute_features(grid), compute_features(grid.take(order))
    np.testing.assert_array_equal(a.face[order], b.face)


def test_a_mirrored_picture_turns_the_other_way_and_nothing_else() -> None:
    grid = random_grid()
    a, b = compute_features(grid), compute_features(grid.mirror())
    np.testing.assert_allclose(a.rule, b.rule, atol=1e-6)
    np.testing.assert_array_equal(a.sound, b.sound)
    turned = ~np.isclose(a.face, b.face, atol=1e-5).all(axis=(0, 1))
    assert turned.sum() == 3, "yaw, roll and the place across"
    np.testing.assert_allclose(a.face[..., turned], -b.face[..., turned], atol=1e-5)
