from __future__ import annotations

import cv2
import numpy as np
import pytest

import tests.helpers.face_videos as tests_media
from quavf.core.errors import ConfigError
from quavf.core.records import Image
from quavf.faces.config import SearchConfig
from quavf.faces.detect import open_detector
from quavf.faces.search import FaceSearch


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


@pytest.mark.parametrize(
    "settings",
    [{"min_score": 1.0}, {"scan_height": 10}, {"scan_rate": 0.0}, {"scan_rate": 20.0},
     {"look_rate": 60.0}, {"cut_change": 0.0}],
)  # fmt: skip
def test_search_settings(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SearchConfig(**settings)  # type: ignore[arg-type]
