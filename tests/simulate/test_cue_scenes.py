"""Scenes for cue-level simulation."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.core.records import WEARER
from quavf.cues.grid import RATE
from quavf.simulate.config import TruthConfig, WorldConfig
from quavf.simulate.conversation import draw_conversation
from quavf.simulate.cue_scenes import (
    UNKNOWN,
    CueScene,
    _project,
    bridge_pauses,
    draw_footage,
    draw_scene_truth,
    draw_talk,
    hang_picture,
    mute,
)
from quavf.simulate.gaze import draw_gaze
from quavf.simulate.scene import draw_motion, draw_scene, measure_face_angles


def draw_scenes(n: int, p_footage: float) -> list[CueScene]:
    rng = np.random.default_rng(3)
    return [draw_scene_truth(rng, 20.0, p_footage) for _ in range(n)]


@pytest.mark.parametrize("p_footage", [0.0, 1.0])
def test_scenes_are_consistent(p_footage: float) -> None:
    scenes = draw_scenes(60, p_footage)
    for scene in scenes:
        shape = (scene.n_people, round(20 * RATE))
        assert scene.speaking.shape == scene.to_me.shape == scene.size.shape == shape
        assert scene.angles.shape == (*shape, 3)
        assert scene.place.shape == (*shape, 2)
        assert not (scene.speaking & ~scene.lips).any(), "who is heard moves the lips"
        assert set(np.unique(scene.to_me)) <= {0, 1, UNKNOWN}
        assert np.nanmin(scene.size, initial=1e9) > 0
        assert not (scene.wearer & scene.offscreen).all() or not scene.wearer.any()
    to_me = np.concatenate([scene.to_me[scene.speaking] for scene in scenes])
    assert 0.1 < (to_me == 1).mean() < 0.9
    assert 1 in {scene.n_people for scene in scenes}


def test_scenes_repeat_by_seed() -> None:
    a, b = draw_scenes(3, 0.5), draw_scenes(3, 0.5)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.angles, other.angles)
        np.testing.assert_array_equal(one.to_me, other.to_me)


def test_people_who_address_the_camera_mostly_face_it() -> None:
    rng = np.random.default_rng(5)
    yaws, others = [], []
    for _ in range(40):
        scene = draw_footage(rng, 20.0)
        yaws.append(np.abs(scene.angles[scene.to_me == 1][:, 0]))
        others.append(np.abs(scene.angles[(scene.to_me == 0) & scene.speaking][:, 0]))
    assert np.median(np.concatenate(yaws)) < 8
    assert np.median(np.concatenate(others)) > 20


def test_projection_agrees_with_the_rendered_simulator() -> None:
    world, rng = WorldConfig(truth=TruthConfig()), np.random.default_rng(1)
    talk = draw_conversation(world.talk, rng, 4.0)
    scene = draw_scene(talk, world.picture, rng)
    gaze = draw_gaze(talk, world.gaze, rng, 60, RATE)
    motion = draw_motion(scene, gaze, (world.gaze, world.picture), rng, RATE)
    angles, _, _ = _project(scene, motion, world.picture)
    for person in range(1, scene.n_people):
        for tick in (0, 30, 59):
            # without roll, which turns a face in the picture but not away from it
            turn = motion.turns[person, tick] * np.array([1.0, 1.0, 0.0])
            yaw, pitch = measure_face_angles(
                motion.heads[person, tick], turn, motion.heads[WEARER, tick]
            )
            assert angles[person, tick, 0] == pytest.approx(yaw, abs=1e-6)
            assert angles[person, tick, 1] == pytest.approx(pitch, abs=1e-6)


def test_talk_labels_follow_the_addressee() -> None:
    scene = draw_talk(np.random.default_rng(8), 60.0)
    assert scene.speaking.any()
    assert not scene.offscreen.any()
    assert ((scene.looking == 0) | (scene.looking == 1)).all()


def test_the_voice_of_a_picture_comes_from_outside() -> None:
    scene = draw_footage(np.random.default_rng(2), 20.0)
    person = int(np.argmax(scene.speaking.sum(axis=1)))
    hung = hang_picture(scene, person)
    assert not hung.speaking[person].any()
    assert (hung.to_me[person] == 0).all()
    assert (hung.looking[person] == UNKNOWN).all()
    assert hung.offscreen[scene.speaking[person]].all()
    assert np.ptp(hung.angles[person], axis=0).max() == 0
    others = np.arange(scene.n_people) != person
    np.testing.assert_array_equal(hung.speaking[others], scene.speaking[others])


def test_muted_scenes_have_lips_and_no_speech() -> None:
    scene = mute(draw_footage(np.random.default_rng(2), 20.0))
    assert scene.lips.any()
    assert not scene.speaking.any()
    assert not scene.to_me.any()
    assert not scene.offscreen.any()


def test_turns_last_through_short_pauses() -> None:
    row = np.array([[0, 1, 1] + [0] * 7 + [1] + [0] * 12 + [1] + [0] * 30 + [1, 0]])
    bridged = bridge_pauses(row)[0]
    assert (bridged[1:11] == 1).all()
    assert (bridged[11:23] == UNKNOWN).all()
    assert (bridged[24:54] == 0).all()
    assert bridged[0] == bridged[-1] == 0
