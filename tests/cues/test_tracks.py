"""Cue columns from mesh points, and the mesh's square from pictures and stored crops."""

from __future__ import annotations

import numpy as np
import pytest

from quavf.core.records import READY_MADE
from quavf.cues.mesh import MESH_SIZE, N_POINTS, MeshPoints, mesh_square
from quavf.cues.tracks import (
    CUE_COLUMNS,
    FACE_COLUMNS,
    HEAD_COLUMNS,
    LOWEST_DB,
    FaceCues,
    cut_crop_square,
    cut_square,
    frame_box,
    measure_faces,
    sound_levels,
    with_places,
)
from quavf.faces.crop import crop_geometry, render_crop

SIZE = (320, 240)  # of the frame
PLACES = {  # points of a made-up frontal face, x right, y down, z away
    13: (0, 39, 0),
    14: (0, 41, 0),
    61: (-10, 40, 0),
    291: (10, 40, 0),
    33: (-25, 0, 0),
    263: (25, 0, 0),
    133: (-15, 0, 0),
    362: (15, 0, 0),
    159: (-20, -2, 0),
    145: (-20, 1, 0),
    386: (20, -2, 0),
    374: (20, 3, 0),
    234: (-40, 10, 0),
    454: (40, 10, 0),
    10: (0, -50, 0),
    152: (0, 70, 0),
}


