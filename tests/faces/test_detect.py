from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

import tests.helpers.face_videos as tests_media
from quavf.core.errors import ConfigError
from quavf.core.records import Image
from quavf.faces.config import DetectorOptions, SearchConfig
from quavf.faces.detect import detector_names, open_detector, register_detector, suppress_overlaps
from quavf.faces.search import (
    DESCRIPTOR,
    FaceSearch,
    describe_appearance,
    scene_colours,
    search_patch,
    similarity,
)
from tests.helpers.data import SHARED

HEAD = SHARED / "clips" / "WDA_KatieHill_000.mp4"
needs_head = pytest.mark.skipif(not HEAD.is_file(), reason=f"no talking head at {HEAD}")


def head() -> Image:
    with av.open(str(HEAD)) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def test_detectors_are_found_by_name() -> None:
    assert {"retinaface", tests_media.BLOCKS} <= set(detector_names())
    with pytest.raises(ConfigError, match="choose one of"):
        open_detector("haar")
    with pytest.raises(ConfigError, match="taken"):
        register_detector("retinaface", lambda options: open_detector("retinaface", options))
    with pytest.raises(ConfigError, match="letters"):
        register_detector("../x", lambda options: open_detector("retinaface", options))


@pytest.mark.parametrize("options", [{"min_score": 0.0}, {"min_score": 1.0}, {"n_threads": -1}])
def test_options_that_cannot_be_used(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        DetectorOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(16, 16, 3), (33, 47, 3), (180, 320, 3)])
def test_no_face_in_a_plain_picture(shape: tuple[int, int, int]) -> None:
    faces = open_detector("retinaface").detect(np.full(shape, 128, np.uint8))
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)


@needs_head
def test_retinaface_agrees_with_the_package_it_comes_from() -> None:
    from retinaface import detect_faces

    picture = np.asarray(cv2.resize(head(), (301, 299)), np.uint8)
    ours = open_detector("retinaface").detect(picture)
    theirs = detect_faces(picture, score_threshold=0.5)
    assert len(ours) == len(theirs) == 1
    box = [theirs[0].x, theirs[0].y, theirs[0].width, theirs[0].height]
    x1, y1, x2, y2 = ours.boxes[0]
    np.testing.assert_allclose([x1, y1, x2 - x1, y2 - y1], box, atol=1.0)
    assert ours.scores[0] == pytest.approx(theirs[0].score, abs=1e-5)
    assert ours.landmarks is not None
    points = [(p.x, p.y) for p in theirs[0].landmarks]
    np.testing.assert_allclose(ours.landmarks[0], points, atol=1.0)


