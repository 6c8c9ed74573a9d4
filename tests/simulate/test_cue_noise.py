"""What the networks report of simulated scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quavf.cues.grid import EYES, LIP, PITCH, RATE, SIZE, WIDTH, YAW, rolling_std
from quavf.cues.stillness import SPREAD, STILL
from quavf.simulate.cue_noise import draw_idle_lips, draw_mouth, observe
from quavf.simulate.cue_scenes import CueScene, draw_footage, hang_picture, mute


def make_scene(n_ticks: int = 300, size: float = 150.0, yaw: float = 0.0) -> CueScene:
    """Two people who face the camera; the first speaks in the first half."""
    speaking = np.zeros((2, n_ticks), bool)
    speaking[0, : n_ticks // 2] = True
    angles = np.zeros((2, n_ticks, 3))
    angles[..., 0] = yaw
    nobody = np.zeros(n_ticks, bool)
    return CueScene(
        speaking,
        speaking,
        speaking.astype(np.int64),
        np.ones((2, n_ticks), np.int64),
        nobody,
        nobody,
        angles,
        np.full((2, n_ticks), size),
        np.full((2, n_ticks, 2), 0.5),
        np.zeros(2, bool),
    )


def test_speaking_lips_move_more() -> None:
    speaking, silent = [], []
    for seed in range(40):
        lip = observe(make_scene(), np.random.default_rng(seed)).faces[:, :, LIP]
        if np.isfinite(lip).sum(axis=1).min() > 50:
            speaking.append(np.nanstd(lip[0, :150]))
            silent.append(np.nanstd(lip[1]))
    assert np.median(speaking) > 2 * np.median(silent)


def test_small_faces_are_noisier_and_get_lost() -> None:
    def noise(size: float) -> float:
        scene = make_scene(size=size)
        scene = replace(scene, lips=np.zeros_like(scene.lips))
        grids = [observe(scene, np.random.default_rng(seed)) for seed in range(20)]
        changes = [np.diff(grid.faces[0, :, LIP]) for grid in grids]
        return float(np.median([np.nanstd(c) for c in changes if np.isfinite(c).sum() > 50]))

    assert noise(60) > 1.5 * noise(240)
    tiny = observe(make_scene(size=18.0), np.random.default_rng(0)).faces
    assert np.isnan(tiny[:, :, LIP]).mean() > 0.9
    assert not np.isnan(tiny[:, :, SIZE]).all(), "the detector sees what the mesh cannot read"


def test_profiles_cannot_be_read() -> None:
    faces = observe(make_scene(yaw=95.0), np.random.default_rng(1)).faces
    assert np.isnan(faces[:, :, YAW]).mean() > 0.9


def test_voice_follows_speech_unless_the_sound_is_off() -> None:
    hits = []
    for seed in range(120):
        grid = observe(make_scene(), np.random.default_rng(seed))
        if np.isnan(grid.voice).any() or grid.level_db.max() < -90:
            continue
        hits.append(grid.voice[:150].mean() - grid.voice[165:].mean())
    assert np.median(hits) > 0.6
    assert len(hits) < 120


def test_a_muted_scene_is_silent() -> None:
    levels = []
    for seed in range(20):
        grid = observe(mute(make_scene()), np.random.default_rng(seed))
        levels.append(np.median(np.nan_to_num(grid.voice)))
        lips = grid.faces[0, :, LIP]
        if np.isfinite(lips).sum() > 100:
            assert np.nanstd(lips[:150]) > 0.005
    assert np.median(levels) < 0.1


def test_mouth_is_shut_outside_speech() -> None:
    speaking = np.zeros(300, bool)
    speaking[100:200] = True
    mouth = draw_mouth(speaking, np.random.default_rng(0))
    assert mouth.opening.shape == mouth.loudness.shape == (300,)
    assert mouth.opening[110:190].max() > 0.02
    assert mouth.loudness[:95].max() == 0
    assert mouth.opening[:95].max() == 0
    # syllables: four to six a second
    crossings = np.diff(mouth.opening[105:195] > np.median(mouth.opening[105:195])).sum()
    assert 1.5 < crossings / 2 / (90 / RATE) < 8


def test_idle_lips_can_move_as_much_as_speech() -> None:
    motions = []
    for seed in range(60):
        opening, _ = draw_idle_lips(300, np.random.default_rng(seed))
        motions.append(float(np.nanmax(rolling_std(opening, 7))))
    assert max(motions) > 0.05
    assert np.median(motions) < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_observations_repeat_by_seed(seed: int) -> None:
    scene = draw_footage(np.random.default_rng(seed), 10.0)
    a, b = (observe(scene, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(a.faces, b.faces)
    np.testing.assert_array_equal(a.voice, b.voice)


def test_a_picture_on_the_wall_keeps_still() -> None:
    spreads = []
    for seed in range(20):
        scene = hang_picture(make_scene(), 0)
        faces = observe(scene, np.random.default_rng(seed)).faces
        cues = faces[:, :, [LIP, WIDTH, EYES, PITCH]]  # (2, T, 4)
        spreads.append(np.ptp(np.nanpercentile(cues, SPREAD, axis=1), axis=0))
    still, alive = np.median(spreads, axis=0)
    names = ("lip_opening", "mouth_width", "eye_opening", "pitch")
    most = np.array([STILL[name] for name in names])
    assert (still < most).all(), still
    assert (still < alive)[[0, 1, 2]].all(), "a face that talks moves its lips and its eyes"