def made_up_face(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """A face turned by one of three angles in degrees: right, up, clockwise."""
    points = np.zeros((N_POINTS, 3))
    for index, place in PLACES.items():
        points[index] = place
    a, b, c = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    tilt = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(points @ (tilt @ nod @ turn).T, np.float32)


def cues_of(points: np.ndarray, confidence: float = 0.9) -> dict[str, float]:
    mesh = MeshPoints(points[None], np.array([confidence], np.float32))
    row = measure_faces(mesh, np.array([[10.0, 20, 40, 70]]))[0]
    return dict(zip(CUE_COLUMNS, row.tolist(), strict=True))


def test_columns_of_a_frontal_face() -> None:
    cues = cues_of(made_up_face() * 3 + 100)  # scale and place do not matter
    assert cues["lip_opening"] == pytest.approx(0.1)
    assert cues["mouth_width"] == pytest.approx(0.4)
    assert cues["eye_opening"] == pytest.approx(0.4)
    assert [cues[a] for a in ("yaw", "pitch", "roll")] == pytest.approx([0, 0, 0], abs=1e-4)
    assert cues["confidence"] == pytest.approx(0.9)
    assert cues["face_size"] == 50


@pytest.mark.parametrize("angle", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("degrees", [-30.0, 20.0])
def test_angles_have_the_documented_signs(angle: str, degrees: float) -> None:
    cues = cues_of(made_up_face(**{angle: degrees}))
    assert cues[angle] == pytest.approx(degrees, abs=1e-3)


def test_the_nearer_cheek_is_the_one_turned_away_from() -> None:
    """A nose that points to the picture's right brings the left cheek closer to the camera."""
    points = made_up_face(yaw=30)
    assert points[234, 2] < points[454, 2]


@pytest.mark.parametrize(
    ("confidence", "kept"), [(0.49, HEAD_COLUMNS), (0.06, HEAD_COLUMNS), (0.04, ())]
)
def test_an_unsure_mesh_gives_angles_at_most(confidence: float, kept: tuple[str, ...]) -> None:
    cues = cues_of(made_up_face(), confidence=confidence)
    missing = {name for name, value in cues.items() if np.isnan(value)}
    assert missing == set(CUE_COLUMNS) - {"confidence", "face_size", *kept}


def test_gaze_is_missing_where_the_mesh_is_unsure() -> None:
    points = np.stack([made_up_face()] * 2)
    mesh = MeshPoints(points, np.array([0.9, 0.1], np.float32))
    gaze = np.array([[5.0, -3], [5, -3]])
    found = measure_faces(mesh, np.zeros((2, 4)), gaze)
    columns = [CUE_COLUMNS.index(name) for name in ("gaze_yaw", "gaze_pitch")]
    assert found[0, columns].tolist() == [5, -3]
    assert np.isnan(found[1, columns]).all()


def test_no_faces() -> None:
    none = MeshPoints(np.empty((0, N_POINTS, 3), np.float32), np.empty(0, np.float32))
    assert measure_faces(none, np.empty((0, 4))).shape == (0, len(CUE_COLUMNS))


def test_lips_and_mouth_come_from_points_of_their_own() -> None:
    face, wide = made_up_face(), made_up_face()
    wide[14] += [0, 4, 0]  # lips apart by 6 of 20
    mesh = MeshPoints(face[None], np.array([0.9], np.float32))
    box = np.array([[10.0, 20, 40, 70]])
    plain, row = measure_faces(mesh, box)[0], measure_faces(mesh, box, lips=wide[None])[0]
    lip = CUE_COLUMNS.index("lip_opening")
    assert row[lip] == pytest.approx(0.3)
    np.testing.assert_array_equal(np.delete(row, lip), np.delete(plain, lip))


def test_places_are_relative_to_the_frame() -> None:
    boxes = np.array([[60.0, 100, 100, 140], [np.nan] * 4])
    values = with_places(np.zeros((2, len(CUE_COLUMNS))), boxes, SIZE)
    cues = FaceCues(np.array([1, 2]), np.array([0, 0]), np.zeros(2), values)
    assert cues["x"][0] == pytest.approx(80 / 320)
    assert cues["y"][0] == pytest.approx(120 / 240)
    assert np.isnan(cues["x"][1])
    assert len(FACE_COLUMNS) == len(CUE_COLUMNS) + 2


def smooth_frame() -> np.ndarray:
    """(240, 320, 3) whose colours say where a pixel is."""
    x, y = np.meshgrid(np.linspace(0, 250, SIZE[0]), np.linspace(0, 250, SIZE[1]))
    return np.stack([x, y, (x + y) / 2], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "box",
    [
        [150.0, 90, 190, 150],  # inside, higher than wide
        [140.0, 100, 200, 130],  # wider than high
        [2.0, 90, 42, 150],  # at the left border: padded crop
        [290.0, 190, 318, 236],  # in a corner
    ],
)
def test_crops_give_the_square_that_the_frame_gives(box: list[float]) -> None:
    frame = smooth_frame()
    geometry = crop_geometry(np.array(box), SIZE)
    assert geometry is not None
    x1, y1, x2, y2 = geometry.region
    crop = render_crop(frame[y1:y2, x1:x2], geometry)
    square = mesh_square(np.array(box))
    from_frame, from_crop = cut_square(frame, square), cut_crop_square(crop, geometry)
    step = (np.arange(MESH_SIZE) + 0.5) / MESH_SIZE * (square[2] - square[0])
    x, y = square[0] + step, square[1] + step
    held = ((y > y1 + 1) & (y < y2 - 1))[:, None] & ((x > x1 + 1) & (x < x2 - 1))
    difference = np.abs(from_frame.astype(int) - from_crop)[held]
    assert difference.size > 10_000
    assert difference.max() <= 3


def test_large_squares_are_averaged() -> None:
    frame = np.zeros((800, 800, 3), np.uint8)
    frame[::2, ::2] = 200  # finer than the mesh's picture
    cut = cut_square(frame, np.array([16.0, 16, 784, 784]))
    assert cut.mean() == pytest.approx(50, abs=1)
    assert cut.std() < 3


def test_crops_of_unknown_frames() -> None:
    crop = np.zeros((224, 224, 3), np.uint8)
    crop[28:196, 28:196] = 200  # 1.5 times the face
    assert cut_crop_square(crop, READY_MADE, "grown").min() >= 100
    assert cut_crop_square(crop, READY_MADE, "face")[:30].max() == 0
    assert np.isnan(frame_box(READY_MADE)).all()


@pytest.mark.parametrize(
    ("samples", "levels"),
    [
        (np.zeros(0), []),
        (np.zeros(512), [LOWEST_DB]),
        (np.full(512, 0.1), [-20.0]),
        (np.full(600, 0.1), [-20.0, -20.0]),  # the last step is shorter
    ],
)
def test_levels(samples: np.ndarray, levels: list[float]) -> None:
    np.testing.assert_allclose(sound_levels(samples), levels, atol=1e-4)