@needs_head
def test_faces_of_40_pixels_in_1080p_are_kept() -> None:
    """At the default height of a scan, and where it was once seen, at the scale of a look."""
    detector = open_detector("retinaface", DetectorOptions(min_score=0.3))
    source = head()
    box = detector.detect(source).boxes[0]
    scale = 40 / (box[3] - box[1])
    small = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(0)
    picture = np.full((1080, 1920, 3), 110, np.uint8)
    places = [(int(x), int(y)) for x, y in rng.integers(20, [1800, 980], (12, 2))]
    for x, y in places:
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small
    height = SearchConfig().scan_height
    scan = cv2.resize(picture, (height * 16 // 9, height), interpolation=cv2.INTER_AREA)
    found = detector.detect(np.asarray(scan, np.uint8)).boxes * 1080 / height
    expected = [box * scale + [x, y, x, y] for x, y in places]
    hits = [np.abs(found - e).max(axis=1).min() < 12 if len(found) else False for e in expected]
    assert np.mean(hits) >= 0.9
    for face in expected:
        (x1, y1, x2, y2), zoom = search_patch(face, (1920, 1080))
        cut = cv2.resize(picture[y1:y2, x1:x2], None, fx=zoom, fy=zoom)
        assert len(detector.detect(np.asarray(cut, np.uint8))) >= 1


@pytest.mark.parametrize(
    ("boxes", "scores", "kept"),
    [
        ([], [], []),
        ([[0, 0, 10, 10]], [0.5], [0]),
        ([[0, 0, 10, 10], [1, 0, 11, 10]], [0.5, 0.9], [1]),
        ([[0, 0, 10, 10], [20, 0, 30, 10]], [0.5, 0.9], [1, 0]),
    ],
)
def test_distinct(boxes: list[list[float]], scores: list[float], kept: list[int]) -> None:
    found = suppress_overlaps(np.array(boxes, float).reshape(-1, 4), np.array(scores), 0.4)
    assert found.tolist() == kept


@pytest.mark.parametrize(
    "box", [[0, 0, 5, 5], [630, 350, 700, 400], [-300, -300, -200, -200], [0, 0, 640, 360]]
)
def test_patches_stay_inside_the_picture(box: list[float]) -> None:
    (x1, y1, x2, y2), scale = search_patch(np.array(box, float), (640, 360))
    assert 0 <= x1 <= x2 <= 640
    assert 0 <= y1 <= y2 <= 360
    assert max(x2 - x1, y2 - y1) * scale <= 385


class Still:
    """A picture for the search, made of an array."""

    def __init__(self, picture: Image, time_s: float) -> None:
        self.picture, self.time_s = picture, time_s
        self.size = (picture.shape[1], picture.shape[0])
        self.n_scans = 0

    def rgb(self, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
        x1, y1, x2, y2 = region
        self.n_scans += region == (0, 0, *self.size)
        return np.asarray(cv2.resize(self.picture[y1:y2, x1:x2], size))

    def sketch(self) -> Image:
        return np.asarray(cv2.resize(self.picture, (64, 36), interpolation=cv2.INTER_NEAREST))

    def grey(self) -> Image:
        small = cv2.resize(self.picture, (160, 90), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def scene(box: tuple[int, int, int, int] | None, time_s: float, colour: int = 90) -> Still:
    picture = np.full((180, 320, 3), colour, np.uint8)
    if box is not None:
        picture[box[1] : box[3], box[0] : box[2]] = tests_media.FACE
    return Still(picture, time_s)


def searched(views: list[Still]) -> FaceSearch:
    config = SearchConfig(detector=tests_media.BLOCKS, scan_rate=1, look_rate=10)
    search = FaceSearch(open_detector(tests_media.BLOCKS), config)
    for view in views:
        search.step(view)
    return search


def test_known_faces_are_followed_between_scans() -> None:
    views = [scene((10 + 12 * k, 40, 40 + 12 * k, 80), k / 10) for k in range(20)]
    found = searched(views).observations()
    assert [v.n_scans for v in views] == [1, *[0] * 9, 1, *[0] * 9]
    assert len(found) == 20
    np.testing.assert_allclose(found.boxes[:, 0], 10 + 12 * np.arange(20), atol=2)
    measured = ~np.isnan(found.appearance[:, 0])
    assert np.flatnonzero(measured).tolist() == [0, 10]


def test_a_search_goes_on_with_what_was_found() -> None:
    views = [scene((10 + 12 * k, 40, 40 + 12 * k, 80), k / 10) for k in range(12)]
    found = searched(views).observations()
    again = searched([])
    again.resume(found)
    for name, column in vars(again.observations()).items():
        np.testing.assert_array_equal(column, getattr(found, name), err_msg=name)
    again.step(scene((154, 40, 184, 80), 1.2))
    assert len(again.observations()) == len(found) + 1
    np.testing.assert_array_equal(again.observations().boxes[: len(found)], found.boxes)
    assert len(searched([]).observations()) == 0


def test_faces_are_followed_when_the_camera_turns() -> None:
    """Two to three widths of the face at a look, over walls with something on them."""
    walls = np.random.default_rng(0).integers(40, 110, (30, 200, 1), np.uint8).repeat(3, axis=2)
    room = np.asarray(cv2.resize(walls, (1200, 180), interpolation=cv2.INTER_CUBIC), np.uint8)
    lefts = np.cumsum([400, 0, -50, -70, -40, 0, 60, 60])  # of the picture in the room
    views = []
    for k, left in enumerate(lefts.tolist()):
        view = Still(room[:, left : left + 320].copy(), k / 10)
        x = 460 - left
        view.picture[60:100, x : x + 25] = tests_media.FACE
        views.append(view)
    found = searched(views).observations()
    assert [v.n_scans for v in views] == [1, *[0] * 7]
    assert len(found) == 8
    np.testing.assert_allclose(found.camera_motion[:, 0], 400 - lefts, atol=3)
    np.testing.assert_allclose(found.steady_boxes[:, 0], 60, atol=4)


def test_a_lost_face_is_searched_for_once() -> None:
    views = [scene((10, 40, 50, 90) if k < 3 else None, k / 10) for k in range(9)]
    searched(views)
    assert [v.n_scans for v in views] == [1, 0, 0, 0, 1, 0, 0, 0, 0]


def test_a_camera_cut_is_detected_and_a_turn_of_the_head_is_not_one() -> None:
    views = [scene((10, 40, 50, 90), k / 10, 90 if k < 5 else 200) for k in range(10)]
    found = searched(views).observations()
    assert found.cuts.tolist() == [0.5]
    assert views[5].n_scans == 1
    moving = [scene((10 + 20 * k, 40, 50 + 20 * k, 90), k / 10) for k in range(10)]
    assert not len(searched(moving).observations().cuts)


def test_scene_colours_are_shares() -> None:
    assert scene_colours(scene(None, 0).sketch()).sum() == pytest.approx(1)


def test_descriptions_tell_clothes_apart() -> None:
    picture = np.full((200, 200, 3), 60, np.uint8)
    picture[20:80, 70:130] = (200, 150, 120)
    red, blue = picture.copy(), picture.copy()
    red[80:], blue[80:] = (200, 30, 30), (30, 30, 200)
    box = np.array([70.0, 20, 130, 80])
    a, b = describe_appearance(red, box), describe_appearance(blue, box)
    assert a.shape == (DESCRIPTOR,)
    assert similarity(a, a) == pytest.approx(1)
    assert similarity(a, b) < 0.7
    cut_off = describe_appearance(red[:85], box)  # no clothes in the picture: compare only faces
    assert similarity(a, cut_off) == pytest.approx(1)
    assert np.isnan(similarity(a, np.full(DESCRIPTOR, np.nan)))


@pytest.mark.parametrize(
    "settings",
    [{"min_score": 1.0}, {"scan_height": 10}, {"scan_rate": 0.0}, {"scan_rate": 20.0},
     {"look_rate": 60.0}, {"cut_change": 0.0}],
)  # fmt: skip
def test_search_settings(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SearchConfig(**settings)  # type: ignore[arg-type]
